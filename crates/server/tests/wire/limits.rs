//! Bounds of time and number that the operator sets (`[limits]`): whoever is slow is cut, and holds nobody else up.

use std::time::{Duration, Instant};

use crate::{
    harness::{Connection, Form, Server, Setup, ask, noise, wait_until},
    upload::count_files,
};

/// How long a slow head has where nothing is set.
const UNSET: Duration = Duration::from_secs(30);

fn server(limits: &str) -> Server {
    let config = Some(format!("[limits]\n{limits}\n"));
    Server::start_with(Setup { config, ..Setup::default() })
}

#[test]
fn slow_heads_are_cut() {
    let server = server("header_seconds = 1");
    let begun = Instant::now();
    let mut silent = Connection::open(server.address());
    let mut half = Connection::open(server.address());
    half.send(b"GET /acme/f HTTP/1.1\r\nHost: x\r\nX-").unwrap();
    let mut used = Connection::open(server.address());
    assert_eq!(used.ask(&ask("GET", "/missing")).status, 404);
    assert!(used.is_closed_by_server(), "idle between requests");
    for (connection, what) in [(&mut silent, "nothing sent"), (&mut half, "half a head")] {
        // An answer may come before the end, 408 for instance; no other.
        if let Ok(answer) = connection.answer("GET") {
            assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
            assert!(connection.is_closed_by_server(), "{what}");
        }
    }
    assert!(begun.elapsed() < UNSET, "{:?}", begun.elapsed());
}

#[test]
fn a_body_that_pauses_is_cut() {
    let server = server("body_idle_seconds = 1");
    let anna = server.login();
    let stage = server.data().join("stage");
    let mut paused = Connection::open(server.address());
    paused.send_head(&anna.raw("/", "f").with("Content-Length", "9000000"));
    paused.send(&noise(1, 2_500_000)).unwrap();
    wait_until("the upload", || count_files(&stage) == 1);
    wait_until("its end", || count_files(&stage) == 0);
    if let Ok(answer) = paused.answer("POST") {
        assert!(answer.status >= 400 && answer.code() != 0, "{answer:?}");
    }
    assert_eq!(anna.names("/").1, [] as [&str; 0]);
}

#[test]
fn connections_above_the_limit_wait() {
    let server = server("connections = 3\nheader_seconds = 1");
    let held: Vec<Connection> = (0..6).map(|_| Connection::open(server.address())).collect();
    let anna = server.login();
    anna.put("/f", b"served in the end");
    assert_eq!(anna.content("/f"), b"served in the end");
    drop(held);
}

#[test]
fn calls_are_bounded_in_size() {
    let server = server("rpc_body_bytes = 1000");
    let ping = |padding: usize| {
        let body = format!(r#"{{"method":"ping","params":[],"id":1}}{}"#, " ".repeat(padding));
        ask("POST", "/jsonrpc").body(body).send(server.address())
    };
    assert_eq!(ping(900).json()["result"]["code"], 0);
    let refused = ping(1000);
    assert_eq!((refused.status, refused.json()["error"]["code"].is_i64()), (200, true));
}

#[test]
fn heads_are_bounded_in_size_and_in_headers() {
    let server = server("request_head_bytes = 2000\nrequest_headers = 10");
    let with = |headers: usize, bytes: usize| {
        let ask = ask("GET", "/missing").with("X-Long", "x".repeat(bytes));
        let ask = (2..headers).fold(ask, |ask, i| ask.with(&format!("X-{i}"), "x"));
        // hyper refuses a head by itself, without what our answers have.
        let mut connection = Connection::open(server.address());
        connection.send_head(&ask);
        connection.answer("GET").unwrap().status
    };
    assert_eq!((with(10, 0), with(0, 1800)), (404, 404));
    assert_eq!((with(11, 0), with(0, 2000)), (431, 431));
}

#[test]
fn files_are_bounded_in_size() {
    let server = server("upload_bytes_max = 20000");
    let anna = server.login();
    let (fits, too_long) = (noise(1, 20_000), noise(2, 20_001));
    let mut connection = Connection::open(server.address());
    let early = connection.expect(&anna.raw("/", "f").with("Content-Length", "20001"));
    assert_eq!(early.told(), (400, -24), "{early:?}");
    assert_eq!(anna.send(&anna.raw("/", "f").chunks(&too_long, 6000)).told(), (400, -24));
    assert_eq!(anna.send(&anna.form(&Form::new().file("f", &too_long))).told(), (400, -24));
    let mut connection = Connection::open(server.address());
    let early = connection.expect(&anna.form_head().with("Content-Length", "9000000"));
    assert_eq!(early.told(), (400, -24), "{early:?}");
    assert_eq!(anna.names("/").1, [] as [&str; 0]);

    anna.put("/f", &fits);
    assert_eq!(anna.send(&anna.raw("/", "f").chunks(&fits, 6000)).told(), (200, 0));
    assert_eq!(anna.send(&anna.form(&Form::new().file("f", &fits))).told(), (200, 0));
    let mpid = anna.begin("/m");
    anna.send_piece(&mpid, 1, &too_long);
}

#[test]
fn forms_are_bounded() {
    let config = "[form]\nparts_max = 2\nfield_bytes_max = 10\npart_header_bytes_max = 1024";
    let config = Some(config.to_owned());
    let server = Server::start_with(Setup { config, ..Setup::default() });
    let anna = server.login();
    let file = || Form::new().file("f", "x");
    let header = |len: usize| format!("X: {}\r\n", "x".repeat(len)) + "Content-Disposition: x";
    for (form, told) in [
        (file().field("mtime", "1234567890"), (200, 0)),
        (file().field("mtime", "12345678901"), (400, -24)),
        (file().field("a", "1").field("b", "2"), (400, -24)),
        (file().part(&header(900), "x"), (200, 0)),
        (file().part(&header(1024), "x"), (400, -24)),
    ] {
        assert_eq!(anna.send(&anna.form(&form)).told(), told);
    }
}

#[test]
fn a_limit_without_sense_ends_the_start() {
    let server = Server::start();
    let file = server.scratch().join("bad.toml");
    for (config, said) in [
        ("[limits]\nconnections = 0", "[limits] connections = 0: it must be at least 1"),
        ("[rate]\nrequests_per_second_per_user = -1", "[rate] requests_per_second_per_user = -1"),
        ("[limits]\nconections = 5", "conections"),
    ] {
        std::fs::write(&file, config).unwrap();
        let output = server.admin(&["serve", "--config", file.to_str().unwrap()], "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{error}");
    }
}
