//! The file of a stage, and who writes it: block checksums and large writes, on a blocking thread.
//!
//! What does not live here: when a batch is written, and by which thread (`stage`); the way past the page cache (`direct`);
//! syncing (`durable`); hashing, but of the last batch (`hasher`). The invariants: a [`StageFile`] that was not sealed removes
//! its file when dropped, wherever and however that happens; what is written and what the blocks are summed from are the
//! same bytes in the same order.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    mem,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use model::{BlobId, Result};

use super::direct::{ALIGN, Direct};
use crate::{
    hasher::Hashes,
    layout::{BLOCK_LOG2, Footer, Sums},
    trail::Trail,
};

/// Frames shorter than this are copied together: it keeps writes large, and keeps one-byte frames from costing a
/// handle and pinning a buffer each.
const COPY_BELOW_BYTES: usize = 64 * 1024;

/// A file in the stage directory. Dropping it removes it, unless it was sealed.
pub(super) struct StageFile {
    path: PathBuf,
    file: Arc<File>,
    sealed: bool,
}

impl StageFile {
    fn create(path: PathBuf) -> Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file: Arc::new(file), sealed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// It has another name now: there is nothing to remove.
    pub(super) fn sealed(&mut self) {
        self.sealed = true;
    }
}

impl Drop for StageFile {
    fn drop(&mut self) {
        if self.sealed {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "stage file not removed; the next start does it");
        }
    }
}

/// Frames taken over and not yet written.
#[derive(Default)]
pub(super) struct Batch {
    frames: Vec<Bytes>,
    small: BytesMut,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        if frame.len() < COPY_BELOW_BYTES {
            self.small.extend_from_slice(&frame);
            return;
        }
        self.end_small();
        self.frames.push(frame);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn into_frames(mut self) -> Vec<Bytes> {
        self.end_small();
        self.frames
    }

    fn end_small(&mut self) {
        if !self.small.is_empty() {
            self.frames.push(mem::take(&mut self.small).freeze());
        }
    }
}

/// A whole file: bytes and trailer.
pub(super) struct Whole {
    pub file: StageFile,
    pub footer: Footer,
    /// After the bytes.
    pub hashes: Hashes,
}

/// How far a writer is, for whoever has it written back.
#[derive(Default)]
pub(super) struct Progress {
    /// Bytes in the page cache or beyond.
    pub written: AtomicU64,
    pub file: OnceLock<Arc<File>>,
}

/// Writes one blob. Every method blocks. After an error it is of no use but to be dropped.
pub(super) struct Writer {
    file: StageFile,
    id: BlobId,
    sums: Sums,
    len: u64,
    trail: Option<Arc<Trail>>,
    /// From which byte on it writes past the page cache.
    direct_from: u64,
    direct: Option<Direct>,
    progress: Arc<Progress>,
}

impl Writer {
    /// Begins the blob `id` in a new file `path`; `trail` is told what is in it. What comes from `direct_from` on goes past
    /// the page cache, where the file system can do that.
    pub(super) fn create(
        path: PathBuf,
        id: BlobId,
        trail: Option<Arc<Trail>>,
        direct_from: u64,
        progress: Arc<Progress>,
    ) -> Result<Self> {
        let (file, sums) = (StageFile::create(path)?, Sums::default());
        Ok(Self { file, id, sums, len: 0, trail, direct_from, direct: None, progress })
    }

    /// Writes a batch.
    pub(super) fn write(&mut self, frames: &[Bytes]) -> Result<()> {
        for frame in frames {
            self.sums.update(frame);
            let mut bytes = &frame[..];
            if self.direct.is_none() && self.len + bytes.len() as u64 > self.direct_from {
                bytes = self.turn_direct(bytes)?;
            }
            match &mut self.direct {
                Some(direct) => direct.write(bytes)?,
                None => self.file.file.write_all_at(bytes, self.len)?,
            }
            self.len += bytes.len() as u64;
        }
        let written = match &self.direct {
            Some(direct) => direct.written(),
            None => self.len,
        };
        if let Some(trail) = &self.trail {
            trail.written(&self.file.file, written, self.sums.of_whole_blocks());
        }
        if self.direct.is_none() {
            self.progress.written.store(written, Ordering::Relaxed);
            self.progress.file.get_or_init(|| Arc::clone(&self.file.file));
        }
        Ok(())
    }

    /// Writes as many of these bytes as end a page after `direct_from`, and opens the way past the page cache for the
    /// others, which are returned.
    fn turn_direct<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        // What has not been read will be, from the file.
        if self.trail.as_ref().is_some_and(|trail| !trail.is_read_up_to(self.len)) {
            return Ok(bytes);
        }
        let from = self.len.max(self.direct_from).next_multiple_of(ALIGN as u64);
        let head = usize::try_from(from - self.len).unwrap_or(usize::MAX);
        let Some((head, rest)) = bytes.split_at_checked(head) else { return Ok(bytes) };
        self.file.file.write_all_at(head, self.len)?;
        self.len = from;
        self.direct = Direct::open(&self.file.path, &self.file.file, from);
        if self.direct.is_none() {
            self.direct_from = u64::MAX;
        }
        Ok(rest)
    }

    /// Writes the last batch and the trailer; `hashes` have taken everything.
    pub(super) fn finish(mut self, frames: &[Bytes], hashes: Hashes) -> Result<Whole> {
        self.write(frames)?;
        if let Some(direct) = self.direct.take() {
            direct.end()?;
        }
        let digest = hashes.own.clone().finish();
        let footer = Footer { id: self.id, len: self.len, digest, block_log2: BLOCK_LOG2 };
        self.file.file.write_all_at(&self.sums.into_trailer(&footer), self.len)?;
        Ok(Whole { file: self.file, footer, hashes })
    }
}
