//! Versions of the tables: nodes that start together, and a database that is newer than a node.

use model::Error;

use super::super::Postgres;
use super::{OPTIONS, Storage};
use crate::suite::with_root;

#[test]
fn many_start_at_once() {
    let storage = Storage::new();
    let url = storage.0.url();
    let nodes: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || Postgres::open(&url, OPTIONS).map(drop))
        })
        .collect();
    for node in nodes {
        assert_eq!(node.join().unwrap(), Ok(()));
    }
    assert_eq!(storage.0.sql("SELECT id, version FROM headwater_schema").trim(), "1|3");
}

#[tokio::test]
async fn a_newer_one_is_refused() {
    let storage = Storage::new();
    drop(with_root(&|| storage.open()).await);
    storage.0.sql("UPDATE headwater_schema SET version = 4");
    let error = Postgres::open(&storage.0.url(), OPTIONS).err();
    assert!(matches!(&error, Some(Error::Storage(why)) if why.contains("newer")), "{error:?}");
    storage.0.sql("UPDATE headwater_schema SET version = 3");
    drop(storage.open());
}

#[test]
fn who_cannot_be_reached_is_said() {
    let started = std::time::Instant::now();
    let error = Postgres::open("postgres://postgres@/x?host=/nowhere", OPTIONS).err();
    assert!(matches!(error, Some(Error::Unavailable(_))), "{error:?}");
    let storage = Storage::new();
    let url = storage.0.url().replace(&storage.0.name, "no_such_database");
    let error = Postgres::open(&url, OPTIONS).err();
    assert!(
        matches!(&error, Some(Error::Unavailable(why)) if why.contains("no_such_database")),
        "{error:?}"
    );
    assert!(started.elapsed().as_secs() < 60, "it says so, sooner or later");
}
