//! Stores that are well: after everything the API can do, while it is being done, and after a kill.
//!
//! What does not live here: damage.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    harness::{Client, Connection, Stops, noise},
    store::{begin, fill, fsck, piece, server},
};

fn clean(data: &std::path::Path, args: &[&str]) -> serde_json::Value {
    let (code, report) = fsck(data, args);
    assert_eq!((code, &report["total"]), (0, &json!(0)), "{args:?}: {report:#}");
    report
}

#[test]
fn after_everything_and_while_it_runs() {
    let mut server = server();
    let anna = server.login();
    clean(&server.data(), &["--deep"]);
    fill(&server, &anna);
    for args in [&[][..], &["--deep"]] {
        let report = clean(&server.data(), args);
        assert!(report["counts"]["files"].as_u64().unwrap() > 20, "{report}");
        assert_eq!(report["counts"]["uploads"], 5, "{report}");
    }
    server.stop();
    let report = clean(&server.data(), &["--deep"]);
    assert!(report["counts"]["verified_bytes"].as_u64().unwrap() > 900_000, "{report}");
    assert!(report["counts"]["events"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["counts"]["jobs"], 1, "{report}");
}

/// Writes, replaces, copies, deletes, and puts uploads together until it is told to stop or the server is gone.
fn writer(anna: &Client, seed: u64, stop: &AtomicBool) {
    let call = |method: &str, params: serde_json::Value| {
        let mut list = params.as_array().unwrap().clone();
        list.insert(0, json!(anna.token));
        let call = json!({"jsonrpc": "2.0", "method": method, "params": list, "id": 1});
        let ask = crate::harness::ask("POST", "/jsonrpc2").body(call.to_string());
        let mut connection = Connection::open(anna.address);
        connection.send(&ask.bytes(anna.address)).ok()?;
        connection.answer("POST").ok()
    };
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("w{seed}-{}", n % 7);
        let body = noise(seed * 1000 + n, [500, 40_000, 9_000, 0, 120_000][(n % 5) as usize]);
        let ask = anna.raw("/w", &name).body(body);
        let mut connection = Connection::open(anna.address);
        if connection.send(&ask.bytes(anna.address)).is_err()
            || connection.answer("POST").is_err()
            || call("copyFile", json!([format!("/w/{name}"), format!("/w/c{seed}")])).is_none()
            || call("rename", json!([format!("/w/{name}"), format!("/w/r{seed}-{n}")])).is_none()
            || call("deleteFile", json!([format!("/w/r{seed}-{}", n / 2)])).is_none()
        {
            return;
        }
        if n % 4 == 0 {
            let made = thread::scope(|scope| {
                let upload = scope.spawn(|| {
                    let mpid = begin(anna, &format!("/w/m{seed}"));
                    piece(anna, &mpid, 1, &noise(n, 30_000));
                    piece(anna, &mpid, 2, &noise(n + 1, 3_000));
                    anna.code("completeMultipart", json!([mpid]))
                });
                upload.join()
            });
            // A server that is gone: the panic of its client is expected.
            if made.is_err() {
                return;
            }
        }
    }
}

#[test]
fn while_others_write_and_after_a_kill() {
    let mut server = server();
    let mut anna = server.login();
    anna.dir("/w");
    for round in 0..3 {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stops = Stops(&stop);
            for seed in 0..3 {
                let (anna, stop) = (&anna, &stop);
                scope.spawn(move || {
                    let work =
                        std::panic::AssertUnwindSafe(|| writer(anna, round * 10 + seed, stop));
                    // Its connection is refused when the server is gone.
                    drop(std::panic::catch_unwind(work));
                });
            }
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(2) {
                clean(&server.data(), &["--deep"]);
            }
            server.kill();
        });
        // A kill leaves garbage, which is no damage: what nothing refers to is found, and nothing else.
        let (code, report) = fsck(&server.data(), &["--deep"]);
        let kinds = report["kinds"].as_object().unwrap();
        assert!(kinds.keys().all(|kind| kind == "blob-orphan"), "{report:#}");
        assert_eq!(code, i32::from(!kinds.is_empty()));
        assert_eq!(fsck(&server.data(), &["--repair"]).0, 0);
        clean(&server.data(), &["--deep"]);
        server.start_again();
        anna = Client { address: server.address(), ..anna.clone() };
        clean(&server.data(), &["--deep"]);
    }
}
