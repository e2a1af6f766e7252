//! GET and HEAD of files (protocol.md, section 9).

use serde_json::json;

use crate::harness::{Answer, Ask, Client, PASSWORD, Server, ask, noise, sha256};

fn head(client: &Client, target: &str) -> Answer {
    client.send(&ask("HEAD", target))
}

#[test]
fn get_and_head() {
    let server = Server::start();
    let anna = server.login();
    for (name, size, kind) in [
        ("empty.txt", 0, "text/plain"),
        ("small.html", 700, "text/html"),
        ("large.mp4", 700_000, "video/mp4"),
    ] {
        let body = noise(5, size);
        anna.put(&format!("/dir/{name}"), &body);
        anna.code("setMTime", json!([format!("/dir/{name}"), 1_450_392_160]));
        let target = format!("/acme/dir/{name}");
        let (got, headed) = (anna.get(&target), head(&anna, &target));
        assert!(got.body == body && headed.body.is_empty());
        let mut tags = Vec::new();
        for answer in [&got, &headed] {
            assert_eq!((answer.status, answer.reason.as_str()), (200, "OK"));
            assert_eq!(answer.must("Content-Type"), kind);
            assert_eq!(answer.must("Content-Length"), size.to_string());
            assert_eq!(answer.must("Last-Modified"), "Thu, 17 Dec 2015 22:42:40 GMT");
            assert_eq!(answer.must("Accept-Ranges"), "bytes");
            assert_eq!(answer.must("X-Agile-Checksum"), sha256(&body));
            assert_eq!(answer.must("X-Content-Type-Options"), "nosniff");
            let tag = answer.must("ETag");
            assert!(
                tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
                "a strong tag: {tag}"
            );
            tags.push(tag.to_owned());
            assert!(answer.header("Content-Disposition").is_none());
        }
        assert_eq!(tags[0], tags[1]);
    }
}

#[test]
fn not_found() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/dir/file", b"x");
    for target in [
        "/",
        "/acme",
        "/acme/",
        "/acme/dir",
        "/acme/dir/",
        "/acme/missing",
        "/acme/dir/file/x",
        "/acme/dir/FILE",
        "/nobody/dir/file",
        "/acme/acme/dir/file",
    ] {
        assert_eq!(anna.get(target).status, 404, "{target}");
        assert_eq!(head(&anna, target).status, 404, "{target}");
    }
}

#[test]
fn where_the_account_stands() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/dir/file", b"anna's");
    let get = |target: &str, host: &str| anna.send(&ask("GET", target).with("Host", host));
    let port = server.address().port();
    for (target, host) in [
        ("/acme/dir/file", "127.0.0.1"),
        ("/acme/dir/file", "origin.example.com"),
        ("/dir/file", "acme.upload.example.com"),
        ("/dir/file", &format!("acme.example.com:{port}")),
        ("/dir/file", "acme-l.upload.example.com"),
        ("/acme/dir/file", "acme.upload.example.com"),
        ("/acme/dir/file", "acme-l.upload.example.com"),
        // The only account may be left out altogether.
        ("/dir/file", "127.0.0.1"),
        ("/dir/file", "origin.example.com"),
        ("/dir/file?x=y&token=z", "origin.example.com"),
        ("http://acme.example.com/dir/file", "acme.example.com"),
    ] {
        let answer = get(target, host);
        assert_eq!((answer.status, &answer.body[..]), (200, &b"anna's"[..]), "{host} {target}");
    }
    server.admin_ok(&["account", "add", "zoo"], "");
    server.add_user("zoe", "zoo", &[]);
    let zoe = server.login_as("zoe", PASSWORD);
    let upload = zoe.raw("/dir", "file").with("X-Agile-Recursive", "true").body("zoe's");
    assert_eq!(zoe.send(&upload).told(), (200, 0));
    for (target, host, body) in [
        ("/acme/dir/file", "127.0.0.1", "anna's"),
        ("/zoo/dir/file", "127.0.0.1", "zoe's"),
        ("/dir/file", "acme.example.com", "anna's"),
        ("/dir/file", "zoo-l.example.com", "zoe's"),
        ("/zoo/dir/file", "zoo.example.com", "zoe's"),
    ] {
        let answer = get(target, host);
        assert_eq!((answer.status, &answer.body[..]), (200, body.as_bytes()), "{host} {target}");
    }
    for host in ["127.0.0.1", "origin.example.com"] {
        assert_eq!(get("/dir/file", host).status, 404, "two accounts: {host}");
    }
}

#[test]
fn ranges() {
    let server = Server::start();
    let anna = server.login();
    for (name, size) in [("/small", 1000), ("/large", 300_000)] {
        let body = noise(3, size);
        anna.put(name, &body);
        let get =
            |range: &str| anna.send(&ask("GET", &format!("/acme{name}")).with("Range", range));
        let last = size - 1;
        for (range, from, to) in [
            ("bytes=0-0", 0, 0),
            ("bytes=0-499", 0, 499),
            ("bytes=500-", 500, last),
            ("bytes=-1", last, last),
            ("bytes=-100", size - 100, last),
            ("bytes=-99999999", 0, last),
            ("bytes=10-99999999999999999999", 10, last),
            ("bytes=3-7", 3, 7),
        ] {
            let answer = get(range);
            assert_eq!(answer.status, 206, "{range}");
            assert_eq!(
                answer.must("Content-Range"),
                format!("bytes {from}-{to}/{size}"),
                "{range}"
            );
            assert!(answer.body == body[from..=to], "{range}");
            assert_eq!(answer.must("Content-Length"), (to - from + 1).to_string());
        }
        for range in ["bytes=99999999-", &format!("bytes={size}-"), "bytes=-0"] {
            let answer = get(range);
            assert_eq!(answer.status, 416, "{range}");
            assert_eq!(answer.must("Content-Range"), format!("bytes */{size}"), "{range}");
        }
        for range in ["bytes=5-1", "bytes=x-y", "lines=0-1", "bytes", "bytes=", "0-1", "bytes=--1"]
        {
            let answer = get(range);
            // Ignored or refused, as RFC 9110, section 14.2, leaves to the server.
            assert!([200, 416].contains(&answer.status), "{range}: {}", answer.status);
            assert!(answer.status != 200 || answer.body == body, "{range}");
        }
    }
}

#[test]
fn many_ranges() {
    let server = Server::start();
    let anna = server.login();
    let body = noise(4, 200_000);
    anna.put("/f.txt", &body);
    let get = |range: &str| anna.send(&ask("GET", "/acme/f.txt").with("Range", range));
    let answer = get("bytes=0-9, 100000-100004,-5");
    assert_eq!(answer.status, 206);
    let kind = answer.must("Content-Type").to_owned();
    let boundary =
        kind.strip_prefix("multipart/byteranges; boundary=").unwrap_or_else(|| panic!("{kind}"));
    let mut expected = Vec::new();
    for (from, to) in [(0, 9), (100_000, 100_004), (199_995, 199_999)] {
        if !expected.is_empty() {
            expected.extend_from_slice(b"\r\n");
        }
        let part = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {from}-{to}/200000\r\n\r\n"
        );
        expected.extend_from_slice(part.as_bytes());
        expected.extend_from_slice(&body[from..=to]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(answer.body == expected, "{}", String::from_utf8_lossy(&answer.body));
    let one_of_two = get("bytes=0-9,900000-");
    assert_eq!((one_of_two.status, one_of_two.body.len()), (206, 10));
    // An attack: a thousand overlapping ranges cost no more than the file.
    let many: Vec<String> = (0..1000).map(|i| format!("{i}-")).collect();
    let answer = get(&format!("bytes={}", many.join(",")));
    assert!(answer.body.len() <= body.len() + 1000, "{} bytes", answer.body.len());
}

#[test]
fn conditions() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/f", b"0123456789");
    anna.code("setMTime", json!(["/f", 1_450_392_160]));
    let first = anna.get("/acme/f");
    let (tag, date) = (first.must("ETag").to_owned(), first.must("Last-Modified").to_owned());
    let (before, after) = ("Thu, 17 Dec 2015 22:42:39 GMT", "Thu, 17 Dec 2015 22:42:41 GMT");
    let weak = format!("W/{tag}");
    let get = |headers: &[(&str, &str)]| {
        let with = |method: &str| {
            headers
                .iter()
                .fold(ask(method, "/acme/f"), |ask: Ask, (name, value)| ask.with(name, value))
        };
        let (got, headed) = (anna.send(&with("GET")), anna.send(&with("HEAD")));
        if headers.iter().all(|(name, _)| *name != "Range") {
            assert_eq!(got.status, headed.status, "{headers:?}");
        }
        got
    };
    for (headers, status) in [
        (&[("If-None-Match", tag.as_str())][..], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"x\", \"y\"")], 200),
        (&[("If-None-Match", "\"x\""), ("If-Modified-Since", after)], 200),
        (&[("If-Modified-Since", &date)], 304),
        (&[("If-Modified-Since", after)], 304),
        (&[("If-Modified-Since", before)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-Match", &tag)], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Match", "\"x\"")], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-Unmodified-Since", &date)], 200),
        (&[("If-Unmodified-Since", before)], 412),
        (&[("If-Match", &tag), ("If-Unmodified-Since", before)], 200),
        (&[("If-Match", "\"x\""), ("If-None-Match", &tag)], 412),
    ] {
        let answer = get(headers);
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 304 {
            assert_eq!(answer.must("ETag"), tag);
            assert!(answer.body.is_empty());
        }
    }
    for (validator, status) in [
        (tag.as_str(), 206),
        (&weak, 200),
        ("\"x\"", 200),
        (&date, 206),
        (before, 200),
        (after, 200),
    ] {
        let answer = get(&[("Range", "bytes=2-4"), ("If-Range", validator)]);
        assert_eq!(answer.status, status, "If-Range: {validator}");
        assert_eq!(answer.body, if status == 206 { &b"234"[..] } else { b"0123456789" });
    }
    let answer = get(&[("Range", "bytes=2-4"), ("If-None-Match", &tag)]);
    assert_eq!(answer.status, 304);
    // Other content has another tag.
    anna.put("/f", b"012345678x");
    assert_ne!(anna.get("/acme/f").must("ETag"), tag);
}

#[test]
fn other_methods() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/f", b"x");
    for method in ["PUT", "DELETE", "POST", "PATCH", "TRACE", "PROPFIND", "BREW"] {
        for target in ["/acme/f", "/acme/new", "/"] {
            let answer = anna.send(&ask(method, target).body("y"));
            assert_eq!(answer.status, 405, "{method} {target}");
            let allow: Vec<&str> = answer.must("Allow").split(", ").collect();
            assert!(allow.contains(&"GET") && allow.contains(&"HEAD"), "{allow:?}");
            assert!(!allow.contains(&method), "{allow:?}");
        }
        let overridden = ask("GET", "/acme/f").with("X-HTTP-Method-Override", method);
        assert_eq!(anna.send(&overridden).status, 200);
    }
    assert_eq!(anna.content("/f"), b"x");
}

/// A reader that holds a file while it is deleted or replaced gets the whole of what it began with, or is cut off.
#[test]
fn a_reader_keeps_what_it_reads() {
    let server = Server::start();
    let anna = server.login();
    let body = noise(8, 8_000_000);
    anna.put("/f", &body);
    let mut reader = crate::harness::Connection::open(server.address());
    reader.send_head(&ask("GET", "/acme/f"));
    let head = reader.answer_head().unwrap();
    assert_eq!((head.status, head.must("Content-Length")), (200, "8000000"));
    assert_eq!(anna.code("deleteFile", json!(["/f"])), 0);
    assert_eq!(anna.get("/acme/f").status, 404);
    let rest = reader.exactly(8_000_000);
    assert!(rest == body, "not what was asked for");
}
