//! Bounds of time and number that the operator sets (`[limits]`): whoever is slow is cut, and holds nobody else up.

use std::time::Instant;

use crate::{
    harness::{Connection, PATIENCE, Server, Setup, ask, noise, wait_until},
    upload::count_files,
};

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
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
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
