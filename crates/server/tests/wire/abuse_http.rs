//! HTTP that no client should send (the corpus of bad input): refused or cut off, nothing stored, the server lives.

use crate::{
    harness::{Client, Connection, Server, ask, noise, wait_until},
    upload::count_files,
};

/// Sends bytes as they are; the status of the answer, or `None` where the connection was closed without one.
fn status(client: &Client, bytes: &[u8]) -> Option<u16> {
    let mut connection = Connection::open(client.address);
    // The server may have closed before all was sent.
    let _sent = connection.send(bytes);
    connection.finish_sending();
    connection.answer("POST").ok().map(|answer| answer.status)
}

/// An upload of `f` with header lines and a body written by hand.
fn upload(client: &Client, lines: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /post/raw HTTP/1.1\r\nHost: x\r\nX-Agile-Authorization: {}\r\nX-Agile-Basename: f\r\n{lines}\r\n",
        client.token
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn check_refused(client: &Client, what: &str, bytes: &[u8]) {
    let status = status(client, bytes);
    assert!(
        status.is_none_or(|s| (400..500).contains(&s) || s == 501 || s == 505),
        "{what}: {status:?}"
    );
}

fn check_nothing_stored(server: &mut Server, client: &Client) {
    assert!(server.lives(), "the server died");
    assert_eq!(client.names("/"), (vec![], vec![]));
    let stage = server.data().join("stage");
    wait_until("an empty stage", || count_files(&stage) == 0);
    client.put("/after", b"still here");
    assert_eq!(client.content("/after"), b"still here");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn ambiguous_framing() {
    let mut server = Server::start();
    let anna = server.login();
    let chunked = "5\r\nabcde\r\n0\r\n\r\n";
    for (lines, body) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "abcdef"),
        ("Content-Length: 5, 6\r\n", "abcdef"),
        ("Content-Length: +5\r\n", "abcde"),
        ("Content-Length: -1\r\n", "abcde"),
        ("Content-Length: 0x5\r\n", "abcde"),
        ("Content-Length: 5 5\r\n", "abcde"),
        ("Content-Length: five\r\n", "abcde"),
        ("Content-Length: 18446744073709551616\r\n", "abcde"),
        ("Transfer-Encoding: xchunked\r\n", chunked),
        ("Transfer-Encoding: chunked, identity\r\n", chunked),
        ("Transfer-Encoding: identity\r\n", "abcde"),
        ("Transfer-Encoding: gzip\r\n", "abcde"),
        ("Transfer-Encoding : chunked\r\n", chunked),
        ("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-5\r\nabcde\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "x\r\nabcde\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nabcdefgh\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nabcde"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n"),
        ("Transfer-Encoding: chunked\r\n", "10\r\nabcde\r\n"),
    ] {
        check_refused(&anna, &format!("{lines:?} {body:?}"), &upload(&anna, lines, body));
    }
    check_nothing_stored(&mut server, &anna);
}

/// A length beside chunks: a proxy before this server may have gone by the one, and it by the other (RFC 9112, section
/// 6.3). Refused, and the connection ends, so that what follows is nobody's request.
#[test]
fn a_length_beside_chunks() {
    let mut server = Server::start();
    let anna = server.login();
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 9\r\n",
        "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let mut connection = Connection::open(server.address());
        connection.send(&upload(&anna, lines, "5\r\nabcde\r\n0\r\n\r\n")).unwrap();
        let answer = connection.answer("POST").unwrap();
        answer.check_invariants();
        assert_eq!(answer.status, 400, "{lines}");
        connection.finish_sending();
        assert!(connection.is_closed_by_server(), "{lines}");
    }
    check_nothing_stored(&mut server, &anna);
}

#[test]
fn broken_heads() {
    let mut server = Server::start();
    let anna = server.login();
    let many: String = (0..500).map(|i| format!("X-Header-{i}: x\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(1 << 20));
    for lines in [
        "X-Agile-Directory: /\r\n folded\r\nContent-Length: 1\r\n",
        "X-Agile-Directory : /\r\nContent-Length: 1\r\n",
        "X Y: z\r\nContent-Length: 1\r\n",
        "no colon here\r\nContent-Length: 1\r\n",
        ": nameless\r\nContent-Length: 1\r\n",
        "X-Nul: a\0b\r\nContent-Length: 1\r\n",
        "Host: y\r\nContent-Length: 1\r\n",
        &format!("{many}Content-Length: 1\r\n"),
        &format!("{large}Content-Length: 1\r\n"),
    ] {
        check_refused(&anna, &format!("{lines:.60?}"), &upload(&anna, lines, "x"));
    }
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    for bytes in [
        &b"\0\0\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"G\xff\xfeT / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET  /  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random bytes of a TLS hello",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
        long_target.as_bytes(),
        b"GET / HTTP/1.1\r\nHo",
        b"",
    ] {
        check_refused(
            &anna,
            &format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)])),
            bytes,
        );
    }
    check_nothing_stored(&mut server, &anna);
}

/// Bytes above 0x7f in header values, in any header: an answer of the contract, never a crash.
#[test]
fn raw_bytes_in_headers() {
    let server = Server::start();
    let anna = server.login();
    for name in [
        "X-Agile-Directory",
        "X-Agile-Basename",
        "X-Agile-Recursive",
        "X-Agile-MTime",
        "X-Agile-Checksum",
        "X-Agile-Content-Type",
        "X-Agile-Content-Detect",
        "X-Agile-Expose-Egress",
        "X-Agile-Encoding",
    ] {
        for value in [&b"\xff\xfe"[..], b"caf\xc3\xa9", b"\x80", b"\xed\xa0\x80"] {
            let answer = anna.send(&anna.post("/post/raw").with(name, value).body("x"));
            assert_eq!(answer.status, 400, "{name} {value:?}: {answer:?}");
            assert!(answer.code() < 0, "{name}: {answer:?}");
        }
    }
    for name in
        ["Range", "If-None-Match", "If-Modified-Since", "If-Range", "Host", "Cookie", "Origin"]
    {
        let answer = anna.send(&ask("GET", "/acme/missing").with(name, b"\xff\xc3"));
        assert!([404, 400].contains(&answer.status), "{name}: {answer:?}");
    }
    assert_eq!(anna.names("/"), (vec![], vec![]));
}

#[test]
fn credentials_in_a_trailer_do_not_count() {
    let mut server = Server::start();
    let anna = server.login();
    let body = format!("5\r\nabcde\r\n0\r\nX-Agile-Authorization: {}\r\n\r\n", anna.token);
    let head = "POST /post/raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(&anna, &[head.as_bytes(), body.as_bytes()].concat()), Some(401));
    check_nothing_stored(&mut server, &anna);
}

/// A body longer than it said: the file has the length it said, what follows is another request, and no good one.
#[test]
fn a_body_longer_than_it_said() {
    let server = Server::start();
    let anna = server.login();
    let mut connection = Connection::open(server.address());
    connection.send_head(&anna.raw("/", "f").with("Content-Length", "5"));
    connection.send(b"abcdefghij\r\n\r\n").unwrap();
    assert_eq!(connection.answer("POST").unwrap().told(), (200, 0));
    let next = connection.answer("POST").ok().map(|answer| answer.status);
    assert!(next.is_none_or(|status| status == 400), "{next:?}");
    assert_eq!(anna.content("/f"), b"abcde");
}

/// A request written byte by byte is a request.
#[test]
fn a_slow_but_honest_client() {
    let server = Server::start();
    let anna = server.login();
    let mut connection = Connection::open(server.address());
    for byte in
        upload(&anna, "Transfer-Encoding: chunked\r\n", "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    {
        connection.send(&[byte]).unwrap();
    }
    assert_eq!(connection.answer("POST").unwrap().told(), (200, 0));
    assert_eq!(anna.content("/f"), b"abcde");
}

/// Many that hold connections and send nothing do not keep others out.
#[test]
fn silent_connections_hold_nobody_up() {
    let server = Server::start();
    let anna = server.login();
    let silent: Vec<Connection> = (0..300)
        .map(|i| {
            let mut connection = Connection::open(server.address());
            if i % 2 == 0 {
                connection.send(b"POST /post/raw HTTP/1.1\r\nHost: x\r\nX-Ag").unwrap();
            }
            connection
        })
        .collect();
    let body = noise(1, 200_000);
    anna.put("/f", &body);
    assert!(anna.content("/f") == body);
    drop(silent);
}

/// Names cannot become header lines: a session's root with a line break in it, in every answer that shows a path.
#[test]
fn line_breaks_in_names_stay_in_names() {
    let server = Server::start();
    let anna = server.login();
    let root = "/a\r\nX-Injected: yes\u{e9}";
    anna.dir(root);
    let escaped = "/a%0D%0AX-Injected%3A%20yes%C3%A9";
    let login = ask("POST", "/account/login")
        .with("X-Agile-Username", crate::harness::USER)
        .with("X-Agile-Password", crate::harness::PASSWORD)
        .with("X-Agile-Subdir", escaped)
        .with("X-Agile-Encoding", "UTF8");
    let answer = anna.send(&login);
    assert_eq!(answer.told(), (200, 0), "{answer:?}");
    assert!(answer.must("X-Agile-Path").starts_with("/acme/a%0D%0AX-Injected"), "{answer:?}");
    let inside = anna.with_token(answer.must("X-Agile-Token"));
    for encoding in [None, Some("UTF8")] {
        let mut upload = inside.raw("/", "f").body("x");
        if let Some(encoding) = encoding {
            upload = upload.with("X-Agile-Encoding", encoding);
        }
        let answer = inside.send(&upload);
        assert_eq!(answer.told(), (200, 0), "{answer:?}");
        assert!(answer.header("X-Injected").is_none(), "{answer:?}");
    }
    let got = anna.get(&format!("/acme{escaped}/f"));
    assert_eq!((got.status, got.header("X-Injected")), (200, None));
    let missing = anna.get("/acme/%0D%0AX-Injected:%20yes");
    assert_eq!((missing.status, missing.header("X-Injected")), (404, None));
    assert!(server.log().lines().all(|line| line.starts_with('{')), "{}", server.log());
}
