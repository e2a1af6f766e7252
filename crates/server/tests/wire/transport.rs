//! HTTP itself (protocol.md, section 2): CORS, methods, reason phrases, `Expect`, early refusals, connections.

use crate::harness::{Connection, Server, ask, noise, sha256};

const API: [(&str, &[&str]); 6] = [
    ("/jsonrpc", &["POST"]),
    ("/jsonrpc2", &["POST"]),
    ("/account/login", &["POST", "GET"]),
    ("/post/raw", &["POST"]),
    ("/post/file", &["POST"]),
    ("/post/directory", &["POST"]),
];

/// Every request header that protocol.md names.
const REQUEST_HEADERS: [&str; 19] = [
    "X-Agile-Authorization",
    "X-Content-Type",
    "X-Agile-Username",
    "X-Agile-Password",
    "X-Agile-Subdir",
    "X-Agile-Expiry",
    "X-Agile-Encoding",
    "X-Agile-Content-Encoding",
    "X-Agile-Directory",
    "X-Agile-Recursive",
    "X-Agile-Basename",
    "X-Agile-MTime",
    "X-Agile-Checksum",
    "X-Agile-Content-Type",
    "X-Agile-Content-Detect",
    "X-Agile-Expose-Egress",
    "X-Agile-Multipart",
    "X-Agile-Part",
    "X-Agile-Signature",
];

/// Every `X-Agile-*` header of answers.
const RESPONSE_HEADERS: [&str; 10] = [
    "X-Agile-Status",
    "X-Agile-Token",
    "X-Agile-Uid",
    "X-Agile-Gid",
    "X-Agile-Path",
    "X-Agile-Size",
    "X-Agile-Checksum",
    "X-Agile-Multipart",
    "X-Agile-Meta",
    "X-Agile-Parts",
];

#[test]
fn cors_on_every_answer() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/f", b"x");
    for ask in [
        ask("OPTIONS", "/jsonrpc"),
        ask("OPTIONS", "/post/raw"),
        ask("OPTIONS", "/multipart/piece"),
        ask("OPTIONS", "/acme/f"),
        ask("OPTIONS", "/anything/at/all"),
        ask("OPTIONS", "*"),
        ask("GET", "/acme/f"),
        ask("HEAD", "/acme/f"),
        ask("GET", "/acme/f").with("Range", "bytes=900-"),
        ask("GET", "/missing"),
        ask("PUT", "/acme/f"),
        ask("GET", "/jsonrpc"),
        ask("POST", "/jsonrpc").body("x"),
        ask("POST", "/jsonrpc2").body("[]"),
        ask("POST", "/post/raw").body("x"),
        ask("POST", "/post/directory"),
        ask("POST", "/account/login"),
        anna.raw("/", "g").body("x"),
    ] {
        let ask = ask.with("Origin", "https://evil.example.com");
        let answer = anna.send(&ask.with("Access-Control-Request-Method", "POST"));
        assert_eq!(answer.must("Access-Control-Allow-Origin"), "*");
        let list = |name: &str| {
            answer.must(name).split(',').map(|h| h.trim().to_ascii_lowercase()).collect::<Vec<_>>()
        };
        let (allowed, exposed) =
            (list("Access-Control-Allow-Headers"), list("Access-Control-Expose-Headers"));
        for name in REQUEST_HEADERS {
            assert!(allowed.contains(&name.to_ascii_lowercase()), "{name}: {answer:?}");
        }
        for name in RESPONSE_HEADERS {
            assert!(exposed.contains(&name.to_ascii_lowercase()), "{name}: {answer:?}");
        }
        assert!(list("Access-Control-Allow-Methods").contains(&"post".to_owned()), "{answer:?}");
    }
    let preflight = anna.send(&ask("OPTIONS", "/post/raw"));
    assert!((200..300).contains(&preflight.status), "{preflight:?}");
    assert!(preflight.body.is_empty());
}

#[test]
fn methods_of_api_paths() {
    let server = Server::start();
    let address = server.address();
    for (path, methods) in API {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "POST"] {
            if methods.contains(&method) {
                continue;
            }
            let answer = ask(method, path).send(address);
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow: Vec<&str> = answer.must("Allow").split(',').map(str::trim).collect();
            for allowed in methods {
                assert!(allow.contains(allowed), "{method} {path}: {allow:?}");
            }
            assert!(!allow.contains(&method), "{method} {path}: {allow:?}");
        }
    }
}

/// A refused upload costs the client no body: the final answer comes instead of the 100.
#[test]
fn expect_100_continue_refused() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/dir");
    let expecting = |ask: crate::harness::Ask| {
        let mut connection = Connection::open(server.address());
        let head = ask.with("Expect", "100-continue").with("Content-Length", "1000000000");
        connection.send_head(&head);
        let answer = connection.answer("POST").unwrap();
        assert_eq!(answer.interim, [] as [u16; 0], "{answer:?}");
        answer.check_invariants();
        answer.told()
    };
    assert_eq!(expecting(ask("POST", "/post/raw")), (401, -10_001));
    assert_eq!(expecting(ask("POST", "/post/raw").token("x")), (403, -10_001));
    assert_eq!(expecting(anna.raw("/missing", "f")), (400, -3));
    assert_eq!(expecting(anna.raw("/", "dir")), (400, -2));
    assert_eq!(expecting(anna.raw("/", "a..b")), (400, -8));
    assert_eq!(expecting(anna.raw("/", "f").with("X-Agile-MTime", "x")), (400, -27));
    assert_eq!(expecting(anna.raw("/", "f").with("X-Agile-Recursive", "x")), (400, -39));
}

#[test]
fn expect_100_continue_accepted() {
    let server = Server::start();
    let anna = server.login();
    let body = noise(6, 3 * 1024 * 1024);
    let mut connection = Connection::open(server.address());
    for (name, framing) in [("length", "Content-Length"), ("chunks", "Transfer-Encoding")] {
        let mut ask = anna.raw("/", name).with("Expect", "100-continue");
        ask = match framing {
            "Content-Length" => ask.with(framing, body.len().to_string()),
            _ => ask.with(framing, "chunked"),
        };
        connection.send_head(&ask);
        assert_eq!(connection.answer_head().unwrap().status, 100);
        if framing == "Content-Length" {
            connection.send(&body).unwrap();
        } else {
            connection.send(format!("{:X}\r\n", body.len()).as_bytes()).unwrap();
            connection.send(&body).unwrap();
            connection.send(b"\r\n0\r\n\r\n").unwrap();
        }
        let answer = connection.answer("POST").unwrap();
        assert_eq!((answer.told(), answer.must("X-Agile-Checksum")), ((200, 0), &*sha256(&body)));
    }
    // A client that does not wait for the 100 loses nothing.
    let eager = anna.raw("/", "eager").with("Expect", "100-continue").body(body.clone());
    let answer = connection.ask(&eager);
    assert_eq!((answer.told(), answer.must("X-Agile-Checksum")), ((200, 0), &*sha256(&body)));
}

/// Without `Expect`, a request refused early is answered at once, and the client that goes on sending gets to read it.
#[test]
fn an_early_refusal_is_read() {
    let server = Server::start();
    let anna = server.login();
    let body = vec![7; 20 * 1024 * 1024];
    let chunked = |ask: crate::harness::Ask| ask.chunks(&body, 1 << 20);
    for (ask, told) in [
        (ask("POST", "/post/raw").body(body.clone()), (401, -10_001)),
        (chunked(ask("POST", "/post/raw").token("x")), (403, -10_001)),
        (anna.raw("/missing", "f").body(body.clone()), (400, -3)),
        (chunked(anna.raw("/", "a..b")), (400, -8)),
    ] {
        let mut connection = Connection::open(server.address());
        // Taken to its end: a reset in the middle would make clients fail before they read.
        connection.send(&ask.bytes(server.address())).unwrap();
        let answer = connection.answer("POST").unwrap();
        assert_eq!(answer.told(), told, "{answer:?}");
        assert_eq!(answer.must("Connection"), "close");
        assert!(connection.is_closed_by_server(), "a reset instead of a clean close");
    }
    // Answered at once: before the body came.
    let mut connection = Connection::open(server.address());
    connection.send_head(&anna.raw("/missing", "f").with("Content-Length", "5000000"));
    assert_eq!(connection.answer("POST").unwrap().told(), (400, -3));
    let large = ask("POST", "/jsonrpc").body(vec![b' '; 20 * 1024 * 1024]).send(server.address());
    assert_eq!(large.status, 200);
    assert!(large.json()["error"]["code"].is_i64(), "{large:?}");
}

#[test]
fn a_connection_is_used_again() {
    let server = Server::start();
    let anna = server.login();
    let mut connection = Connection::open(server.address());
    for i in 0..3 {
        let name = format!("f{i}");
        assert_eq!(connection.ask(&anna.raw("/", &name).body(noise(i, 50_000))).told(), (200, 0));
        assert_eq!(connection.ask(&ask("HEAD", &format!("/acme/{name}"))).status, 200);
        let got = connection.ask(&ask("GET", &format!("/acme/{name}")));
        assert!(got.body == noise(i, 50_000));
        assert_eq!(connection.ask(&ask("GET", "/missing")).status, 404);
        let ping = ask("POST", "/jsonrpc").body(r#"{"method":"ping","params":[],"id":1}"#);
        assert_eq!(connection.ask(&ping).json()["result"]["code"], 0);
        // A refusal without a body to come does not cost the connection.
        assert_eq!(connection.ask(&anna.raw("/missing", "f").body("")).told(), (400, -3));
    }
    connection.ask(&ask("GET", "/acme/f0").with("Connection", "close"));
    assert!(connection.is_closed_by_server());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let anna = server.login();
    for name in ["a", "b", "c"] {
        anna.put(&format!("/{name}"), name.as_bytes());
    }
    let mut connection = Connection::open(server.address());
    let all: Vec<u8> = ["a", "b", "c"]
        .iter()
        .flat_map(|n| ask("GET", &format!("/acme/{n}")).head(server.address()))
        .collect();
    connection.send(&all).unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(connection.answer("GET").unwrap().body, name.as_bytes());
    }
}

#[test]
fn http_1_0() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/f", b"content");
    let mut connection = Connection::open(server.address());
    connection.send(b"GET /acme/f HTTP/1.0\r\n\r\n").unwrap();
    let answer = connection.answer("GET").unwrap();
    assert_eq!((answer.status, answer.body), (200, b"content".to_vec()));
    assert!(connection.is_closed_by_server());
}

/// A client that has sent its request may close its half and still gets the answer.
#[test]
fn half_closed_connections() {
    let server = Server::start();
    let anna = server.login();
    let mut connection = Connection::open(server.address());
    let ask = anna.raw("/", "f").with("Content-Length", "3");
    connection.send_head(&ask);
    connection.send(b"abc").unwrap();
    connection.finish_sending();
    assert_eq!(connection.answer("POST").unwrap().told(), (200, 0));
    assert_eq!(anna.content("/f"), b"abc");
}
