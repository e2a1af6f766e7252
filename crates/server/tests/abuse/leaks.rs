//! A mixed load in rounds (promises.md, 16): descriptors are flat, and memory is printed. Seconds in CI; five minutes with
//! `HEADWATER_ABUSE=full`.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    full,
    harness::{Client, Connection, Form, Server, Setup, ask, noise},
    proc,
};

/// A little of everything, over connections old and new, some of it given up half-way.
fn work(anna: &Client, who: u64, rounds: u64) {
    let mut own = Connection::open(anna.address);
    let dir = format!("/load-{who}");
    anna.dir(&dir);
    for i in 0..rounds {
        let body = noise(who * 7 + i, if i % 3 == 0 { 200_000 } else { 2000 });
        let name = format!("f{}", i % 10);
        let path = format!("{dir}/{name}");
        assert_eq!(own.ask(&anna.raw(&dir, &name).body(body.clone())).told(), (200, 0));
        assert!(own.ask(&ask("GET", &format!("/acme{path}"))).body == body);
        let range = ask("GET", &format!("/acme{path}")).with("Range", "bytes=5-99,500-");
        assert_eq!(anna.send(&range).status, 206);
        let form = Form::new().field("directory", &dir).file("form", &body);
        assert_eq!(anna.send(&anna.form(&form)).told(), (200, 0));
        anna.call("listFile", json!([dir, 100, 0, true]));
        anna.code("rename", json!([path, format!("{path}-r")]));
        anna.code("deleteFile", json!([format!("{path}-r")]));
        let login = anna.rpc("login", json!([crate::harness::USER, crate::harness::PASSWORD]));
        anna.with_token(login["result"][0].as_str().unwrap()).code("logout", json!([]));
        // Given up: half a body, half an answer, half a head, a bad head, an upload nobody completes.
        let mut gone = Connection::open(anna.address);
        gone.send_head(&anna.raw(&dir, "gone").with("Content-Length", "1000000"));
        gone.send(&body).unwrap();
        drop(gone);
        let mut gone = Connection::open(anna.address);
        gone.send_head(&ask("GET", "/acme/large"));
        gone.exactly(1000);
        drop(gone);
        let mut gone = Connection::open(anna.address);
        gone.send(b"GET /acme/large HTTP/1.1\r\nHo").unwrap();
        drop(gone);
        let mut bad = Connection::open(anna.address);
        bad.send(b"GET / HTTP/1.1\nHost: x\n\n").unwrap();
        assert_eq!(bad.answer("GET").unwrap().status, 400);
        let mpid = anna.call("createMultipart", json!([format!("{dir}/m")]));
        anna.code("abortMultipart", json!([mpid["mpid"]]));
    }
}

#[test]
fn a_mixed_load_leaves_nothing_behind() {
    const WORKERS: u64 = 4;
    let config = "[multipart]\nkeep_seconds = 1\n".to_owned();
    let server =
        Server::start_with(Setup { config: Some(config), log: "warn", ..Setup::default() });
    let (pid, anna) = (server.pid(), server.login());
    anna.put("/large", &noise(1, 8 << 20));
    let (rounds, end) = if full() { (60, Duration::from_secs(300)) } else { (4, Duration::ZERO) };
    let begun = Instant::now();
    let mut seen: Vec<(f64, u64, Option<usize>)> = Vec::new();
    while seen.len() < 4 || begun.elapsed() < end {
        thread::scope(|scope| {
            for who in 0..WORKERS {
                let anna = &anna;
                scope.spawn(move || work(anna, who, rounds));
            }
        });
        // Whoever lingers has gone.
        thread::sleep(Duration::from_millis(500));
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        seen.push((minutes, proc::rss_kib(pid), proc::descriptors(pid)));
        println!(
            "after {minutes:.2} min: {} KiB, {:?} descriptors",
            proc::rss_kib(pid),
            proc::descriptors(pid)
        );
    }
    // The first round warms up: caches, threads.
    let (from, to) = (seen[seen.len() / 2], seen[seen.len() - 1]);
    let slope = (to.1 as f64 - from.1 as f64) / 1024.0 / (to.0 - from.0) * 10.0;
    println!("slope over the second half: {slope:.1} MiB in 10 minutes");
    if let (Some(first), Some(last)) = (seen[0].2, to.2) {
        // The catalog opens a file for a table now and then.
        assert!(last <= first + 8, "descriptors: {seen:?}");
    }
}

/// Checking a password takes 19 MiB for a moment, not for ever, and not once for each thread that there is.
#[test]
fn passwords_keep_no_memory() {
    const MOST_KIB: u64 = 100 * 1024;
    let server = Server::start();
    let (pid, before) = (server.pid(), proc::rss_kib(server.pid()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..10).for_each(|_| drop(server.login())));
        }
    });
    let after = proc::rss_kib(pid);
    println!("80 logins by 8 at once: {before} KiB before, {after} KiB after");
    assert!(after < before + MOST_KIB, "{before} KiB before, {after} KiB after");
}
