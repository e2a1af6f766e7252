//! PARTIAL egress (protocol.md, sections 7 and 9): a file can be read while it arrives.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Client, Connection, Server, ask, noise, sha256};

/// An upload whose head is sent and whose body is sent by hand, in chunks.
fn begin(client: &Client, name: &str, headers: &[(&str, &str)]) -> Connection {
    let mut ask = client.raw("/", name).with("Transfer-Encoding", "chunked");
    for (name, value) in headers {
        ask = ask.with(name, value);
    }
    let mut upload = Connection::open(client.address);
    upload.send_head(&ask);
    upload
}

const PARTIAL: (&str, &str) = ("X-Agile-Expose-Egress", "PARTIAL");

/// A GET that was answered 200, its body yet to come. Repeated until the file is there: an upload begins when its head is
/// read.
fn follow(client: &Client, name: &str) -> Connection {
    let end = Instant::now() + crate::harness::PATIENCE;
    loop {
        let mut reader = Connection::open(client.address);
        reader.send_head(&ask("GET", &format!("/acme/{name}")));
        let head = reader.answer_head().unwrap();
        if head.status == 200 {
            assert_eq!(head.header("Transfer-Encoding"), Some("chunked"), "{head:?}");
            assert_eq!(head.header("Accept-Ranges"), Some("none"));
            for absent in ["Content-Length", "ETag", "Last-Modified", "X-Agile-Checksum"] {
                assert!(head.header(absent).is_none(), "{head:?}");
            }
            return reader;
        }
        assert!(head.status == 404 && Instant::now() < end, "{head:?}");
    }
}

fn exactly(reader: &mut Connection, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let chunk = reader.chunk().unwrap();
        assert!(!chunk.is_empty(), "the body ended after {} bytes", bytes.len());
        bytes.extend(chunk);
    }
    assert_eq!(bytes.len(), len);
    bytes
}

#[test]
fn a_reader_gets_each_byte_as_it_comes() {
    let server = Server::start();
    let anna = server.login();
    // Small enough for memory at first, then staged, then more than a batch.
    for pieces in [vec![5, 7], vec![5, 9_000, 1], vec![300_000, 3_000_000, 17, 2_000_000]] {
        let name = format!("f{}.txt", pieces.len());
        let mut upload = begin(&anna, &name, &[PARTIAL]);
        let mut sent = Vec::new();
        let mut reader: Option<Connection> = None;
        for (i, len) in pieces.iter().enumerate() {
            let piece = noise(i as u64, *len);
            upload.send_chunk(&piece);
            let first = reader.is_none();
            let reader = reader.get_or_insert_with(|| follow(&anna, &name));
            assert!(exactly(reader, *len) == piece, "piece {i} of {name}, first: {first}");
            sent.extend(piece);
        }
        // One who comes late gets all of it, too.
        let mut late = follow(&anna, &name);
        assert!(exactly(&mut late, sent.len()) == sent);
        upload.send_chunk(b"");
        let stored = upload.answer("POST").unwrap();
        assert_eq!(stored.told(), (200, 0), "{stored:?}");
        for mut reader in [reader.unwrap(), late] {
            assert!(reader.chunk().unwrap().is_empty(), "the end, and that it is the end");
        }
        assert_eq!(anna.get(&format!("/acme/{name}")).must("X-Agile-Checksum"), sha256(&sent));
        assert_eq!(anna.get(&format!("/acme/{name}")).must("Content-Type"), "text/plain");
    }
}

#[test]
fn what_does_not_arrive_ends_as_an_error() {
    let server = Server::start();
    let anna = server.login();
    anna.put("/old.bin", b"the older file");
    let wrong = ("X-Agile-Checksum", &*"0".repeat(64));
    for (cut, more) in [(true, PARTIAL), (false, wrong)] {
        let mut upload = begin(&anna, "old.bin", &[PARTIAL, more][..if cut { 1 } else { 2 }]);
        upload.send_chunk(b"the newer");
        // The older file is there meanwhile; a reader may still get that one.
        let end = Instant::now() + crate::harness::PATIENCE;
        let mut reader = loop {
            let mut reader = Connection::open(anna.address);
            reader.send_head(&ask("GET", "/acme/old.bin"));
            if reader.answer_head().unwrap().header("ETag").is_none() {
                break reader;
            }
            assert!(Instant::now() < end, "the newer file is not shown");
        };
        assert_eq!(exactly(&mut reader, 9), b"the newer");
        if cut {
            drop(upload);
        } else {
            upload.send_chunk(b"");
            assert_eq!(upload.answer("POST").unwrap().told(), (400, -26));
        }
        assert!(reader.chunk().is_err(), "an end that looks whole");
        assert_eq!(anna.content("/old.bin"), b"the older file");
    }
}

#[test]
fn only_those_who_ask_for_it_are_seen_early() {
    let server = Server::start();
    let anna = server.login();
    for exposed in [None, Some("COMPLETE"), Some("POLICY")] {
        let headers: Vec<_> =
            exposed.map(|how| ("X-Agile-Expose-Egress", how)).into_iter().collect();
        let mut upload = begin(&anna, "f", &headers);
        upload.send_chunk(b"some");
        let mut seen = begin(&anna, "g", &[PARTIAL]);
        seen.send_chunk(b"some");
        // The second upload came after the first and is there: so the first would be.
        drop(follow(&anna, "g"));
        assert_eq!(anna.get("/acme/f").status, 404);
    }
}

#[test]
fn head_ranges_and_old_clients() {
    let server = Server::start();
    let anna = server.login();
    let mut upload = begin(&anna, "v.mp4", &[PARTIAL]);
    upload.send_chunk(b"0123456789");
    let mut reader = follow(&anna, "v.mp4");
    let head = anna.send(&ask("HEAD", "/acme/v.mp4"));
    assert_eq!((head.status, head.must("Content-Type")), (200, "video/mp4"));
    assert!(head.header("Content-Length").is_none());

    let mut ranged = Connection::open(anna.address);
    ranged.send_head(&ask("GET", "/acme/v.mp4").with("Range", "bytes=2-3"));
    assert_eq!(
        ranged.answer_head().unwrap().status,
        200,
        "a range of what is not known is ignored"
    );
    assert_eq!(exactly(&mut ranged, 10), b"0123456789");

    let mut old = Connection::open(anna.address);
    old.send(b"GET /acme/v.mp4 HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(old.answer_head().unwrap().status, 404, "could not tell an end from a cut");

    upload.send_chunk(b"");
    assert_eq!(upload.answer("POST").unwrap().told(), (200, 0));
    assert_eq!(exactly(&mut reader, 10), b"0123456789");
    assert!(reader.chunk().unwrap().is_empty());
    let ranged = anna.send(&ask("GET", "/acme/v.mp4").with("Range", "bytes=2-3"));
    assert_eq!((ranged.status, &*ranged.body), (206, &b"23"[..]));
}

#[test]
fn where_the_size_is_known_the_last_byte_waits_for_the_end() {
    let server = Server::start();
    let anna = server.login();
    for (name, len) in [("small", 100), ("large", 3_000_000)] {
        let body = noise(3, len);
        for whole in [false, true] {
            let length = len.to_string();
            let ask =
                anna.raw("/", name).with(PARTIAL.0, PARTIAL.1).with("Content-Length", &length);
            let mut upload = Connection::open(anna.address);
            upload.send_head(&ask);
            upload.send(&body[..len / 2]).unwrap();
            // A client of HTTP/1.0, as proxies are by default, can follow, too.
            let mut readers = Vec::new();
            let end = Instant::now() + crate::harness::PATIENCE;
            while readers.len() < 2 {
                let version = readers.len();
                let mut reader = Connection::open(anna.address);
                let head = format!("GET /acme/{name} HTTP/1.{version}\r\nHost: x\r\n\r\n");
                reader.send(head.as_bytes()).unwrap();
                let head = reader.answer_head().unwrap();
                if head.status == 200 && head.header("ETag").is_none() {
                    assert_eq!(head.must("Content-Length"), length);
                    assert_eq!(reader.exactly(len / 2), body[..len / 2]);
                    readers.push(reader);
                }
                assert!(Instant::now() < end, "{head:?}");
            }
            upload.send(&body[len / 2..len - 1]).unwrap();
            for reader in &mut readers {
                let rest = reader.exactly(len - 1 - len / 2);
                assert!(rest == body[len / 2..len - 1]);
            }
            if !whole {
                drop(upload);
                readers.iter_mut().for_each(|reader| assert!(reader.is_closed_by_server()));
                continue;
            }
            upload.send(&body[len - 1..]).unwrap();
            assert_eq!(upload.answer("POST").unwrap().told(), (200, 0));
            readers.iter_mut().for_each(|reader| assert_eq!(reader.exactly(1), body[len - 1..]));
        }
    }
}

#[test]
fn a_form_can_be_followed() {
    let server = Server::start();
    let anna = server.login();
    let field = |name: &str, value: &str| {
        format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file =
        "--xx\r\nContent-Disposition: form-data; name=\"uploadFile\"; filename=\"f.txt\"\r\n\r\n";
    for (moved, name) in [(false, "f.txt"), (true, "elsewhere.txt")] {
        let ask = anna
            .post("/post/file")
            .with("Content-Type", "multipart/form-data; boundary=xx")
            .with("Transfer-Encoding", "chunked");
        let mut upload = Connection::open(anna.address);
        upload.send_head(&ask);
        let (directory, expose) = (field("directory", "/"), field("expose_egress", "PARTIAL"));
        upload.send_chunk(format!("{directory}{expose}{file}").as_bytes());
        upload.send_chunk(&[b'x'; 100_000]);
        let mut reader = follow(&anna, "f.txt");
        // The parser keeps back what could be the beginning of the boundary.
        assert!(exactly(&mut reader, 100_000).iter().all(|byte| *byte == b'x'));
        upload.send_chunk(b"\r\n");
        if moved {
            upload.send_chunk(field("basename", name).as_bytes());
        }
        upload.send_chunk(b"--xx--\r\n");
        upload.send_chunk(b"");
        assert_eq!(upload.answer("POST").unwrap().told(), (200, 0));
        assert_eq!(reader.chunk().is_ok_and(|end| end.is_empty()), !moved, "{name}");
        assert_eq!(anna.content(&format!("/{name}")).len(), 100_000);
        if !moved {
            assert_eq!(anna.code("deleteFile", serde_json::json!(["/f.txt"])), 0);
        }
    }
    assert_eq!(anna.get("/acme/f.txt").status, 404);
}

#[test]
fn two_hundred_readers_get_every_byte_and_cost_nothing_while_nothing_comes() {
    const READERS: usize = 200;
    let server = Server::start();
    let anna = server.login();
    let content = noise(9, 8_000_000);
    let (first, last) = content.split_at(3_500_000);
    let mut upload = begin(&anna, "big.bin", &[PARTIAL]);
    upload.send_chunk(first);
    let mut readers: Vec<_> = (0..READERS).map(|_| follow(&anna, "big.bin")).collect();
    thread::scope(|scope| {
        for chunk in readers.chunks_mut(READERS / 8) {
            scope.spawn(|| {
                for reader in chunk {
                    assert!(exactly(reader, first.len()) == first);
                }
            });
        }
    });
    // Everybody waits now. Background jobs look around every two seconds; that is all there may be.
    let before = server.cpu_ticks();
    thread::sleep(Duration::from_secs(3));
    let used = server.cpu_ticks() - before;
    eprintln!("{READERS} readers waiting for 3 s: {used} ticks of 10 ms of processor time");
    assert!(used <= 3, "{used} ticks while nobody sent anything");

    let answers = thread::scope(|scope| {
        let (before, after) = last.split_at(1_000_000);
        let reading: Vec<_> = readers
            .chunks_mut(READERS / 8)
            .map(|chunk| {
                scope.spawn(|| {
                    for reader in chunk {
                        assert!(exactly(reader, last.len()) == last);
                        assert!(reader.chunk().unwrap().is_empty());
                    }
                })
            })
            .collect();
        upload.send_chunk(before);
        upload.send_chunk(after);
        upload.send_chunk(b"");
        let answer = upload.answer("POST").unwrap();
        reading.into_iter().for_each(|one| one.join().unwrap());
        answer
    });
    assert_eq!(answers.must("X-Agile-Checksum"), sha256(&content));
}
