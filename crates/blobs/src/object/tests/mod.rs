//! The engine over memory and over a real server: the law, damage, the cache, uploads that end early, a network that
//! misbehaves.

mod cache;
mod damage;
mod network;
mod server;
mod uploads;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use model::{AccountId, BlobId, Result, Time};
use object_store::{ObjectStore, memory::InMemory};

use super::{Object, Options};
use crate::{Blob, Blobs, Lying, Stage, suite::Chance};

const ACCOUNT: AccountId = AccountId(7);
const NOW: Time = Time(1_764_000_000_123);
/// After everything these tests write, by any clock, and the skew.
const LATER: Time = Time(u64::MAX / 2);

mod law {
    //! The law, over memory.

    crate::laws!(super::in_memory);
}

/// The law's way to open a store that is in memory.
fn in_memory() -> impl Fn() -> Arc<dyn Blobs> + Sync {
    let (store, scratch) = (Arc::new(InMemory::new()), tempfile::tempdir().unwrap());
    move || {
        let options = Options { cache_bytes: 8 << 20, ..Options::new(scratch.path()) };
        Arc::new(Object::over(store.clone(), "some/prefix", &options).unwrap())
    }
}

/// A store in memory, and an engine over it that keeps no bytes.
struct Fixture {
    store: Arc<InMemory>,
    scratch: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { store: Arc::new(InMemory::new()), scratch: tempfile::tempdir().unwrap() }
    }

    /// An engine that has no byte of a blob in memory.
    fn engine(&self) -> Object {
        let options = Options { memory_bytes: 0, ..Options::new(self.scratch.path()) };
        Object::over(self.store.clone(), "", &options).unwrap()
    }

    async fn objects(&self) -> Vec<String> {
        let found: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        found.into_iter().map(|object| object.location.to_string()).collect()
    }
}

async fn staged(blobs: &dyn Blobs, content: &[u8]) -> Box<dyn Stage> {
    let mut stage = blobs.stage(ACCOUNT, NOW).await.unwrap();
    for frame in content.chunks(300_000) {
        stage.write(Bytes::copy_from_slice(frame)).await.unwrap();
    }
    stage
}

async fn put(blobs: &dyn Blobs, content: &[u8]) -> Result<BlobId> {
    let mut stage = blobs.stage(ACCOUNT, NOW).await?;
    for frame in content.chunks(300_000) {
        stage.write(Bytes::copy_from_slice(frame)).await?;
    }
    stage.finish().await?.seal().await
}

async fn whole(blobs: &dyn Blobs, id: BlobId) -> Result<Bytes> {
    let blob = blobs.open(id).await?;
    blob.read(0, usize::try_from(blob.len()).unwrap()).await
}

/// As a client's download does: piece after piece.
async fn pieces(blob: &dyn Blob) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    while (read.len() as u64) < blob.len() {
        let left = usize::try_from(blob.len()).unwrap() - read.len();
        read.extend_from_slice(&blob.read(read.len() as u64, left.min(256 * 1024)).await?);
    }
    Ok(read)
}

fn content(len: usize) -> Vec<u8> {
    Chance::new(len as u64).bytes(len)
}

/// Waits until `done`, some seconds at most.
async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

async fn lying(blobs: &dyn Blobs) -> Vec<Lying> {
    let found: Arc<std::sync::Mutex<Vec<Lying>>> = Arc::default();
    let list = found.clone();
    let visit = Box::new(move |some: Vec<Lying>| list.lock().unwrap().extend(some));
    blobs.survey(visit).await.unwrap();
    std::mem::take(&mut *found.lock().unwrap())
}
