//! The object-store engine: blobs as objects of S3, Google Cloud Storage or Azure, for any number of nodes.
//!
//! What lives here: the store itself, its removals. What does not: the format (`crate::layout`, the same as on disk: bytes,
//! then trailer), names (`names`), how it is reached (`place`, `http`) and what its faults mean (`fault`), writing
//! (`stage`, `parts`, `spool`), reading (`read`, `chunks`, `cache`, `readers`), walks and the clean-up (`walk`).
//!
//! The invariants: what the store acknowledged is durable, and nothing is called sealed before; no byte leaves before its
//! block was compared with its checksum; nothing waits for the store without end; nothing that must survive lives on
//! this node.

mod cache;
mod chunks;
mod fault;
mod http;
mod names;
mod parts;
mod place;
mod read;
mod readers;
mod spool;
mod stage;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use model::{AccountId, BlobId, Error, Result, Time};
use object_store::{Error as StoreError, ObjectStoreExt as _, path::Path};
use quick_cache::{OptionsBuilder, sync::Cache};
use tokio::{runtime::Handle, sync::Semaphore};

pub use self::place::{Store, Variable};
use self::{
    cache::{DiskCache, Key, Scratch},
    chunks::{Abouts, ByWeight, CHUNK_BYTES, Hot, Pages},
    fault::{SHORT, fault, short},
    http::Connector,
    names::Names,
    place::Place,
    readers::Readers,
};
use crate::{Blob, Blobs, Lying, Stage, Task, fresh_id, threads::blocking};

/// Memory for what blobs say about themselves, in bytes: some 50,000 of up to 1 MiB.
const ABOUTS_BYTES: u64 = 16 * 1024 * 1024;
/// Pages of checksums of very long blobs, of 64 KiB.
const PAGES_MAX: usize = 64;
/// Chunks that all readers together have ahead of what was asked for.
const AHEAD_ALL_MAX: usize = 64;
/// Uploads being aborted at a time; what is more is left to the clean-up.
const GIVINGS_UP_MAX: usize = 64;
/// How long the removal of blobs waits for their readers on this node.
const READERS_LEAVE: Duration = Duration::from_secs(10);
/// Objects that are removed in one request, at most.
const REMOVED_AT_ONCE: usize = 1000;

/// How a store is used by this node.
#[derive(Clone)]
pub struct Options {
    /// The operator's variables: credentials, endpoint, region (`AWS_…`, `GOOGLE_…`, `AZURE_…`). Others are passed over.
    pub variables: Vec<Variable>,
    /// A directory of this machine for what may be lost: cached chunks, and uploads that are read while they arrive. Made if
    /// it is not there; nodes may share it.
    pub scratch: PathBuf,
    /// Bytes of hot blobs kept in files there; 0 keeps none.
    pub cache_bytes: u64,
    /// Bytes of hot blobs kept in memory.
    pub memory_bytes: u64,
}

impl std::fmt::Debug for Options {
    /// Without the variables: there are secrets among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("scratch", &self.scratch)
            .field("cache_bytes", &self.cache_bytes)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Without variables: 64 MiB in memory, no files.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        let (variables, cache_bytes) = (Vec::new(), 0);
        Self { variables, scratch: scratch.into(), cache_bytes, memory_bytes: 64 * 1024 * 1024 }
    }
}

/// Blobs in an object store.
pub struct Object {
    shared: Arc<Shared>,
    requests: Arc<AtomicU64>,
}

/// What outlives a call.
struct Shared {
    store: Arc<dyn Store>,
    /// Whether the store gives the last bytes of an object whose length is not known.
    suffixes: bool,
    names: Names,
    abouts: Abouts,
    hot: Hot,
    pages: Pages,
    /// Before `scratch`: its files go first.
    disk: Option<Arc<DiskCache>>,
    scratch: Arc<Scratch>,
    readers: Arc<Readers>,
    ahead: Arc<Semaphore>,
    givings_up: Arc<Semaphore>,
}

impl Object {
    /// The store at `url`: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. Asks nothing of it yet:
    /// a node starts while its store is away. Blocks, briefly.
    ///
    /// # Errors
    /// [`Error::Storage`]: a URL or variables that cannot be used (their values are not repeated), or a scratch directory that
    /// cannot be made.
    pub fn open(url: &str, options: &Options) -> Result<Self> {
        let (place, http) = (Place::parse(url)?, Connector::default());
        let requests = Arc::clone(&http.requests);
        let store = place.store(&options.variables, http)?;
        let suffixes = place.has_suffixes();
        Self::made(store, suffixes, &place.prefix, options, requests)
    }

    /// The same over a store that is at hand. Blocks, briefly.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn over(store: Arc<dyn Store>, prefix: &str, options: &Options) -> Result<Self> {
        Self::made(store, true, prefix, options, Arc::default())
    }

    fn made(
        store: Arc<dyn Store>,
        suffixes: bool,
        prefix: &str,
        options: &Options,
        requests: Arc<AtomicU64>,
    ) -> Result<Self> {
        let scratch = Arc::new(Scratch::open(&options.scratch)?);
        let disk = (options.cache_bytes > 0)
            .then(|| DiskCache::new(Arc::clone(&scratch), options.cache_bytes, CHUNK_BYTES))
            .transpose()?
            .map(Arc::new);
        let of_abouts = OptionsBuilder::new()
            .weight_capacity(ABOUTS_BYTES)
            .estimated_items_capacity(16 * 1024)
            .build()
            .map_err(|e| Error::Storage(format!("cache: {e:?}")))?;
        let shared = Shared {
            store,
            suffixes,
            names: Names::new(prefix)?,
            abouts: Cache::with_options(
                of_abouts,
                ByWeight,
                Default::default(),
                Default::default(),
            ),
            hot: cache::bounded(options.memory_bytes, CHUNK_BYTES)?,
            pages: Cache::new(PAGES_MAX),
            disk,
            scratch,
            readers: Arc::default(),
            ahead: Arc::new(Semaphore::new(AHEAD_ALL_MAX)),
            givings_up: Arc::new(Semaphore::new(GIVINGS_UP_MAX)),
        };
        Ok(Self { shared: Arc::new(shared), requests })
    }

    /// HTTP requests made so far, the tries among them; 0 for a store that was at hand.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    fn staged(&self, id: BlobId) -> Box<dyn Stage> {
        Box::new(stage::ObjectStage::new(Arc::clone(&self.shared), id))
    }
}

impl Blobs for Object {
    /// A store does not say how much room it has. The disk of this node does not matter to most uploads; those that are read
    /// while they arrive meet it when they are written to it.
    fn takes(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }

    fn stage(&self, account: AccountId, now: Time) -> Task<'_, Result<Box<dyn Stage>>> {
        let staged = fresh_id(account, now).map(|id| self.staged(id));
        Box::pin(std::future::ready(staged))
    }

    fn stage_as(&self, id: BlobId) -> Task<'_, Result<Box<dyn Stage>>> {
        Box::pin(std::future::ready(Ok(self.staged(id))))
    }

    fn open(&self, id: BlobId) -> Task<'_, Result<Box<dyn Blob>>> {
        Box::pin(async move {
            let shared = &self.shared;
            let last = {
                let shared = Arc::clone(shared);
                Box::new(move |id| shared.remove_later(id))
            };
            let reading = shared
                .readers
                .enter(id, last)
                .ok_or_else(|| Error::Damaged(format!("blob {id:?}: is missing")))?;
            let about = shared.about(id).await?;
            Ok(Box::new(read::ObjectBlob::new(Arc::clone(shared), about, reading)) as Box<dyn Blob>)
        })
    }

    fn remove(&self, id: BlobId) -> Task<'_, Result<()>> {
        Box::pin(async move {
            // With readers on this node the last of them removes it: if this process dies before, it is garbage again.
            match self.shared.readers.leave(id) {
                true => self.shared.remove_now(id).await,
                false => Ok(()),
            }
        })
    }

    fn remove_all(&self, ids: Vec<BlobId>) -> Task<'_, Result<()>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let mut read = ids.clone();
            read.retain(|id| !shared.readers.leave(*id));
            // Readers that take longer find the rest missing: whoever calls this expects the blobs gone afterwards.
            drop(tokio::time::timeout(READERS_LEAVE, shared.readers.idle_all(&read)).await);
            let mut removed = Ok(());
            for some in ids.chunks(REMOVED_AT_ONCE) {
                removed = shared.remove_some(some).await;
                if removed.is_err() {
                    break;
                }
            }
            for id in ids {
                shared.abouts.remove(&id);
                shared.readers.gone(id);
            }
            removed
        })
    }

    fn survey(&self, visit: Box<dyn FnMut(Vec<Lying>) + Send>) -> Task<'_, Result<()>> {
        Box::pin(self.shared.survey(visit))
    }

    fn sealed_between(
        &self,
        since: Time,
        before: Time,
        visit: Box<dyn FnMut(Vec<BlobId>) + Send>,
    ) -> Task<'_, Result<()>> {
        Box::pin(self.shared.sealed_between(since, before, visit))
    }

    fn give_up_stages(&self, before: Time) -> Task<'_, Result<usize>> {
        Box::pin(self.shared.give_up_stages(before))
    }
}

impl Shared {
    async fn remove_now(&self, id: BlobId) -> Result<()> {
        let removed = match short(self.store.delete(&self.names.blob(id))).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(e) => Err(fault("removing a blob", &e)),
        };
        self.abouts.remove(&id);
        self.readers.gone(id);
        removed
    }

    /// Removes a blob that nobody reads any more, in a task of its own.
    fn remove_later(self: Arc<Self>, id: BlobId) {
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = self.remove_now(id).await {
                tracing::warn!(%error, blob = ?id, "not removed; the sweep finds it");
            }
        });
    }

    async fn remove_some(&self, ids: &[BlobId]) -> Result<()> {
        let paths: Vec<object_store::Result<Path>> =
            ids.iter().map(|id| Ok(self.names.blob(*id))).collect();
        let mut removed = self.store.delete_stream(futures_util::stream::iter(paths).boxed());
        loop {
            match tokio::time::timeout(SHORT, removed.next()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(_) | Err(StoreError::NotFound { .. }))) => {}
                Ok(Some(Err(e))) => return Err(fault("removing blobs", &e)),
                Err(_) => {
                    return Err(Error::Unavailable(
                        "object store: removing blobs: not in time".into(),
                    ));
                }
            }
        }
    }

    /// What the files of the cache have of a chunk.
    async fn cached(&self, key: Key, len: usize) -> Option<Bytes> {
        let disk = Arc::clone(self.disk.as_ref()?);
        blocking(move || Ok(disk.get(&key, len))).await.ok().flatten()
    }

    async fn forget_cached(&self, key: Key) {
        let Some(disk) = self.disk.clone() else { return };
        // A cache that cannot forget is asked again, and found wrong again.
        drop(
            blocking(move || {
                disk.forget(&key);
                Ok(())
            })
            .await,
        );
    }

    /// Keeps a chunk in a file, beside whatever happens to it meanwhile.
    fn keep_cached(&self, key: Key, bytes: &Bytes) {
        if let Some(disk) = self.disk.clone() {
            let bytes = bytes.clone();
            drop(tokio::task::spawn_blocking(move || disk.keep(key, &bytes)));
        }
    }
}
