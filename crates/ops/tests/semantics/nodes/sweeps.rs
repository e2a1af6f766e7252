//! Clean-up while other nodes read, upload and copy.

use std::time::Duration;

use blobs::Blobs;
use bytes::Bytes;
use model::{BlobId, Error};
use ops::{AccountRef, Candidate, Found, Limits, Opened, Parents, Store, fsck, link::Shown, sweep};

use super::Cluster;
use crate::harness::{path, put, spec};

const HOUR: u64 = 3600;

async fn open(store: &Store, name: &str) -> Result<Opened, Error> {
    let account = AccountRef::Named("acme".to_owned());
    let candidate = Candidate { account, path: path(name), account_in_path: true };
    match store.get(vec![candidate], Shown::default(), true, true).await? {
        Found::File(file) => Ok(file),
        Found::Arriving(..) => panic!("nothing arrives"),
    }
}

/// Sealed blobs that lie there.
async fn lying(cluster: &Cluster) -> usize {
    let found: std::sync::Arc<std::sync::Mutex<Vec<BlobId>>> = Default::default();
    let list = found.clone();
    let visit = Box::new(move |ids: Vec<BlobId>| list.lock().unwrap().extend(ids));
    let (first, last) = (model::Time(0), model::Time(u64::MAX));
    cluster.blobs.sealed_between(first, last, visit).await.unwrap();
    found.lock().unwrap().len()
}

async fn sweep_all(store: &Store) {
    let mut after = None;
    loop {
        after = store.sweep_doomed_shared(after).await.unwrap();
        if after.is_none() {
            return;
        }
    }
}

#[tokio::test]
async fn what_another_node_may_be_reading_stays_for_a_while() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    put(&one.store, &caller, spec(&path("f"), Parents::Required), &[7; 50_000]).await.unwrap();
    put(&one.store, &caller, spec(&path("g"), Parents::Required), &[7; 50_000]).await.unwrap();
    let read = open(&two.store, "f").await.unwrap();
    one.store.delete_file(&caller, &path("f")).await.unwrap();
    put(&one.store, &caller, spec(&path("g"), Parents::Required), &[8; 50_000]).await.unwrap();
    assert_eq!(lying(&cluster).await, 3);
    cluster.clock.advance_secs(HOUR - 1);
    sweep_all(&one.store).await;
    assert_eq!(lying(&cluster).await, 3);
    assert_eq!(read.read(0, 50_000).await.unwrap(), vec![7; 50_000]);
    // The copy of a whole store has begun on another node: nothing goes.
    let kept = two.store.hold("keep/copy").await.unwrap();
    cluster.clock.advance_secs(1);
    sweep_all(&one.store).await;
    assert_eq!(lying(&cluster).await, 3);
    two.store.leave().await.unwrap();
    sweep_all(&one.store).await;
    assert_eq!(lying(&cluster).await, 1);
    assert_eq!(two.store.fsck(fsck::Options::default()).await.unwrap().left, 0);
    drop(kept);
}

fn patient(commit_within_ms: u64, settle_ms: u64) -> Cluster {
    let sweep = sweep::Limits { commit_within_ms, settle_ms, ..sweep::Limits::default() };
    Cluster::with(Limits { sweep, ..Limits::default() })
}

#[tokio::test]
async fn what_a_dead_node_left_goes_after_a_week() {
    let cluster = patient(u64::MAX, 1);
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    put(&one.store, &caller, spec(&path("f"), Parents::Required), &[7; 50_000]).await.unwrap();
    let now = model::Time(1_700_000_000_000);
    let mut stage = cluster.blobs.stage(caller.account, now).await.unwrap();
    stage.write(Bytes::from_static(b"left")).await.unwrap();
    stage.finish().await.unwrap().seal().await.unwrap();
    assert_eq!(two.store.sweep_orphans_shared().await, Ok(0), "it may be on its way");
    cluster.clock.advance_secs(25 * HOUR);
    assert_eq!(one.store.sweep_orphans_shared().await, Ok(1));
    cluster.clock.advance_secs(25 * HOUR);
    assert_eq!(two.store.sweep_orphans_shared().await, Ok(0), "it is doomed by now");
    sweep_all(&two.store).await;
    assert_eq!(lying(&cluster).await, 2);
    cluster.clock.advance_secs(7 * 24 * HOUR);
    sweep_all(&two.store).await;
    assert_eq!(lying(&cluster).await, 1);
    assert!(open(&two.store, "f").await.is_ok());
    assert_eq!(one.store.fsck(fsck::Options::default()).await.unwrap().left, 0);
}

#[tokio::test]
async fn an_upload_whose_blob_was_taken_for_an_orphan_is_refused() {
    let cluster = patient(u64::MAX, 1);
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    let spec = || spec(&path("f"), Parents::Required);
    let mut upload = one.store.upload(&caller).unwrap();
    upload.write(Bytes::from(vec![7; 50_000])).await.unwrap();
    // Sealed, and then its node stands still for a day.
    one.way.hold_back();
    let committing = tokio::spawn(upload.commit(spec()));
    super::until("sealed", async || lying(&cluster).await == 1).await;
    cluster.clock.advance_secs(25 * HOUR);
    assert_eq!(two.store.sweep_orphans_shared().await, Ok(1));
    one.way.let_through();
    let refused = committing.await.unwrap().map(drop);
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(matches!(open(&two.store, "f").await, Err(Error::NotFound)));
    put(&one.store, &caller, spec(), &[8; 50_000]).await.unwrap();
    cluster.clock.advance_secs(8 * 24 * HOUR);
    sweep_all(&two.store).await;
    assert_eq!(lying(&cluster).await, 1);
    assert_eq!(open(&two.store, "f").await.unwrap().read(0, 9).await.unwrap(), vec![8; 9]);
    assert_eq!(one.store.fsck(fsck::Options::default()).await.unwrap().left, 0);
}

#[tokio::test]
async fn an_upload_that_is_committed_between_the_two_looks_keeps_its_blob() {
    let cluster = patient(u64::MAX, 3_000);
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    let mut upload = one.store.upload(&caller).unwrap();
    upload.write(Bytes::from(vec![7; 50_000])).await.unwrap();
    one.way.hold_back();
    let committing = tokio::spawn(upload.commit(spec(&path("f"), Parents::Required)));
    super::until("sealed", async || lying(&cluster).await == 1).await;
    cluster.clock.advance_secs(25 * HOUR);
    let store = two.store.clone();
    let sweeping = tokio::spawn(async move { store.sweep_orphans_shared().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    one.way.let_through();
    let done = committing.await.unwrap().map(drop);
    let doomed = sweeping.await.unwrap();
    // On a machine that stands still here for seconds the upload is refused; never both.
    assert_eq!(doomed, Ok(usize::from(done.is_err())));
    assert_eq!(open(&two.store, "f").await.is_ok(), done.is_ok());
}

#[tokio::test]
async fn an_upload_that_takes_too_long_from_seal_to_commit_is_refused() {
    let cluster = Cluster::new();
    let [one] = cluster.nodes();
    let caller = one.somebody().await;
    for (late, secs) in [(false, 1_799), (true, 1_801)] {
        let mut upload = one.store.upload(&caller).unwrap();
        upload.write(Bytes::from(vec![7; 50_000])).await.unwrap();
        let before = lying(&cluster).await;
        one.way.hold_back();
        let committing = tokio::spawn(upload.commit(spec(&path("f"), Parents::Required)));
        super::until("sealed", async || lying(&cluster).await > before).await;
        // The seal has returned when the write is on its way.
        tokio::time::sleep(Duration::from_millis(100)).await;
        cluster.clock.advance_secs(secs);
        one.way.let_through();
        let done = committing.await.unwrap();
        assert_eq!(matches!(done, Err(Error::Unavailable(_))), late);
    }
}
