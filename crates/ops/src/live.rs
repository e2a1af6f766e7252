//! Files that can be read while they arrive (`Expose-Egress: PARTIAL`, protocol.md, section 9).
//!
//! What lives here: which files are arriving, and reading along, woken by what comes and by nothing else. What does not:
//! how bytes arrive (`landing`), what becomes of them (`put`). Kept in memory, since what is arriving arrives at this
//! process and ends with it. The invariants: a reader gets the bytes of one upload and no other; it learns the end only
//! when the file is durable under its name; an upload that comes to no such end, for whatever reason, ends its readers
//! with an error, and where its size was announced the last byte is kept back until then, so that no reader has all of
//! it before it is known to be good.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use blobs::Follow;
use bytes::Bytes;
use model::{AccountId, ContentType, Error, Result, TreePath};
use tokio::sync::watch;

use crate::{Store, TypeRule, content_type::detect};

/// Whose file, and its path from the account's top directory.
type Key = (AccountId, TreePath);

/// The files that are arriving and may be read meanwhile.
#[derive(Default)]
pub(crate) struct Arriving {
    /// How many there are: nearly always none, and then a GET looks no further.
    count: AtomicUsize,
    /// Under each path the uploads to it, in the order in which they began.
    uploads: Mutex<HashMap<Key, Vec<Arc<Live>>>>,
}

/// One upload, as its readers see it.
struct Live {
    name: String,
    rule: TypeRule,
    /// How many bytes it will have, where that is known.
    size: Option<u64>,
    progress: watch::Sender<Progress>,
    source: Mutex<Source>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    bytes: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    GivenUp,
}

#[derive(Default)]
struct Source {
    /// The beginning, which tells the type; the whole, while there is no stage.
    head: Bytes,
    stage: Option<Arc<dyn Follow>>,
}

impl Arriving {
    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The latest upload to a path.
    pub(crate) fn find(&self, account: AccountId, path: &TreePath) -> Option<Following> {
        let uploads = self.uploads();
        let live = uploads.get(&(account, path.clone()))?.last()?;
        let changes = live.progress.subscribe();
        Some(Following { live: Arc::clone(live), changes })
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<Key, Vec<Arc<Live>>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that is being read along. Dropping it ends its readers with an error.
pub(crate) struct Exposed {
    store: Store,
    key: Key,
    live: Arc<Live>,
}

impl Exposed {
    /// Shows an upload of which nothing came yet. `path`: from the account's top directory; `size`: what was announced.
    pub(crate) fn new(
        store: &Store,
        (account, path): Key,
        rule: TypeRule,
        size: Option<u64>,
    ) -> Self {
        let live = Arc::new(Live {
            name: path.name().unwrap_or_default().to_owned(),
            rule,
            size,
            progress: watch::Sender::default(),
            source: Mutex::default(),
        });
        let arriving = &store.0.arriving;
        let key = (account, path);
        arriving.uploads().entry(key.clone()).or_default().push(Arc::clone(&live));
        arriving.count.fetch_add(1, Ordering::Release);
        Self { store: store.clone(), key, live }
    }

    /// Whether readers look for it under `path`.
    pub(crate) fn is_at(&self, path: &TreePath) -> bool {
        self.key.1 == *path
    }

    /// So many bytes came, all of which are in `head`.
    pub(crate) fn remembered(&self, head: &[u8]) {
        self.live.source().head = Bytes::copy_from_slice(head);
        self.advance(head.len() as u64);
    }

    /// From now on all bytes are in a stage, too; `head` is the beginning of them.
    pub(crate) fn staged(&self, head: &[u8], stage: Arc<dyn Follow>) {
        *self.live.source() = Source { head: Bytes::copy_from_slice(head), stage: Some(stage) };
    }

    /// So many bytes came.
    pub(crate) fn advance(&self, bytes: u64) {
        self.live.progress.send_modify(|progress| progress.bytes = bytes);
    }

    /// The file is durable under its name.
    pub(crate) fn whole(self) {
        let size = self.live.size;
        self.live.progress.send_modify(|progress| {
            let as_said = size.is_none_or(|size| size == progress.bytes);
            progress.end = Some(if as_said { End::Whole } else { End::GivenUp });
        });
    }

    /// A reader of this upload.
    pub(crate) fn follow(&self) -> Following {
        let changes = self.live.progress.subscribe();
        Following { live: Arc::clone(&self.live), changes }
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        self.live.progress.send_if_modified(|progress| {
            let open = progress.end.is_none();
            progress.end.get_or_insert(End::GivenUp);
            open
        });
        let arriving = &self.store.0.arriving;
        let mut uploads = arriving.uploads();
        if let Some(here) = uploads.get_mut(&self.key) {
            here.retain(|live| !Arc::ptr_eq(live, &self.live));
            if here.is_empty() {
                uploads.remove(&self.key);
            }
        }
        arriving.count.fetch_sub(1, Ordering::Release);
    }
}

impl Live {
    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is read while it arrives. A clone reads by itself. What was taken up is followed to its end, whatever the
/// name means meanwhile.
#[derive(Clone)]
pub struct Following {
    live: Arc<Live>,
    changes: watch::Receiver<Progress>,
}

impl Following {
    /// How many bytes the file will have, where that is known.
    pub fn size(&self) -> Option<u64> {
        self.live.size
    }

    /// The type the file is served with, as far as its name and what has arrived tell.
    pub fn content_type(&self) -> ContentType {
        let head = self.live.source().head.clone();
        detect(&self.live.rule, &self.live.name, &head)
    }

    /// The next bytes from `offset`, `len` at most, as soon as there are any; none at the end of the file, which is
    /// then durable.
    ///
    /// # Errors
    /// [`Error::BodyCut`] when the upload was given up; [`Error::Damaged`], [`Error::Storage`].
    pub async fn read(&mut self, offset: u64, len: usize) -> Result<Bytes> {
        let kept_back = |progress: &Progress| match (progress.end, self.live.size) {
            (None, Some(size)) => progress.bytes.min(size.saturating_sub(1)),
            (Some(_), _) | (None, None) => progress.bytes,
        };
        let ready = |progress: &Progress| kept_back(progress) > offset || progress.end.is_some();
        // The sender lives as long as `live` does.
        let progress = *self.changes.wait_for(ready).await.map_err(|_| Error::BodyCut)?;
        if progress.end == Some(End::GivenUp) {
            return Err(Error::BodyCut);
        }
        let there = kept_back(&progress).saturating_sub(offset);
        if there == 0 {
            return Ok(Bytes::new());
        }
        let len = len.min(usize::try_from(there).unwrap_or(usize::MAX));
        let stage = {
            let source = self.live.source();
            match &source.stage {
                Some(stage) => Arc::clone(stage),
                None => {
                    let from = usize::try_from(offset).unwrap_or(usize::MAX);
                    let to = from.saturating_add(len).min(source.head.len());
                    return Ok(source.head.slice(from.min(to)..to));
                }
            }
        };
        stage.read(offset, len).await
    }
}
