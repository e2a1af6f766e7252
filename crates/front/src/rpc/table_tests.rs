//! The table against the contract: signatures as protocol.md writes them, and what must hold for every row.

use super::{
    super::{
        answer::{ReplyTo, protocol_message},
        params::{PARAMS_MAX, bind},
    },
    *,
};

/// Sections 4 to 6, column "parameters". `-` in front: no token is needed.
const CONTRACT: &[&str] = &[
    "-login(username, password, detail=false)",
    "-authenticate(username, password, expiry=3600, subdir=\"/\")",
    "-logout(token)",
    "checkToken(token)",
    "updateSession(token, expire=0)",
    "noop(token, operation=\"pong\")",
    "-ping(operation=\"pong\")",
    "initKeyPair(token)",
    "makeDir(token, path)",
    "makeDir2(token, path)",
    "deleteDir(token, path)",
    "deleteFile(token, path)",
    "deleteObject(token, path)",
    "rename(token, oldpath, newpath)",
    "renameFile(token, oldpath, newpath)",
    "copyFile(token, path, newpath)",
    "stat(token, path, detail=false)",
    "setMTime(token, path, mtime)",
    "setContentType(token, path, content_type)",
    "listDir(token, path, pageSize=100, cookie=0, stat=false)",
    "listFile(token, path, pageSize=100, cookie=0, stat=false)",
    "listPath(token, path, pageSize=100, cookie=null, stat=false)",
    // The last three by name, or in the long form.
    "fetchFileHTTP(token, path, uri, flags=0, username, password, auth)",
    "mediaVaultUrl(token, path, expiry=3600)",
    "mediaVaultURL(token, path, expiry=3600)",
    "createMultipart(token, path, content_type=\"\", mtime=0)",
    "getMultipartStatus(token, mpid)",
    "getMultipartStatusMap(token, name=\"upload\")",
    "listMultipart(token, cookie=0, pagesize=100)",
    "listMultipartPiece(token, mpid, cookie=0, pagesize=100)",
    "completeMultipart(token, mpid)",
    "abortMultipart(token, mpid)",
    "restartMultipart(token, mpid)",
    "registerCallback(token, uri, flags=0, threshold=0)",
    "listCallback(token)",
];

/// Section 3: methods that answer with a bare integer, of those that are there.
const OPERATIONS: &[&str] = &[
    "abortMultipart",
    "copyFile",
    "deleteDir",
    "deleteFile",
    "deleteObject",
    "fetchFileHTTP",
    "logout",
    "makeDir",
    "makeDir2",
    "rename",
    "renameFile",
    "restartMultipart",
    "setContentType",
    "setMTime",
    "updateSession",
];

fn signature(row: &Row) -> String {
    let params: Vec<_> = row
        .params
        .iter()
        .map(|p| match p.default {
            None | Some(MISSING) if p.kind != PairCookie => p.name.to_owned(),
            default => format!("{}={}", p.name, default.unwrap()),
        })
        .collect();
    let who = if matches!(row.run, Run::Anyone(_)) { "-" } else { "" };
    format!("{who}{}({})", row.name, params.join(", "))
}

#[test]
fn the_table_is_the_contract() {
    let table: Vec<_> = TABLE.iter().map(signature).collect();
    assert_eq!(table, CONTRACT);
}

#[test]
fn operations_answer_with_an_integer() {
    for row in TABLE {
        let operation = matches!(row.form, Operation);
        assert_eq!(operation, OPERATIONS.contains(&row.name), "{}", row.name);
    }
}

#[test]
fn names_are_found_exactly() {
    for row in TABLE {
        assert_eq!(find(row.name).unwrap().name, row.name);
        assert_eq!(TABLE.iter().filter(|other| other.name == row.name).count(), 1);
        assert!(!row.name.starts_with('_'));
    }
    for name in ["", "_x", "Login", "login ", "createmultipart", "system.listMethods"] {
        assert!(find(name).is_none(), "{name}");
    }
}

#[test]
fn every_row_holds_together() {
    for row in TABLE {
        assert!(row.params.len() <= PARAMS_MAX, "{}", row.name);
        let optional = row.params.iter().skip_while(|p| p.default.is_none());
        assert!(optional.clone().all(|p| p.default.is_some()), "{}: optional ones last", row.name);
        for param in optional {
            assert!(serde_json::from_str::<serde_json::Value>(param.default.unwrap()).is_ok());
        }
        if matches!(row.run, Run::Session(_)) {
            let first = row.params[0];
            assert_eq!((first.name, first.kind, first.bad), ("token", Token, BAD_TOKEN));
        }
        assert!(row.params.iter().all(|p| p.bad < 0));
        if let Some(long) = row.long {
            assert!(row.params.iter().all(|p| long.order.contains(&p.name)));
        }
    }
}

#[test]
fn binding_asks_for_what_is_required() {
    for row in TABLE {
        let required = row.params.iter().filter(|p| p.default.is_none()).count();
        let most = row.long.map_or(row.params.len(), |long| long.order.len());
        for count in 0..=most + 1 {
            let json = format!("[{}]", vec!["1"; count].join(","));
            let fits = (required..=most).contains(&count);
            assert_eq!(bind(row.params, row.long, Some(&json)).is_some(), fits, "{}", row.name);
        }
        let named: Vec<_> = row.params.iter().map(|p| format!("\"{}\":1", p.name)).collect();
        let json = format!("{{{}}}", named.join(","));
        assert!(bind(row.params, None, Some(&json)).is_some());
    }
}

#[test]
fn failures_in_the_form_of_their_method() {
    let failed = |name: &str, code, params: &str| {
        let row = find(name).unwrap();
        let args = bind(row.params, row.long, Some(params)).unwrap();
        let mut out = Json::default();
        match row.form {
            QueryFailing(write) => write(&args, &mut out, code),
            Operation | Query => panic!("{name}"),
        }
        String::from_utf8(out.into_bytes()).unwrap()
    };
    let path = r#"["t", "/"]"#;
    assert_eq!(failed("stat", -1, path), r#"{"uid":0,"code":-1,"gid":0,"checksum":""}"#);
    assert_eq!(failed("initKeyPair", -10_004, r#"["t"]"#), "-10004");
    assert_eq!(
        failed("mediaVaultUrl", -60, path),
        r#"{"code":-60,"message":"service is disabled or unavailable"}"#
    );
    assert_eq!(
        failed("mediaVaultURL", BAD_TOKEN, path),
        r#"{"code":-10001,"message":"invalid token"}"#
    );
    for (params, subdir) in [
        ("[]", r#""/""#),
        (r#"["u", "p", 1, null]"#, r#""/""#),
        (r#"["u", "p", 1, "a\u002fb"]"#, r#""a\u002fb""#),
        (r#"{"subdir": 5}"#, "5"),
    ] {
        assert_eq!(
            failed("authenticate", -47, params),
            format!(r#"{{"code":-47,"token":null,"uid":0,"gid":0,"path":{subdir}}}"#)
        );
    }
}

#[test]
fn no_code_of_the_api_looks_like_the_protocols() {
    for row in TABLE {
        for param in row.params.iter().filter(|p| p.bad != INVALID_PARAMS) {
            assert!(protocol_message(param.bad).is_none(), "{}", row.name);
        }
    }
    assert_eq!(ReplyTo::NOBODY.id, None);
}
