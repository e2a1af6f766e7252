//! The law, held to this engine, and what is this engine's own.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use model::{Error, Result, TreePath};
use tempfile::TempDir;

use super::room::Room;
use super::{Embedded, Options, open_database};
use crate::Catalog;
use crate::rows::codec::encode;
use crate::rows::keys;
use crate::rows::record::Number;
use crate::suite::pieces::piece;
use crate::suite::uploads::upload;
use crate::suite::{ACCOUNT, ROOT, at, check_dir, file, hold_the_law, with_root};
use crate::{Read, Tx};

struct Storage(TempDir);

impl Storage {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn embedded(&self) -> Embedded {
        Embedded::open(self.0.path(), Options::default()).unwrap()
    }

    fn open(&self) -> Catalog {
        Catalog::new(Arc::new(self.embedded()))
    }

    /// The only log there is.
    fn log(&self) -> std::path::PathBuf {
        let mut files = std::fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().path());
        files.find(|path| path.extension().is_some_and(|e| e == "log")).unwrap()
    }
}

hold_the_law!(Storage::new());

#[test]
fn a_newer_format_is_refused() {
    let storage = Storage::new();
    let embedded = storage.embedded();
    embedded.core.db.put(keys::FORMAT, encode(&Number(2))).unwrap();
    drop(embedded);
    let error = Embedded::open(storage.0.path(), Options::default()).err();
    assert!(matches!(&error, Some(Error::Storage(why)) if why.contains("format 2")), "{error:?}");
}

#[test]
fn an_unknown_index_is_refused() {
    let storage = Storage::new();
    let embedded = storage.embedded();
    let core = Arc::clone(&embedded.core);
    drop(embedded);
    let mut core = Arc::into_inner(core).unwrap();
    core.db.create_cf("later", &rocksdb::Options::default()).unwrap();
    drop(core);
    let error = Embedded::open(storage.0.path(), Options::default()).err();
    assert!(matches!(&error, Some(Error::Storage(why)) if why.contains("later")), "{error:?}");
}

/// A catalog from before there were uploads opens, keeps what it holds, and takes uploads from then on.
#[tokio::test]
async fn missing_indices_are_added() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await.unwrap();
    drop(catalog);
    let embedded = storage.embedded();
    let core = Arc::clone(&embedded.core);
    drop(embedded);
    let mut core = Arc::into_inner(core).unwrap();
    for family in ["uploads", "pieces"] {
        core.db.drop_cf(family).unwrap();
    }
    drop(core);
    for round in 0..2 {
        let catalog = storage.open();
        assert_eq!(catalog.read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(1));
        assert_eq!(catalog.read(|r| Ok(r.uploads(None, 9)?.len())).await, Ok(round));
        let add = catalog.write(|tx| {
            tx.put_upload(&upload(1, 1, 1))?;
            tx.add_piece(upload(1, 1, 1).id, &piece(1, 1))
        });
        assert_eq!(add.await.unwrap().arrival, round as u64 + 1);
    }
}

#[test]
fn a_catalog_is_opened_once() {
    let storage = Storage::new();
    let _first = storage.embedded();
    let error = Embedded::open(storage.0.path(), Options::default()).err();
    assert!(matches!(error, Some(Error::Storage(_))), "{error:?}");
}

#[tokio::test]
async fn nothing_is_written_after_a_failed_write() {
    let storage = Storage::new();
    let embedded = Arc::new(storage.embedded());
    let catalog = Catalog::new(Arc::clone(&embedded) as Arc<dyn crate::Engine>);
    catalog
        .write(|tx| tx.put_root(crate::suite::ACCOUNT, &crate::suite::directory(1)))
        .await
        .unwrap();
    assert_eq!(embedded.stopped(), None);
    embedded.core.stop_writing("the disk is gone");
    let refused = catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await;
    assert!(
        matches!(&refused, Err(Error::Storage(why)) if why.contains("the disk is gone")),
        "{refused:?}"
    );
    assert!(embedded.stopped().is_some());
    assert_eq!(catalog.read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(0), "reads go on");
}

#[tokio::test]
async fn a_checkpoint_is_a_catalog() {
    let storage = Storage::new();
    let to = tempfile::tempdir().unwrap();
    drop(with_root(&|| storage.open()).await);
    let embedded = Arc::new(storage.embedded());
    let catalog = Catalog::new(Arc::clone(&embedded) as Arc<dyn crate::Engine>);
    catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await.unwrap();
    embedded.checkpoint(to.path().join("copy")).unwrap();
    catalog.write(|tx| tx.put_file(at(ROOT, "later"), &file(2))).await.unwrap();
    let copy = Embedded::open(to.path().join("copy"), Options::default()).unwrap();
    let held = Catalog::new(Arc::new(copy)).read(|r| check_dir(r, ROOT)).await.unwrap();
    assert_eq!(held.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["f"]);
}

#[tokio::test]
async fn a_full_disk_is_read_and_not_written() {
    let storage = Storage::new();
    drop(with_root(&|| storage.open()).await);
    let db = open_database(storage.0.path(), Options::default()).unwrap();
    let full = Embedded::start(db, Room::none(storage.0.path().to_owned()), 8 << 20).unwrap();
    let catalog = Catalog::new(Arc::new(full));
    let refused = catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await;
    assert_eq!(refused, Err(Error::Full));
    assert_eq!(catalog.read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(0), "reads go on");
    drop(catalog);
    let catalog = storage.open();
    assert_eq!(
        catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await,
        Ok(()),
        "and so do writes"
    );
}

/// A loss of power in the middle of a write leaves some of its pages: the write was never acknowledged, and everything
/// before it is there, whether the mark knows of it or is older.
#[tokio::test]
async fn a_write_that_was_torn_is_taken_off() {
    for (torn, marked) in [(3_000, true), (40_000, true), (100, false)] {
        let storage = Storage::new();
        let catalog = with_root(&|| storage.open()).await;
        let put = |n: u64| {
            move |tx: &mut dyn crate::Tx| tx.put_file(at(ROOT, &format!("f{n}")), &file(n))
        };
        for n in 0..20 {
            catalog.write(put(n)).await.unwrap();
        }
        drop(catalog);
        let mut log = std::fs::read(storage.log()).unwrap();
        let before = log.len();
        // The beginning of it came, and its end; what is between did not.
        log.extend([1, 2, 3, 4, 0xe8, 0x03, 1, 9, 9]);
        log.resize(before + torn, 0);
        log.extend([5; 7]);
        std::fs::write(storage.log(), log).unwrap();
        if !marked {
            std::fs::remove_file(storage.0.path().join("ACKNOWLEDGED")).unwrap();
        }
        for round in 0..2 {
            let catalog = storage.open();
            assert_eq!(catalog.read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(20 + round));
            catalog.write(put(100 + round as u64)).await.unwrap();
        }
    }
}

/// What was acknowledged and is gone is not passed over, whichever way it went.
#[tokio::test]
async fn a_catalog_that_lost_its_end_is_refused() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    for n in 0..20 {
        catalog.write(move |tx| tx.put_file(at(ROOT, &format!("f{n}")), &file(n))).await.unwrap();
    }
    drop(catalog);
    let refused = || {
        let error = Embedded::open(storage.0.path(), Options::default()).err();
        assert!(matches!(error, Some(Error::Damaged(_))), "{error:?}");
    };
    let log = storage.log();
    let whole = std::fs::read(&log).unwrap();
    for cut in [0, whole.len() - 1, whole.len() / 2] {
        std::fs::write(&log, &whole[..cut]).unwrap();
        refused();
    }
    std::fs::remove_file(&log).unwrap();
    refused();
    std::fs::write(&log, &whole).unwrap();
    let current = storage.0.path().join("CURRENT");
    let leads = std::fs::read(&current).unwrap();
    std::fs::remove_file(&current).unwrap();
    refused();
    std::fs::write(&current, leads).unwrap();
    // And again after its log was written to tables, which leaves the log empty.
    for _ in 0..2 {
        assert_eq!(storage.open().read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(20));
    }
}

/// Changes two files, all of it between two steps of a read.
fn meanwhile(catalog: &Catalog, seed: u64) {
    let catalog = catalog.clone();
    let change = move |tx: &mut dyn Tx| {
        ["a", "b"].into_iter().try_for_each(|name| tx.put_file(at(ROOT, name), &file(seed)))
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let changing = thread::spawn(move || runtime().block_on(catalog.write(change)));
    changing.join().unwrap().unwrap();
}

fn size(read: &mut dyn Read, name: &str) -> Result<u64> {
    let found = read.file(ACCOUNT, ROOT, &TreePath::parse(name)?)?;
    Ok(found.map_or(0, |file| file.attrs.size))
}

/// A short read takes no snapshot. Where rows were written under it, it is made again; one that scans has what it had seen.
#[tokio::test]
async fn a_read_under_which_something_was_written() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    let [old, new] = [1, 2].map(|seed| file(seed).attrs.size);
    assert_ne!(old, new);
    for (scans_first, scans_between, runs, seen) in [
        (false, false, 2, [new; 2]),
        (false, true, 2, [new; 2]),
        (true, false, 1, [old; 2]),
        (true, true, 1, [old; 2]),
    ] {
        meanwhile(&catalog, 1);
        let ran = Arc::new(AtomicUsize::new(0));
        let (other, counted) = (catalog.clone(), Arc::clone(&ran));
        let look = move |read: &mut dyn Read| {
            let count = |read: &mut dyn Read| check_dir(read, ROOT).map(|held| held.len());
            if scans_first {
                assert_eq!(count(read)?, 2);
            }
            let first = size(read, "a")?;
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                meanwhile(&other, 2);
            }
            if scans_between {
                assert_eq!(count(read)?, 2);
            }
            Ok([first, size(read, "b")?])
        };
        let case = (scans_first, scans_between);
        assert_eq!(catalog.read(look).await, Ok(seen), "{case:?}");
        assert_eq!(ran.load(Ordering::SeqCst), runs, "{case:?}");
    }
    // One that may not be made again has a snapshot from the first.
    meanwhile(&catalog, 1);
    let other = catalog.clone();
    let once = move |read: &mut dyn Read| {
        let first = size(read, "a")?;
        meanwhile(&other, 2);
        Ok([first, size(read, "b")?])
    };
    assert_eq!(catalog.read_once(once).await, Ok([old; 2]));
}

/// Alone, a write is done on the thread that brings it, whether others are on its runtime or not; where somebody else writes, it
/// is queued, as it is on a runtime whose only thread must not wait.
#[test]
fn whose_thread_writes() {
    let storage = Storage::new();
    let put = |name: &'static str| move |tx: &mut dyn Tx| tx.put_file(at(ROOT, name), &file(1));
    let many = tokio::runtime::Runtime::new().unwrap();
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let catalog = one.block_on(with_root(&|| storage.open()));
    one.block_on(async {
        assert_eq!(catalog.write(put("queued")).now_or_never(), None);
        // Behind it in the queue.
        catalog.write(put("awaited")).await.unwrap();
    });
    // Soon: who was told that a group is done may be there before the turn is given up.
    let is_done_at_once = |name| {
        (0..500).any(|_| {
            let done = catalog.write(put(name)).now_or_never();
            if done.is_none() {
                thread::sleep(Duration::from_millis(10));
            }
            done == Some(Ok(()))
        })
    };
    many.block_on(async {
        assert!(is_done_at_once("alone"));
        for _ in 0..2 {
            tokio::spawn(pending::<()>());
        }
        assert!(is_done_at_once("among others"));
    });
    let (begin, begun) = sync_channel(1);
    let (end, ended) = sync_channel::<()>(1);
    let slow = {
        let catalog = catalog.clone();
        let wait = move |_: &mut dyn Tx| {
            begin.send(()).unwrap();
            ended.recv().unwrap();
            Ok(())
        };
        thread::spawn(move || one.block_on(catalog.write(wait)))
    };
    begun.recv().unwrap();
    many.block_on(async {
        let mut behind = Box::pin(catalog.write(put("behind")));
        assert_eq!((&mut behind).now_or_never(), None);
        end.send(()).unwrap();
        behind.await.unwrap();
    });
    slow.join().unwrap().unwrap();
    assert_eq!(many.block_on(catalog.read(|r| Ok(check_dir(r, ROOT)?.len()))), Ok(5));
}
