//! Snapshots: one moment of a store that is written to meanwhile, whole or not there at all, and the way back.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::harness::{Client, PASSWORD, Server, Setup, Stops, USER, noise, sha256, wait_until};

fn done(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned);
    serde_json::from_str(&last.unwrap()).unwrap()
}

fn export(server: &Server, to: &Path) -> Value {
    done(&server.admin(&["export", to.to_str().unwrap()], ""))
}

/// A server over a directory that a snapshot was imported into.
fn restored(snapshot: &Path) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Server::admin_at(&data, &["import", "snapshot", snapshot.to_str().unwrap(), "--deep"]);
    Server::start_in(dir, Setup::default())
}

fn blobs(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(blobs(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn everything_comes_back() {
    let mut server = Server::start();
    let snapshot = server.scratch().join("snapshot");
    let anna = server.login();
    let mut files = BTreeMap::new();
    for (i, size) in [0, 5, 8_192, 8_193, 70_000, 2_500_000].into_iter().enumerate() {
        let (path, body) = (format!("/d/{i}"), noise(i as u64, size));
        anna.put(&path, &body);
        files.insert(path, sha256(&body));
    }
    assert_eq!(anna.code("setContentType", json!(["/d/1", "image/x-own"])), 0);
    assert_eq!(anna.code("setMTime", json!(["/d/2", 4242])), 0);
    server.add_user("zoe", "acme", &["--directory", "/d"]);
    let secret = server.admin_ok(&["url", "secret", "add", "acme"], "");
    let made = export(&server, &snapshot);
    assert_eq!(
        (&made["files"], &made["blobs"], &made["damaged"]),
        (&json!(6), &json!(3), &json!([]))
    );
    assert_eq!((&made["findings"], &made["kept"]), (&json!(0), &json!(0)));
    // What happens after it is not in it.
    anna.put("/later", b"x");

    let other = restored(&snapshot);
    // Also sessions and secrets are what they were.
    let same = Client { address: other.address(), ..anna.clone() };
    for (path, checksum) in &files {
        assert_eq!(sha256(&same.content(path)), *checksum, "{path}");
    }
    assert_eq!(same.stat("/d/1")["mimetype"], "image/x-own");
    assert_eq!(same.stat("/d/2")["mtime"], 4242);
    assert_eq!(same.code("stat", json!(["/later"])), -1);
    assert_eq!(other.login_as("zoe", PASSWORD).call("checkToken", json!([]))["path"], "/acme/d");
    let id = serde_json::from_str::<Value>(&secret).unwrap()["id"].clone();
    assert!(other.admin_ok(&["url", "secret", "list", "acme"], "").contains(id.as_str().unwrap()));
    // The key that secrets are sealed with came along.
    let sign = ["url", "sign", "acme", "/d/1", "--public-url", "https://cdn.example"];
    assert!(other.admin_ok(&sign, "").contains("https://cdn.example/acme/d/1?"));
    same.put("/new", &noise(1, 100_000));
    assert_eq!(other.admin(&["fsck", "--deep"], "").status.code(), Some(0));

    // Brought up to date: what is there stays, what is gone goes, also over a stopped server.
    assert_eq!(anna.code("deleteFile", json!(["/d/5"])), 0);
    anna.put("/d/6", &noise(6, 50_000));
    server.stop();
    let made = export(&server, &snapshot);
    assert_eq!(
        (&made["files"], &made["blobs"], &made["kept"]),
        (&json!(7), &json!(3), &json!(2)),
        "{made}"
    );
    assert_eq!(blobs(&snapshot.join("blobs")).len(), 3);
    server.start_again();
    let again = restored(&snapshot);
    assert_eq!(again.login().content("/d/6"), noise(6, 50_000));
    assert_eq!(again.login().code("stat", json!(["/d/5"])), -1);
}

/// Writers go on while snapshots are made: each is the state of one moment. Every writer overwrites its two files in turn
/// with the same number, so no snapshot may have the second ahead of the first, or a file of two versions; files are made
/// and deleted all the time, so blobs are let go of while they are copied.
#[test]
fn a_snapshot_is_one_moment() {
    const SIZE: usize = 150_000;
    let server = Server::start();
    let anna = server.login();
    for writer in 0..4 {
        for file in ["first", "second"] {
            anna.put(&format!("/w{writer}/{file}"), &noise(0, SIZE));
        }
    }
    for i in 0..60 {
        anna.put(&format!("/ballast/{i}"), &noise(500 + i, 400_000));
    }
    let (over, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = Mutex::new([0_u64; 4]);
    let snapshots: Vec<PathBuf> =
        (0..3).map(|i| server.scratch().join(format!("snapshot{i}"))).collect();
    let mut least = Vec::new();
    thread::scope(|scope| {
        for writer in 0..4_usize {
            let (anna, over, written, acknowledged) = (&anna, &over, &written, &acknowledged);
            scope.spawn(move || {
                for number in 1_u64.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    for file in ["first", "second"] {
                        anna.put(&format!("/w{writer}/{file}"), &noise(number, SIZE));
                    }
                    acknowledged.lock().unwrap()[writer] = number;
                    let passing = format!("/w{writer}/passing{number}");
                    anna.put(&passing, &noise(number, 20_000));
                    assert_eq!(anna.code("deleteFile", json!([passing])), 0);
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stops = Stops(&over);
        for snapshot in &snapshots {
            let before = written.load(Ordering::Relaxed);
            wait_until("writers at work", || written.load(Ordering::Relaxed) > before + 4);
            least.push(*acknowledged.lock().unwrap());
            let made = export(&server, snapshot);
            assert_eq!((&made["damaged"], &made["findings"]), (&json!([]), &json!(0)), "{made}");
        }
    });
    for (snapshot, least) in snapshots.iter().zip(least) {
        let other = restored(snapshot);
        let there = other.login();
        for (writer, least) in least.into_iter().enumerate() {
            let number = |file: &str| {
                let body = there.content(&format!("/w{writer}/{file}"));
                (0..10_000).find(|n| noise(*n, SIZE) == body).expect("one version, whole")
            };
            let (first, second) = (number("first"), number("second"));
            assert!(first == second || first == second + 1, "writer {writer}: {first}, {second}");
            assert!(second >= least, "acknowledged before the snapshot was begun");
        }
        for i in 0..60 {
            assert_eq!(there.content(&format!("/ballast/{i}")), noise(500 + i, 400_000));
        }
    }
    // What the snapshots held up is cleaned up now.
    let files = 8 + 60;
    wait_until("no blob too many", || blobs(&server.data().join("blobs")).len() == files);
    assert_eq!(server.admin(&["fsck", "--deep"], "").status.code(), Some(0));
}

/// A copy that did not end is no store; done again, it is one.
#[test]
fn a_copy_that_is_cut() {
    let server = Server::start();
    let (anna, snapshot) = (server.login(), server.scratch().join("snapshot"));
    for i in 0..60 {
        anna.put(&format!("/{i}"), &noise(i, 3_000_000));
    }
    let to = snapshot.to_str().unwrap();
    // The client leaves: the server gives up the export.
    let mut running = server.admin_begun(&["export", to]);
    wait_until("some blobs", || {
        snapshot.join("blobs").exists() && blobs(&snapshot.join("blobs")).len() > 3
    });
    running.kill().unwrap();
    running.wait().unwrap();
    if snapshot.join("unfinished").exists() {
        for args in [&["serve", "--listen", "127.0.0.1:0"][..], &["fsck"], &["account", "list"]] {
            let output = Server::admin_at_output(&snapshot, args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                !output.status.success()
                    && (said.contains("did not end") || said.contains("in use")),
                "{args:?}: {said}"
            );
        }
    }
    wait_until("an export that is done", || server.admin(&["export", to], "").status.success());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut running = Server::admin_at_begun(&data, &["import", "snapshot", to]);
    wait_until("some blobs", || {
        data.join("blobs").exists() && blobs(&data.join("blobs")).len() > 3
    });
    running.kill().unwrap();
    running.wait().unwrap();
    if data.join("unfinished").exists() {
        let output = Server::admin_at_output(&data, &["account", "list"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("did not end"), "{output:?}");
        let made = done(&Server::admin_at_output(&data, &["import", "snapshot", to]));
        assert!(made["kept"].as_u64().unwrap() > 3, "{made}");
    }
    let other = Server::start_in(dir, Setup::default());
    for i in 0..60 {
        assert_eq!(other.login().content(&format!("/{i}")), noise(i, 3_000_000));
    }
}

#[test]
fn nothing_is_overwritten_and_damage_is_told() {
    let mut server = Server::start();
    let (anna, scratch) = (server.login(), server.scratch().to_owned());
    anna.put("/good", &noise(1, 100_000));
    anna.put("/bad", &noise(2, 100_000));
    let full = scratch.join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "x").unwrap();
    let inside = server.data().join("inside");
    let own = server.data();
    for to in [&full, &inside, &own] {
        let output = server.admin(&["export", to.to_str().unwrap()], "");
        assert!(!output.status.success(), "{output:?}");
    }
    assert_eq!(fs::read(full.join("mine")).unwrap(), b"x");
    let snapshot = scratch.join("snapshot");
    export(&server, &snapshot);
    // A store that is in use, or was, is no place for a snapshot, nor is a snapshot that was served.
    let from = snapshot.to_str().unwrap();
    assert!(!server.admin(&["import", "snapshot", from], "").status.success());
    server.stop();
    assert!(!server.admin(&["import", "snapshot", from], "").status.success());
    assert!(!server.admin(&["import", "snapshot", scratch.to_str().unwrap()], "").status.success());
    server.start_again();
    let dir = tempfile::tempdir().unwrap();
    let moved = Command::new("mv").arg(&snapshot).arg(dir.path().join("data")).status();
    assert!(moved.unwrap().success());
    let served = Server::start_in(dir, Setup::default());
    assert_eq!(Client::login(served.address(), USER, PASSWORD).content("/good"), noise(1, 100_000));
    let output = server.admin(&["export", served.data().to_str().unwrap()], "");
    assert!(!output.status.success(), "{output:?}");

    // Damage is told, and the rest is there.
    let anna = Client { address: server.address(), ..anna };
    let content = noise(2, 100_000);
    let file = blobs(&server.data().join("blobs"))
        .into_iter()
        .find(|path| fs::read(path).unwrap().starts_with(&content[..1000]))
        .unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[50_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let output = server.admin(&["export", from], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["damaged"].as_array().unwrap().len(), 1, "{report}");
    assert!(report["findings"].as_u64().unwrap() > 0, "{report}");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(report["damaged"][0].as_str().unwrap().contains(name), "{report} {name}");
    assert_eq!(anna.content("/good"), noise(1, 100_000));
}
