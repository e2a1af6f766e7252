//! Paths and names: what is refused everywhere, what is taken as plain characters, and how long one may be.

use serde_json::json;

use super::{
    Row, Stand,
    Want::{Code, Refused, Result, Status, StatusOrClosed, Told},
    adds, call, call_one, row,
};
use crate::harness::{Ask, Client, Form, PASSWORD, USER, ask};

/// A header value and whether it is said to be encoded.
type Given = (Vec<u8>, Option<&'static str>);

/// A front end that takes a path in a header: its request for a value, and the code for one that is none.
type ByHeader = (&'static str, fn(&Client, Given) -> Ask, i64);

fn encoded(ask: Ask, encoding: Option<&str>) -> Ask {
    match encoding {
        Some(encoding) => ask.with("X-Agile-Encoding", encoding),
        None => ask,
    }
}

const BY_HEADER: [ByHeader; 7] = [
    (
        "/post/raw",
        |c, (path, e)| {
            let ask = c.post("/post/raw").with("X-Agile-Basename", "f").body("x");
            encoded(ask.with("X-Agile-Directory", path).with("X-Agile-Recursive", "true"), e)
        },
        -8,
    ),
    (
        "/post/raw, basename",
        |c, (name, e)| encoded(c.post("/post/raw").with("X-Agile-Basename", name).body("x"), e),
        -8,
    ),
    (
        "/post/directory",
        |c, (path, e)| {
            encoded(c.post("/post/directory").with("X-Agile-Directory", path).body(""), e)
        },
        -8,
    ),
    (
        "/post/file",
        |c, (path, e)| {
            let ask = c.form(&Form::new().file("f", b"x")).with("X-Agile-Directory", path);
            encoded(ask.with("X-Agile-Recursive", "true"), e)
        },
        -8,
    ),
    (
        "/multipart/create",
        |c, (path, e)| {
            let ask = c.post("/multipart/create").with("X-Agile-Basename", "f");
            encoded(ask.with("X-Agile-Directory", path).with("X-Agile-Recursive", "true"), e)
        },
        -16,
    ),
    (
        "/multipart/create, basename",
        |c, (name, e)| encoded(c.post("/multipart/create").with("X-Agile-Basename", name), e),
        -16,
    ),
    (
        "/account/login",
        |_, (path, e)| {
            let ask = ask("POST", "/account/login").with("X-Agile-Username", USER);
            encoded(ask.with("X-Agile-Password", PASSWORD).with("X-Agile-Subdir", path), e)
        },
        -47,
    ),
];

const UTF8: Option<&str> = Some("UTF8");

/// Values that are no path, and no name either.
fn no_paths() -> Vec<Given> {
    let mut all: Vec<Given> = [
        (&b"/a/../../b"[..], None),
        (b"..", None),
        (b"/..", None),
        (b"./a", None),
        (b"/caf\xc3\xa9", None),
        (b"/\xff", None),
        (b"/\xc0\xaf", None),
        (b"%2e%2e%2fb", UTF8),
        (b"/%2e%2e/%2e%2e/etc/passwd", UTF8),
        (b"/x/%2e", UTF8),
        (b"/a%00b", UTF8),
        (b"/%ff", UTF8),
        (b"/%c0%af", UTF8),
        (b"/%c0%ae%c0%ae/x", UTF8),
        (b"/%ed%a0%80", UTF8),
    ]
    .into_iter()
    .map(|(value, encoding)| (value.to_vec(), encoding))
    .collect();
    all.push((vec![b'x'; 4097], None));
    // Shorter than the limit as it is, longer when encoded: 456 characters that count 9 each.
    all.push(("%E4%BB%8A".repeat(456).into_bytes(), UTF8));
    all.push((vec![b'y'; 60_000], None));
    all
}

#[test]
fn in_headers() {
    let mut stand = Stand::start("");
    let anna = stand.anna.clone();
    let mut rows = Vec::new();
    for (what, request, code) in BY_HEADER {
        for given in no_paths() {
            let name = format!("{what} {:.40} {:?}", given.0.escape_ascii().to_string(), given.1);
            let bytes = stand.bytes(&request(&anna, given));
            rows.push(row(name, bytes, Told(400, code)));
        }
        let nul = stand.bytes(&request(&anna, (b"/a\0b".to_vec(), None)));
        rows.push(row(format!("{what}, NUL as a byte"), nul, Status(400)));
        let utf7 = stand.bytes(&request(&anna, (b"/a".to_vec(), Some("UTF7"))));
        rows.push(row(format!("{what}, UTF7"), utf7, Refused));
    }
    for name in [&b"a..b"[..], b"a/b", b"..b"] {
        let bytes = stand.bytes(&(BY_HEADER[1].1)(&anna, (name.to_vec(), None)));
        rows.push(row(format!("a basename {}", name.escape_ascii()), bytes, Told(400, -8)));
    }
    // Taken as they are.
    for (given, encoding, path) in [
        (&b"/%252e%252e"[..], UTF8, "/%2e%2e"),
        (b"/%2e%2e", None, "/%2e%2e"),
        (b"//dir//new/", None, "/dir/new"),
        (b"/%0d%0aX:y", UTF8, "/\r\nX:y"),
        (b"/C:\\a\\..\\b", None, "/C:\\a\\..\\b"),
        (b"/e%CC%81", UTF8, "/e\u{301}"),
        (b"/%C3%A9", UTF8, "/\u{e9}"),
        (b"/a%E2%80%AEb", UTF8, "/a\u{202e}b"),
        (b"/<img src=x onerror=alert(1)>", None, "/<img src=x onerror=alert(1)>"),
        (b"/\"; filename=x", None, "/\"; filename=x"),
        (b"/*", None, "/*"),
    ] {
        let bytes = stand.bytes(&(BY_HEADER[2].1)(&anna, (given.to_vec(), encoding)));
        rows.push(adds(format!("a name {path:?}"), bytes, Told(200, 0), path));
    }
    let longest = format!("/{}", "z".repeat(4096));
    let bytes = stand.bytes(&(BY_HEADER[2].1)(&anna, (longest.clone().into_bytes(), None)));
    rows.push(adds("4,096 bytes", bytes, Told(200, 0), &longest));
    stand.run(rows);
    stand.finish("paths in headers", &[]);
}

#[test]
fn in_forms() {
    let mut stand = Stand::start("");
    let anna = stand.anna.clone();
    let file = || Form::new().file("f", b"x");
    let mut rows: Vec<Row> = Vec::new();
    for value in [
        &b"/a/../../b"[..],
        b"..",
        b"/x/.",
        b"/a\0b",
        b"/\xff",
        b"/\xc0\xaf",
        b"/\xed\xa0\x80",
        &[b'x'; 4097],
    ] {
        for form in [
            file().field("directory", value).field("recursive", "1"),
            Form::new().field("recursive", "1").field("directory", value).file("f", b"x"),
        ] {
            let what = format!("directory {:.40}", value.escape_ascii().to_string());
            rows.push(row(what, stand.bytes(&anna.form(&form)), Told(400, -8)));
        }
    }
    for name in ["..", "a..b", "/x/..", "a\u{0}b"] {
        let form = file().field("basename", name);
        rows.push(row(format!("{name:?}"), stand.bytes(&anna.form(&form)), Told(400, -8)));
    }
    for (name, path) in [
        ("<img src=x onerror=alert(1)>", "/<img src=x onerror=alert(1)>"),
        ("C:\\a\\b", "/C:\\a\\b"),
        ("%2e%2e", "/%2e%2e"),
        ("../../etc/passwd", "/passwd"),
        ("e\u{301}\u{202e}", "/e\u{301}\u{202e}"),
    ] {
        let form = file().field("basename", name);
        let bytes = stand.bytes(&anna.form(&form));
        rows.push(adds(format!("a basename {name:?}"), bytes, Told(200, 0), path));
    }
    let injected =
        "Content-Disposition: form-data; name=\"uploadFile\"; filename=\"a\\\"; filename=x\"";
    let bytes = stand.bytes(&anna.form(&Form::new().part(injected, b"x")));
    rows.push(adds("a quote in a file's name", bytes, Told(200, 0), "/a\"; filename=x"));
    stand.run(rows);
    stand.finish("paths in forms", &[]);
}

#[test]
fn in_calls() {
    let mut stand = Stand::start("");
    let token = stand.anna.token.clone();
    let mut rows = Vec::new();
    let bad = [
        r#""/a/../../b""#,
        r#""..""#,
        r#""/..""#,
        r#""./a""#,
        r#""/a\u0000""#,
        r#""\u0000""#,
        r#""\ud800""#,
        r#""a\udc00\ud800""#,
    ];
    for path in bad {
        for (method, more, code) in [
            ("makeDir", "", -8),
            ("makeDir2", "", -8),
            ("deleteDir", "", -1),
            ("deleteFile", "", -1),
            ("deleteObject", "", -1),
            ("rename", r#","/x""#, -1),
            ("renameFile", r#","/x""#, -1),
            ("copyFile", r#","/x""#, -1),
            ("stat", "", -1),
            ("setMTime", ",1", -8),
            ("setContentType", r#","text/css""#, -8),
            ("listDir", "", -1),
            ("listFile", "", -1),
            ("listPath", "", -8),
            ("fetchFileHTTP", r#","http://acme/dir/kept""#, -4),
            ("mediaVaultUrl", "", -8),
            ("createMultipart", "", -16),
        ] {
            let params = format!(r#"["{token}",{path}{more}]"#);
            // A link that is not configured may be said first.
            let codes = if method == "mediaVaultUrl" { vec![code, -60] } else { vec![code] };
            let what = format!("{method} {path}");
            rows.push(row(&what, call(&stand, method, &params), Code(codes.clone())));
            rows.push(row(what, call_one(&stand, method, &params), Code(codes)));
        }
        for (method, code) in [("rename", -3), ("copyFile", -2)] {
            let params = format!(r#"["{token}","/dir/kept",{path}]"#);
            rows.push(row(
                format!("{method} to {path}"),
                call(&stand, method, &params),
                Code(vec![code]),
            ));
        }
        let params = format!(r#"["{USER}","{PASSWORD}",60,{path}]"#);
        rows.push(row(
            format!("subdir {path}"),
            call(&stand, "authenticate", &params),
            Code(vec![-47]),
        ));
    }
    let op = |stand: &Stand, method: &str, params: serde_json::Value| {
        let mut all = vec![json!(stand.anna.token)];
        all.extend(params.as_array().unwrap().iter().cloned());
        call(stand, method, &json!(all).to_string())
    };
    for (method, params, code) in [
        ("deleteDir", json!(["/"]), -6),
        ("deleteObject", json!(["/"]), -6),
        ("deleteFile", json!(["/"]), -1),
        ("rename", json!(["/", "/x"]), -6),
        ("rename", json!(["/dir", "/"]), -7),
        ("rename", json!(["/dir/empty", "/"]), -2),
        ("rename", json!(["/dir", "/dir/empty/x"]), -7),
        ("rename", json!(["/dir/empty", "/dir/empty/x"]), -3),
        ("rename", json!(["/dir/kept", "/dir/kept"]), -1),
        ("deleteFile", json!(["*"]), -1),
        ("deleteFile", json!(["/dir/*"]), -1),
        ("deleteFile", json!(["/dir/kep?"]), -1),
        ("deleteDir", json!(["/dir"]), -7),
        ("makeDir", json!(["//dir//"]), -2),
        ("makeDir2", json!(["//dir//empty/"]), 0),
        ("makeDir", json!(["x".repeat(4097)]), -8),
        ("makeDir", json!(["今".repeat(456)]), -8),
        ("makeDir2", json!(["d/".repeat(2500)]), -8),
        ("copyFile", json!(["/dir/kept", "/"]), -2),
        ("setMTime", json!(["/..", 1]), -8),
    ] {
        let what = format!("{method} {:.60}", params.to_string());
        rows.push(row(what, op(&stand, method, params), Result(json!(code))));
    }
    for name in [
        "/C:\\a\\..\\b",
        "/%2e%2e",
        "/%252e%252e",
        "/*",
        "/<img src=x onerror=alert(1)>",
        "/\"; filename=x",
        "/\r\nX: y",
        "/e\u{301}",
        "/\u{e9}",
        "/a\u{202e}b",
        "/...",
    ] {
        let bytes = op(&stand, "makeDir", json!([name]));
        rows.push(adds(format!("makeDir {name:?}"), bytes, Result(json!(0)), name));
    }
    let longest = format!("/{}", "z".repeat(4096));
    let bytes = op(&stand, "makeDir", json!([longest]));
    rows.push(adds("makeDir of 4,096 bytes", bytes, Result(json!(0)), &longest));
    let mut raw = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"makeDir","params":["{token}","/"#)
        .into_bytes();
    raw.extend_from_slice(b"\xff\"]}");
    for path in ["/jsonrpc", "/jsonrpc2"] {
        let bytes = stand.bytes(&ask("POST", path).body(raw.clone()));
        rows.push(row("bytes that are no UTF-8", bytes, Code(vec![-32_700])));
    }
    stand.run(rows);
    stand.finish("paths in calls", &[]);
}

#[test]
fn in_targets() {
    let mut stand = Stand::start("");
    let long = format!("/acme/{}", "a".repeat(4097));
    let mut rows = Vec::new();
    for method in ["GET", "HEAD"] {
        for target in [
            "/acme/dir/../dir/kept",
            "/acme/dir/./kept",
            "/acme/dir/%2e%2e/dir/kept",
            "/acme/%2e%2e/%2e%2e/secret.key",
            "/../../secret.key",
            "/..%2f..%2fsecret.key",
            "/acme/..%5c..%5csecret.key",
            "/acme/%252e%252e/secret.key",
            "/acme/dir/kept%00",
            "/acme/dir/kept%00.html",
            "/acme/%ff",
            "/acme/%c0%af",
            "/acme/%c0%ae%c0%ae/kept",
            "/acme/%ed%a0%80",
            "/acme/dir/kept/",
            "/acme/dir",
            "/acme",
            "/",
            "/%2561cme/dir/kept",
            "/ACME/dir/kept",
            "/acme/dir/Kept",
            "/acme/dir/kept%0d%0aX-Injected:%20yes",
            "http://x/acme/../secret.key",
            long.as_str(),
        ] {
            let want = match target {
                // A slash at the end means nothing.
                "/acme/dir/kept/" => Status(200),
                _ => StatusOrClosed(&[404, 400]),
            };
            let bytes = stand.bytes(&ask(method, target));
            rows.push(row(format!("{method} {target:.60}"), bytes, want));
        }
        for target in ["//acme//dir//kept", "/acme/%64ir/kept", "/acme/dir/kept?x=/../../y"] {
            rows.push(row(target, stand.bytes(&ask(method, target)), Status(200)));
        }
    }
    stand.run(rows);
    stand.finish("paths in targets", &[]);
}
