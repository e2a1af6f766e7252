//! The same as the embedded engine: who was told the same holds the same rows, and they are repaired alike.

use model::{DirId, InlineId, Time, TokenHash};

use super::Storage;
use crate::audit::{Audit, Index, Row};
use crate::embedded::{Embedded, Options};
use crate::suite::pieces::piece;
use crate::suite::uploads::upload;
use crate::suite::{ACCOUNT, ROOT, at, file, mkdir};
use crate::{Catalog, Tx};

/// A bit of everything.
fn fill(tx: &mut dyn Tx) -> model::Result<()> {
    tx.put_root(ACCOUNT, &crate::suite::directory(ROOT.0))?;
    tx.put_account(&crate::suite::records::account(1, "acme"))?;
    mkdir(tx, ROOT, "d", 50)?;
    mkdir(tx, DirId(50), "e", 51)?;
    for n in 0..70 {
        tx.put_file(at(DirId(50), &format!("f{}", n * 7919 % 70)), &file(n))?;
    }
    tx.put_file(at(ROOT, "é\u{1f600}"), &file(3))?;
    tx.remove_file(at(DirId(50), "f9"))?;
    tx.move_entry(at(DirId(50), "f10"), at(DirId(51), "moved"))?;
    tx.put_inline(ACCOUNT, InlineId(3), bytes::Bytes::from_static(b"content"))?;
    let blob = model::BlobId::new(ACCOUNT, 5, [1; 6]);
    tx.put_blob_refs(blob, 2)?;
    tx.doom(model::BlobId::new(model::AccountId(u32::MAX), 6, [0xff; 6]), Time(9))?;
    for n in 1..=3 {
        let stored = tx.put_upload(&upload(n, 1, 1))?;
        tx.add_piece(stored.id, &piece(1, 3))?;
        tx.add_piece(stored.id, &piece(u32::MAX, 4))?;
        tx.add_piece(stored.id, &piece(1, 5))?;
    }
    tx.put_used_signature(ACCOUNT, model::Digest([7; 32]), Time(8))?;
    tx.put_row(&Row::SessionOf(model::UserId(4), TokenHash([0xff; 32])))?;
    tx.put_row(&Row::SessionOf(model::UserId(u32::MAX), TokenHash([0; 32])))?;
    tx.put_row(&Row::JobDue(Time(5), model::JobId { account: ACCOUNT, number: 2 }))?;
    tx.put_row(&Row::UnfinishedJobs(ACCOUNT, 3))
}

fn all(audit: &dyn Audit, index: Index, after: Option<&Row>) -> model::Result<Vec<Row>> {
    audit.rows(index, after).collect()
}

/// The last id is each engine's own: one counts, the other takes blocks.
fn without_ids(rows: Vec<Row>) -> Vec<Row> {
    rows.into_iter().filter(|row| !matches!(row, Row::LastId(_))).collect()
}

#[tokio::test]
async fn rows_are_the_embedded_engines() {
    let storage = Storage::new();
    let dir = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(dir.path().join("c"), Options::default()).unwrap();
    let engines = [storage.open(), Catalog::new(std::sync::Arc::new(embedded))];
    let mut seen = Vec::new();
    for catalog in &engines {
        catalog.write(fill).await.unwrap();
        let look = |audit: &dyn Audit| {
            let rows = Index::ALL.into_iter().map(|index| {
                let rows = all(audit, index, None)?;
                // From the middle on, and each by itself.
                for (i, row) in rows.iter().enumerate() {
                    assert_eq!(audit.stored(row)?.as_ref(), Some(row));
                    if i % 7 == 3 {
                        assert_eq!(all(audit, index, Some(row))?, rows[i + 1..], "after {row:?}");
                    }
                }
                Ok(without_ids(rows))
            });
            rows.collect::<model::Result<Vec<_>>>()
        };
        seen.push(catalog.audit(look).await.unwrap());
    }
    for (index, (one, other)) in Index::ALL.into_iter().zip(seen[0].iter().zip(&seen[1])) {
        assert_eq!(one, other, "{index:?}");
    }
    let total: usize = seen[0].iter().map(Vec::len).sum();
    assert!(total > 150, "{total} rows were compared");
}

/// Rows that are put and removed behind the back of the rules, the last id included.
#[tokio::test]
async fn repairs() {
    let storage = Storage::new();
    let catalog = storage.open();
    catalog.write(fill).await.unwrap();
    let first = catalog.write(|tx| tx.fresh_id()).await.unwrap();
    catalog.write(|tx| tx.put_row(&Row::LastId(50_000))).await.unwrap();
    let later = catalog.write(|tx| tx.fresh_id()).await.unwrap();
    assert!(first < 50_000 && later == 50_001, "{first}, {later}");
    let gone = Row::SessionOf(model::UserId(4), TokenHash([0xff; 32]));
    let row = gone.clone();
    catalog.write(move |tx| tx.remove_row(&row)).await.unwrap();
    let stored = catalog.audit(move |audit| audit.stored(&gone)).await.unwrap();
    assert_eq!(stored, None);
    // What the database has no room for is refused, and looked for in vain.
    let large = Row::UploadOf(model::UserId(1), u64::MAX, model::UploadId([1; 16]));
    let row = large.clone();
    let refused = catalog.write(move |tx| tx.put_row(&row)).await;
    assert!(matches!(refused, Err(model::Error::Storage(_))), "{refused:?}");
    assert_eq!(catalog.audit(move |audit| audit.stored(&large)).await, Ok(None));
}

/// A value that is none of ours is reported as damage.
#[tokio::test]
async fn damage_is_seen() {
    let storage = Storage::new();
    let catalog = storage.open();
    catalog.write(fill).await.unwrap();
    storage.0.sql("UPDATE dirs SET value = '\\x63' WHERE dir = 50");
    let error = catalog.read(|r| r.directory(ACCOUNT, DirId(50))).await;
    assert!(matches!(error, Err(model::Error::Damaged(_))), "{error:?}");
    let error = catalog.read(|r| r.node(at(ROOT, "d"))).await;
    assert!(matches!(error, Err(model::Error::Damaged(_))), "{error:?}");
    assert!(catalog.read(|r| r.node(at(ROOT, "é\u{1f600}"))).await.unwrap().is_some());
}
