//! What is known and set of an entry: `stat`, `setMTime`, `setContentType`; `fetchFileHTTP` and `mediaVaultUrl` (protocol.md,
//! section 5).

use serde_json::{Value, json};

use crate::harness::{Server, now_secs, sha256, wait_until};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn stat() {
    let server = Server::start();
    let anna = server.login();
    let before = now_secs();
    anna.dir("/dir");
    anna.put("/dir/picture.jpg", &[1; 40_000]);
    anna.put("/dir/empty.txt", b"");
    let own = anna.call("checkToken", json!([]));

    for path in ["/", "/dir"] {
        let short = anna.call("stat", json!([path]));
        assert_eq!(keys(&short), ["code", "ctime", "mtime", "type"]);
        let long = anna.call("stat", json!({"path": path, "detail": true}));
        assert_eq!(keys(&long), ["checksum", "code", "ctime", "gid", "mtime", "type", "uid"]);
        assert_eq!((&long["code"], &long["type"]), (&json!(0), &json!(1)));
        assert_eq!(long["checksum"], "");
        assert_eq!((&long["uid"], &long["gid"]), (&own["uid"], &own["gid"]), "{path}");
    }
    for (path, size, checksum, mimetype) in [
        ("/dir/picture.jpg", 40_000, sha256(&[1; 40_000]), "image/jpeg"),
        ("/dir/empty.txt", 0, sha256(b""), "text/plain"),
    ] {
        let short = anna.call("stat", json!([path, false]));
        assert_eq!(keys(&short), ["code", "ctime", "mtime", "size", "type"]);
        assert_eq!((&short["type"], &short["size"]), (&json!(2), &json!(size)));
        let long = anna.call("stat", json!([path, 1]));
        let expected =
            ["checksum", "code", "ctime", "gid", "mimetype", "mtime", "size", "type", "uid"];
        assert_eq!(keys(&long), expected);
        assert_eq!((&long["uid"], &long["gid"]), (&own["uid"], &own["gid"]));
        assert_eq!((&long["checksum"], &long["mimetype"]), (&json!(checksum), &json!(mimetype)));
        for time in ["ctime", "mtime"] {
            let time = long[time].as_u64().unwrap();
            assert!((before..=now_secs()).contains(&time), "{path}: {time}");
        }
    }
    for path in ["/missing", "/dir/picture.jpg/x", "/dir/*"] {
        for params in [json!([path]), json!([path, true])] {
            let expected = json!({"uid": 0, "code": -1, "gid": 0, "checksum": ""});
            assert_eq!(anna.call("stat", params), expected, "{path}");
        }
    }
}

#[test]
fn set_mtime() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/dir/file", b"x");
    for path in ["/dir/file", "/dir", "/"] {
        let ctime = anna.stat(path)["ctime"].clone();
        for (given, stored) in [
            (json!(0), 0),
            (json!(1_450_392_160), 1_450_392_160),
            (json!("1450392161"), 1_450_392_161),
            (json!(1_450_392_162.0), 1_450_392_162),
            (json!(4_102_444_800_u64), 4_102_444_800_u64),
        ] {
            assert_eq!(anna.call("setMTime", json!([path, given])), json!(0), "{path} {given}");
            let stat = anna.stat(path);
            assert_eq!(
                (&stat["mtime"], &stat["ctime"]),
                (&json!(stored), &ctime),
                "{path} {given}"
            );
        }
        for given in
            [json!(-1), json!("x"), json!(1.5), json!("1.0"), json!({}), json!([1]), json!("")]
        {
            assert_eq!(anna.call("setMTime", json!([path, given])), json!(-27), "{path} {given}");
        }
        assert_eq!(anna.stat(path)["mtime"], 4_102_444_800_u64);
    }
    for path in ["/missing", "/missing/x", "/dir/file/x"] {
        assert_eq!(anna.call("setMTime", json!([path, 1])), json!(-1), "{path}");
    }
    assert_eq!(anna.call("setMTime", json!(["/dir/..", 1])), json!(-8));
    let got = anna.get("/acme/dir/file");
    assert_eq!(got.must("Last-Modified"), "Fri, 01 Jan 2100 00:00:00 GMT");
}

#[test]
fn set_content_type() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/dir/file.txt", b"x");
    anna.code("setMTime", json!(["/dir/file.txt", 77]));
    for given in ["image/png", "text/html; charset=utf-8", "video/x-unheard-of", "APPLICATION/Json"]
    {
        assert_eq!(
            anna.call("setContentType", json!(["/dir/file.txt", given])),
            json!(0),
            "{given}"
        );
        assert_eq!(anna.stat("/dir/file.txt")["mimetype"], given);
        assert_eq!(anna.get("/acme/dir/file.txt").must("Content-Type"), given);
    }
    assert_eq!(anna.stat("/dir/file.txt")["mtime"], 77, "the content did not change");
    for given in ["", "text", "/png", "nonsense/png", "text/pl ain", "text/plain\r\nX: y", "a/b/c"]
    {
        assert_eq!(
            anna.call("setContentType", json!(["/dir/file.txt", given])),
            json!(-33),
            "{given:?}"
        );
    }
    for (path, code) in [
        ("/dir", 0),
        ("/", 0),
        ("/dir/missing", -1),
        ("/missing/x", -3),
        ("/missing/x/y", -3),
        ("/dir/../x", -8),
    ] {
        let result = anna.call("setContentType", json!({"path": path, "content_type": "text/css"}));
        assert_eq!(result, json!(code), "{path}");
    }
    assert!(anna.stat("/dir").get("mimetype").is_none());
    assert_eq!(anna.stat("/dir/file.txt")["mimetype"], "APPLICATION/Json");
}

/// `http://{account}/path` names a file of the own account; it is copied without moving data.
#[test]
fn fetch_from_the_own_account() {
    let server = Server::start();
    let anna = server.login();
    let content = vec![9; 200_000];
    anna.put("/from/a b\u{e9}.bin", &content);
    let source = "http://acme/from/a%20b%C3%A9.bin";
    let fetch = |params: Value| anna.call("fetchFileHTTP", params);
    let arrives = |path: &str| {
        wait_until(path, || anna.code("stat", json!([path])) == 0);
        assert_eq!(anna.content(path), content);
    };
    for (path, params) in [
        ("/one", json!(["/one", source])),
        ("/two", json!(["/two", source, 0])),
        ("/made/three", json!(["/made/three", source, 1])),
        ("/made/too/four", json!(["/made/too/four", source, "FF_CREATE_DESTDIR"])),
        ("/made/2/five", json!({"path": "/made/2/five", "uri": source, "flags": "1"})),
        // The long form: token, path, uri, username, password, auth, callbackid, priority, flags, expose_egress.
        ("/six", json!(["/six", source, null])),
        ("/seven", json!(["/seven", source, "", "", "", "", 0, 0])),
        ("/long/eight", json!(["/long/eight", source, null, null, null, null, 0, 1, "COMPLETE"])),
    ] {
        assert_eq!(fetch(params.clone()), json!(0), "{params}");
        arrives(path);
    }
    for flags in [json!(2), json!(-1), json!("FF_NONSENSE"), json!({}), json!([]), json!(1.5)] {
        let code = fetch(json!({"path": "/x", "uri": source, "flags": flags}));
        assert_eq!(code, json!(-13), "{flags}");
    }
    assert_eq!(anna.code("stat", json!(["/x"])), -1);
}

#[test]
fn fetch_refuses_other_sources() {
    let server = Server::start();
    server.admin_ok(&["account", "add", "other"], "");
    server.add_user("otto", "other", &[]);
    let (anna, otto) = (server.login(), server.login_as("otto", crate::harness::PASSWORD));
    let made = otto.raw("/", "private").body("not anna's");
    assert_eq!(otto.send(&made).told(), (200, 0));
    for uri in
        ["", "x", "acme/file", "file:///etc/passwd", "ftp://acme/file", "http://", "http:///x"]
    {
        assert_eq!(anna.call("fetchFileHTTP", json!(["/x", uri])), json!(-14), "{uri:?}");
    }
    let own = server.address();
    for uri in [
        "http://other/private".to_owned(),
        format!("http://{own}/other/private"),
        "http://127.0.0.1/x".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::ffff:7f00:1]/x".to_owned(),
        "http://2130706433/x".to_owned(),
        "https://example.com/x".to_owned(),
        "http://acme/../other/private".to_owned(),
        "http://acme/%2e%2e/other/private".to_owned(),
    ] {
        let code = anna.call("fetchFileHTTP", json!(["/x", uri])).as_i64().unwrap();
        assert!([-14, -4].contains(&code), "{uri}: {code}");
    }
    assert_eq!(anna.code("stat", json!(["/x"])), -1);
}

#[test]
fn media_vault_is_not_configured() {
    let server = Server::start();
    let anna = server.login();
    for method in ["mediaVaultUrl", "mediaVaultURL"] {
        for params in
            [json!(["/not/there.mp4"]), json!(["/x", 0]), json!({"path": "/x", "expiry": 300})]
        {
            let result = anna.call(method, params);
            assert_eq!(result["code"], -60, "{result}");
            assert!(result["message"].is_string() && result["message"] != "success", "{result}");
        }
    }
    for (params, code) in [
        (json!(["/x", -1]), -34),
        (json!(["/x", 2_147_483_649_u64]), -34),
        (json!(["/x", 1.5]), -34),
        (json!(["/../x"]), -8),
        (json!(["/"]), -2),
    ] {
        let result = anna.call("mediaVaultUrl", params.clone());
        assert!(result["code"] == code || result["code"] == -60, "{params}: {result}");
        assert!(result["message"].is_string(), "{result}");
    }
}
