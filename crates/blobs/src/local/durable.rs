//! The only fsync and the only rename in the tree: how bytes and names are made to survive a loss of power.
//!
//! What does not live here: writing bytes (`writer`) and reading them. The invariants: [`Fan::seal`] returns `Ok` only
//! when the bytes, the name, and every directory above the name are durable; and no fsync that failed is tried again,
//! because the kernel drops the pages it could not write and says OK the next time (PostgreSQL's fsyncgate; seen on
//! our machines too).

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use model::{BlobId, Error, Result};

use super::{layout, writer::StageFile};

/// Directories of the fan-out: 256 of the first level, then 65,536 of the second.
const FAN_DIRS: usize = 256 + 65_536;

/// What this process knows about the entry of a directory in its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Nothing: it may be missing, or may have been made by a process that died before it was durable.
    Unknown,
    Durable,
    /// An fsync of the parent failed; whether the entry is on disk cannot be learned before a restart.
    Failed,
}

/// The directories that sealed blobs lie in.
pub(super) struct Fan {
    blobs: PathBuf,
    entries: Mutex<Vec<Entry>>,
}

impl Fan {
    pub(super) fn new(blobs: PathBuf) -> Self {
        Self { blobs, entries: Mutex::new(vec![Entry::Unknown; FAN_DIRS]) }
    }

    /// Where the sealed blobs lie.
    pub(super) fn root(&self) -> &Path {
        &self.blobs
    }

    /// Makes a written file durable under its name. After an error neither the file nor the name is left, unless the
    /// disk refuses even that.
    pub(super) fn seal(&self, mut staged: StageFile, id: BlobId) -> Result<()> {
        let target = layout::sealed_path(&self.blobs, id);
        let dir = self.directory(id)?;

        // The bytes, before they have a name: a name must never stand for bytes that a crash could take away. After a
        // failure `staged` is dropped, which removes the file; it is not synced again.
        staged.file().sync_all()?;

        // Opened before the rename: an error of writing the directory back is then reported to this descriptor, even
        // if another seal that is waiting at the same time has been told of it before.
        let dir = File::open(dir)?;
        rename(staged.path(), &target)?;
        staged.sealed();

        // The name. Without this fsync the rename may be lost with the power, and with it the blob.
        if let Err(e) = dir.sync_all() {
            // Nobody was told the id: what may be on disk is garbage, and less of it if this works.
            let _ = fs::remove_file(&target);
            return Err(e.into());
        }
        Ok(())
    }

    /// The directory of a blob, made and durable.
    fn directory(&self, id: BlobId) -> Result<PathBuf> {
        let [first, second] = layout::fan(id);
        let mut path = self.blobs.clone();
        for (slot, byte) in [
            (usize::from(first), first),
            (256 + usize::from(u16::from_be_bytes([first, second])), second),
        ] {
            let parent = path.clone();
            path.push(layout::fan_name(byte));
            match self.entry(slot) {
                Entry::Durable => {}
                Entry::Unknown => self.make(slot, &parent, &path)?,
                Entry::Failed => {
                    let text = format!("{} could not be synced before", parent.display());
                    return Err(Error::Storage(text));
                }
            }
        }
        Ok(path)
    }

    /// Makes one directory and its entry in `parent` durable. Two seals may do this at once; both sync.
    fn make(&self, slot: usize, parent: &Path, path: &Path) -> Result<()> {
        let handle = File::open(parent)?;
        private_dir(path)?;
        // The entry of the directory, even if it was there: it may stem from a process that died before this line.
        let synced = handle.sync_all();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Failed stays failed: a second fsync of the same entry would say OK and prove nothing.
        if entries[slot] == Entry::Unknown || synced.is_err() {
            entries[slot] = if synced.is_ok() { Entry::Durable } else { Entry::Failed };
        }
        Ok(synced?)
    }

    fn entry(&self, slot: usize) -> Entry {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)[slot]
    }
}

/// Starts writing back what was written so far, and waits for it, so that the sync of a long file that is sealed later
/// is short. The caller ends the stage if it fails: the error is reported once, here, and a later sync would say OK.
pub(super) fn write_back(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Makes the directory of the store and those in it durable, once, when it is opened.
pub(super) fn make_store(dir: &Path, rooms: [&Path; 2]) -> io::Result<()> {
    // The directories above `dir` are the operator's; `dir` itself we may make, so its entry is ours to sync.
    private_dir(dir)?;
    let parent = dir.canonicalize()?;
    if let Some(parent) = parent.parent() {
        File::open(parent)?.sync_all()?;
    }
    for room in rooms {
        private_dir(room)?;
    }
    // Both entries in one sync: a blob must not be lost with the directory above all others.
    File::open(dir)?.sync_all()
}

/// A directory only this user can enter; one that exists is a success.
fn private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place: both sides of the rename are synced in `seal`"
)]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}
