//! What operations cost in journeys to the database, statements and rows.

use std::time::{Duration, Instant};

use bytes::Bytes;
use model::{Account, Content, DirId, File, InlineId, TokenHash, TreePath, Usage, User};

use super::Storage;
use crate::suite::{ACCOUNT, Gate, ROOT, at, file, mkdir, page, records, submit, with_root};
use crate::{Catalog, Read, Stats, Tx};

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
    tokio::time::sleep(Duration::from_millis(100)).await;
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
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = catalog.stats();
    assert_eq!(
        catalog.scan(|r| page(r, DirId(52), model::Kind::File, 0, 20)).await.unwrap().len(),
        20
    );
    show("a page of 20 files", since(&catalog, before));
    tokio::time::sleep(Duration::from_millis(100)).await;
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

/// What a read waits for the database.
async fn journeys_of<T: Send + 'static>(
    catalog: &Catalog,
    read: impl FnMut(&mut dyn Read) -> model::Result<T> + Send + 'static,
) -> (T, u64) {
    let before = catalog.stats();
    let found = catalog.read(read).await.unwrap();
    (found, since(catalog, before).0)
}

fn caller(r: &mut dyn Read, token: &TokenHash) -> model::Result<Option<Account>> {
    let Some(session) = r.session(token)? else { return Ok(None) };
    let Some(user) = r.user(session.user)? else { return Ok(None) };
    r.account(user.account)
}

fn content(r: &mut dyn Read, account: &str, path: &TreePath) -> model::Result<Option<Bytes>> {
    r.expect_file(account, path, true)?;
    let Some(account) = r.account_by_name(account)? else { return Ok(None) };
    match r.file(account.id, account.root, path)? {
        Some(File { content: Content::Inline(id), .. }) => r.inline(account.id, id),
        Some(_) | None => Ok(None),
    }
}

/// Rows that led to one another are read together the next time, and when they lead elsewhere, what is there is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trails() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    let [one, two, three] = [1, 2, 3].map(|n| TokenHash([n; 32]));
    let acme = Account { root: ROOT, ..records::account(ACCOUNT.0, "acme") };
    let other = records::account(ACCOUNT.0 + 1, "other");
    let put = [acme.clone(), other.clone()];
    let fill = move |tx: &mut dyn Tx| {
        put.iter().try_for_each(|account| tx.put_account(account))?;
        tx.put_root(put[1].id, &crate::suite::directory(put[1].root.0))?;
        tx.put_user(&records::user(1, "a"))?;
        tx.put_user(&User { account: put[1].id, ..records::user(2, "b") })?;
        for (token, user) in [(one, 1), (two, 1), (three, 2)] {
            tx.put_session(&token, &records::session(user, TreePath::root()))?;
        }
        mkdir(tx, ROOT, "d", 50)?;
        for n in [1, 2] {
            let inline = InlineId(n);
            tx.put_inline(ACCOUNT, inline, Bytes::from(vec![b'x'; 100]))?;
            let file = File { content: Content::Inline(inline), ..file(100) };
            tx.put_file(at(DirId(50), &format!("f{n}")), &file)?;
        }
        Ok(())
    };
    catalog.write(fill).await.unwrap();
    let who = |token: TokenHash| journeys_of(&catalog, move |r| caller(r, &token));
    assert_eq!(who(one).await, (Some(acme.clone()), 3), "session, user, account");
    assert_eq!(who(one).await, (Some(acme.clone()), 1), "all of them together");
    assert_eq!(who(two).await, (Some(acme.clone()), 2), "the session, then what its user leads to");
    // The session becomes another user's: the trail leads to the wrong one.
    let session = records::session(2, TreePath::root());
    catalog.write(move |tx| tx.put_session(&one, &session)).await.unwrap();
    assert_eq!(who(one).await.0, Some(other.clone()));
    assert_eq!(who(one).await, (Some(other), 1));

    let get = |name: &'static str, path: &str| {
        let path = TreePath::parse(path).unwrap();
        journeys_of(&catalog, move |r| content(r, name, &path))
    };
    let (bytes, journeys) = get("acme", "d/f1").await;
    println!("a file's content by its account's name: {journeys} journeys at first, then 1");
    assert_eq!(bytes.map(|bytes| bytes.len()), Some(100));
    let (bytes, journeys) = get("acme", "d/f2").await;
    assert_eq!((bytes.map(|bytes| bytes.len()), journeys), (Some(100), 1));
    assert_eq!(get("acme", "d/f3").await, (None, 1));
    // A row that was written by a release before does not say which content it leads to.
    storage.0.sql("UPDATE names SET content = NULL");
    let (bytes, journeys) = get("acme", "d/f2").await;
    assert_eq!((bytes.map(|bytes| bytes.len()), journeys), (Some(100), 2));
    // The name becomes another account's.
    let renamed = Account { name: "was acme".to_owned(), ..acme };
    catalog.write(move |tx| tx.put_account(&renamed)).await.unwrap();
    assert_eq!(get("acme", "d/f2").await.0, None);
}

/// Reads that wait together wait for the database together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_in_groups() {
    let storage = Storage::new();
    let options = super::Options { readers: 1 };
    let engine = super::Postgres::open(&storage.0.url(), options).unwrap();
    let engine = Catalog::new(std::sync::Arc::new(engine));
    let catalog = with_root(&|| engine.clone()).await;
    let fill = |tx: &mut dyn Tx| {
        mkdir(tx, ROOT, "d", 50)?;
        (0..100).try_for_each(|n| tx.put_file(at(DirId(50), &format!("f{n}")), &file(n)))
    };
    catalog.write(fill).await.unwrap();
    // The one thread that reads is kept until all have come.
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
    let (began, begun) = tokio::sync::oneshot::channel();
    let mut first = Some((began, gone));
    let holds = catalog.clone();
    let read = move |_: &mut dyn Read| {
        if let Some((began, gone)) = first.take() {
            began.send(()).unwrap();
            gone.recv().unwrap();
        }
        Ok(())
    };
    let keeps = tokio::spawn(async move { holds.read(read).await });
    begun.await.unwrap();
    let before = catalog.stats();
    let mut reads = Vec::new();
    for n in 0..100 {
        let path = TreePath::parse(&format!("d/f{n}")).unwrap();
        let read = catalog.read(move |r| {
            // One after the other, by what the one before has found.
            let usage = r.usage(ACCOUNT)?;
            assert_eq!(usage.files, 0);
            r.file(ACCOUNT, ROOT, &path)
        });
        reads.push(submit(read).await);
    }
    // One that scans, which cannot be noted, and one that breaks, which is its own affair.
    let scans = submit(catalog.read(|r| r.accounts())).await;
    let breaks = submit(catalog.read(|_| -> model::Result<()> { panic!("on purpose") })).await;
    go.send(()).unwrap();
    keeps.await.unwrap().unwrap();
    for (n, read) in reads.into_iter().enumerate() {
        assert_eq!(read.wait().await.unwrap().unwrap().attrs.size, n as u64);
    }
    assert_eq!(scans.wait().await, Ok(Vec::new()));
    assert!(breaks.wait().await.is_err());
    let (journeys, statements, rows) = since(&catalog, before);
    println!("102 reads together: {journeys} journeys, {statements} statements, {rows} rows");
    // Two groups of two journeys each, and the scan; the ends of transactions may have been counted.
    assert!(journeys <= 8, "{journeys}");
}

/// Rows that the database's statements looked at, by table, once all connections have ended: then it has counted them.
fn looked_at(storage: &Storage, table: &str) -> u64 {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let end = Instant::now() + Duration::from_secs(120);
    while storage.0.sql(others).trim() != "0" {
        assert!(Instant::now() < end, "connections do not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let rows = format!(
        "SELECT t.seq_tup_read + (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes AS i \
         WHERE i.relid = t.relid) FROM pg_stat_user_tables AS t WHERE t.relname = '{table}'"
    );
    storage.0.sql(&rows).trim().parse().unwrap()
}

/// Before a table was ever counted, the database's planner guesses. What it makes of that must not be to read whole
/// directories, which costs time, and above all has every node of many in conflict with all others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uncounted_tables() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    let tree = |tx: &mut dyn Tx| {
        mkdir(tx, ROOT, "a", 50)?;
        mkdir(tx, DirId(50), "b", 51)?;
        mkdir(tx, DirId(51), "c", 52).map(drop)
    };
    catalog.write(tree).await.unwrap();
    // Rows that nobody asks for, as they would be when the tables grew faster than anybody counts them.
    for table in ["names", "numbers", "dirs"] {
        storage.0.sql(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)"));
    }
    let (account, many) = (ACCOUNT.0, 5000);
    storage.0.sql(&format!(
        "INSERT INTO names SELECT {account}, 52, sha256(n::text::bytea), n::text::bytea, NULL, '\\x00' \
         FROM generate_series(1, {many}) AS n; \
         INSERT INTO dirs SELECT {account}, 1000 + n, '\\x00' FROM generate_series(1, {many}) AS n"
    ));
    let tables = ["names", "dirs"];
    drop(catalog);
    let before = tables.map(|table| looked_at(&storage, table));
    let catalog = storage.open();
    let uploads = (0..40).map(|n| catalog.write(move |tx| upload(tx, &format!("u{n}"))));
    for done in futures_util::future::join_all(uploads).await {
        done.unwrap();
    }
    let reads = (0..40).map(|n| {
        let path = TreePath::parse(&format!("a/b/c/u{n}")).unwrap();
        catalog.read(move |r| r.file(ACCOUNT, ROOT, &path))
    });
    for found in futures_util::future::join_all(reads).await {
        assert!(found.unwrap().is_some());
    }
    drop(catalog);
    for (table, before) in tables.into_iter().zip(before) {
        let rows = looked_at(&storage, table) - before;
        println!("40 uploads and 40 lookups read {rows} rows of table {table}");
        assert!(rows < many / 4, "{rows} rows of table {table} were read");
    }
}
