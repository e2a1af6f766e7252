//! `/post/directory` (protocol.md, section 7).

use serde_json::json;

use crate::harness::{Answer, Server, ask};

fn check(answer: &Answer, told: (u16, i64), what: &str) {
    assert_eq!(answer.told(), told, "{what}: {answer:?}");
    assert_eq!(answer.must("Content-Type"), "text/json;charset=utf-8", "{what}");
    let body = answer.json();
    assert_eq!(body["code"], told.1, "{what}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{what}: {body}");
    if told.1 == 0 {
        assert_eq!(body["message"], "success");
    } else {
        assert_eq!(body["message"], answer.reason, "{what}");
    }
}

#[test]
fn made() {
    let server = Server::start();
    let anna = server.login();
    for directory in ["/APAC/a/b", "/APAC/a/b", "/APAC/", "/foo/", "bar", "//x//y", "/", "C:\\x\\y"]
    {
        let answer = anna.send(&anna.post("/post/directory").with("X-Agile-Directory", directory));
        check(&answer, (200, 0), directory);
    }
    let bytes = anna.send(&anna.post("/post/directory").with("X-Agile-Directory", "/APAC")).body;
    assert_eq!(String::from_utf8(bytes).unwrap(), r#"{"message": "success", "code": 0}"#);
    let utf8 = anna.post("/post/directory").with("X-Agile-Encoding", "UTF8");
    let answer = anna.send(&utf8.with("X-Agile-Directory", "/%E4%BB%8A/a+b"));
    check(&answer, (200, 0), "UTF8");
    assert_eq!(anna.names("/").0, ["APAC", "C:\\x\\y", "bar", "foo", "x", "今"]);
    assert_eq!(anna.names("/今").0, ["a b"]);
}

#[test]
fn recursive_or_not() {
    let server = Server::start();
    let anna = server.login();
    let post = |directory: &str, recursive: &str| {
        let ask = anna.post("/post/directory").with("X-Agile-Directory", directory);
        anna.send(&ask.with("X-Agile-Recursive", recursive))
    };
    for (i, yes) in ["true", "yes", "1"].iter().enumerate() {
        check(&post(&format!("/yes{i}/a/b"), yes), (200, 0), yes);
    }
    for (i, no) in ["false", "no", "0"].iter().enumerate() {
        let answer = post(&format!("/no{i}/a"), no);
        check(&answer, (400, -3), no);
        assert_eq!(answer.reason, "parent directory does not exist");
        check(&post(&format!("/one{i}"), no), (200, 0), no);
        check(&post(&format!("/one{i}"), no), (200, 0), "it exists");
    }
    for wrong in ["maybe", "", "2", "on"] {
        check(&post("/wrong", wrong), (400, -39), wrong);
    }
    assert_eq!(anna.names("/").0, ["one0", "one1", "one2", "yes0", "yes1", "yes2"]);
}

#[test]
fn refused() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/file", b"x");
    for (directory, code) in [("/file", -2), ("/a/../b", -8), ("/..", -8), ("caf\u{e9}", -8)] {
        let answer = anna.send(&anna.post("/post/directory").with("X-Agile-Directory", directory));
        check(&answer, (400, code), directory);
    }
    // Whether a file on the way is "a file has that name" or "parent missing" is not said.
    let below = anna.send(&anna.post("/post/directory").with("X-Agile-Directory", "/file/below"));
    assert!([(400, -2), (400, -3)].contains(&below.told()), "{below:?}");
    let utf7 = anna.post("/post/directory").with("X-Agile-Encoding", "UTF7");
    let answer = anna.send(&utf7.with("X-Agile-Directory", "/x"));
    check(&answer, (400, -51), "UTF7");
    let none = ask("POST", "/post/directory").with("X-Agile-Directory", "/x").send(anna.address);
    check(&none, (401, -10_001), "no token");
    let unknown = ask("POST", "/post/directory").token("x").with("X-Agile-Directory", "/x");
    check(&anna.send(&unknown), (403, -10_001), "a wrong token");
    assert_eq!(anna.names("/"), (vec![], vec!["file".to_owned()]));
}

#[test]
fn a_body_does_not_matter() {
    let server = Server::start();
    let anna = server.login();
    let post = || anna.post("/post/directory").with("Content-Type", "text/json");
    let framed = [
        post().with("X-Agile-Directory", "/none"),
        post().with("X-Agile-Directory", "/zero").with("Content-Length", "0"),
        post().with("X-Agile-Directory", "/some").body("{}"),
        post().with("X-Agile-Directory", "/chunks").chunks(b"{}", 1),
    ];
    for ask in framed {
        check(&anna.send(&ask), (200, 0), "framing");
    }
    assert_eq!(anna.code("deleteDir", json!(["/some"])), 0);
}
