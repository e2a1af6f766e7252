//! The law of what is remembered: whatever an engine keeps in memory, a read sees one state, never an older one than was
//! acknowledged when it began; and a witness holds only while nothing of what was seen is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::model::{AccountId, DirId, Node, Result, TreePath, Usage};

use super::{ACCOUNT, Open, ROOT, at, file, mkdir, with_root};
use crate::{Catalog, Read, Witness};

/// Another account, whose usage is always written together with the first one's.
const OTHER: AccountId = AccountId(2);
const WRITES: u64 = 400;

fn both(read: &mut dyn Read) -> Result<(u64, u64, Option<Witness>)> {
    let first = read.usage(ACCOUNT)?.bytes;
    let other = read.usage(OTHER)?.bytes;
    Ok((first, other, read.witness()))
}

/// Reads beside writes are neither torn nor old.
pub(crate) async fn reads_are_whole_and_new(open: Open<'_>) {
    let catalog = with_root(open).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writing = tokio::spawn({
        let (catalog, acknowledged) = (catalog.clone(), Arc::clone(&acknowledged));
        async move {
            for n in 1..=WRITES {
                let usage = Usage { bytes: n, ..Usage::default() };
                let put = move |tx: &mut dyn crate::Tx| {
                    tx.put_usage(OTHER, usage)?;
                    tx.put_usage(ACCOUNT, usage)
                };
                catalog.write(put).await.unwrap();
                acknowledged.store(n, Ordering::SeqCst);
            }
        }
    });
    let reader = |witnessed: bool| {
        let (catalog, acknowledged) = (catalog.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let mut kept: Option<(u64, Witness)> = None;
            loop {
                let before = acknowledged.load(Ordering::SeqCst);
                if let Some((value, witness)) = &kept
                    && witness.holds()
                {
                    assert!(*value >= before, "{value} is kept, {before} is acknowledged");
                } else {
                    let read = if witnessed {
                        catalog.witnessed(both).await
                    } else {
                        catalog.read(both).await
                    };
                    let (first, other, witness) = read.unwrap();
                    assert_eq!(first, other, "half of a transaction");
                    assert!(first >= before, "{first} is read, {before} is acknowledged");
                    kept = witness.map(|witness| (first, witness));
                }
                if before == WRITES {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let readers = [reader(true), reader(true), reader(false), reader(false)];
    writing.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn seen(catalog: &Catalog, path: &'static str) -> (Option<Node>, Option<Witness>) {
    let look = move |read: &mut dyn Read| {
        let found = read.file(ACCOUNT, ROOT, &TreePath::parse(path)?)?.map(Node::File);
        Ok((found, read.witness()))
    };
    catalog.witnessed(look).await.unwrap()
}

/// A witness of a file, or of its absence, ends with every change of its path and with no other.
pub(crate) async fn witnesses_end_with_what_they_saw(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog.write(|tx| mkdir(tx, ROOT, "d", 50)).await.unwrap();
    catalog.write(|tx| tx.put_file(at(DirId(50), "f"), &file(1))).await.unwrap();
    // An engine without witnesses says so, and is done.
    let (there, Some(of_file)) = seen(&catalog, "d/f").await else { return };
    let (missing, Some(of_absence)) = seen(&catalog, "d/g").await else { return };
    assert!(there.is_some() && missing.is_none());
    assert!(of_file.holds() && of_absence.holds());
    catalog.write(|tx| tx.put_file(at(DirId(50), "other"), &file(2))).await.unwrap();
    catalog.write(|tx| tx.touch_directory(ACCOUNT, DirId(50), 7)).await.unwrap();
    assert!(of_file.holds() && of_absence.holds(), "neighbours do not matter");
    let failed: Result<()> = catalog
        .write(|tx| {
            tx.put_file(at(DirId(50), "f"), &file(3))?;
            Err(::model::Error::Denied)
        })
        .await;
    assert!(failed.is_err() && of_file.holds(), "nothing was changed");
    catalog.write(|tx| tx.put_file(at(DirId(50), "g"), &file(4))).await.unwrap();
    assert!(!of_absence.holds() && of_file.holds());
    catalog.write(|tx| tx.move_entry(at(ROOT, "d"), at(ROOT, "e"))).await.unwrap();
    assert!(!of_file.holds(), "its path leads nowhere now");
    let (gone, Some(_)) = seen(&catalog, "d/f").await else { panic!("no witness") };
    let (moved, Some(of_moved)) = seen(&catalog, "e/f").await else { panic!("no witness") };
    assert!(gone.is_none() && moved.is_some());
    catalog.write(|tx| tx.put_file(at(DirId(50), "f"), &file(5))).await.unwrap();
    assert!(!of_moved.holds(), "it was replaced");
    let in_transaction = catalog.write(|tx| Ok(tx.witness().is_none())).await.unwrap();
    assert!(in_transaction, "what is not durable is no ground for a cache");
}

/// All accounts together are seen, too: one more ends the witness, other records do not.
pub(crate) async fn witnesses_of_all_accounts(open: Open<'_>) {
    let catalog = with_root(open).await;
    let look = |read: &mut dyn Read| Ok((read.first_accounts(2)?.len(), read.witness()));
    let (before, Some(witness)) = catalog.witnessed(look).await.unwrap() else { return };
    catalog.write(|tx| tx.put_usage(ACCOUNT, Usage::default())).await.unwrap();
    assert!(witness.holds());
    let account = super::records::account(77, "another");
    catalog.write(move |tx| tx.put_account(&account)).await.unwrap();
    assert!(!witness.holds());
    let (after, _) = catalog.witnessed(look).await.unwrap();
    assert_eq!(after, (before + 1).min(2));
}
