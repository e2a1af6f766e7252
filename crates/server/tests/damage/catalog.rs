//! Promise 9: single bits flipped in all files of the catalog, each in a copy of its own. The catalog does not open, or
//! `fsck --deep` says what is damaged, or everything that was acknowledged is there and right.
//!
//! What does not live here: which bits RocksDB notices by itself (catalog::embedded::logs has those it does not).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    Chance,
    harness::{Server, noise},
    store::{Store, copy, fill, server},
};

/// How the flip of a bit came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The catalog did not open, with a message.
    Refused,
    /// It opened, and the check found it damaged.
    Reported,
    /// Everything is there and right.
    Irrelevant,
}

/// A catalog with tables, blob files, and a log that was not written to tables yet: its server was killed.
fn killed() -> Store {
    let mut server = server();
    let anna = server.login();
    fill(&server, &anna);
    server.stop();
    for round in 0..3_u64 {
        server.start_again();
        let anna = server.login();
        for n in 0..12_u64 {
            let size = usize::try_from(n * n * 90).unwrap();
            anna.put(&format!("/late{round}/f{n}"), &noise(n, size));
        }
        if round < 2 {
            server.stop();
        }
    }
    server.kill();
    keep(&server)
}

fn keep(server: &Server) -> Store {
    let dir = tempfile::Builder::new().prefix("headwater-flip-").tempdir().unwrap();
    copy(&server.data(), &dir.path().join("data"));
    Store::from_dir(dir)
}

fn files(store: &Store) -> Vec<PathBuf> {
    let all = fs::read_dir(store.data().join("catalog")).unwrap();
    let mut files: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| fs::metadata(path).unwrap().len() > 0);
    files.sort();
    // One of a kind each would hardly ever be hit among tables: these are what RocksDB reads from one end to the other.
    let long: Vec<PathBuf> = files
        .iter()
        .filter(|path| ["log", "MANIFEST"].contains(&kind(path).as_str()))
        .cloned()
        .collect();
    (0..8).for_each(|_| files.extend(long.clone()));
    files
}

/// Looks at everything: exit code and report, or what was said.
fn look(data: &Path) -> (Option<i32>, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(["fsck", "--deep", "--json", "--data"]).arg(data);
    let output = command.env_remove("HEADWATER_DATA").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

fn kind(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    match path.extension().and_then(|e| e.to_str()) {
        Some(extension) => extension.to_owned(),
        None => name.split(['-', '.']).next().unwrap().to_owned(),
    }
}

#[test]
fn flipped_bits_are_never_a_silent_loss() {
    let flips: usize = std::env::var("HEADWATER_FLIPS").map_or(40, |n| n.parse().unwrap());
    let mut chance = Chance::new();
    let whole = killed();
    let files = files(&whole);
    let rows = whole.copy().rows();
    assert!(rows.len() > 200, "{}", rows.len());
    let (code, report, said) = look(&whole.copy().data());
    assert_eq!(code, Some(0), "what is not damaged is well: {report} {said}");
    let mut outcomes: BTreeMap<(String, Outcome), usize> = BTreeMap::new();
    let mut lost = Vec::new();
    for n in 0..flips {
        let path = &files[n % files.len()];
        let name = path.file_name().unwrap();
        let bit = chance.below(usize::try_from(fs::metadata(path).unwrap().len()).unwrap() * 8);
        let store = whole.copy();
        let target = store.data().join("catalog").join(name);
        let mut raw = fs::read(&target).unwrap();
        raw[bit / 8] ^= 1 << (bit % 8);
        fs::write(&target, raw).unwrap();
        let what =
            format!("{} bit {bit} of {}", name.display(), fs::metadata(path).unwrap().len() * 8);
        let outcome = match look(&store.data()) {
            (Some(2), _, said) if said.len() > 30 => Outcome::Refused,
            (Some(1), ..) => Outcome::Reported,
            (Some(0), ..) => match std::panic::catch_unwind(|| store.rows()) {
                Ok(after) if after == rows => Outcome::Irrelevant,
                _ => {
                    lost.push(what);
                    continue;
                }
            },
            other => {
                lost.push(format!("{what}: {other:?}"));
                continue;
            }
        };
        *outcomes.entry((kind(path), outcome)).or_default() += 1;
    }
    for ((kind, outcome), count) in &outcomes {
        println!("{kind}: {outcome:?} {count}");
    }
    assert!(lost.is_empty(), "{} of {flips}: {lost:#?}", lost.len());
}
