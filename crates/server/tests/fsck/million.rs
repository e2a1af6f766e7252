//! Many entries: they are looked at in memory that does not grow with them, but for what is said of it (ops::fsck::look).
//!
//! What does not live here: how fast that is; it is printed.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use bytes::Bytes;
use catalog::{Place, audit::Row};
use model::{
    AccountId, Content, ContentType, Digest, DirId, Directory, File, FileAttrs, InlineId, Owner,
    Usage,
};
use serde_json::Value;
use sha2::Digest as _;

use crate::{
    harness::{Server, noise},
    store::{Store, copy},
};

const ACME: AccountId = AccountId(1);
const OWNER: Owner = Owner { uid: 1000, gid: 100 };
/// Entries of one transaction.
const BATCH: u64 = 2_000;
/// Files of a directory.
const FILES: u64 = 200;

/// A store of so many files: a half empty, a quarter with small content, a quarter that share one blob.
fn filled(entries: u64) -> Store {
    let mut server = Server::start();
    server.login().put("/blob", &noise(1, 20_000));
    server.stop();
    let dir = tempfile::Builder::new().prefix("headwater-fsck-").tempdir().unwrap();
    copy(&server.data(), &dir.path().join("data"));
    let store = Store::from_dir(dir);
    let rows = store.rows();
    let root = rows.iter().find_map(|row| match row {
        Row::Account(account) => Some(account.root),
        _ => None,
    });
    let blob = rows.iter().find_map(|row| match row {
        Row::File(_, _, _, file) => Some(file.clone()),
        _ => None,
    });
    let (root, blob) = (root.unwrap(), blob.unwrap());
    let (runtime, catalog) = store.catalog();
    for first in (0..entries).step_by(usize::try_from(BATCH).unwrap()) {
        let blob = blob.clone();
        let batch = catalog.write(move |tx| {
            let mut usage = tx.usage(ACME)?;
            let mut dir = DirId(0);
            for n in first..entries.min(first + BATCH) {
                if n % FILES == 0 {
                    dir = DirId(tx.fresh_id()?);
                    let name = format!("d{n}");
                    let place = Place { account: ACME, dir: root, name: &name };
                    tx.add_directory(place, Directory::new(dir, OWNER, 1))?;
                    usage.directories += 1;
                }
                let (content, size, checksum) = match n % 4 {
                    0 | 1 => (Content::Empty, 0, Digest::EMPTY),
                    2 => {
                        let (id, bytes) = (InlineId(tx.fresh_id()?), n.to_be_bytes());
                        tx.put_inline(ACME, id, Bytes::copy_from_slice(&bytes))?;
                        (Content::Inline(id), 8, Digest(sha2::Sha256::digest(bytes).into()))
                    }
                    _ => {
                        let id = blob.content.blobs().next().unwrap();
                        let refs = tx.blob_refs(id)?;
                        tx.put_blob_refs(id, refs + 1)?;
                        (blob.content.clone(), blob.attrs.size, blob.attrs.checksum)
                    }
                };
                let attrs = FileAttrs {
                    owner: OWNER,
                    size,
                    checksum,
                    content_type: ContentType::octet_stream(),
                    ctime: 1,
                    mtime: n,
                };
                let name = format!("file-{n:08}.bin");
                tx.put_file(
                    Place { account: ACME, dir, name: &name },
                    &File { number: 0, attrs, content },
                )?;
                usage = Usage { files: usage.files + 1, bytes: usage.bytes + size, ..usage };
            }
            tx.put_usage(ACME, usage)
        });
        runtime.block_on(batch).unwrap();
    }
    drop(catalog);
    drop(runtime);
    store
}

/// Looks; returns the report, seconds, and the most memory it had, in KiB.
fn measured(store: &Store, args: &[&str]) -> (Value, f64, u64) {
    let out = store.data().join("report");
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_headwater"))
        .arg("fsck")
        .args(args)
        .arg("--json")
        .arg("--data")
        .arg(store.data())
        .stdout(Stdio::from(fs::File::create(&out).unwrap()))
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.map_or(peak, |line| line.trim().trim_end_matches(" kB").parse().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let report = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    (report, begun.elapsed().as_secs_f64(), peak)
}

#[test]
fn many_entries_in_bounded_memory() {
    let entries = std::env::var("HEADWATER_ENTRIES").map_or(20_000, |n| n.parse().unwrap());
    let begun = Instant::now();
    let store = filled(entries);
    println!("{entries} files made in {:.1} s", begun.elapsed().as_secs_f64());
    for args in [&[][..], &["--deep"]] {
        let (report, seconds, peak) = measured(&store, args);
        println!("fsck {args:?}: {seconds:.1} s, {} MiB at most", peak >> 10);
        assert_eq!(report["total"], 0, "{report:#}");
        assert_eq!(report["counts"]["files"], entries + 1);
        // What RocksDB holds, and 24 bytes each for small contents and references.
        assert!(peak < (200 << 10) + entries * 48 / 1024, "{peak} KiB");
    }
}
