//! Scrubbing at the real binary: damage is noted once, outlives a restart, and is forgotten when it is no more; a pass goes
//! on where it was; small contents are read, too.
//!
//! What does not live here: what is damaged in which way (`blobs`), how fast it must be (ops::scrub).

use std::{fs, path::PathBuf};

use bytes::Bytes;
use catalog::{
    Catalog, Embedded,
    audit::{Index, Row},
};
use serde_json::{Value, json};

use crate::harness::{Client, Server, Setup, noise, wait_until};

fn rows(server: &Server, args: &[&str]) -> Vec<Value> {
    let output = server.admin(&[&["scrub"], args].concat(), "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(!printed.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scrub(server: &Server) -> Vec<Value> {
    rows(server, &["start", "--wait", "--rate", "0"])
}

fn blob(server: &Server) -> PathBuf {
    let mut at = server.data().join("blobs");
    while at.is_dir() {
        at = fs::read_dir(at).unwrap().next().unwrap().unwrap().path();
    }
    at
}

fn complaints(server: &Server) -> usize {
    server.log().matches("stored data is damaged").count()
}

#[test]
fn damage_is_noted_once_and_forgotten_when_it_is_gone() {
    let mut server = Server::start();
    let anna = server.login();
    anna.put("/a/f", &noise(1, 300_000));
    assert_eq!(anna.code("copyFile", json!(["/a/f", "/a/copy"])), 0);
    assert_eq!(rows(&server, &["status"])[0]["state"], "none yet");
    let first = scrub(&server);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((&first[0]["pass"], &first[0]["bytes"]), (&json!(1), &json!(300_000)));
    let blob = blob(&server);
    let whole = fs::read(&blob).unwrap();
    let mut bad = whole.clone();
    bad[100_000] ^= 8;
    fs::write(&blob, &bad).unwrap();
    for pass in 2..4 {
        let found = scrub(&server);
        assert_eq!((found.len(), &found[0]["pass"]), (2, &json!(pass)), "{found:?}");
        assert_eq!(found[1]["paths"], json!(["/acme/a/copy", "/acme/a/f"]), "{found:?}");
        assert!(found[1]["why"].as_str().unwrap().contains("block 1"), "{found:?}");
        assert_eq!(found[0]["before"]["objects"], 1);
        assert_eq!(complaints(&server), 1, "it is logged once");
    }
    server.kill();
    let kept = rows(&server, &["status"]);
    assert_eq!((kept.len(), &kept[0]["damaged"]), (2, &json!(1)), "{kept:?}");
    server.start_again();
    assert_eq!(rows(&server, &["status"])[1], kept[1]);
    fs::write(&blob, &whole).unwrap();
    assert_eq!(scrub(&server).len(), 1, "it reads well again");
    fs::write(&blob, &bad).unwrap();
    assert_eq!(scrub(&server).len(), 2);
    assert_eq!(complaints(&server), 2);
    let anna = Client { address: server.address(), ..anna };
    for name in ["/a/f", "/a/copy"] {
        assert_eq!(anna.code("deleteFile", json!([name])), 0);
    }
    assert_eq!(scrub(&server).len(), 1, "it is gone");
}

#[test]
fn a_pass_goes_on_where_it_was() {
    let mut server = Server::start();
    let anna = server.login();
    for n in 0..12 {
        anna.put(&format!("/f{n}"), &noise(n, 200_000));
    }
    rows(&server, &["start", "--rate", "200000"]);
    wait_until("some blobs", || rows(&server, &["status"])[0]["objects"].as_u64().unwrap() >= 2);
    server.kill();
    let before = rows(&server, &["status"])[0].clone();
    assert_eq!(before["state"], "running", "{before}");
    server.start_again();
    let after = rows(&server, &["status"])[0].clone();
    assert_eq!((&after["pass"], &after["state"]), (&json!(1), &json!("running")));
    assert!(after["objects"].as_u64() >= before["objects"].as_u64(), "{before} {after}");
    // Another begins anew.
    let last = scrub(&server)[0].clone();
    assert_eq!((&last["pass"], &last["objects"]), (&json!(2), &json!(12)), "{last}");
    server.stop();
    assert_eq!(rows(&server, &["start"])[0]["objects"], 12, "without a server");
    assert_eq!(rows(&server, &["status"])[0]["pass"], 3);
}

/// By itself, when its time has come.
#[test]
fn passes_begin_by_themselves() {
    let config = "[scrub]\nperiod_seconds = 1\n".to_owned();
    let mut server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    server.login().put("/f", &noise(1, 20_000));
    scrub(&server);
    wait_until("another pass", || rows(&server, &["status"])[0]["pass"].as_u64().unwrap() > 2);
    server.stop();
}

#[test]
fn small_contents_are_compared_with_their_records() {
    let mut server = Server::start();
    server.login().put("/a/small", b"what was written");
    server.stop();
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let path = server.data().join("catalog");
        let catalog =
            Catalog::new(std::sync::Arc::new(Embedded::open(path, Default::default()).unwrap()));
        let small = catalog.audit(|audit| audit.rows(Index::Inline, None).next().unwrap());
        let Row::Inline(account, id, _) = runtime.block_on(small).unwrap() else { panic!() };
        let other = Row::Inline(account, id, Bytes::from_static(b"what was Written"));
        runtime.block_on(catalog.write(move |tx| tx.put_row(&other))).unwrap();
    }
    for running in [false, true] {
        if running {
            server.start_again();
        }
        let found = scrub(&server);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[1]["paths"], json!(["/acme/a/small"]), "{found:?}");
    }
}
