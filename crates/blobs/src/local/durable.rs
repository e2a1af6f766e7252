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
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::{BlobId, Error, Result};

use super::{remains::Remains, writer::StageFile};
use crate::layout;

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

/// The directory of one blob, open, and what above it is not known to be durable yet.
struct Home {
    dir: File,
    made: Vec<Made>,
}

/// A directory whose entry in its parent may be new.
struct Made {
    slot: usize,
    parent: File,
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
    ///
    /// The rename comes before the syncs, unlike where a name is looked up by others: nobody knows the id before this
    /// returns, so a power loss in between leaves a name that nothing refers to, which is garbage whether its bytes are
    /// whole or not. In return the journal of the file system takes bytes, name and new directories in one commit, not
    /// one after the other: on ext4 one commit a seal instead of two, and of 3.3 where directories are new.
    pub(super) fn seal(&self, mut staged: StageFile, id: BlobId) -> Result<()> {
        let home = self.home(id)?;
        let target = layout::sealed_path(&self.blobs, id);
        rename(staged.path(), &target)?;
        staged.sealed();
        self.sync(staged.file(), &home).inspect_err(|_| {
            // Nobody was told the id: what may be on disk is garbage, and less of it if this works.
            let _ = fs::remove_file(&target);
        })
    }

    fn sync(&self, file: &File, home: &Home) -> Result<()> {
        // The bytes and the length. If this fails, the kernel may have dropped what it could not write: the file is
        // removed, and nothing syncs it again.
        file.sync_all()?;
        // The name. Without this the rename may be lost with the power, and with it the blob.
        home.dir.sync_all()?;
        // The directories that lead to the name.
        for Made { slot, parent } in &home.made {
            let synced = parent.sync_all();
            let mut entries = self.entries();
            // Failed stays failed: another sync of the same entry would say OK and prove nothing.
            if synced.is_err() {
                entries[*slot] = Entry::Failed;
            } else if entries[*slot] == Entry::Unknown {
                entries[*slot] = Entry::Durable;
            }
            drop(entries);
            synced?;
        }
        Ok(())
    }

    /// Removes the file of a blob; one that is not there is a success. A loss of power may bring it back.
    pub(super) fn remove(&self, id: BlobId) -> Result<()> {
        match fs::remove_file(layout::sealed_path(&self.blobs, id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Removes the files of blobs so that they stay removed. All are unlinked before the first sync, so that the
    /// journal of the file system takes them in one commit and the other syncs find nothing to do.
    ///
    /// A sync that fails is an error, and asked for again with the blobs' next removal: at worst that says OK about a
    /// removal that is lost, and the blob is what it was, garbage, for `fsck` to find.
    ///
    /// Returns what is left of those that are long, for the caller to free.
    pub(super) fn remove_all(&self, ids: &[BlobId]) -> Result<Vec<Remains>> {
        let mut homes: Vec<[u8; 2]> = ids.iter().map(|id| layout::fan(*id)).collect();
        let mut remains = Vec::new();
        for id in ids {
            remains.extend(Remains::of(&layout::sealed_path(&self.blobs, *id)));
            self.remove(*id)?;
        }
        homes.sort_unstable();
        homes.dedup();
        for [first, second] in homes {
            let mut dir = self.blobs.join(layout::fan_name(first));
            dir.push(layout::fan_name(second));
            match File::open(dir) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                dir => dir?.sync_all()?,
            }
        }
        Ok(remains)
    }

    /// Opens the directory of a blob, and makes it if need be. All is open before the rename, so that an error of
    /// writing any of it back is reported here, even if another seal that waits at the same time was told before.
    fn home(&self, id: BlobId) -> Result<Home> {
        let [first, second] = layout::fan(id);
        let mut path = self.blobs.clone();
        let mut made = Vec::new();
        let below = 256 + usize::from(u16::from_be_bytes([first, second]));
        for (slot, byte) in [(usize::from(first), first), (below, second)] {
            let entry = self.entries()[slot];
            if entry == Entry::Failed {
                let text = format!("{} could not be synced before", path.display());
                return Err(Error::Storage(text));
            }
            let parent = (entry == Entry::Unknown).then(|| File::open(&path)).transpose()?;
            path.push(layout::fan_name(byte));
            if let Some(parent) = parent {
                // Synced later even if it was there: it may stem from a process that died before it was durable.
                private_dir(&path)?;
                made.push(Made { slot, parent });
            }
        }
        Ok(Home { dir: File::open(path)?, made })
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts writing back what was written so far, and waits for it, so that the sync of a long file that is sealed later
/// is short. The caller ends the stage if it fails: the error is reported once, here, and a later sync would say OK.
pub(super) fn write_back(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Makes the directory of the store and those in it durable, once, when it is opened.
pub(super) fn make_store(dir: &Path, rooms: [&Path; 2]) -> io::Result<()> {
    private_dir(dir)?;
    // We may have made `dir`, now or before a crash, so its entry is ours to sync. What is above is the operator's,
    // and need not be readable to us: then we cannot have made anything in it either.
    if let Some(parent) = dir.canonicalize()?.parent() {
        match File::open(parent) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            parent => parent?.sync_all()?,
        }
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

#[cfg(test)]
mod tests {
    use model::AccountId;

    use super::*;

    #[test]
    fn a_directory_that_could_not_be_synced_takes_no_more_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let fan = Fan::new(dir.path().to_owned());
        let id = BlobId::new(AccountId(1), 2, [0, 0, 0, 0, 0xab, 0xcd]);
        let home = fan.home(id).unwrap();
        assert_eq!(home.made.len(), 2, "both levels are new");
        fan.entries()[256 + 0xabcd] = Entry::Failed;
        fan.sync(&File::open(dir.path()).unwrap(), &home).unwrap();
        assert!(fan.entries()[0xab] == Entry::Durable);
        assert!(fan.home(id).is_err(), "a later sync that says OK proves nothing");
        let cousin = BlobId::new(AccountId(1), 2, [0, 0, 0, 0, 0xab, 0xce]);
        assert_eq!(fan.home(cousin).unwrap().made.len(), 1);
    }
}
