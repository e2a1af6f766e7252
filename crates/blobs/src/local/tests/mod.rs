//! The local engine held to the law, and to what only a local engine can promise: which files exist when, what damage
//! is noticed, what a failing disk leaves.

mod damage;
mod disk;
mod files;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{AccountId, BlobId, Time};

use super::{Local, LocalOptions};
use crate::{Blobs, suite};

const ACCOUNT: AccountId = AccountId(7);
const NOW: Time = Time(1_764_000_000_123);

mod law {
    crate::laws!(super::fresh);
}

mod law_direct {
    crate::laws!(super::fresh_direct);
}

/// A way to open one new directory again and again.
fn fresh() -> impl Fn() -> Arc<dyn Blobs> + Sync {
    let dir = tempfile::tempdir().unwrap();
    move || Arc::new(Local::open(dir.path()).unwrap())
}

/// The same, with all that can go past the page cache going there.
fn fresh_direct() -> impl Fn() -> Arc<dyn Blobs> + Sync {
    let dir = tempfile::tempdir().unwrap();
    let options = LocalOptions { reserve_bytes: 0, direct_from: 5000 };
    move || Arc::new(Local::open_with(dir.path(), options).unwrap())
}

/// A store in a directory of its own.
fn store() -> (tempfile::TempDir, Local) {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(dir.path()).unwrap();
    (dir, local)
}

fn path_of(dir: &Path, id: BlobId) -> PathBuf {
    crate::layout::sealed_path(&dir.join("blobs"), id)
}

/// All files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Waits for what happens on other threads.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn frame(len: usize) -> Bytes {
    Bytes::from(suite::Chance::new(len as u64).bytes(len))
}
