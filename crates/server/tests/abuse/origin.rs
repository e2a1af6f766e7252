//! What users upload never acts for those who look at it (promises.md, "console session", "responses"): what a browser is
//! told about files, names and answers that a hostile user has made.

use serde_json::json;

use crate::{
    harness::{Ask, Client, Form, PASSWORD, Server, Setup, USER, ask},
    signing::{BASE, URL_SECRET, link, soon},
};

const PAGE: &[u8] = b"<!doctype html><script>fetch('/jsonrpc')</script>";

/// Uploads a page under a name, with a type that the client gives.
fn put(anna: &Client, name: &str, kind: &str) {
    let mut ask = anna.raw("/pages", name).with("X-Agile-Recursive", "true").body(PAGE);
    if !kind.is_empty() {
        ask = ask.with("X-Agile-Content-Type", kind);
    }
    assert_eq!(anna.send(&ask).told(), (200, 0), "{name} {kind}");
}

/// Whether an answer may be made a page of, and if so whether it is confined.
fn check(anna: &Client, ask: &Ask, confined: bool) {
    let answer = anna.send(ask);
    assert_eq!(answer.must("X-Content-Type-Options"), "nosniff", "{answer:?}");
    assert!(answer.header("Set-Cookie").is_none(), "{answer:?}");
    let policy = answer.header("Content-Security-Policy").unwrap_or_default();
    assert_eq!(policy.starts_with("sandbox "), confined, "{answer:?}");
    // Its scripts may run, in an origin that is nobody's.
    assert!(!policy.contains("allow-same-origin"), "{policy}");
}

#[test]
fn pages_run_in_an_origin_of_their_own() {
    let server = Server::start();
    let anna = server.login();
    for (name, kind, confined) in [
        ("a.html", "", true),
        ("a.svg", "", true),
        ("a.xml", "", true),
        ("a.xhtml", "", true),
        ("a.shtml", "", true),
        ("a.rss", "", true),
        ("a.htc", "", true),
        ("a.unknown", "text/html", true),
        ("b.unknown", "TEXT/HTML; charset=utf-7", true),
        ("c.unknown", "image/svg+xml", true),
        ("d.unknown", "multipart/x-mixed-replace; boundary=x", true),
        ("e.unknown", "text/xsl", true),
        ("f.unknown", "application/x-anything", true),
        ("a.png", "", false),
        ("a.mp4", "", false),
        ("a.txt", "", false),
        ("a.json", "", false),
        ("a.css", "", false),
        ("a.js", "", false),
        ("a.pdf", "", false),
        ("g.unknown", "application/octet-stream", false),
    ] {
        put(&anna, name, kind);
        let target = format!("/acme/pages/{name}");
        for method in ["GET", "HEAD"] {
            check(&anna, &ask(method, &target), confined);
        }
        check(&anna, &ask("GET", &target).with("Range", "bytes=0-9"), confined);
    }
    // Several ranges are one answer of another type, which could be a page as well.
    let ranges = ask("GET", "/acme/pages/a.html").with("Range", "bytes=0-1,5-9");
    check(&anna, &ranges, true);
    for missing in ["/acme/missing", "/acme/%3Cscript%3Ealert(1)%3C/script%3E", "/"] {
        check(&anna, &ask("GET", missing), false);
        let answer = anna.get(missing);
        assert!(answer.must("Content-Type").starts_with("text/plain"), "{answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains('<'), "{answer:?}");
    }
}

#[test]
fn an_operator_may_let_pages_be_pages() {
    let config = "[egress]\nsandbox = false\n".to_owned();
    let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    let anna = server.login();
    put(&anna, "a.html", "");
    check(&anna, &ask("GET", "/acme/pages/a.html"), false);
}

/// What comes back of what was sent is JSON, says so, and is not looked at twice.
#[test]
fn answers_are_what_they_say() {
    let server = Server::start();
    let anna = server.login();
    let html = "<script>alert(1)</script>";
    anna.dir(&format!("/{html}"));
    let call = |method: &str, params: serde_json::Value| {
        let body = json!({"jsonrpc": "2.0", "id": html, "method": method, "params": params});
        ask("POST", "/jsonrpc2").body(body.to_string())
    };
    for (asked, kind) in [
        (call("ping", json!([html])), "application/json;charset=utf-8"),
        (call(html, json!([])), "application/json;charset=utf-8"),
        (call("listDir", json!([anna.token, "/"])), "application/json;charset=utf-8"),
        (ask("POST", "/jsonrpc").body(html), "application/json;charset=utf-8"),
        (
            anna.post("/post/directory").with("X-Agile-Directory", format!("/{html}")).body(""),
            "text/json;charset=utf-8",
        ),
        (
            anna.post("/post/directory").with("X-Agile-Directory", "/..").body(""),
            "text/json;charset=utf-8",
        ),
        (anna.raw("/", "f").body("x"), "text/json;charset=utf-8"),
        (anna.raw("/", "a..b").body("x"), "text/json;charset=utf-8"),
        (ask("POST", "/account/login").with("X-Agile-Username", html), "text/json;charset=utf-8"),
    ] {
        let answer = anna.send(&asked.with("Origin", "https://evil.example.com"));
        assert_eq!(answer.must("Content-Type"), kind, "{answer:?}");
        assert_eq!(answer.must("X-Content-Type-Options"), "nosniff", "{answer:?}");
        assert!(answer.header("Set-Cookie").is_none(), "{answer:?}");
        // Every page may read it, and none gets to use what the browser keeps.
        assert_eq!(answer.must("Access-Control-Allow-Origin"), "*");
        assert!(answer.header("Access-Control-Allow-Credentials").is_none());
    }
}

/// A name that somebody chose to be misread, in every header that shows it.
#[test]
fn hostile_names_in_headers() {
    let config = format!("[egress]\npublic_url = \"{BASE}\"\n");
    let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    let secret = format!("{URL_SECRET}\n");
    server.admin_ok(&["url", "secret", "add", "acme", "--stdin"], &secret);
    let anna = server.login();
    // Logging in by HTTP ends the tokens of `login`: this one is not among them.
    let own = anna.rpc("authenticate", json!([USER, PASSWORD]))["result"].clone();
    let anna = anna.with_token(own["token"].as_str().unwrap());
    for name in [
        "\"; filename=x.exe",
        "a\r\nX-Injected: yes",
        "a\r\n\r\n<script>",
        "\u{202e}gpj.exe",
        ".%2f.%2fx",
        "a\\.\\b",
        "<img src=x onerror=alert(1)>",
        "x\u{0}".trim_end_matches('\0'),
        "caf\u{e9}.txt",
        "%0d%0aX-Injected: yes",
    ] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        anna.dir(&format!("/{name}"));
        let login = ask("POST", "/account/login")
            .with("X-Agile-Username", USER)
            .with("X-Agile-Password", PASSWORD)
            .with("X-Agile-Subdir", &encoded)
            .with("X-Agile-Encoding", "UTF8");
        let answer = anna.send(&login);
        assert_eq!(answer.told(), (200, 0), "{name:?}: {answer:?}");
        let inside = anna.with_token(answer.must("X-Agile-Token"));
        for upload in [
            inside.raw("/", &encoded).with("X-Agile-Encoding", "UTF8").body("x"),
            inside.form(&Form::new().file("f", b"x")).with("X-Agile-Basename", "plain"),
        ] {
            let answer = anna.send(&upload);
            assert_eq!(answer.told(), (200, 0), "{name:?}: {answer:?}");
            assert!(answer.header("X-Injected").is_none(), "{answer:?}");
        }
        let path = format!("/acme/{encoded}/{encoded}");
        let saved = anna.get(&link(&path, &format!("e={}&dl=1", soon())));
        assert_eq!(saved.status, 200, "{name:?}: {saved:?}");
        let disposition = saved.must("Content-Disposition");
        assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
        let (plain, extended) = disposition[22..].split_once('"').unwrap();
        assert!(!plain.contains(['\\', '/', '%']) && plain.is_ascii(), "{disposition}");
        let fits = extended.is_empty() || extended.starts_with("; filename*=UTF-8''");
        assert!(fits && !extended.contains('"'), "{disposition}");
        assert!(saved.header("X-Injected").is_none(), "{saved:?}");
        // Where a form sends a browser is not for a name to say.
        let form = Form::new().file(name, b"x").field("return_url", "/thanks");
        let sent = anna.send(&inside.form(&form));
        assert!(sent.header("X-Injected").is_none(), "{sent:?}");
        if sent.status == 302 {
            assert_eq!(sent.must("Location"), "/thanks");
        }
    }
    assert!(server.log().lines().all(|line| line.starts_with('{')), "a line break in the log");
}
