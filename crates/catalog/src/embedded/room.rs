//! Room on the disk: writes are refused while there is too little of it.
//!
//! What lives here: the check. What does not: who may use the last bytes; uploads should be refused well before, so
//! that deletes and logins still have room here.
//!
//! Invariant: RocksDB does not meet a full disk unless something else fills it between the check and the write. It
//! survives one (a failed append of its log is answered with an error, and it goes on in a new log when there is room),
//! but a build with assertions, which Debian's is, ends the process when that happens a few times.

use std::path::PathBuf;

use model::{Error, Result};
use rustix::fs::statvfs;

/// Of a small disk no more than one part in so many is kept free.
const SHARE_MAX: u64 = 8;

/// The part of a disk that is not written to.
pub(super) struct Room {
    path: PathBuf,
    floor: u64,
}

impl Room {
    /// Keeps `floor` bytes, or an eighth of the disk if that is less, of the disk that `path` is on.
    pub(super) fn new(path: PathBuf, floor: u64) -> Self {
        let disk =
            statvfs(&path).map_or(u64::MAX, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        Self { path, floor: floor.min(disk / SHARE_MAX) }
    }

    /// # Errors
    /// [`Error::Full`] while there is less room than the floor. A disk that does not tell is written to.
    pub(super) fn check(&self) -> Result<()> {
        match statvfs(&self.path) {
            Ok(stat) if stat.f_bavail.saturating_mul(stat.f_frsize) < self.floor => {
                Err(Error::Full)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A floor that no disk has.
    #[cfg(test)]
    pub(super) fn none(path: PathBuf) -> Self {
        Self { path, floor: u64::MAX }
    }
}
