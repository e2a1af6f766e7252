//! `/post/raw` that succeeds (protocol.md, section 7): what is stored, what is answered, in every size and framing.

use serde_json::json;

use crate::harness::{Server, noise, now_secs, sha256, wait_until};

#[test]
fn every_size_in_both_framings() {
    let server = Server::start();
    let anna = server.login();
    // Around where content stops being kept in the catalog, around blocks and pieces.
    let sizes = [0, 1, 4096, 8_191, 8_192, 8_193, 65_535, 65_536, 65_537, 262_144, 3_000_001];
    for size in sizes {
        let body = noise(size as u64, size);
        for (kind, ask) in [
            ("length", anna.raw("/", "file").body(body.clone())),
            ("chunks", anna.raw("/", "file").chunks(&body, 10_007)),
        ] {
            let answer = anna.send(&ask);
            assert_eq!(answer.told(), (200, 0), "{size} {kind}: {answer:?}");
            assert!(answer.body.is_empty());
            assert_eq!(answer.must("Content-Type"), "text/json;charset=utf-8");
            assert_eq!(answer.must("X-Agile-Path"), "/acme/file");
            assert_eq!(answer.must("X-Agile-Size"), size.to_string());
            assert_eq!(answer.must("X-Agile-Checksum"), sha256(&body));
            assert!(anna.content("/file") == body, "{size} {kind}");
        }
    }
    assert_eq!(anna.names("/").1, ["file"], "each replaced the one before");
}

#[test]
fn default_name_and_directory() {
    let server = Server::start();
    let anna = server.login();
    let mut paths = Vec::new();
    for _ in 0..2 {
        let answer = anna.send(&anna.post("/post/raw").body("x"));
        assert_eq!(answer.told(), (200, 0));
        let path = answer.must("X-Agile-Path").to_owned();
        let hex = path.strip_prefix("/acme/post-").unwrap_or_else(|| panic!("{path}")).to_owned();
        assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{path}");
        paths.push(path);
    }
    assert_ne!(paths[0], paths[1]);
    let in_dir =
        anna.post("/post/raw").with("X-Agile-Directory", "/d/e").with("X-Agile-Recursive", "1");
    let answer = anna.send(&in_dir.body("x"));
    assert!(answer.must("X-Agile-Path").starts_with("/acme/d/e/post-"), "{answer:?}");
    let by_name = anna.send(&anna.post("/post/raw").with("X-Agile-Basename", "name").body("x"));
    assert_eq!(by_name.must("X-Agile-Path"), "/acme/name");
}

#[test]
fn recursive() {
    let server = Server::start();
    let anna = server.login();
    let upload = |directory: &str, recursive: &str| {
        let ask = anna.raw(directory, "f").with("X-Agile-Recursive", recursive).body("x");
        anna.send(&ask).told()
    };
    for (i, yes) in ["true", "yes", "1"].iter().enumerate() {
        assert_eq!(upload(&format!("/made{i}/by/upload"), yes), (200, 0), "{yes}");
    }
    for no in ["false", "no", "0"] {
        assert_eq!(upload("/missing/dir", no), (400, -3), "{no}");
        assert_eq!(upload("/made0", no), (200, 0), "{no}");
    }
    assert_eq!(
        anna.send(&anna.raw("/missing", "f").body("x")).told(),
        (400, -3),
        "the default is false"
    );
    let (dirs, files) = anna.names("/");
    assert_eq!((dirs, files), (vec!["made0".into(), "made1".into(), "made2".into()], vec![]));
}

#[test]
fn mtime() {
    let server = Server::start();
    let anna = server.login();
    let before = now_secs();
    for (given, stored) in [("1450392160", Some(1_450_392_160_u64)), ("0", None), ("1", Some(1))] {
        let answer = anna.send(&anna.raw("/", "f").with("X-Agile-MTime", given).body("x"));
        assert_eq!(answer.told(), (200, 0), "{given}");
        let mtime = anna.stat("/f")["mtime"].as_u64().unwrap();
        match stored {
            Some(stored) => assert_eq!(mtime, stored),
            None => assert!((before..=now_secs()).contains(&mtime), "0 is now: {mtime}"),
        }
        let ctime = anna.stat("/f")["ctime"].as_u64().unwrap();
        assert!((before..=now_secs()).contains(&ctime), "{ctime}");
    }
}

#[test]
fn checksum() {
    let server = Server::start();
    let anna = server.login();
    for size in [0, 100, 500_000] {
        let (old, new) = (noise(1, 1000), noise(2, size));
        anna.put("/f", &old);
        let upload = |checksum: &str| {
            anna.send(&anna.raw("/", "f").with("X-Agile-Checksum", checksum).body(new.clone()))
        };
        for wrong in [sha256(b"something else"), "0".repeat(64)] {
            let answer = upload(&wrong);
            assert_eq!(answer.told(), (400, -26), "{answer:?}");
            assert!(anna.content("/f") == old, "the older file stays");
        }
        for malformed in ["x".to_owned(), String::new(), sha256(&new)[..63].to_owned()] {
            let answer = upload(&malformed);
            assert_eq!(answer.told(), (400, -26), "{malformed:?}: {answer:?}");
        }
        assert!(anna.content("/f") == old);
        assert_eq!(upload(&sha256(&new)).told(), (200, 0));
        assert!(anna.content("/f") == new);
        assert_eq!(upload(&sha256(&new).to_uppercase()).told(), (200, 0), "hex in any case");
    }
    let chunked = anna.raw("/", "g").with("X-Agile-Checksum", sha256(b"x")).chunks(b"y", 1);
    assert_eq!(anna.send(&chunked).told(), (400, -26));
    assert_eq!(anna.code("stat", json!(["/g"])), -1, "nothing is stored");
    let stage = server.data().join("stage");
    wait_until("an empty stage", || std::fs::read_dir(&stage).unwrap().next().is_none());
}

#[test]
fn names_beyond_ascii() {
    let server = Server::start();
    let anna = server.login();
    let ask = anna
        .raw("/caf%C3%A9+bar%20x", "%E4%BB%8A%E6%97%A5%2B.txt")
        .with("X-Agile-Encoding", "UTF8")
        .with("X-Agile-Recursive", "true")
        .body("x");
    let answer = anna.send(&ask);
    assert_eq!(answer.told(), (200, 0), "{answer:?}");
    let path = "/caf\u{e9} bar x/今日+.txt";
    assert_eq!(anna.content_at(path, "/acme/caf%C3%A9%20bar%20x/%E4%BB%8A%E6%97%A5+.txt"), b"x");
    let told = answer.must("X-Agile-Path");
    assert!(told.is_ascii() && told.starts_with("/acme/caf%C3%A9"), "{told}");
    assert!(told.contains("/%E4%BB%8A%E6%97%A5"), "the slash between segments stays: {told}");
    // Without the header a percent sign is a percent sign.
    let answer = anna.send(&anna.raw("/", "%41").body("x"));
    assert_eq!((answer.told(), answer.must("X-Agile-Path")), ((200, 0), "/acme/%41"));
    for (name, directory) in [("caf\u{e9}", "/"), ("f", "/caf\u{e9}")] {
        assert_eq!(anna.send(&anna.raw(directory, name).body("x")).told(), (400, -8), "{name}");
    }
}

/// What comes is stored as sent: a compressed body, a body of another declared type, header names in any case.
#[test]
fn stored_as_sent() {
    let server = Server::start();
    let anna = server.login();
    let gzip = b"\x1f\x8b\x08\x00 not really a gzip";
    let ask = anna.raw("/", "f").with("Content-Encoding", "gzip").with("Content-Type", "text/json");
    assert_eq!(anna.send(&ask.body(gzip)).told(), (200, 0));
    assert_eq!(anna.content("/f"), gzip);
    let got = anna.get("/acme/f");
    assert!(got.header("Content-Encoding").is_none(), "{got:?}");
    let shouted = crate::harness::ask("POST", "/post/raw")
        .with("X-AGILE-AUTHORIZATION", &anna.token)
        .with("x-agile-basename", "g")
        .with("X-aGiLe-dIrEcToRy", "/")
        .body("x");
    assert_eq!(anna.send(&shouted).told(), (200, 0));
    for value in ["COMPLETE", "PARTIAL", "POLICY"] {
        let ask = anna.raw("/", value).with("X-Agile-Expose-Egress", value).body("x");
        assert_eq!(anna.send(&ask).told(), (200, 0), "{value}");
        assert_eq!(anna.content(&format!("/{value}")), b"x");
    }
}

/// Readers see the old or the new, never a mix, and the file never goes away.
#[test]
fn replaced_atomically() {
    let server = Server::start();
    let anna = server.login();
    let versions = [noise(1, 150_000), noise(2, 120_000), noise(3, 900)];
    anna.put("/f", &versions[0]);
    let sums: Vec<String> = versions.iter().map(|v| sha256(v)).collect();
    let read = || {
        for _ in 0..40 {
            let got = anna.get("/acme/f");
            assert_eq!(got.status, 200);
            assert!(sums.contains(&sha256(&got.body)), "a mix of versions");
            assert_eq!(got.must("X-Agile-Checksum"), sha256(&got.body));
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read), scope.spawn(read)];
        for i in 1..40 {
            anna.put("/f", &versions[i % 3]);
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// Copies share their bytes; what nothing refers to any more leaves the disk.
#[test]
fn replaced_bytes_leave_the_disk() {
    let server = Server::start();
    let anna = server.login();
    let count = || count_files(&server.data().join("blobs"));
    anna.put("/f", &noise(1, 100_000));
    assert_eq!(anna.code("copyFile", json!(["/f", "/copy"])), 0);
    assert_eq!(count(), 1, "a copy moves no data");
    anna.put("/f", &noise(2, 100_000));
    assert_eq!(count(), 2);
    assert_eq!(anna.code("deleteFile", json!(["/copy"])), 0);
    wait_until("one blob", || count() == 1);
    anna.put("/f", b"small: kept elsewhere");
    wait_until("no blob", || count() == 0);
}

/// Files below a directory, counted.
pub(crate) fn count_files(dir: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
}
