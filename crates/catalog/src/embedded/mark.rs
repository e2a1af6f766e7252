//! The mark of what was acknowledged last, beside the logs: what tells a log that lost its end from one that ends.
//!
//! What does not live here: the logs (`logs`), and what is done when they end before the mark.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Holds the mark.
const MARK: &str = "ACKNOWLEDGED";
/// The number of the last write, and CRC32C of it.
const MARK_BYTES: usize = 12;

/// The number of the last write that was acknowledged: noted after each sync of the log and never synced itself, so it
/// is never ahead of what is durable; it outlives the process at once, and a loss of power as far as it was written back.
pub(super) struct Mark(File);

impl Mark {
    /// Opens the mark of the catalog in `path`; `None` where it cannot be, which is logged: nothing depends on it but what
    /// would be noticed.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let path = path.join(MARK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        file.map(Self)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "no mark is kept"))
            .ok()
    }

    /// Notes a write.
    pub(super) fn note(&self, number: u64) {
        let mut raw = [0; MARK_BYTES];
        raw[..8].copy_from_slice(&number.to_le_bytes());
        raw[8..].copy_from_slice(&crc32c::crc32c(&number.to_le_bytes()).to_le_bytes());
        if let Err(error) = self.0.write_all_at(&raw, 0) {
            tracing::warn!(%error, "noting what was acknowledged");
        }
    }

    /// What was noted in `path`; `None` where nothing was, or it cannot be read.
    pub(super) fn read(path: &Path) -> Option<u64> {
        let path: PathBuf = path.join(MARK);
        let raw = fs::read(&path).ok()?;
        let (number, sum) = raw.split_first_chunk::<8>()?;
        if crc32c::crc32c(number).to_le_bytes() != sum {
            tracing::warn!(path = %path.display(), "is damaged; it is made anew");
            return None;
        }
        Some(u64::from_le_bytes(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(dir.path()), None);
        let mark = Mark::open(dir.path()).unwrap();
        assert_eq!(Mark::read(dir.path()), None);
        mark.note(u64::MAX);
        mark.note(77);
        assert_eq!(Mark::read(dir.path()), Some(77));
        let raw = fs::read(dir.path().join(MARK)).unwrap();
        for bit in 0..raw.len() * 8 {
            let mut bad = raw.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(dir.path().join(MARK), bad).unwrap();
            assert_eq!(Mark::read(dir.path()), None, "bit {bit}");
        }
    }
}
