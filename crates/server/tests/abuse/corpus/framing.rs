//! HTTP that can be read in two ways, or in none: heads, lengths, chunks, trailers, methods, ranges.
//!
//! Behind every bad request stands a good one, which must not be answered: an answer to it would mean that the server
//! saw the end of the bad one where somebody else may not see it.

use super::{
    KEPT, Row, Stand,
    Want::{Anything, Refused, Status, StatusOrClosed, Told},
    adds, row,
};
use crate::harness::{Connection, ask, form_type};

/// Every path of the API and one of egress, with the method that it takes.
const FRONT_ENDS: [(&str, &str); 10] = [
    ("POST", "/jsonrpc"),
    ("POST", "/jsonrpc2"),
    ("POST", "/post/raw"),
    ("POST", "/post/file"),
    ("POST", "/post/directory"),
    ("POST", "/multipart/create"),
    ("POST", "/multipart/piece"),
    ("POST", "/multipart/complete"),
    ("POST", "/account/login"),
    ("GET", "/acme/dir/kept"),
];

/// Those that read a body.
const READERS: [&str; 5] = ["/jsonrpc", "/jsonrpc2", "/post/raw", "/post/file", "/multipart/piece"];

const NEXT: &str = "GET /acme/dir/kept HTTP/1.1\r\nHost: x\r\n\r\n";
const CHUNKED: &str = "5\r\nabcde\r\n0\r\n\r\n";

/// A request with everything that would make it a good one, and lines and a body written by hand.
fn request(stand: &Stand, front_end: (&str, &str), mpid: &str, lines: &str, body: &str) -> Vec<u8> {
    let (method, path) = front_end;
    let token = &stand.anna.token;
    let kind = if path == "/post/file" { form_type() } else { "x/y".to_owned() };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nX-Agile-Authorization: {token}\r\n\
         X-Agile-Directory: /dir/new\r\nX-Agile-Basename: f\r\nX-Agile-Recursive: true\r\n\
         X-Agile-Multipart: {mpid}\r\nX-Agile-Part: 1\r\nContent-Type: {kind}\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

fn mpid(stand: &Stand) -> String {
    let made = stand.anna.call("createMultipart", serde_json::json!(["/dir/mpart"]));
    made["mpid"].as_str().unwrap().to_owned()
}

/// Lines that make a head nothing that may come in.
fn bad_lines() -> Vec<(String, &'static str, u16)> {
    let mut lines: Vec<(String, &'static str, u16)> = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKED),
        ("Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", CHUNKED),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "abcdef"),
        ("Content-Length: 5,6\r\n", "abcdef"),
        ("Content-Length: 5, 5\r\n", "abcde"),
        ("Content-Length: +5\r\n", "abcde"),
        ("Content-Length: -1\r\n", "abcde"),
        ("Content-Length: 0x5\r\n", "abcde"),
        ("Content-Length: 5 5\r\n", "abcde"),
        ("Content-Length: five\r\n", "abcde"),
        ("Content-Length:\r\n", "abcde"),
        ("Content-Length: 18446744073709551616\r\n", "abcde"),
        ("Content-Length: 18446744073709551615\r\n", "abcde"),
        ("Transfer-Encoding: xchunked\r\n", CHUNKED),
        ("Transfer-Encoding: chunked, identity\r\n", CHUNKED),
        ("Transfer-Encoding: identity, chunked\r\n", CHUNKED),
        ("Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
        ("Transfer-Encoding: identity\r\n", "abcde"),
        ("Transfer-Encoding: gzip\r\n", "abcde"),
        ("Transfer-Encoding:\r\n", CHUNKED),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKED),
        ("Transfer-Encoding: \u{b}chunked\r\n", CHUNKED),
        ("Transfer-Encoding : chunked\r\n", CHUNKED),
        ("Transfer-Encoding\r\n: chunked\r\n", CHUNKED),
        ("Content-Length : 5\r\n", "abcde"),
        ("Host: y\r\nContent-Length: 5\r\n", "abcde"),
        ("X-Folded: a\r\n b\r\nContent-Length: 5\r\n", "abcde"),
        ("X-Folded: a\r\n\tContent-Length: 9\r\nContent-Length: 5\r\n", "abcde"),
        ("X-Line: a\nContent-Length: 5\r\n", "abcde"),
        ("Content-Length: 5\n", "abcde"),
        ("Content-Length: 5\r\n\n", "abcde"),
        ("X-Line: a\rContent-Length: 9\r\nContent-Length: 5\r\n", "abcde"),
        ("X-Nul: a\0b\r\nContent-Length: 5\r\n", "abcde"),
        ("X Y: z\r\nContent-Length: 5\r\n", "abcde"),
        ("no colon here\r\nContent-Length: 5\r\n", "abcde"),
        (": nameless\r\nContent-Length: 5\r\n", "abcde"),
    ]
    .into_iter()
    .map(|(lines, body)| (lines.to_owned(), body, 400))
    .collect();
    let many: String = (0..500).map(|i| format!("X-Header-{i}: x\r\n")).collect();
    lines.push((many, "", 431));
    lines.push((format!("X-Large: {}\r\n", "x".repeat(1 << 20)), "", 431));
    lines
}

#[test]
fn heads() {
    let mut stand = Stand::start("");
    let mpid = mpid(&stand);
    let mut rows = Vec::new();
    for front_end in FRONT_ENDS {
        for (lines, body, status) in bad_lines() {
            let what = format!("{} {:.60?}", front_end.1, lines);
            let bytes = request(&stand, front_end, &mpid, &lines, &format!("{body}{NEXT}"));
            rows.push(row(what, bytes, Status(status)));
        }
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    for (bytes, want) in [
        (&b"\0\0\0\0\0\0\r\n\r\n"[..], Status(400)),
        (b"GET\r\n\r\n", Status(400)),
        (b"GET /\r\n\r\n", Status(400)),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", Status(400)),
        (b"GET / HTTP/1.1\nHost: x\n\n", Status(400)),
        (b"G\xff\xfeT / HTTP/1.1\r\nHost: x\r\n\r\n", Status(400)),
        (b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n", Status(400)),
        (b"GET  /  HTTP/1.1\r\nHost: x\r\n\r\n", Status(400)),
        (b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", Status(400)),
        (b"GET / HTTP/1.1\r\n\r\n", Status(400)),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Status(400)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status(400)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random bytes of a TLS hello", Status(400)),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", Status(405)),
        (long.as_bytes(), StatusOrClosed(&[414, 431])),
        (b"GET / HTTP/1.1\r\nHo", super::Want::Closed),
        (b"\r\n\r\n\r\n", super::Want::Closed),
        (b"", super::Want::Closed),
    ] {
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        rows.push(row(format!("{what:?}"), bytes, want));
    }
    stand.run(rows);
    let lines = stand.server.log();
    let refused = lines.lines().filter(|line| line.contains("\"why\":")).count();
    assert!(refused > 300, "a head that is not let in has its line in the access log: {refused}");
    stand.finish("heads", &[]);
}

#[test]
fn chunks_and_lengths() {
    let mut stand = Stand::start("");
    let mpid = mpid(&stand);
    let mut rows: Vec<Row> = Vec::new();
    for path in READERS {
        for body in [
            "FFFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
            "FFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
            "-5\r\nabcde\r\n0\r\n\r\n",
            "+5\r\nabcde\r\n0\r\n\r\n",
            "0x5\r\nabcde\r\n0\r\n\r\n",
            "x\r\nabcde\r\n0\r\n\r\n",
            "\r\n5\r\nabcde\r\n0\r\n\r\n",
            "5\nabcde\r\n0\r\n\r\n",
            "5;x\nabcde\r\n0\r\n\r\n",
            "5\r\nabcde\n0\r\n\r\n",
            "5\r\nabcdefgh\r\n0\r\n\r\n",
            "5\r\nabcde0\r\n\r\n",
            "5\r\nabcde\r\n0\r\nX: y\n\r\n",
            "5\r\nabcde\r\n0\n\n",
            "5\r\nabcde",
            "5\r\nabcde\r\n",
            "5\r\nabcde\r\n0\r\n",
            "10\r\nabcde\r\n",
        ] {
            let lines = "Transfer-Encoding: chunked\r\n";
            let bytes = request(&stand, ("POST", path), &mpid, lines, body);
            rows.push(row(format!("{path} {body:?}"), bytes, Refused));
        }
        let bytes = request(&stand, ("POST", path), &mpid, "Content-Length: 100\r\n", "abcde");
        rows.push(row(format!("{path}, shorter than said"), bytes, Refused));
    }
    for path in FRONT_ENDS[2..8].iter().map(|(_, path)| path) {
        let trailer = format!("X-Agile-Authorization: {}", stand.anna.token);
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Agile-Authorization\r\n\r\n5\r\nabcde\r\n0\r\n{trailer}\r\n\r\n"
        );
        rows.push(row(format!("{path}, a token in a trailer"), bytes, Told(401, -10_001)));
    }
    stand.run(rows);
    let pieces = stand.anna.call("listMultipartPiece", serde_json::json!([mpid]));
    assert_eq!(pieces["pieces"], serde_json::json!([]));
    stand.finish("chunks and lengths", &[&mpid]);
}

/// A body that is longer than it said: the file has the length it said, and what follows is no request.
#[test]
fn a_body_longer_than_it_said() {
    let stand = Stand::start("");
    let mut connection = Connection::open(stand.server.address());
    connection.send_head(&stand.anna.raw("/", "f").with("Content-Length", "5"));
    connection.send(b"abcdefghij\r\n\r\n").unwrap();
    assert_eq!(connection.answer("POST").unwrap().told(), (200, 0));
    assert_eq!(connection.answer("POST").unwrap().status, 400);
    assert!(connection.is_closed_by_server());
    assert_eq!(stand.anna.content("/f"), b"abcde");
}

/// Good requests in one write before a bad one are answered, in their order; the bad one ends the connection.
#[test]
fn good_requests_before_a_bad_one() {
    let stand = Stand::start("");
    let mut connection = Connection::open(stand.server.address());
    let good = NEXT.as_bytes();
    let chunked = format!(
        "POST /post/raw HTTP/1.1\r\nHost: x\r\nX-Agile-Authorization: {}\r\nX-Agile-Basename: f\r\n\
         Transfer-Encoding: chunked\r\n\r\n{CHUNKED}",
        stand.anna.token
    );
    let bad = format!("GET /acme/dir/kept HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\n{NEXT}");
    let all = [good, chunked.as_bytes(), good, bad.as_bytes()].concat();
    connection.send(&all).unwrap();
    for (status, body) in [(200, KEPT.1), (200, b""), (200, KEPT.1), (400, b"")] {
        let answer = connection.answer("GET").unwrap();
        assert_eq!((answer.status, &answer.body[..]), (status, body), "{answer:?}");
    }
    assert!(connection.is_closed_by_server());
    assert_eq!(stand.anna.content("/f"), b"abcde");
}

#[test]
fn methods_ranges_and_origins() {
    let mut stand = Stand::start("");
    let address = stand.server.address();
    let mut rows = Vec::new();
    for (_, path) in FRONT_ENDS {
        let trace = ask("TRACE", path).with("Cookie", "secret=1").bytes(address);
        rows.push(row(format!("TRACE {path}"), trace, Status(405)));
        for origin in ["https://evil.example.com", "null", "\u{7f}", "a b"] {
            let asked = ask("OPTIONS", path)
                .with("Origin", origin)
                .with("Access-Control-Request-Method", "POST")
                .with("Access-Control-Request-Headers", "x-agile-authorization");
            let want = if origin == "\u{7f}" { Status(400) } else { Status(200) };
            rows.push(row(format!("{path} for {origin:?}"), asked.bytes(address), want));
        }
        for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
            let asked = ask("GET", "/acme/dir/kept?_method=DELETE").with(name, "DELETE");
            rows.push(row(format!("{name}, {path}"), asked.bytes(address), Status(200)));
        }
    }
    for method in ["PUT", "DELETE", "PATCH", "PROPFIND", "MKCOL", "get", "POST"] {
        let asked = ask(method, "/acme/dir/kept").body("x").bytes(address);
        rows.push(row(format!("{method} of a file"), asked, Status(405)));
    }
    let override_post = stand.anna.post("/post/directory").with("X-Agile-Directory", "/dir/empty");
    let override_post = override_post.with("X-HTTP-Method-Override", "DELETE").body("");
    rows.push(row("an override of POST", override_post.bytes(address), Told(200, 0)));
    let overlapping = format!("bytes={}", "0-3,".repeat(1000));
    let overlapping_few = "bytes=0-3,0-3,0-3,0-3";
    for (range, status) in [
        ("bytes=5-1", 200),
        ("bytes=-0", 416),
        ("bytes=9223372036854775808-", 416),
        ("bytes=0-9223372036854775808", 206),
        ("bytes=99999999999999999999999-", 416),
        ("bytes=-99999999999999999999999", 206),
        ("bytes=0-1,5-1", 200),
        ("bytes=--1", 200),
        ("bytes=1", 200),
        ("bytes=", 200),
        ("octets=0-1", 200),
        ("bytes=0x0-1", 200),
        ("bytes=+0-1", 200),
        ("bytes=0-1\u{e9}", 200),
        (overlapping_few, 200),
        (&overlapping, 200),
    ] {
        for method in ["GET", "HEAD"] {
            let asked = ask(method, "/acme/dir/kept").with("Range", range).bytes(address);
            let status = if method == "HEAD" { 200 } else { status };
            rows.push(row(format!("{method} {range:.40}"), asked, Status(status)));
        }
    }
    for (name, value) in [
        ("If-None-Match", "\"unended"),
        ("If-Modified-Since", "Thu, 99 Foo 9999 99:99:99 GMT"),
        ("If-Range", "W/\"x\""),
        ("Expect", "200-ok"),
        ("Upgrade", "h2c"),
        ("Connection", "Upgrade, HTTP2-Settings, Host, Content-Length"),
        ("TE", "trailers, deflate;q=0.5"),
        ("Cookie", "a=b; a=c"),
        ("Authorization", "Basic YWRtaW46YWRtaW4="),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "evil.example.com"),
        ("Forwarded", "for=127.0.0.1;host=evil.example.com"),
        ("X-Original-URL", "/acme/secret"),
        ("X-Rewrite-URL", "/../secret.key"),
    ] {
        let asked = ask("GET", "/acme/dir/kept").with(name, value).bytes(address);
        rows.push(row(format!("{name}: {value}"), asked, Anything));
    }
    let zipped = stand.anna.raw("/dir", "zipped").with("Content-Encoding", "gzip");
    let zipped = zipped.body(b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()).bytes(address);
    rows.push(adds("a compressed body", zipped, Told(200, 0), "/dir/zipped"));
    stand.run(rows);
    stand.finish("methods, ranges, origins", &["secret=1", "YWRtaW46YWRtaW4="]);
}
