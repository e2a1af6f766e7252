//! Paths (protocol.md, section 1, and the corpus of bad input): what names the same, what is refused, how long one may be.

use serde_json::json;

use crate::harness::{Server, ask, code_of, rpc_raw};

#[test]
fn slashes_mean_nothing() {
    let server = Server::start();
    let anna = server.login();
    assert_eq!(anna.code("makeDir2", json!(["//a//b/"])), 0);
    let upload = anna.raw("//a///b//", "f.txt").body("x");
    let answer = anna.send(&upload);
    assert_eq!(answer.told(), (200, 0));
    assert_eq!(answer.must("X-Agile-Path"), "/acme/a/b/f.txt");
    for path in ["/a/b/f.txt", "a/b/f.txt", "//a//b//f.txt", "/a/b/f.txt/", "///a/b/f.txt//"] {
        assert_eq!(anna.code("stat", json!([path])), 0, "{path}");
        assert_eq!(anna.get(&format!("//acme//{path}")).status, 200, "{path}");
    }
    for path in ["", "/", "//"] {
        assert_eq!(anna.stat(path)["type"], 1, "{path:?}");
    }
}

#[test]
fn refused_everywhere() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/a/secret", b"x");
    for path in ["/a/../a/secret", "..", "/..", "/a/.", "./a", "/a/../../b", "a\u{0}", "\u{0}"] {
        for (method, params, code) in [
            ("makeDir", json!([path]), -8),
            ("makeDir2", json!([path]), -8),
            ("deleteDir", json!([path]), -1),
            ("deleteFile", json!([path]), -1),
            ("deleteObject", json!([path]), -1),
            ("stat", json!([path]), -1),
            ("setMTime", json!([path, 1]), -8),
            ("setContentType", json!([path, "text/plain"]), -8),
            ("listDir", json!([path]), -1),
            ("listFile", json!([path]), -1),
            ("listPath", json!([path]), -8),
            ("mediaVaultUrl", json!([path]), -8),
        ] {
            // mediaVaultUrl may say first that it is not configured.
            let found = anna.code(method, params);
            let fits = found == code || (method == "mediaVaultUrl" && found == -60);
            assert!(fits, "{method} {path:?}: {found}");
        }
        for (method, params) in [
            ("rename", json!([path, "/x"])),
            ("rename", json!(["/a/secret", path])),
            ("copyFile", json!([path, "/x"])),
            ("copyFile", json!(["/a/secret", path])),
            ("fetchFileHTTP", json!([path, "http://acme/a/secret"])),
        ] {
            let answer = anna.rpc(method, {
                let mut all = params.as_array().unwrap().clone();
                all.insert(0, json!(anna.token));
                json!(all)
            });
            let refused = answer.get("error").is_some() || code_of(&answer["result"]) != 0;
            assert!(refused, "{method} {path:?}: {answer}");
        }
    }
    assert_eq!(anna.names("/a").1, ["secret"]);
    assert_eq!(anna.names("/").1, [] as [&str; 0]);
}

/// Taken as plain characters, and kept byte for byte.
#[test]
fn taken_as_they_are() {
    let server = Server::start();
    let anna = server.login();
    let names = [
        "C:\\a\\..\\b",
        "...",
        "a..b",
        " ",
        " lead and trail ",
        "two\nlines\tand tab",
        "%2e%2e",
        "%252e",
        "*",
        "?",
        "a+b&c=d;e",
        "\"; filename=x",
        "<img src=x onerror=alert(1)>",
        "e\u{301}",
        "\u{e9}",
        "right\u{202e}left",
        "今日は.txt",
        "\u{1f600}",
        "\u{7f}\u{1}",
    ];
    for name in names {
        assert_eq!(anna.code("makeDir", json!([format!("/{name}")])), 0, "{name:?}");
    }
    let mut expected = names.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(anna.names("/").0, expected);
    for name in names {
        assert_eq!(anna.code("deleteDir", json!([name])), 0, "{name:?}");
    }
}

#[test]
fn half_a_character_is_no_path() {
    let server = Server::start();
    let anna = server.login();
    for text in [r"\ud800", r"a\udc00\ud800", r"\ud83d"] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"makeDir","params":["{}","{text}"]}}"#,
            anna.token
        );
        let answer = rpc_raw(anna.address, "/jsonrpc2", body).json();
        assert_eq!(answer["result"], -8, "{answer}");
    }
    // Raw bytes that are no UTF-8 are no JSON.
    let mut body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"makeDir","params":["{}",""#, anna.token)
            .into_bytes();
    body.extend_from_slice(b"\xff\"]}");
    assert_eq!(rpc_raw(anna.address, "/jsonrpc2", body).json()["error"]["code"], -32700);
    assert_eq!(anna.names("/").0, [] as [&str; 0]);
}

#[test]
fn the_length_limit() {
    let server = Server::start();
    let anna = server.login();
    // 今 counts 9 (three bytes, each percent-encoded): 455 * 9 + 1 = 4,096.
    let wide = |extra: &str| format!("{}{extra}", "今".repeat(455));
    let deep = |last: usize| format!("{}{}", "d/".repeat(2000), "x".repeat(last));
    for (name, fits) in [
        ("a".repeat(4096), true),
        ("a".repeat(4097), false),
        (format!("/{}/", "b".repeat(4096)), true),
        (wide("x"), true),
        (wide("xy"), false),
        ("今".repeat(456), false),
        (deep(96), true),
        (deep(97), false),
    ] {
        let code = anna.code("makeDir2", json!([name]));
        assert_eq!(code, if fits { 0 } else { -8 }, "{} bytes", name.len());
        assert_eq!(anna.stat(&name)["code"], if fits { 0 } else { -1 }, "{} bytes", name.len());
    }
    let upload = |name: &str| anna.send(&anna.raw("/", name).body("x")).told();
    assert_eq!(upload(&"c".repeat(4096)), (200, 0));
    assert_eq!(upload(&"c".repeat(4097)), (400, -8));
    assert_eq!(anna.content(&format!("/{}", "c".repeat(4096))), b"x");
    let encoded = |name: &str| {
        let ask = anna.raw("/", name).with("X-Agile-Encoding", "UTF8").body("x");
        anna.send(&ask).told()
    };
    assert_eq!(encoded(&format!("{}yz", "%E4%BB%8A".repeat(454))), (200, 0));
    assert_eq!(encoded(&"%E4%BB%8A".repeat(456)), (400, -8));
    let directory = |path: &str| {
        anna.send(&anna.post("/post/directory").with("X-Agile-Directory", path)).told()
    };
    assert_eq!(directory(&"e".repeat(4096)), (200, 0));
    assert_eq!(directory(&"e".repeat(4097)), (400, -8));
}

/// In headers: `..`, percent signs, raw bytes, and what `X-Agile-Encoding` makes of them.
#[test]
fn in_headers() {
    let server = Server::start();
    let anna = server.login();
    let directory = |path: &[u8], encoding: Option<&str>| {
        let mut ask = anna.post("/post/directory").with("X-Agile-Directory", path);
        if let Some(encoding) = encoding {
            ask = ask.with("X-Agile-Encoding", encoding);
        }
        anna.send(&ask).told()
    };
    let utf8 = Some("UTF8");
    for refused in [&b"/a/../b"[..], b"/a/.", b"/caf\xc3\xa9", b"/\xff", b"/\xc0\xaf"] {
        assert_eq!(directory(refused, None), (400, -8), "{refused:?}");
    }
    for refused in ["/%2e%2e%2fa", "/x/%2e%2e", "/a%00b", "/%ff", "/%c0%af", "/%ed%a0%80"] {
        assert_eq!(directory(refused.as_bytes(), utf8), (400, -8), "{refused}");
    }
    for (given, encoding, name) in [
        (&b"/%2e%2e"[..], None, "%2e%2e"),
        (b"/%252e%252e", utf8, "%2e%2e"),
        (b"/a+b", None, "a+b"),
        (b"/a+b%20c%2Bd", utf8, "a b c+d"),
        (b"/caf%C3%A9", utf8, "caf\u{e9}"),
        (b"/%0d%0aX:y", utf8, "\r\nX:y"),
        (b"/C:\\x", None, "C:\\x"),
    ] {
        assert_eq!(directory(given, encoding), (200, 0), "{name:?}");
        assert_eq!(anna.code("deleteDir", json!([name])), 0, "{name:?}");
    }
    assert_eq!(directory(b"/x", Some("UTF7")).0, 400);
    assert_eq!(anna.names("/").0, [] as [&str; 0]);
}

#[test]
fn in_urls() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    for (name, target) in [
        ("a b+c.txt", "/acme/dir/a%20b+c.txt"),
        ("100%.txt", "/acme/dir/100%25.txt"),
        ("%41.txt", "/acme/dir/%2541.txt"),
        ("\u{e9}.txt", "/acme/dir/%C3%A9.txt"),
        ("q?x#y", "/acme/dir/q%3Fx%23y"),
    ] {
        let encoded: String = name.bytes().map(|b| format!("%{b:02X}")).collect();
        let upload = anna.raw("/dir", &encoded).with("X-Agile-Encoding", "UTF8").body(name);
        assert_eq!(anna.send(&upload).told(), (200, 0));
        let answer = anna.get(target);
        assert_eq!((answer.status, answer.body), (200, name.as_bytes().to_vec()), "{target}");
    }
    for target in [
        "/acme/dir/../dir/q%3Fx%23y",
        "/acme/dir/%2e%2e/dir/q%3Fx%23y",
        "/acme/%2e%2e/%2e%2e/secret.key",
        "/../../secret.key",
        "/acme/..%2f..%2fsecret.key",
        "/acme/a%00b",
        "/acme/%ff",
        "/acme/%c0%af",
    ] {
        let answer = ask("GET", target).send(anna.address);
        assert!((400..500).contains(&answer.status), "{target}: {answer:?}");
        assert_ne!(answer.status, 403, "{target}");
    }
}
