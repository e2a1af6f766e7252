//! The law of transactions: all or nothing, one after the other, durable, and seen whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::model::{DirId, Error, InlineId, Kind, Node, Result, Usage};
use bytes::Bytes;

use super::{ACCOUNT, Gate, Open, ROOT, at, check_dir, file, mkdir, page, submit, with_root};
use crate::{Catalog, Read, Tx};

/// An operation that fails after it changed all kinds of things leaves none of them.
pub(crate) async fn a_failure_leaves_nothing(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog.write(|tx| tx.put_file(at(ROOT, "old"), &file(1))).await.unwrap();
    let before = catalog.read(everything).await.unwrap();
    let failed: Result<()> = catalog
        .write(|tx| {
            change_all_kinds(tx)?;
            Err(Error::Denied)
        })
        .await;
    assert_eq!(failed, Err(Error::Denied), "the closure's own error comes back");
    assert_eq!(catalog.read(everything).await.unwrap(), before);
    assert_eq!(catalog.write(|tx| everything(tx)).await.unwrap(), before);
}

/// So does one that panics, and the engine goes on.
pub(crate) async fn a_panic_leaves_nothing(open: Open<'_>) {
    let catalog = with_root(open).await;
    let before = catalog.read(everything).await.unwrap();
    let gate = Gate::close(&catalog).await;
    let panicking = submit(catalog.write::<(), _>(|tx| {
        change_all_kinds(tx)?;
        panic!("a test panics on purpose");
    }))
    .await;
    let neighbour = submit(catalog.write(|tx| tx.put_usage(ACCOUNT, Usage::default()))).await;
    gate.open().await;
    assert!(panicking.wait().await.is_err_and(|e| e.is_ours()));
    assert_eq!(neighbour.wait().await, Ok(()));
    assert_eq!(catalog.read(everything).await.unwrap(), before);
}

fn change_all_kinds(tx: &mut dyn Tx) -> Result<()> {
    tx.put_file(at(ROOT, "old"), &file(9))?;
    tx.put_file(at(ROOT, "new"), &file(2))?;
    mkdir(tx, ROOT, "d", 50)?;
    tx.move_entry(at(ROOT, "old"), at(DirId(50), "moved"))?;
    tx.touch_directory(ACCOUNT, ROOT, 5)?;
    tx.put_usage(ACCOUNT, Usage { files: 5, directories: 5, bytes: 5 })?;
    let id = InlineId(tx.fresh_id()?);
    tx.put_inline(ACCOUNT, id, Bytes::from_static(b"content"))
}

type Everything =
    (Vec<(String, Node)>, Option<::model::Directory>, Option<::model::Directory>, Usage);

fn everything(read: &mut dyn Read) -> Result<Everything> {
    Ok((
        check_dir(read, ROOT)?,
        read.directory(ACCOUNT, ROOT)?,
        read.directory(ACCOUNT, DirId(50))?,
        read.usage(ACCOUNT)?,
    ))
}

/// Operations that wait together see each other's changes, in the order they came.
pub(crate) async fn each_sees_those_before(open: Open<'_>) {
    let catalog = with_root(open).await;
    let stats = catalog.stats();
    let gate = Gate::close(&catalog).await;
    let mut waiting = Vec::new();
    for n in 0..100_u64 {
        let write = catalog.write(move |tx| {
            let usage = tx.usage(ACCOUNT)?;
            assert_eq!(usage.files, n);
            tx.put_usage(ACCOUNT, Usage { files: n + 1, ..usage })?;
            tx.put_file(at(ROOT, &format!("f{n}")), &file(n))?;
            Ok(page(tx, ROOT, Kind::File, 0, usize::MAX)?.len() as u64)
        });
        waiting.push(submit(write).await);
    }
    gate.open().await;
    for (n, write) in (1..).zip(waiting) {
        assert_eq!(write.wait().await, Ok(n));
    }
    assert_eq!(catalog.read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(100));
    let now = catalog.stats();
    assert!(now.commits >= stats.commits + 100, "{stats:?} {now:?}");
    assert!(
        now.groups < now.commits,
        "those that wait together are made durable together: {now:?}"
    );
}

/// Failing operations in a group leave nothing, and their neighbours everything.
pub(crate) async fn failures_among_neighbours(open: Open<'_>) {
    let catalog = with_root(open).await;
    let gate = Gate::close(&catalog).await;
    let mut waiting = Vec::new();
    for n in 0..60_u64 {
        let write = catalog.write(move |tx| {
            tx.put_file(at(ROOT, &format!("f{n}")), &file(n))?;
            // Each third replaces its predecessor, and each third fails after the same.
            if n % 3 != 0 {
                tx.remove_file(at(ROOT, &format!("f{}", n - n % 3)))?;
            }
            if n % 3 == 1 { Err(Error::Exists) } else { Ok(()) }
        });
        waiting.push(submit(write).await);
    }
    gate.open().await;
    for (n, write) in (0..).zip(waiting) {
        assert_eq!(write.wait().await, if n % 3 == 1 { Err(Error::Exists) } else { Ok(()) }, "{n}");
    }
    let names =
        catalog.read(|r| Ok(check_dir(r, ROOT)?.into_iter().map(|(n, _)| n).collect::<Vec<_>>()));
    let mut expected: Vec<String> =
        (0..60).filter(|n| n % 3 == 2).map(|n| format!("f{n}")).collect();
    expected.sort();
    assert_eq!(names.await, Ok(expected));
    let root = catalog.read(|r| r.directory(ACCOUNT, ROOT)).await.unwrap().unwrap();
    assert_eq!((root.files, root.last_file), (20, 40), "failed operations took no numbers");
}

/// A scan in a transaction shows durable rows and waiting changes in one order: added, replaced, removed.
pub(crate) async fn a_view_merges_what_waits(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| (1..=30).try_for_each(|n| tx.put_file(at(ROOT, &format!("f{n}")), &file(n))))
        .await
        .unwrap();
    catalog
        .write(|tx| {
            for n in [1, 2, 15, 30] {
                tx.remove_file(at(ROOT, &format!("f{n}")))?;
            }
            for n in [3, 16, 29] {
                tx.put_file(at(ROOT, &format!("f{n}")), &file(1000 + n))?;
            }
            tx.put_file(at(ROOT, "f1"), &file(31))?;
            tx.put_file(at(ROOT, "f32"), &file(32))?;
            tx.remove_file(at(ROOT, "f32"))?;
            let numbers: Vec<u64> =
                page(tx, ROOT, Kind::File, 0, 99)?.into_iter().map(|row| row.0).collect();
            let expected: Vec<u64> = (3..=31).filter(|n| ![15, 30].contains(n)).collect();
            assert_eq!(numbers, expected);
            assert_eq!(
                page(tx, ROOT, Kind::File, 14, 2)?,
                [(16, "f16".into()), (17, "f17".into())]
            );
            assert_eq!(page(tx, ROOT, Kind::File, 29, 9)?, [(31, "f1".into())]);
            check_dir(tx, ROOT).map(drop)
        })
        .await
        .unwrap();
    assert_eq!(catalog.read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(27));
}

/// Many tasks write into one directory: all entries are there, numbers are one row without gaps, counters are right.
pub(crate) async fn many_writers_in_one_directory(open: Open<'_>) {
    const TASKS: u64 = 32;
    const EACH: u64 = 40;
    let catalog = with_root(open).await;
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let catalog = catalog.clone();
        tasks.push(tokio::spawn(async move {
            for n in 0..EACH {
                let name = format!("{task}-{n}");
                catalog.write(move |tx| tx.put_file(at(ROOT, &name), &file(n))).await?;
                // What was acknowledged is seen at once.
                let name = format!("{task}-{n}");
                assert!(catalog.read(move |r| r.node(at(ROOT, &name))).await?.is_some());
            }
            Ok::<_, Error>(())
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let held = catalog.scan(|r| check_dir(r, ROOT)).await.unwrap();
    assert_eq!(held.len() as u64, TASKS * EACH);
    let root = catalog.read(|r| r.directory(ACCOUNT, ROOT)).await.unwrap().unwrap();
    assert_eq!((root.files, root.last_file), (TASKS * EACH, TASKS * EACH));
    let stats = catalog.stats();
    assert!(stats.commits > TASKS * EACH && stats.groups < stats.commits, "{stats:?}");
}

/// A reader sees one state, however much is written while it reads.
pub(crate) async fn a_snapshot_stands_still(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| (0..50).try_for_each(|n| tx.put_file(at(ROOT, &format!("f{n}")), &file(n))))
        .await
        .unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let writer =
        tokio::spawn(keep_replacing(catalog.clone(), Arc::clone(&written), Arc::clone(&stop)));
    for _ in 0..20 {
        let written = Arc::clone(&written);
        let states = catalog.scan(move |r| {
            let first = check_dir(r, ROOT)?;
            let seen = written.load(Ordering::SeqCst);
            // At least one write is made durable while this reader goes on.
            while written.load(Ordering::SeqCst) < seen + 2 {
                std::thread::yield_now();
            }
            Ok((first, check_dir(r, ROOT)?))
        });
        let (first, second) = states.await.unwrap();
        assert_eq!(first, second);
        let sizes: Vec<u64> = first
            .iter()
            .map(|(_, node)| if let Node::File(file) = node { file.attrs.size / 1000 } else { 0 })
            .collect();
        assert!(
            sizes.iter().all(|size| *size == sizes[0]),
            "half of a transaction is seen: {sizes:?}"
        );
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
}

/// Replaces all files again and again, all of them in each transaction.
async fn keep_replacing(catalog: Catalog, written: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    for round in 1.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let write = catalog.write(move |tx| {
            (0..50)
                .try_for_each(|n| tx.put_file(at(ROOT, &format!("f{n}")), &file(1000 * round + n)))
        });
        write.await.unwrap();
        written.fetch_add(1, Ordering::SeqCst);
    }
}

/// What was acknowledged is there when the storage is opened again.
pub(crate) async fn all_is_there_again(open: Open<'_>) {
    let mut expected = with_root(open).await.read(everything).await.unwrap();
    for round in 0..3_u64 {
        let catalog = open();
        assert_eq!(catalog.read(everything).await.unwrap(), expected);
        catalog
            .write(move |tx| {
                mkdir(tx, ROOT, &format!("d{round}"), 100 + round)?;
                tx.put_usage(ACCOUNT, Usage { files: round, directories: 0, bytes: 0 })?;
                tx.put_file(at(ROOT, &format!("f{round}")), &file(round))
            })
            .await
            .unwrap();
        expected = catalog.read(everything).await.unwrap();
        assert_eq!(expected.0.len() as u64, 2 * (round + 1));
    }
}

/// Closing a catalog waits for the writes it accepted, whether or not anybody waits for them.
pub(crate) async fn dropping_finishes_writes(open: Open<'_>) {
    let catalog = with_root(open).await;
    let gate = Gate::close(&catalog).await;
    for n in 0..50 {
        let write = catalog.write(move |tx| tx.put_file(at(ROOT, &format!("f{n}")), &file(n)));
        drop(submit(write).await);
    }
    let opener = gate.open_soon();
    drop(catalog);
    assert_eq!(open().read(|r| Ok(check_dir(r, ROOT)?.len())).await, Ok(50));
    opener.join().unwrap();
}
