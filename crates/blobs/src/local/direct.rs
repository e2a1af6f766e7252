//! Writes past the page cache, for what is long: the way of most of a long upload's bytes to the disk.
//!
//! What lives here: aligned memory, and full pages of it on their way to the disk. What does not: which bytes go this way
//! (`writer`), and how much may be on its way (`stage`). Copying a long upload into the page cache cost as much as half its hash, and
//! drove out of memory what is read. Where more is coming, a thread writes one part while the next is summed and copied.

use std::{
    fs::{File, OpenOptions},
    io, mem,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use model::Result;
use rustix::{fs::OFlags, io::Errno};

use crate::relay::{Relay, Work};

/// What offsets, lengths and addresses are multiples of, in bytes: a page, and the largest block of common disks.
pub(super) const ALIGN: usize = 4096;
/// How much goes to the disk at once, in bytes.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A file's way past the page cache.
pub(super) struct Direct {
    way: Way,
    filling: Buffer,
    /// Where in the file `filling` begins.
    at: u64,
    written: Arc<AtomicU64>,
}

enum Way {
    /// A thread of its own writes.
    Away(Arc<Relay<Pages>>),
    Here(Pages),
}

/// The file, for full pages.
pub(super) struct Pages {
    direct: File,
    /// The same file, for less than a page, and for a file system that takes the flag and then refuses.
    cached: Arc<File>,
    written: Arc<AtomicU64>,
}

/// Full pages, and where they begin in the file.
pub(super) struct Filled {
    buffer: Buffer,
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

impl Pages {
    /// Blocks.
    fn write(&self, pages: &[u8], at: u64) -> io::Result<()> {
        match self.direct.write_all_at(pages, at) {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
                self.cached.write_all_at(pages, at)
            }
            written => written,
        }?;
        self.written.store(at + pages.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Work for Pages {
    type Job = Filled;

    fn weight(filled: &Filled) -> usize {
        filled.buffer.filled().len()
    }

    fn take(&mut self, Filled { buffer, at }: Filled) -> Result<()> {
        Ok(self.write(buffer.filled(), at)?)
    }
}

impl Direct {
    /// Goes on in the file `cached` under `path` at `at`, a multiple of [`ALIGN`]; a thread of its own writes. `None`: the file
    /// system has no such way.
    pub(super) fn open(path: &Path, cached: &Arc<File>, at: u64) -> Option<Self> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let direct = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        let written = Arc::new(AtomicU64::new(at));
        let pages = Pages { direct, cached: Arc::clone(cached), written: Arc::clone(&written) };
        let way = Way::Away(Arc::new(Relay::new(pages, BUFFER_BYTES)));
        Some(Self { way, filling: Buffer::new(), at, written })
    }

    /// Who writes: for whoever waits for him.
    pub(super) fn relay(&self) -> Option<&Arc<Relay<Pages>>> {
        match &self.way {
            Way::Away(relay) => Some(relay),
            Way::Here(_) => None,
        }
    }

    /// Goes on by itself: its calls block from now on. `pages`: what the other thread ended with.
    pub(super) fn come_back(&mut self, pages: Pages) {
        self.way = Way::Here(pages);
    }

    /// Up to where the file is written.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Takes the next bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.filling.room().min(bytes.len()));
            self.filling.bytes.extend_from_slice(now);
            bytes = later;
            if self.filling.room() == 0 {
                self.write_filled()?;
            }
        }
        Ok(())
    }

    fn write_filled(&mut self) -> io::Result<()> {
        match &self.way {
            Way::Away(relay) => {
                let buffer = mem::replace(&mut self.filling, Buffer::new());
                relay.push(Filled { buffer, at: self.at });
            }
            Way::Here(pages) => {
                pages.write(self.filling.filled(), self.at)?;
                self.filling.bytes.truncate(self.filling.begin);
            }
        }
        self.at += BUFFER_BYTES as u64;
        Ok(())
    }

    /// Writes what is left, in the usual way what is less than a page of it. It must have come back.
    pub(super) fn end(self) -> io::Result<()> {
        let Way::Here(pages) = self.way else {
            return Err(io::Error::other("pages are still on their way"));
        };
        let rest = self.filling.filled();
        let (full, rest) = rest.split_at(rest.len() - rest.len() % ALIGN);
        if !full.is_empty() {
            pages.write(full, self.at)?;
        }
        pages.cached.write_all_at(rest, self.at + full.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::suite::Chance;

    /// Everything that was handed over, however cut, is in the file where it belongs.
    #[tokio::test]
    async fn it_writes_what_it_is_given() {
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
            assert!(direct.written() <= (ALIGN + len) as u64);
            let pages = direct.relay().unwrap().end().await.unwrap();
            assert_eq!(direct.written(), (ALIGN + len - len % BUFFER_BYTES) as u64);
            direct.come_back(pages);
            let more = chance.bytes([0, 1, BUFFER_BYTES + 1][n % 3]);
            direct.write(&more).unwrap();
            direct.end().unwrap();
            assert!(fs::read(&path).unwrap() == [head, bytes, more].concat(), "{len} bytes");
        }
    }

    #[tokio::test]
    async fn a_refused_flag_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let cached = Arc::new(File::create(dir.path().join("file")).unwrap());
        assert!(Direct::open(&dir.path().join("gone"), &cached, 0).is_none());
        let mut direct = Direct::open(&dir.path().join("file"), &cached, 0).unwrap();
        // Not aligned: what a file system says that takes the flag and cannot do it.
        direct.at = 1;
        direct.write(&vec![7; BUFFER_BYTES]).unwrap();
        let pages = direct.relay().unwrap().end().await.unwrap();
        direct.come_back(pages);
        direct.end().unwrap();
        let mut expected = vec![7; BUFFER_BYTES + 1];
        expected[0] = 0;
        assert!(fs::read(dir.path().join("file")).unwrap() == expected);
    }
}
