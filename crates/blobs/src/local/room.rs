//! Room on the disk: new bytes are refused while less than a reserve would be left.
//!
//! What lives here: the check. What does not: who is asked to go, and the floor below which the catalog writes nothing
//! either, which is lower, so that deletes and logins still work where uploads do not.

use std::{io, path::PathBuf};

use model::{Error, Result};
use rustix::fs::{StatVfs, statvfs};

/// Of a small disk no more than one part in so many is kept free.
const SHARE_MAX: u64 = 4;
/// Files that can still be made when new blobs are refused. The catalog needs some for its tables and its log.
const RESERVE_FILES: u64 = 1000;

/// The part of a disk that uploads leave free.
pub(super) struct Room {
    path: PathBuf,
    reserve_bytes: u64,
}

impl Room {
    /// Keeps `reserve_bytes`, or a quarter of the disk if that is less, of the disk that `path` is on.
    pub(super) fn new(path: PathBuf, reserve_bytes: u64) -> Self {
        Self { path, reserve_bytes }
    }

    /// Bytes that can still be written.
    pub(super) fn free_bytes(&self) -> Result<u64> {
        Ok(free_bytes(&self.stat()?))
    }

    /// Whether `bytes` more leave the reserve as it is.
    pub(super) fn takes(&self, bytes: u64) -> Result<()> {
        fits(&self.stat()?, self.reserve_bytes, bytes)
    }

    fn stat(&self) -> io::Result<StatVfs> {
        statvfs(&self.path).map_err(io::Error::from)
    }
}

fn free_bytes(disk: &StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}

fn fits(disk: &StatVfs, reserve_bytes: u64, bytes: u64) -> Result<()> {
    let reserve = reserve_bytes.min(disk.f_blocks.saturating_mul(disk.f_frsize) / SHARE_MAX);
    // Some file systems make room for files as they go, and say 0 of all.
    let files = if reserve_bytes == 0 { 0 } else { RESERVE_FILES.min(disk.f_files / SHARE_MAX) };
    let crowded = disk.f_files > 0 && disk.f_favail < files;
    if crowded || free_bytes(disk) < reserve.saturating_add(bytes) {
        Err(Error::Full)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_stays_free() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = statvfs(dir.path()).unwrap();
        (disk.f_frsize, disk.f_blocks, disk.f_bavail) = (1000, 1000, 600);
        (disk.f_files, disk.f_favail) = (0, 0);
        let takes = |disk: &StatVfs, reserve, bytes| fits(disk, reserve, bytes).is_ok();
        assert!(takes(&disk, 100_000, 500_000) && !takes(&disk, 100_000, 500_001));
        assert!(takes(&disk, 0, 600_000) && !takes(&disk, 0, 600_001));
        assert!(takes(&disk, u64::MAX, 350_000) && !takes(&disk, u64::MAX, 350_001), "a quarter");
        assert!(!takes(&disk, 100_000, u64::MAX));
        disk.f_bavail = 99;
        assert!(!takes(&disk, 100_000, 0));
        (disk.f_bavail, disk.f_files, disk.f_favail) = (600, 100_000, 999);
        assert!(!takes(&disk, 1, 0), "files are kept, too");
        disk.f_favail = 1000;
        assert!(takes(&disk, 1, 0));
        (disk.f_files, disk.f_favail) = (400, 100);
        assert!(takes(&disk, 1, 0), "a quarter of few files");
    }
}
