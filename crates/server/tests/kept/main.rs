//! Plain GET and HEAD, which are answered beneath hyper and, from the second time on, from what is kept: they get what every
//! other request gets, byte for byte, and never anything older than what was acknowledged.
//!
//! What does not live here: what an answer says (tests/wire), large files (tests/sendfile), readers beside changes of large
//! files (tests/exact). `HEADWATER_SEED=N` repeats a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]

#[expect(dead_code, unused_imports, reason = "the harness serves other tests, too")]
#[path = "../wire/harness/mod.rs"]
mod harness;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::{Answer, Ask, Connection, Server, Setup, ask};
use serde_json::json;

/// Often enough that an answer is kept, whatever was done before.
const OFTEN: usize = 4;

fn plain(path: &str) -> Ask {
    ask("GET", &format!("/acme{path}"))
}

type Said = (u16, Vec<(String, Vec<u8>)>, Vec<u8>);

/// An answer's head without its date, and its body.
fn said(answer: &Answer) -> Said {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    // Their order means nothing: hyper puts the length of an empty body last.
    headers.sort();
    assert!(answer.header("date").is_some(), "an answer has a date");
    (answer.status, headers, answer.body.clone())
}

#[test]
fn it_is_the_answer_that_anybody_gets() {
    let server = Server::start();
    let client = server.login();
    client.put("/page.html", b"<p>hello</p>");
    client.put("/data.bin", &[7; 8000]);
    client.put("/empty.txt", b"");
    client.put("/large.bin", &harness::noise(3, 3 << 20));
    // A file that was changed a moment ago is not kept open.
    thread::sleep(Duration::from_millis(2200));
    for path in ["/page.html", "/data.bin", "/empty.txt", "/large.bin"] {
        let etag = client.get(&format!("/acme{path}")).must("etag").to_owned();
        for method in ["GET", "HEAD"] {
            for condition in [None, Some(etag.as_str()), Some("\"another\""), Some("*")] {
                // What follows the `?` means nothing, but it is no plain request.
                let [one, other] = ["", "?x"].map(|query| {
                    let request = ask(method, &format!("/acme{path}{query}"));
                    match condition {
                        Some(tag) => request.with("If-None-Match", tag),
                        None => request,
                    }
                });
                let mut connection = Connection::open(server.address());
                let expected = said(&connection.ask(&other));
                for _ in 0..OFTEN {
                    assert_eq!(
                        said(&connection.ask(&one)),
                        expected,
                        "{method} {path} {condition:?}"
                    );
                }
                assert_eq!(said(&connection.ask(&other)), expected, "the connection goes on");
            }
        }
    }
    let ranges =
        ["0-0", "10-", "-5", "0-7999", "4000-70000", "7-3", "65536-131071", "3145727-", "9999999-"];
    for path in ["/page.html", "/data.bin", "/empty.txt", "/large.bin"] {
        for range in ranges {
            let [one, other] = ["", "?x"].map(|query| {
                let request = ask("GET", &format!("/acme{path}{query}"));
                request.with("Range", format!("bytes={range}"))
            });
            let mut connection = Connection::open(server.address());
            let expected = said(&connection.ask(&other));
            for _ in 0..OFTEN {
                assert!(said(&connection.ask(&one)) == expected, "{path} {range}");
            }
        }
    }
    for path in ["/acme/none", "/acme/", "/", "/acme/page.html/x", "/acme/%2e%2e/page.html"] {
        let [one, other] = ["", "?x"].map(|query| said(&client.get(&format!("{path}{query}"))));
        assert_eq!(one, other, "{path}");
    }
}

#[test]
fn every_change_is_seen_at_once() {
    let server = Server::start();
    let client = server.login();
    let mut connection = Connection::open(server.address());
    let mut get = |path: &str| {
        let answers: Vec<_> = (0..OFTEN).map(|_| connection.ask(&plain(path))).collect();
        for pair in answers.windows(2) {
            assert_eq!(said(&pair[0]), said(&pair[1]), "{path}");
        }
        (answers[0].status, answers[0].body.clone())
    };
    client.dir("/d");
    for n in 0..100 {
        let content = format!("version {n}").into_bytes();
        client.put("/d/f", &content);
        assert_eq!(get("/d/f"), (200, content));
    }
    let done = |method: &str, params| assert_eq!(client.code(method, params), 0, "{method}");
    client.dir("/e");
    done("rename", json!(["/d/f", "/e/f"]));
    assert_eq!(get("/d/f").0, 404);
    assert_eq!(get("/e/f"), (200, b"version 99".to_vec()));
    done("rename", json!(["/e/f", "/e/g"]));
    assert_eq!(get("/e/f").0, 404);
    assert_eq!(get("/e/g").0, 200);
    done("setContentType", json!(["/e/g", "text/x-new"]));
    let answer = Connection::open(server.address()).ask(&plain("/e/g"));
    assert_eq!(answer.must("content-type"), "text/x-new");
    done("deleteFile", json!(["/e/g"]));
    assert_eq!(get("/e/g").0, 404);
    client.put("/e/g", &[1; 100_000]);
    assert_eq!(get("/e/g"), (200, vec![1; 100_000]), "a large one in place of a small one");
    client.put("/e/g", b"small again");
    assert_eq!(get("/e/g"), (200, b"small again".to_vec()));
    server.admin_ok(&["account", "set", "acme", "--private", "true"], "");
    assert_eq!(get("/e/g").0, 403, "a private account answers nobody");
    server.admin_ok(&["account", "set", "acme", "--private", "false"], "");
    assert_eq!(get("/e/g"), (200, b"small again".to_vec()));
}

/// Each reader sees versions in their order, and none older than what was acknowledged before it asked.
#[test]
fn nobody_is_told_what_was_before() {
    const VERSIONS: u64 = 600;
    let server = Server::start();
    let client = server.login();
    client.put("/f", b"0");
    let (acknowledged, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..6)
        .map(|reader| {
            let (acknowledged, done) = (Arc::clone(&acknowledged), Arc::clone(&done));
            let address = server.address();
            thread::spawn(move || {
                let mut connection = Connection::open(address);
                let (mut last, mut reads) = (0, 0_u64);
                // Some of them the other way, so that the two are compared.
                let request = if reader % 3 == 2 { ask("GET", "/acme/f?x") } else { plain("/f") };
                while !done.load(Ordering::SeqCst) {
                    let before = acknowledged.load(Ordering::SeqCst).max(last);
                    let answer = connection.ask(&request);
                    assert_eq!(answer.status, 200);
                    let version = String::from_utf8(answer.body).unwrap().parse().unwrap();
                    assert!(version >= before, "{version} after {before}");
                    (last, reads) = (version, reads + 1);
                }
                reads
            })
        })
        .collect();
    for version in 1..=VERSIONS {
        client.put("/f", version.to_string().as_bytes());
        acknowledged.store(version, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
}

/// Requests that come together, in parts, and mixed with others are answered in their order.
#[test]
fn however_requests_come() {
    let server = Server::start();
    let client = server.login();
    client.put("/a", b"first");
    client.put("/b", &[2; 50_000]);
    let address = server.address();
    let kinds = [
        (plain("/a"), "GET", b"first".to_vec()),
        (plain("/b"), "GET", vec![2; 50_000]),
        (ask("HEAD", "/acme/a"), "HEAD", Vec::new()),
        (plain("/a").with("Range", "bytes=1-2"), "GET", b"ir".to_vec()),
        (ask("POST", "/jsonrpc").body("{}"), "POST", Vec::new()),
    ];
    for first in 0..kinds.len() {
        for second in 0..kinds.len() {
            let order = [first, second, 0, first, 0, 0, second];
            let bytes: Vec<u8> = order.iter().flat_map(|n| kinds[*n].0.bytes(address)).collect();
            for size in [bytes.len(), 60, 7] {
                let mut connection = Connection::open(address);
                for piece in bytes.chunks(size) {
                    connection.send(piece).unwrap();
                }
                for n in order {
                    let (_, method, body) = &kinds[n];
                    let answer = connection.answer(method).unwrap();
                    if *method != "POST" {
                        assert!(answer.status < 300, "{}", answer.status);
                        assert_eq!(&answer.body, body, "by {size}");
                    }
                }
            }
        }
    }
    // One after the other, over one connection.
    let mut connection = Connection::open(address);
    for n in (0..20).flat_map(|_| 0..kinds.len()) {
        let (request, method, body) = &kinds[n];
        let answer = connection.ask(request);
        assert!(*method == "POST" || &answer.body == body, "{answer:?}");
    }
    // A client that closes its half still gets its answer, and the connection ends.
    let mut connection = Connection::open(address);
    connection.send(&plain("/a").bytes(address)).unwrap();
    connection.finish_sending();
    assert_eq!(connection.answer("GET").unwrap().body, b"first");
    assert!(connection.is_closed_by_server());
}

/// An answer that is still on its way, in part in hyper's hands, is not cut into by one that is not.
#[test]
fn nothing_goes_before_its_turn() {
    let server = Server::start();
    let client = server.login();
    client.put("/a", b"small");
    // More than the sockets hold.
    for (path, len) in [("/big", 24 << 20), ("/less", 300_000)] {
        let content = harness::noise(7, len);
        client.put(path, &content);
        for _ in 0..3 {
            let mut connection = Connection::open(server.address());
            assert_eq!(connection.ask(&plain("/a")).body, b"small");
            connection.send(&plain(path).bytes(server.address())).unwrap();
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(60));
                connection.send(&plain("/a").bytes(server.address())).unwrap();
            }
            assert!(connection.answer("GET").unwrap().body == content, "{path}");
            for _ in 0..3 {
                assert_eq!(connection.answer("GET").unwrap().body, b"small");
            }
        }
    }
}

/// One line a request, with what came of it.
#[test]
fn each_has_its_line_in_the_log() {
    const REQUESTS: usize = 300;
    let server = Server::start();
    server.login().put("/f", b"content");
    let mut connection = Connection::open(server.address());
    for n in 0..REQUESTS {
        let method = if n % 3 == 0 { "HEAD" } else { "GET" };
        assert_eq!(connection.ask(&ask(method, "/acme/f")).status, 200);
    }
    // Two that come together, and one with a body, which nobody reads.
    let address = server.address();
    connection.send(&[plain("/f").bytes(address), plain("/f").bytes(address)].concat()).unwrap();
    connection.send(&plain("/f").body("more").bytes(address)).unwrap();
    for _ in 0..3 {
        assert_eq!(connection.answer("GET").unwrap().status, 200);
    }
    let log = server.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.contains("\"path\":\"/acme/f\""))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), REQUESTS + 3);
    for line in &lines {
        let bytes = if line["method"] == "GET" { 7 } else { 0 };
        assert_eq!((&line["status"], &line["bytes_out"]), (&200.into(), &bytes.into()), "{line}");
    }
    let mut ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), REQUESTS + 3, "each request has its own number");
}

/// What bounds other connections bounds these: rates, silence, and the end of the server.
#[test]
fn limits_hold() {
    let config = "[limits]\nheader_seconds = 1\n".to_owned();
    let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    server.login().put("/f", b"content");
    let mut busy = Connection::open(server.address());
    // Longer than a connection may be silent.
    for _ in 0..30 {
        assert_eq!(busy.ask(&plain("/f")).status, 200, "a connection in use is not silent");
        thread::sleep(Duration::from_millis(60));
    }
    assert!(busy.is_closed_by_server(), "one that is silent is closed");
    let mut slow = Connection::open(server.address());
    assert_eq!(slow.ask(&plain("/f")).status, 200);
    slow.send(b"GET /acme/f HT").unwrap();
    assert!(slow.is_closed_by_server(), "so is one whose head does not end");
    let mut idle = Connection::open(server.address());
    assert_eq!(idle.ask(&plain("/f")).status, 200);
    let mut server = server;
    server.stop();
    assert!(idle.is_closed_by_server(), "nobody waits for it at the end");
}

/// The time that a client may take nothing begins again with all that it takes.
#[test]
fn who_takes_an_answer_slowly_gets_it_and_who_takes_none_is_cut() {
    const LEN: usize = 24 << 20;
    let config = "[limits]\nanswer_idle_seconds = 2\n".to_owned();
    let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    let content = harness::noise(5, LEN);
    server.login().put("/large", &content);
    // Until it is kept open.
    thread::sleep(Duration::from_millis(2200));
    assert!(Connection::open(server.address()).ask(&plain("/large")).body == content);
    let request = plain("/large").bytes(server.address());
    let [mut slow, mut silent] = [(); 2].map(|()| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
        stream.write_all(&request).unwrap();
        stream
    });
    let mut taken = Vec::new();
    let begun = Instant::now();
    while taken.len() < LEN || !taken.ends_with(&content[LEN - 1000..]) {
        // A MiB a turn: the kernel holds 4 MiB for him and tells the server of room when a third of it is free.
        let turn = LEN.saturating_sub(taken.len()).clamp(1, 1 << 20);
        let came = (&mut slow).take(turn as u64).read_to_end(&mut taken).unwrap();
        assert!(came == turn, "cut after {} bytes and {:?}", taken.len(), begun.elapsed());
        if begun.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(250));
        }
    }
    assert!(taken.ends_with(&content));
    let mut rest = Vec::new();
    // Cut: what the sockets held comes, and then an end or a reset.
    let _cut = silent.read_to_end(&mut rest);
    assert!(rest.len() < LEN, "nobody waits longer than he says");
}
