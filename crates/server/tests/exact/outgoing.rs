//! Readers see one version or another, whole, whatever is overwritten, renamed or put together meanwhile.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::json;

use crate::{
    harness::{Client, Connection, Server, Stops, ask, noise, sha256, wait_until},
    rounds,
};

const READERS: usize = 16;
const SIZES: [usize; 4] = [300, 8_193, 70_000, 300_000];

/// The versions there are of everything.
fn versions() -> Vec<Vec<u8>> {
    (0..40).map(|n| noise(n, SIZES[usize::try_from(n).unwrap() % SIZES.len()])).collect()
}

fn overwrite(anna: &Client, rounds: u64, versions: &[Vec<u8>]) {
    for i in 0..rounds {
        anna.put("/hot", &versions[usize::try_from(i).unwrap() % versions.len()]);
    }
}

/// `a` is always somewhere: it goes from one name to another.
fn rename(anna: &Client, rounds: u64) {
    for i in 0..rounds {
        let (from, to) = if i % 2 == 0 { ("/here", "/there") } else { ("/there", "/here") };
        assert_eq!(anna.code("rename", json!([from, to])), 0);
    }
}

fn put_together(anna: &Client, rounds: u64, versions: &[Vec<u8>]) {
    for i in 0..rounds / 10 {
        let create = anna.post("/multipart/create").with("X-Agile-Directory", "/");
        let created = anna.send(&create.with("X-Agile-Basename", "joined"));
        let mpid = created.must("X-Agile-Multipart").to_owned();
        let version = &versions[usize::try_from(i).unwrap() % versions.len()];
        for (number, piece) in version.chunks(version.len().div_ceil(3)).enumerate() {
            let one = anna.post("/multipart/piece").with("X-Agile-Multipart", &*mpid);
            let one = one.with("X-Agile-Part", (number + 1).to_string()).body(piece);
            assert_eq!(anna.send(&one).told(), (200, 0));
        }
        let complete = anna.post("/multipart/complete").with("X-Agile-Multipart", &*mpid);
        assert_eq!(anna.send(&complete).told(), (200, 0));
        wait_until("the upload", || anna.call("getMultipartStatus", json!([mpid]))["state"] == 6);
    }
}

#[test]
fn every_body_is_one_version() {
    let server = Server::start();
    let anna = server.login();
    let versions = versions();
    let known: HashSet<String> = versions.iter().map(|version| sha256(version)).collect();
    for path in ["/hot", "/here", "/joined"] {
        anna.put(path, &versions[0]);
    }
    let (over, read) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (over, read, known, address) = (&over, &read, &known, anna.address);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                while !over.load(Ordering::Relaxed) {
                    let path = ["/acme/hot", "/acme/joined", "/acme/here"][reader % 3];
                    let answer = connection.ask(&ask("GET", path));
                    if answer.status == 404 && path == "/acme/here" {
                        continue;
                    }
                    assert_eq!(answer.status, 200, "{path}");
                    let checksum = sha256(&answer.body);
                    assert_eq!(answer.must("X-Agile-Checksum"), checksum, "{path}");
                    assert!(known.contains(&checksum), "{path}: a version that never was");
                    read.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stops = Stops(&over);
        let writers = [
            scope.spawn(|| overwrite(&anna, rounds() / 2, &versions)),
            scope.spawn(|| rename(&anna, rounds() / 2)),
            scope.spawn(|| put_together(&anna, rounds() / 2, &versions)),
        ];
        for writer in writers {
            writer.join().unwrap();
        }
    });
    let read = read.into_inner();
    assert!(read > rounds() / 2, "only {read} bodies were read");
    println!("{read} bodies read through {} changes", rounds() * 11 / 10);
}
