//! What operations cost in journeys to the database, statements and rows.

use model::{DirId, TreePath, Usage};

use super::Storage;
use crate::suite::{ACCOUNT, Gate, ROOT, at, file, mkdir, page, submit, with_root};
use crate::{Catalog, Stats, Tx};

fn since(catalog: &Catalog, before: Stats) -> (u64, u64, u64) {
    let now = catalog.stats();
    (
        now.round_trips - before.round_trips,
        now.statements - before.statements,
        now.rows - before.rows,
    )
}

/// As much of an upload as the catalog sees: look at the path, put the file, touch the directory, count.
fn upload(tx: &mut dyn Tx, name: &str) -> model::Result<()> {
    let path = TreePath::parse(&format!("a/b/c/{name}"))?;
    let found = tx.resolve(ACCOUNT, ROOT, &path)?;
    let dir = found.map_or(ROOT, |found| found.dir.id);
    let usage = tx.usage(ACCOUNT)?;
    tx.put_file(at(dir, name), &file(1))?;
    tx.touch_directory(ACCOUNT, dir, 9)?;
    tx.put_usage(ACCOUNT, Usage { files: usage.files + 1, ..usage })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journeys() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    let tree = |tx: &mut dyn Tx| {
        mkdir(tx, ROOT, "a", 50)?;
        mkdir(tx, DirId(50), "b", 51)?;
        mkdir(tx, DirId(51), "c", 52)?;
        (0..500).try_for_each(|n| mkdir(tx, DirId(52), &format!("d{n}"), 100 + n).map(drop))
    };
    catalog.write(tree).await.unwrap();
    // Everything is connected.
    for n in 0..20 {
        catalog.read(|r| r.usage(ACCOUNT)).await.unwrap();
        catalog.write(move |tx| upload(tx, &format!("w{n}"))).await.unwrap();
    }
    println!("| operation | journeys | statements | rows |\n| --- | --- | --- | --- |");
    let show = |what: &str, (journeys, statements, rows): (u64, u64, u64)| {
        println!("| {what} | {journeys} | {statements} | {rows} |");
    };
    // A read's last journey, the end of its transaction, is not waited for by the caller, nor here.
    let path = TreePath::parse("a/b/c/w3").unwrap();
    let before = catalog.stats();
    catalog.read(move |r| r.file(ACCOUNT, ROOT, &path)).await.unwrap().unwrap();
    let of_file = since(&catalog, before);
    show("a file by its path, four segments", of_file);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let before = catalog.stats();
    let rows = catalog.scan(|r| {
        let mut rows = 0;
        r.list_directories(ACCOUNT, DirId(52), 0, 400, true, &mut |_, _, record| {
            assert!(record.is_some());
            rows += 1;
        })?;
        Ok(rows)
    });
    assert_eq!(rows.await, Ok(400));
    let of_page = since(&catalog, before);
    show("a page of 400 directories with their records", of_page);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let before = catalog.stats();
    assert_eq!(
        catalog.scan(|r| page(r, DirId(52), model::Kind::File, 0, 20)).await.unwrap().len(),
        20
    );
    show("a page of 20 files", since(&catalog, before));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let before = catalog.stats();
    catalog.write(|tx| upload(tx, "alone")).await.unwrap();
    let alone = since(&catalog, before);
    show("an upload by itself", alone);
    let gate = Gate::close(&catalog).await;
    let before = catalog.stats();
    let mut waiting = Vec::new();
    for n in 0..100 {
        waiting.push(submit(catalog.write(move |tx| upload(tx, &format!("g{n}")))).await);
    }
    gate.open().await;
    for write in waiting {
        write.wait().await.unwrap();
    }
    let together = since(&catalog, before);
    show("100 uploads that wait together", together);
    // The caller waits for one journey; the end of the transaction may have been counted.
    assert!(of_file.0 <= 2 && of_file.1 == 1, "{of_file:?}");
    assert!(of_page.0 <= 2 && of_page.1 == 1, "{of_page:?}");
    assert!(alone.0 <= 5, "{alone:?}");
    assert!(together.0 <= 8, "their number does not matter: {together:?}");
    assert_eq!(catalog.read(|r| Ok(r.usage(ACCOUNT)?.files)).await, Ok(121));
}
