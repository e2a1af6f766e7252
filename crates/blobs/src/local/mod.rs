//! The local engine: blobs as files under one directory.
//!
//! ```text
//! <dir>/stage/<id>         unfinished; emptied by `Local::open`
//! <dir>/blobs/xx/yy/<id>   sealed: bytes, then checksums (`layout`)
//! ```
//!
//! What lives here: the store itself and how its calls reach threads that may block. What does not: the format
//! (`crate::layout`), writing (`stage`, `writer`), durability (`durable`), reading (`read`, and `crate::trail` while it is written), what
//! is known of open files and which stay open (`known`, `open_files`), the walk (`walk`), what is kept free (`room`). The invariants: one process owns the directory; no name on disk is anything
//! but an id; nothing here waits for a disk on a thread of the runtime.

mod durable;
mod known;
mod open_files;
mod read;
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

use crate::{Blob, Blobs, Lying, Stage, Task, fresh_id, threads::blocking};

/// Blobs in a local directory.
pub struct Local {
    store: Arc<Store>,
    /// Holds the lock on the stage directory.
    _owned: File,
}

/// What outlives a call.
struct Store {
    stage: PathBuf,
    fan: durable::Fan,
    room: room::Room,
    open: open_files::OpenFiles,
}

impl Local {
    /// Opens the store in `dir`, which is made if its parent exists, and throws away what was never sealed. Blocks.
    /// Writes as long as the disk takes it.
    ///
    /// # Errors
    /// [`Error::Storage`], also when another process has it open; [`Error::Full`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_keeping(dir, 0)
    }

    /// The same, but new blobs are refused ([`Error::Full`]) while fewer than `reserve_bytes` (or a quarter of the disk,
    /// if that is less), or fewer than some hundred files, would be left free.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub fn open_keeping(dir: impl AsRef<Path>, reserve_bytes: u64) -> Result<Self> {
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
        let (fan, room) = (durable::Fan::new(blobs), room::Room::new(dir.into(), reserve_bytes));
        let open = open_files::OpenFiles::new();
        Ok(Self { store: Arc::new(Store { stage, fan, room, open }), _owned: owned })
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
            removed
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
