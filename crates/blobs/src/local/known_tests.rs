//! What is remembered of open files, and when it no longer counts.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use model::{BlobId, Error, Result, Time};

use super::{Known, LOOK_GOOD_FOR, SETTLED_AFTER, VERIFIED_FOR};
use crate::{
    Blobs, FileSpan, Local,
    layout::{BLOCK_BYTES, sealed_path},
    local::read::LocalBlob,
    suite::{Chance, sealed, seed},
};

const NOW: Time = Time(1_764_000_000_123);
/// More than what is compared in one go, and not a whole number of blocks.
const LEN: usize = 7 * BLOCK_BYTES + 1234;
const BLOCK: u64 = BLOCK_BYTES as u64;

struct Fixture {
    dir: tempfile::TempDir,
    local: Local,
    content: Vec<u8>,
    id: BlobId,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::open(dir.path()).unwrap();
        let content = Chance::new(7).bytes(LEN);
        let id = sealed(&local, &content, NOW).await;
        Self { dir, local, content, id }
    }

    fn blobs(&self) -> PathBuf {
        self.dir.path().join("blobs")
    }

    fn path(&self) -> PathBuf {
        sealed_path(&self.blobs(), self.id)
    }

    fn open(&self) -> Result<Arc<Known>> {
        LocalBlob::open(&self.blobs(), self.id).map(|blob| Arc::clone(blob.file()))
    }
}

/// Changes one byte and nothing else, as an editor would.
fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

/// As an operator would.
#[expect(clippy::disallowed_methods, reason = "nothing durable is made")]
fn exchange(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

fn settle() {
    std::thread::sleep(SETTLED_AFTER + Duration::from_millis(100));
}

fn bytes_of(span: &FileSpan) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; span.len];
    span.file.read_exact_at(&mut bytes, span.offset).unwrap();
    bytes
}

fn remembered(known: &Known) -> u32 {
    let memory = known.memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.bits.iter().map(|word| word.count_ones()).sum()
}

fn is_damaged<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Damaged(_)))
}

/// Without a look that was taken before.
fn now(known: &Known, at: u64, len: usize) -> Option<Result<FileSpan>> {
    known.memory.lock().unwrap().looked = None;
    known.verified_now(at, len)
}

/// The whole blob, span by span.
fn all(known: &Known, wait: bool) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    while got.len() < LEN {
        let (at, len) = (got.len() as u64, LEN - got.len());
        let span = if wait {
            known.verified_later(at, len)?
        } else {
            now(known, at, len).expect("what was just written is in memory")?
        };
        assert!(span.len > 0 && span.offset == at);
        got.extend(bytes_of(&span));
    }
    Ok(got)
}

#[tokio::test]
async fn spans_are_the_content() {
    let fixture = Fixture::new().await;
    let known = fixture.open().unwrap();
    let seed = seed();
    let mut chance = Chance::new(seed);
    for turn in 0..400 {
        if turn == 200 {
            settle();
        }
        let (a, b) = (chance.below(LEN), chance.below(LEN));
        let (from, to) = (a.min(b), a.max(b) + 1);
        let span = match chance.below(2) {
            0 => known.verified_later(from as u64, to - from).unwrap(),
            _ => now(&known, from as u64, to - from).unwrap().unwrap(),
        };
        let got = bytes_of(&span);
        assert!(!got.is_empty() && got.len() <= to - from, "seed {seed}");
        assert!(got == fixture.content[from..from + got.len()], "seed {seed}");
    }
    for (from, len) in [(0, 0), (LEN as u64, 1), (0, LEN + 1), (u64::MAX, 2)] {
        assert!(is_damaged(&known.verified_later(from, len)), "{from} {len}");
        assert!(is_damaged(&now(&known, from, len).unwrap()), "{from} {len}");
    }
}

#[tokio::test]
async fn nothing_is_remembered_of_a_file_that_was_changed_a_moment_ago() {
    let fixture = Fixture::new().await;
    flip(&fixture.path(), 5);
    flip(&fixture.path(), 5);
    let known = fixture.open().unwrap();
    for wait in [true, false] {
        assert!(all(&known, wait).unwrap() == fixture.content);
        assert_eq!(remembered(&known), 0);
    }
}

#[tokio::test]
async fn what_was_compared_is_remembered_until_the_file_changes_or_time_passes() {
    let fixture = Fixture::new().await;
    settle();
    let (path, known) = (fixture.path(), fixture.open().unwrap());
    let first = now(&known, BLOCK + 1, LEN - BLOCK_BYTES - 1).unwrap().unwrap();
    assert_eq!((first.len, remembered(&known)), (4 * BLOCK_BYTES - 1, 4), "one go and no more");
    assert!(all(&known, false).unwrap() == fixture.content);
    assert_eq!(remembered(&known), 8);
    let whole = now(&known, 0, LEN).unwrap().unwrap();
    assert_eq!(whole.len, LEN, "what is remembered is one span");

    let back = Instant::now().checked_sub(VERIFIED_FOR).unwrap();
    known.memory.lock().unwrap().since = back;
    now(&known, LEN as u64 - 1, 1).unwrap().unwrap();
    assert_eq!(remembered(&known), 1, "the time is over");

    assert!(all(&known, true).unwrap() == fixture.content);
    flip(&path, 3 * BLOCK + 7);
    for _ in 0..2 {
        assert!(is_damaged(&now(&known, 3 * BLOCK, 1).unwrap()));
        assert!(is_damaged(&known.verified_later(4 * BLOCK - 1, 1)));
        assert!(is_damaged(&all(&known, false)) && is_damaged(&all(&known, true)));
        let before = known.verified_later(0, 3 * BLOCK_BYTES).unwrap();
        assert!(bytes_of(&before) == fixture.content[..3 * BLOCK_BYTES], "one block is damaged");
        settle();
    }
    assert_eq!(remembered(&known), 3, "what was damaged is not remembered");
    flip(&path, 3 * BLOCK + 7);
    assert!(all(&known, false).unwrap() == fixture.content);
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    assert!(is_damaged(&now(&known, 0, 1).unwrap()) && is_damaged(&all(&known, true)));
}

#[tokio::test]
async fn open_files_are_shared_while_they_are_what_they_were() {
    let fixture = Fixture::new().await;
    let (files, id, path) = (&fixture.local.store.open, fixture.id, fixture.path());
    assert!(fixture.local.open(id).await.is_ok() && files.get(id).is_none(), "too young");
    settle();
    fixture.local.open(id).await.unwrap();
    let kept = files.get(id).unwrap();
    fixture.local.open(id).await.unwrap();
    assert!(Arc::ptr_eq(&kept, &files.get(id).unwrap()));

    // Changed, cut, gone on, replaced, exchanged: each is noticed by whoever opens it next.
    let raw = fs::read(&path).unwrap();
    let other = sealed(&fixture.local, &[1; LEN], NOW).await;
    let (aside, other) = (fixture.dir.path().join("aside"), sealed_path(&fixture.blobs(), other));
    let damages: [&dyn Fn(); 5] = [
        &|| fs::write(&path, &raw[1..]).unwrap(),
        &|| fs::write(&path, [&raw[..], b"x"].concat()).unwrap(),
        &|| {
            fs::copy(&other, &aside).unwrap();
            exchange(&aside, &path);
        },
        &|| exchange(&path, &aside),
        &|| {
            exchange(&other, &path);
            exchange(&aside, &other);
        },
    ];
    for (turn, damage) in damages.into_iter().enumerate() {
        damage();
        assert!(is_damaged(&fixture.local.open(id).await.map(|_| ())), "damage {turn}");
        if turn == 3 {
            exchange(&aside, &path);
            assert!(fixture.local.open(id).await.is_ok());
            settle();
            assert!(fixture.local.open(id).await.is_ok() && files.get(id).is_some());
            exchange(&path, &aside);
        } else if turn < 3 {
            fs::write(&path, &raw).unwrap();
            settle();
            assert!(fixture.local.open(id).await.is_ok() && files.get(id).is_some(), "{turn}");
        }
    }
}

/// Whoever took it: a file that many ask for is not looked at for each of them.
#[tokio::test]
async fn a_look_is_good_for_a_moment() {
    let fixture = Fixture::new().await;
    settle();
    fixture.local.open(fixture.id).await.unwrap();
    let known = fixture.local.store.open.get(fixture.id).unwrap();
    let looked = |known: &Known| known.memory.lock().unwrap().looked;
    let when = looked(&known).expect("who opens it has looked");
    assert_eq!(known.last_look(when), Some(known.stamp));
    assert_eq!(known.last_look(when + LOOK_GOOD_FOR), None);
    assert!(all(&known, false).unwrap() == fixture.content);
    assert!(looked(&known) > Some(when), "so has who sends it");
    flip(&fixture.path(), 5);
    known.memory.lock().unwrap().looked = when.checked_sub(LOOK_GOOD_FOR);
    assert!(is_damaged(&known.verified_now(0, 1).unwrap()), "it was looked at again");
}

#[tokio::test]
async fn a_removed_file_is_let_go_and_only_some_are_kept() {
    let fixture = Fixture::new().await;
    let mut ids = vec![fixture.id];
    for n in 0..300_u16 {
        ids.push(sealed(&fixture.local, &n.to_le_bytes(), NOW).await);
    }
    settle();
    for id in &ids {
        fixture.local.open(*id).await.unwrap();
    }
    let files = &fixture.local.store.open;
    let kept: Vec<_> = ids.iter().filter(|id| files.get(**id).is_some()).collect();
    assert!((1..=256).contains(&kept.len()), "{}", kept.len());
    let last = Arc::downgrade(&files.get(ids[300]).unwrap());
    let before = Arc::downgrade(&files.get(ids[299]).unwrap());
    fixture.local.remove(ids[300]).await.unwrap();
    fixture.local.remove_all(vec![ids[299]]).await.unwrap();
    assert!(last.upgrade().is_none() && before.upgrade().is_none(), "their room is free");
    for id in [ids[300], ids[299]] {
        assert!(is_damaged(&fixture.local.open(id).await.map(|_| ())));
    }
}
