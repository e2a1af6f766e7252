//! Logging in by HTTP (protocol.md, section 7, `/account/login`).

use serde_json::json;

use crate::harness::{Answer, Ask, PASSWORD, Server, USER, ask};

fn login(method: &str) -> Ask {
    ask(method, "/account/login").with("X-Agile-Username", USER).with("X-Agile-Password", PASSWORD)
}

fn check_refused(answer: &Answer, code: i64) {
    assert_eq!(answer.told(), (400, code), "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
    assert!(answer.header("X-Agile-Token").is_none(), "{answer:?}");
    assert_eq!(answer.must("Content-Type"), "text/json;charset=utf-8");
    assert!(!answer.reason.is_empty() && answer.reason != "Bad Request", "{answer:?}");
}

#[test]
fn a_token_by_header() {
    let server = Server::start();
    let anna = server.login();
    let known = anna.call("checkToken", json!([]));
    for ask in [login("POST"), login("POST").body(""), login("GET"), login("POST").body("ignored")]
    {
        let answer = ask.send(server.address());
        assert_eq!(answer.told(), (200, 0), "{answer:?}");
        assert!(answer.body.is_empty());
        assert_eq!(answer.must("Content-Type"), "text/json;charset=utf-8");
        assert_eq!(answer.must("X-Agile-Uid"), known["uid"].to_string());
        assert_eq!(answer.must("X-Agile-Gid"), known["gid"].to_string());
        assert_eq!(answer.must("X-Agile-Path"), "/acme");
        let token = answer.must("X-Agile-Token");
        assert_eq!(token.len(), 36);
        assert_eq!(anna.with_token(token).code("checkToken", json!([])), 0);
    }
}

/// Published shell scripts cut the token out of the line `X-Agile-Token: …`, in this spelling.
#[test]
fn the_spelling_of_the_token_header() {
    let server = Server::start();
    let answer = login("POST").send(server.address());
    assert!(answer.headers.iter().any(|(name, _)| name == "X-Agile-Token"), "{answer:?}");
}

#[test]
fn sub_directories() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/films");
    anna.dir("/今日は 1+1");
    for (ask, path) in [
        (login("POST").with("X-Agile-Subdir", "/films"), "/acme/films"),
        (login("POST").with("X-Agile-Subdir", "films//"), "/acme/films"),
        (login("POST").with("X-Agile-Subdir", "/"), "/acme"),
        (
            login("POST")
                .with("X-Agile-Encoding", "UTF8")
                .with("X-Agile-Subdir", "/%E4%BB%8A%E6%97%A5%E3%81%AF+1%2B1"),
            "/acme/今日は 1+1",
        ),
        (
            login("POST")
                .with("X-Agile-Content-Encoding", "UTF8")
                .with("X-Agile-Subdir", "%E4%BB%8A%E6%97%A5%E3%81%AF%201%2B1"),
            "/acme/今日は 1+1",
        ),
    ] {
        let answer = ask.send(server.address());
        assert_eq!(answer.told(), (200, 0), "{answer:?}");
        let inside = anna.with_token(answer.must("X-Agile-Token"));
        assert_eq!(inside.call("checkToken", json!([]))["path"], path);
    }
    let missing = ["/missing", "/films/..", "/x/..", "%E4%BB%8A"];
    for subdir in missing {
        let answer = login("POST").with("X-Agile-Subdir", subdir).send(server.address());
        check_refused(&answer, -47);
    }
    let raw = login("POST").with("X-Agile-Subdir", "/今日は 1+1").send(server.address());
    check_refused(&raw, -47);
}

#[test]
fn refused() {
    let server = Server::start();
    for expiry in ["0", "86401", "-1", "x", "", "1.5", "99999999999999999999"] {
        let answer = login("POST").with("X-Agile-Expiry", expiry).send(server.address());
        check_refused(&answer, -34);
    }
    for expiry in ["1", "86400", "60"] {
        let answer = login("POST").with("X-Agile-Expiry", expiry).send(server.address());
        assert_eq!(answer.told(), (200, 0), "{expiry}");
    }
    let plain = || ask("POST", "/account/login");
    for ask in [
        plain(),
        plain().with("X-Agile-Username", USER),
        plain().with("X-Agile-Password", PASSWORD),
        plain().with("X-Agile-Username", "").with("X-Agile-Password", ""),
        plain().with("X-Agile-Username", USER).with("X-Agile-Password", "wrong"),
        plain().with("X-Agile-Username", "nobody").with("X-Agile-Password", PASSWORD),
        plain().with("X-Agile-Username", b"\xff\xfe").with("X-Agile-Password", b"\xff"),
        plain().with("X-Agile-Username", USER).with("X-Agile-Password", "x".repeat(30_000)),
    ] {
        check_refused(&ask.send(server.address()), -10_001);
    }
    let other = login("POST").with("X-Agile-Encoding", "UTF7").send(server.address());
    check_refused(&other, -51);
}
