//! The read cache: chunks of hot blobs in memory, and in files of this node.
//!
//! ```text
//! <scratch>/node-<16 hex digits>/          locked by the process that uses it
//!     <32 hex digits of the id>.<tag>.<n>  chunk `n` of a blob, as its bytes are
//! ```
//!
//! What lives here: which chunks are kept, and their files. What does not: comparing them with their checksums; whoever asks
//! for a chunk does that, always, because nobody watches this disk. The invariants: files come to no more bytes than were
//! allowed, and those that are being written; what cannot be written or read is as if it were not there; a directory
//! left behind by a process that died is removed by the next one. Nothing survives a restart: filling it again costs what
//! reading costs, believing an old one would cost trust.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use model::{BlobId, Error, Result};
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use tokio::sync::Semaphore;

use crate::layout::Footer;

/// Parts of a cache that are locked by themselves. Each has its part of the bytes, so they are few.
const SHARDS: usize = 4;
/// Chunks being written to files at a time; others are not kept.
const WRITES_MAX: usize = 8;
const NODE: &str = "node-";

/// A chunk of a blob. The tag tells apart what is stored under the same id, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    id: BlobId,
    tag: u64,
    chunk: u64,
}

impl Key {
    /// Chunk `chunk` of the blob with this footer.
    pub(super) fn new(footer: &Footer, chunk: u64) -> Self {
        let tag = footer.digest.0.first_chunk().copied().map_or(0, u64::from_le_bytes);
        Self { id: footer.id, tag, chunk }
    }
}

/// Weighs chunks by their bytes.
#[derive(Debug, Clone)]
pub(super) struct ByBytes;

impl Weighter<Key, Bytes> for ByBytes {
    fn weight(&self, _key: &Key, chunk: &Bytes) -> u64 {
        (chunk.len() as u64).max(1)
    }
}

impl Weighter<Key, Arc<ChunkFile>> for ByBytes {
    fn weight(&self, _key: &Key, file: &Arc<ChunkFile>) -> u64 {
        (file.len as u64).max(1)
    }
}

/// A cache that holds so many bytes.
pub(super) fn bounded<V: Clone>(bytes: u64, item_bytes: u64) -> Result<Cache<Key, V, ByBytes>>
where
    ByBytes: Weighter<Key, V>,
{
    let items = usize::try_from(bytes / item_bytes.max(1)).unwrap_or(usize::MAX).max(16);
    let options = OptionsBuilder::new()
        .shards(SHARDS)
        .weight_capacity(bytes)
        .estimated_items_capacity(items)
        .build()
        .map_err(|e| Error::Storage(format!("cache: {e:?}")))?;
    Ok(Cache::with_options(options, ByBytes, Default::default(), Default::default()))
}

/// The file of a chunk; it goes with the last who knows it.
#[derive(Debug)]
pub(super) struct ChunkFile {
    path: PathBuf,
    len: usize,
}

impl Drop for ChunkFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cached chunk not removed");
        }
    }
}

/// A directory for what this process may lose: cached chunks and spools. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: PathBuf,
    /// Holds the lock that says that the directory is in use.
    _owned: File,
}

impl Scratch {
    /// A directory of our own in `parent`, which is made; removes those of processes that ended. Blocks.
    pub(super) fn open(parent: &Path) -> Result<Self> {
        let named = |e: std::io::Error| match Error::from(e) {
            Error::Storage(text) => Error::Storage(format!("{}: {text}", parent.display())),
            other => other,
        };
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        private.recursive(true).create(parent).map_err(named)?;
        // One at a time: a directory of another process is either locked or left behind.
        let turn = File::open(parent).map_err(named)?;
        turn.lock().map_err(named)?;
        for entry in fs::read_dir(parent).map_err(named)?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let ours = name.to_str().is_some_and(|name| name.starts_with(NODE));
            if ours
                && File::open(&path).is_ok_and(|left| left.try_lock().is_ok())
                && let Err(error) = fs::remove_dir_all(&path)
            {
                tracing::warn!(path = %path.display(), %error, "left by another process; not removed");
            }
        }
        let random =
            getrandom::u64().map_err(|e| Error::Storage(format!("no random numbers: {e}")))?;
        let dir = parent.join(format!("{NODE}{random:016x}"));
        private.recursive(false).create(&dir).map_err(named)?;
        let owned = File::open(&dir).map_err(named)?;
        owned.lock().map_err(named)?;
        Ok(Self { dir, _owned: owned })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(path = %self.dir.display(), %error, "scratch directory not removed");
        }
    }
}

/// Chunks in files.
pub(super) struct DiskCache {
    files: Cache<Key, Arc<ChunkFile>, ByBytes>,
    writes: Semaphore,
    /// After the files: they go before it.
    scratch: Arc<Scratch>,
}

impl DiskCache {
    /// Of `bytes` at most, in `scratch`.
    pub(super) fn new(scratch: Arc<Scratch>, bytes: u64, chunk_bytes: u64) -> Result<Self> {
        let files = bounded(bytes, chunk_bytes)?;
        Ok(Self { files, writes: Semaphore::new(WRITES_MAX), scratch })
    }

    /// The bytes of a chunk, as they are on the disk now; `None` where there are none of this length. Blocks.
    pub(super) fn get(&self, key: &Key, len: usize) -> Option<Bytes> {
        let known = self.files.get(key)?;
        let mut bytes = vec![0; len];
        let read = (known.len == len)
            .then(|| File::open(&known.path))?
            .and_then(|file| file.read_exact_at(&mut bytes, 0));
        match read {
            Ok(()) => Some(Bytes::from(bytes)),
            Err(error) => {
                tracing::warn!(path = %known.path.display(), %error, "cached chunk not readable");
                self.forget(key);
                None
            }
        }
    }

    /// Lets a chunk go.
    pub(super) fn forget(&self, key: &Key) {
        drop(self.files.remove(key));
    }

    /// Keeps a chunk, if there is time for it. Blocks.
    pub(super) fn keep(&self, key: Key, bytes: &Bytes) {
        let Ok(_writing) = self.writes.try_acquire() else { return };
        if self.files.contains_key(&key) {
            return;
        }
        let Key { id, tag, chunk } = key;
        let path = self.scratch.path().join(format!("{}.{tag:016x}.{chunk}", id.to_hex()));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match made {
            Ok(file) => file,
            // Another thread keeps the same chunk.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "chunk not cached");
                return;
            }
        };
        let kept = Arc::new(ChunkFile { path, len: bytes.len() });
        match file.write_all_at(bytes, 0) {
            Ok(()) => self.files.insert(key, kept),
            Err(error) => tracing::warn!(path = %kept.path.display(), %error, "chunk not cached"),
        }
    }

    /// Bytes in files now.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.files.weight()
    }
}
