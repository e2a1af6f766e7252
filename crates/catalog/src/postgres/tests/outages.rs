//! A database that goes away, does not answer, or does not say what it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::Error;
use rustix::process::{Pid, Signal, kill_process};
use testbed::{Server, Stop};

use super::{Storage, open};
use crate::Catalog;
use crate::suite::{ROOT, at, check_dir, file, with_root};

async fn put(catalog: &Catalog, name: String) -> model::Result<()> {
    catalog.write(move |tx| tx.put_file(at(ROOT, &name), &file(1))).await
}

/// Writes one file after the other, and remembers those that were acknowledged.
async fn keep_writing(
    catalog: Catalog,
    task: u64,
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let name = format!("{task}-{n}");
        let started = Instant::now();
        match put(&catalog, name.clone()).await {
            Ok(()) => acknowledged.push(name),
            Err(Error::Unavailable(_)) => {
                refused.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(e) => panic!("{e}"),
        }
        assert!(started.elapsed() < Duration::from_secs(30), "it hangs");
    }
    acknowledged
}

/// PostgreSQL is restarted under load, in good order and as if the machine died: writes and reads are refused for that
/// long, go on by themselves, and nothing that was acknowledged is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load() {
    let mut server = Server::own();
    let (url, name) = {
        let database = server.database();
        (database.url(), database.name)
    };
    let catalog = with_root(&|| open(&url)).await;
    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (stop, refused) = (Arc::clone(&stop), Arc::clone(&refused));
            tokio::spawn(keep_writing(catalog.clone(), task, stop, refused))
        })
        .collect();
    for how in [Stop::Fast, Stop::Kill] {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let before = refused.load(Ordering::SeqCst);
        server.stop(how);
        let started = Instant::now();
        let read = catalog.read(|r| r.directory(model::AccountId(1), ROOT)).await;
        assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
        let written = put(&catalog, "never".to_owned()).await;
        assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        // Now and then one is let through to try, so both show after a while.
        while refused.load(Ordering::SeqCst) == before || catalog.check_writable().is_ok() {
            assert!(started.elapsed() < Duration::from_secs(20), "nobody is refused");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.start();
        let back = Instant::now();
        while let Err(e) = put(&catalog, format!("after {how:?}")).await {
            assert!(back.elapsed() < Duration::from_secs(10), "it does not go on: {e}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("{how:?}: goes on {:?} after the server", back.elapsed());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = vec!["after Fast".to_owned(), "after Kill".to_owned()];
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    let held = catalog.scan(|r| check_dir(r, ROOT)).await.unwrap();
    let names: std::collections::HashSet<String> = held.into_iter().map(|(name, _)| name).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !names.contains(*name)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    println!(
        "{} acknowledged, {} refused, {name}",
        acknowledged.len(),
        refused.load(Ordering::SeqCst)
    );
    assert!(acknowledged.len() > 20);
}

/// The connection is lost while COMMIT is being done: it is said that nobody knows, and it is not run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_nobody_knows() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    // Makes every COMMIT that touches `names` take its time.
    storage.0.sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON names DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let runs = Arc::new(AtomicU64::new(0));
    let (counted, writer) = (Arc::clone(&runs), catalog.clone());
    let write = tokio::spawn(async move {
        let put = move |tx: &mut dyn crate::Tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            tx.put_file(at(ROOT, "f"), &file(1))
        };
        writer.write(put).await
    });
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let ended = storage.0.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE query = 'COMMIT' AND state = 'active' AND datname = current_database()",
    );
    assert_eq!(ended.trim(), "t", "the COMMIT was not met");
    let result = write.await.unwrap();
    assert!(
        matches!(&result, Err(Error::Unavailable(why)) if why.contains("did not say")),
        "{result:?}"
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it is not run again");
    storage.0.sql("DROP TRIGGER wait ON names");
    assert_eq!(put(&catalog, "g".to_owned()).await, Ok(()), "and the engine goes on");
}

/// A server that is there and says nothing: everything ends in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer() {
    let storage = Storage::new();
    let catalog = with_root(&|| storage.open()).await;
    catalog.read(|r| r.directory(model::AccountId(1), ROOT)).await.unwrap();
    let pids = storage.0.sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'headwater'",
    );
    let pids: Vec<Pid> =
        pids.lines().filter_map(|pid| Pid::from_raw(pid.trim().parse().unwrap())).collect();
    assert!(pids.len() >= 2, "one that reads, one that writes");
    for pid in &pids {
        kill_process(*pid, Signal::STOP).unwrap();
    }
    let started = Instant::now();
    let written = put(&catalog, "f".to_owned()).await;
    let took = started.elapsed();
    for pid in &pids {
        kill_process(*pid, Signal::CONT).unwrap();
    }
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("{written:?} after {took:?}");
    if let Err(e) = written {
        assert!(matches!(e, Error::Unavailable(_)), "{e}");
    }
    assert_eq!(put(&catalog, "g".to_owned()).await, Ok(()));
}
