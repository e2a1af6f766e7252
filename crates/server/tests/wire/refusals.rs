//! `/post/raw` and the HTTP interface as a whole, refusing (protocol.md, section 7): every code that can be provoked.

use serde_json::json;

use crate::{
    harness::{Answer, Ask, Server, ask},
    sessions::STRANGER,
};

fn check(answer: &Answer, told: (u16, i64), what: &str) {
    assert_eq!(answer.told(), told, "{what}: {answer:?}");
    assert!(answer.body.is_empty(), "{what}: {answer:?}");
    assert_eq!(answer.must("Content-Type"), "text/json;charset=utf-8", "{what}");
    let standard = ["Bad Request", "Unauthorized", "Forbidden", ""];
    assert!(!standard.contains(&answer.reason.as_str()), "{what}: the reason phrase says why");
    for header in ["X-Agile-Path", "X-Agile-Size", "X-Agile-Checksum"] {
        assert!(answer.header(header).is_none(), "{what}: {answer:?}");
    }
}

#[test]
fn codes_of_post_raw() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir/sub");
    anna.put("/file", b"older");
    let raw = |name: &str| anna.raw("/", name);
    let in_dir = |directory: &str| anna.raw(directory, "f");
    let cases: Vec<(Ask, i64)> = vec![
        (in_dir("/missing"), -3),
        (in_dir("/missing/too").with("X-Agile-Recursive", "false"), -3),
        (in_dir("/file"), -3),
        (raw("a/b"), -8),
        (raw("a..b"), -8),
        (raw(".."), -8),
        (raw("."), -8),
        (in_dir("/a/../b"), -8),
        (in_dir("/./b"), -8),
        (raw("dir"), -2),
        (raw("f").with("X-Agile-Expose-Egress", "NEVER"), -21),
        (raw("f").with("X-Agile-Expose-Egress", ""), -21),
        (raw("f").with("X-Agile-MTime", "-1"), -27),
        (raw("f").with("X-Agile-MTime", "x"), -27),
        (raw("f").with("X-Agile-MTime", "1.5"), -27),
        (raw("f").with("X-Agile-MTime", ""), -27),
        (raw("f").with("X-Agile-MTime", "99999999999999999999"), -27),
        (raw("f").with("X-Agile-Content-Type", "nonsense"), -33),
        (raw("f").with("X-Agile-Recursive", "maybe"), -39),
        (raw("f").with("X-Agile-Recursive", ""), -39),
        (raw("f").with("X-Agile-Content-Detect", "magic"), -48),
        (raw("f").with("X-Agile-Encoding", "UTF7"), -51),
        (raw("f").with("X-Agile-Checksum", "0".repeat(64)), -26),
        (raw("f").with("Content-Type", "multipart/form-data; boundary=x"), -24),
        (raw("%2e%2e").with("X-Agile-Encoding", "UTF8"), -8),
        (raw("a%2Fb").with("X-Agile-Encoding", "UTF8"), -8),
    ];
    for (i, (ask, code)) in cases.into_iter().enumerate() {
        let what = format!("case {i}, expecting {code}");
        check(&anna.send(&ask.body("new")), (400, code), &what);
    }
    // The sample's basename begins with a slash, and means the name after it (section 11).
    assert_eq!(anna.send(&raw("/a").body("x")).told(), (200, 0));
    assert_eq!(anna.code("deleteFile", json!(["/a"])), 0);
    let no_body = anna.send(&raw("f"));
    check(&no_body, (400, -24), "neither length nor chunks");
    assert_eq!(anna.send(&raw("zero").body("")).told(), (200, 0), "a length of 0 is a body");
    assert_eq!(anna.names("/"), (vec!["dir".to_owned()], vec!["file".into(), "zero".into()]));
    assert_eq!(anna.content("/file"), b"older");
}

#[test]
fn reason_phrases() {
    let server = Server::start();
    let anna = server.login();
    let missing = anna.send(&anna.raw("/missing", "f").body("x"));
    assert_eq!((missing.status, missing.reason.as_str()), (400, "parent directory does not exist"));
}

#[test]
fn authorization() {
    let server = Server::start();
    let anna = server.login();
    let ended = server.login();
    assert_eq!(ended.code("logout", json!([])), 0);
    for path in ["/post/raw", "/post/directory"] {
        let plain = || ask("POST", path).with("X-Agile-Directory", "/new").body("x");
        let told = |ask: Ask| anna.send(&ask).told();
        assert_eq!(told(plain()), (401, -10_001), "{path}: none");
        for token in [STRANGER, "x", &ended.token, &"y".repeat(10_000)] {
            assert_eq!(told(plain().token(token)), (403, -10_001), "{path}: {token:.40}");
        }
        assert_eq!(told(plain().with("X-Agile-Authorization", b"\xff\xfe")), (403, -10_001));
        // Not by query here, and not by the standard header.
        let by_query = ask("POST", &format!("{path}?token={}", anna.token)).body("x");
        assert_eq!(told(by_query), (401, -10_001), "{path}");
        let bearer = plain().with("Authorization", format!("Bearer {}", anna.token));
        assert_eq!(told(bearer), (401, -10_001), "{path}");
    }
    assert_eq!(anna.names("/"), (vec![], vec![]));
}

/// An `X-Agile-*` header sent twice: the call's code for that value, -8 where it has none.
#[test]
fn headers_sent_twice() {
    let server = Server::start();
    let anna = server.login();
    let file = || anna.post("/post/raw");
    for (name, value, code) in [
        ("X-Agile-Basename", "f", -8),
        ("X-Agile-Directory", "/", -8),
        ("X-Agile-Recursive", "true", -39),
        ("X-Agile-MTime", "5", -27),
        ("X-Agile-Checksum", "0", -26),
        ("X-Agile-Content-Type", "text/css", -33),
        ("X-Agile-Content-Detect", "name", -48),
        ("X-Agile-Expose-Egress", "COMPLETE", -21),
        ("X-Agile-Encoding", "UTF8", -51),
    ] {
        let answer = anna.send(&file().with(name, value).with(name, value).body("x"));
        check(&answer, (400, code), name);
    }
    let twice = file().token(&anna.token).body("x");
    let answer = anna.send(&twice);
    assert!([400, 403].contains(&answer.status) && answer.code() != 0, "{answer:?}");
    let directory = anna.post("/post/directory").with("X-Agile-Directory", "/x");
    for (name, value, code) in [("X-Agile-Directory", "/x", -8), ("X-Agile-Recursive", "true", -39)]
    {
        let answer =
            anna.send(&directory.clone().with("X-Agile-Recursive", "true").with(name, value));
        assert_eq!(answer.told(), (400, code), "{name}");
    }
    assert_eq!(anna.names("/"), (vec![], vec![]));
}
