//! Writes past the page cache, for what is long: the way of most of a long upload's bytes to the disk.
//!
//! What lives here: aligned memory, and full pages of it on their way to the disk. What does not: which bytes go this way
//! (`writer`). Copying a long upload into the page cache cost as much as half its hash, and drove out of memory what is read.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use rustix::{fs::OFlags, io::Errno};

/// What offsets, lengths and addresses are multiples of, in bytes: a page, and the largest block of common disks.
pub(super) const ALIGN: usize = 4096;
/// How much goes to the disk at once, in bytes.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A file's way past the page cache. Its calls block.
pub(super) struct Direct {
    direct: File,
    /// The same file, for less than a page, and for a file system that takes the flag and then refuses.
    cached: Arc<File>,
    filling: Buffer,
    /// Where in the file `filling` begins.
    at: u64,
}

/// Memory that begins where a page begins.
struct Buffer {
    bytes: Vec<u8>,
    begin: usize,
}

impl Buffer {
    fn new() -> Self {
        let mut bytes = Vec::<u8>::with_capacity(BUFFER_BYTES + ALIGN);
        // At most `ALIGN`: it stays within the capacity, so the memory does not move.
        let begin = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        bytes.resize(begin, 0);
        Self { bytes, begin }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    fn room(&self) -> usize {
        BUFFER_BYTES - self.filled().len()
    }
}

impl Direct {
    /// Goes on in the file `cached` under `path` at `at`, a multiple of [`ALIGN`]. `None`: the file system has no such way.
    pub(super) fn open(path: &Path, cached: &Arc<File>, at: u64) -> Option<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let direct = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        Some(Self { direct, cached: Arc::clone(cached), filling: Buffer::new(), at })
    }

    /// Up to where the file is written.
    pub(super) fn written(&self) -> u64 {
        self.at
    }

    /// Takes the next bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.filling.room().min(bytes.len()));
            self.filling.bytes.extend_from_slice(now);
            bytes = later;
            if self.filling.room() == 0 {
                self.write_pages(self.filling.filled())?;
                self.at += BUFFER_BYTES as u64;
                self.filling.bytes.truncate(self.filling.begin);
            }
        }
        Ok(())
    }

    /// Writes what is left, in the usual way what is less than a page of it.
    pub(super) fn end(self) -> io::Result<()> {
        let rest = self.filling.filled();
        let (pages, rest) = rest.split_at(rest.len() - rest.len() % ALIGN);
        self.write_pages(pages)?;
        self.cached.write_all_at(rest, self.at + pages.len() as u64)
    }

    fn write_pages(&self, pages: &[u8]) -> io::Result<()> {
        match self.direct.write_all_at(pages, self.at) {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
                self.cached.write_all_at(pages, self.at)
            }
            written => written,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::suite::Chance;

    /// Everything that was handed over, however cut, is in the file where it belongs.
    #[test]
    fn it_writes_what_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let mut chance = Chance::new(crate::suite::seed());
        let sizes = [0, 1, ALIGN - 1, ALIGN, ALIGN + 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 5000];
        for (n, len) in sizes.into_iter().enumerate() {
            let path = dir.path().join(n.to_string());
            let bytes = chance.bytes(len);
            let cached = Arc::new(File::create(&path).unwrap());
            let head = chance.bytes(ALIGN);
            cached.write_all_at(&head, 0).unwrap();
            let Some(mut direct) = Direct::open(&path, &cached, ALIGN as u64) else {
                println!("skipped: the file system has no way past the page cache");
                return;
            };
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (frame, later) = rest.split_at(1 + chance.below(rest.len().min(300_000)));
                direct.write(frame).unwrap();
                rest = later;
            }
            let written = direct.written();
            direct.end().unwrap();
            assert!(written <= (ALIGN + len) as u64 && written % ALIGN as u64 == 0);
            assert!(fs::read(&path).unwrap() == [head, bytes].concat(), "{len} bytes");
        }
    }

    #[test]
    fn a_refused_flag_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let cached = Arc::new(File::create(dir.path().join("file")).unwrap());
        assert!(Direct::open(&dir.path().join("gone"), &cached, 0).is_none());
        let mut direct = Direct::open(&dir.path().join("file"), &cached, 0).unwrap();
        // Not aligned: what a file system says that takes the flag and cannot do it.
        direct.at = 1;
        direct.write(&vec![7; BUFFER_BYTES]).unwrap();
        direct.end().unwrap();
        let mut expected = vec![7; BUFFER_BYTES + 1];
        expected[0] = 0;
        assert!(fs::read(dir.path().join("file")).unwrap() == expected);
    }
}
