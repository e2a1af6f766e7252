//! The local engine: blobs as files under one directory.
//!
//! ```text
//! <dir>/stage/<id>         unfinished; emptied by `Local::open`
//! <dir>/blobs/xx/yy/<id>   sealed: bytes, then checksums (`layout`)
//! ```
//!
//! What lives here: the store itself and how its calls reach threads that may block. What does not: the format
//! (`crate::layout`), writing (`stage`, `relay`, `writer`), durability (`durable`), what is left of removed files (`remains`), reading (`read`, and `crate::trail` while it is written), what
//! is known of open files and which stay open (`known`, `open_files`), the walk (`walk`), what is kept free (`room`). The invariants: one process owns the directory; no name on disk is anything
//! but an id; nothing here waits for a disk on a thread of the runtime.

mod direct;
mod durable;
mod known;
mod open_files;
mod read;
mod relay;
mod remains;
mod room;
mod stage;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use model::{AccountId, BlobId, Error, Result, Time};

use self::remains::Remains;
use crate::{Blob, Blobs, Lying, Stage, Task, fresh_id, threads::blocking};

/// Blobs in a local directory.
pub struct Local {
    store: Arc<Store>,
    /// Holds the lock on the stage directory.
    _owned: File,
}

/// What the operator says about a local store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalOptions {
    /// New blobs are refused ([`Error::Full`]) while fewer bytes than these (or a quarter of the disk, if that is less), or
    /// fewer than some hundred files, would be left free.
    pub reserve_bytes: u64,
    /// What of a blob comes after so many bytes is written past the page cache, unless somebody is to read it soon.
    pub direct_from: u64,
}

impl Default for LocalOptions {
    /// Segments of a stream, which are asked for as soon as they are there, stay in memory; long files do not drive out
    /// what is.
    fn default() -> Self {
        Self { reserve_bytes: 256 << 20, direct_from: 16 << 20 }
    }
}

/// What outlives a call.
struct Store {
    stage: PathBuf,
    fan: durable::Fan,
    room: room::Room,
    open: open_files::OpenFiles,
    /// From which byte on a blob is written past the page cache.
    direct_from: u64,
}

impl Local {
    /// Opens the store in `dir`, which is made if its parent exists, and throws away what was never sealed. Blocks.
    /// Writes as long as the disk takes it, and all through the page cache.
    ///
    /// # Errors
    /// [`Error::Storage`], also when another process has it open; [`Error::Full`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(dir, LocalOptions { reserve_bytes: 0, direct_from: u64::MAX })
    }

    /// The same, as the operator wants it.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub fn open_with(dir: impl AsRef<Path>, options: LocalOptions) -> Result<Self> {
        let dir = dir.as_ref();
        let named = |e: std::io::Error| match Error::from(e) {
            Error::Storage(text) => Error::Storage(format!("{}: {text}", dir.display())),
            other => other,
        };
        let (stage, blobs) = (dir.join("stage"), dir.join("blobs"));
        durable::make_store(dir, [&stage, &blobs]).map_err(named)?;
        // Emptying the stage under a running server would throw away its uploads.
        let owned = File::open(&stage).map_err(named)?;
        owned.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                Error::Storage(format!("{}: another process has it open", dir.display()))
            }
            TryLockError::Error(e) => named(e),
        })?;
        empty(&stage).map_err(named)?;
        let (fan, room) =
            (durable::Fan::new(blobs), room::Room::new(dir.into(), options.reserve_bytes));
        let open = open_files::OpenFiles::new();
        let direct_from = options.direct_from;
        Ok(Self { store: Arc::new(Store { stage, fan, room, open, direct_from }), _owned: owned })
    }

    /// Bytes that can still be written to the file system of the store. Blocks, briefly on a local disk.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn free_bytes(&self) -> Result<u64> {
        self.store.room.free_bytes()
    }
}

impl Blobs for Local {
    fn takes(&self, bytes: u64) -> Result<()> {
        self.store.room.takes(bytes)
    }

    fn stage(&self, account: AccountId, now: Time) -> Task<'_, Result<Box<dyn Stage>>> {
        let staged = fresh_id(account, now).map(|id| {
            Box::new(stage::LocalStage::new(Arc::clone(&self.store), id)) as Box<dyn Stage>
        });
        Box::pin(std::future::ready(staged))
    }

    fn stage_as(&self, id: BlobId) -> Task<'_, Result<Box<dyn Stage>>> {
        let stage = stage::LocalStage::new(Arc::clone(&self.store), id);
        Box::pin(std::future::ready(Ok(Box::new(stage) as Box<dyn Stage>)))
    }

    fn open(&self, id: BlobId) -> Task<'_, Result<Box<dyn Blob>>> {
        if let Some(known) = self.store.open.get(id) {
            let blob = Box::new(read::LocalBlob::known(known)) as Box<dyn Blob>;
            return Box::pin(std::future::ready(Ok(blob)));
        }
        let store = Arc::clone(&self.store);
        Box::pin(blocking(move || {
            let blob = read::LocalBlob::open(store.fan.root(), id)?;
            store.open.keep(id, blob.file());
            Ok(Box::new(blob) as Box<dyn Blob>)
        }))
    }

    fn remove(&self, id: BlobId) -> Task<'_, Result<()>> {
        let store = Arc::clone(&self.store);
        Box::pin(blocking(move || {
            // No sync of the directory: if the removal is lost with the power the blob is garbage again, which is
            // what it was. Whoever would forget that it was to be removed uses `remove_all`.
            let removed = store.fan.remove(id);
            store.open.forget(id);
            removed
        }))
    }

    fn remove_all(&self, ids: Vec<BlobId>) -> Task<'_, Result<()>> {
        let store = Arc::clone(&self.store);
        Box::pin(blocking(move || {
            let removed = store.fan.remove_all(&ids);
            ids.iter().for_each(|id| store.open.forget(*id));
            removed?.into_iter().for_each(Remains::free);
            Ok(())
        }))
    }

    fn survey(&self, mut visit: Box<dyn FnMut(Vec<Lying>) + Send>) -> Task<'_, Result<()>> {
        let store = Arc::clone(&self.store);
        Box::pin(blocking(move || walk::survey(&store.stage, store.fan.root(), &mut visit)))
    }

    fn sealed_between(
        &self,
        since: Time,
        before: Time,
        mut visit: Box<dyn FnMut(Vec<BlobId>) + Send>,
    ) -> Task<'_, Result<()>> {
        let store = Arc::clone(&self.store);
        Box::pin(blocking(move || {
            walk::sealed_between(store.fan.root(), since, before, &mut visit)
        }))
    }
}

/// Removes the files of stages that ended with their process.
fn empty(stage: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(stage)? {
        match fs::remove_file(entry?.path()) {
            // A store of this process that was dropped a moment ago still cleans up.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}
