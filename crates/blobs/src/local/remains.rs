//! What is left of a file that was removed: its blocks, given back bit by bit.
//!
//! Some file systems hold up every sync for as long as it takes to free the blocks of a long file (ext4 that is mounted with `discard`, as
//! images for clouds often are, tells the disk of each in the commit of its journal: 1 GiB takes 80 to 110 ms). So a long file is kept
//! open while its name is removed, and then shortened in steps with pauses, in which others sync. What does not live here:
//! when a file is removed and that it stays so (`durable`).
//!
//! Invariant: only a file that nobody else has open is shortened. Whoever reads one that is removed reads it to its end; it is freed
//! when the last of them closes it, at once. (Whoever was inside open(2) from before the name went until its directory was synced, and no
//! longer than that, would be missed, and find the file damaged.)

use std::{
    fs::{self, File},
    path::Path,
    thread,
    time::Duration,
};

use native::is_open_once;

/// Shorter files are not worth it.
const FROM_BYTES: u64 = 8 << 20;
/// What is freed in one go, and how long others have the disk then: a GB takes seconds.
const STEP_BYTES: u64 = 2 << 20;
const PAUSE: Duration = Duration::from_millis(2);

/// A file that is removed next, or was a moment ago. Dropping it lets its blocks go at once.
#[derive(Debug)]
pub(super) struct Remains(File);

impl Remains {
    /// Of the file that is at `path` still; `None`: there is no need, or it cannot be opened.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let bytes = fs::metadata(path).ok()?.len();
        if bytes < FROM_BYTES {
            return None;
        }
        File::options().write(true).open(path).ok().map(Self)
    }

    /// Frees the blocks of the file, which has no name any more. Blocks, for seconds if it is very long.
    pub(super) fn free(self) {
        self.shorten(STEP_BYTES);
    }

    /// Shortens the file to a last step, if nobody reads it.
    fn shorten(&self, step: u64) {
        let Ok(of) = self.0.metadata() else { return };
        if !is_open_once(&self.0) {
            return;
        }
        let mut bytes = of.len();
        while bytes > step {
            bytes -= step;
            // A file that cannot be shortened is let go as it is.
            if self.0.set_len(bytes).is_err() {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_file_that_nobody_reads_is_shortened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(Remains::of(&path).is_none());
        fs::write(&path, b"short").unwrap();
        assert!(Remains::of(&path).is_none());
        File::options().write(true).open(&path).unwrap().set_len(FROM_BYTES).unwrap();
        let remains = Remains::of(&path).unwrap();
        let bytes = |remains: &Remains| remains.0.metadata().unwrap().len();
        remains.shorten(STEP_BYTES);
        assert_eq!(bytes(&remains), FROM_BYTES, "it has its name still");
        let reader = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        remains.shorten(STEP_BYTES);
        assert_eq!(bytes(&remains), FROM_BYTES, "somebody reads it");
        drop(reader);
        remains.shorten(STEP_BYTES);
        assert_eq!(bytes(&remains), STEP_BYTES);
        remains.free();
    }
}
