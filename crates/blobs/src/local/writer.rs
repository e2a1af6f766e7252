//! The file of a stage, and who writes it: block checksums and large writes, on a blocking thread.
//!
//! What does not live here: when a batch is written, and by which thread (`stage`); syncing (`durable`); hashing, but of
//! the last batch (`hasher`). The
//! invariants: a [`StageFile`] that was not sealed removes its file when dropped, wherever and however that happens;
//! what is written and what the blocks are summed from are the same bytes in the same order.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    mem,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use model::{BlobId, Result};

use crate::ContentHash;

use crate::{
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
    pub hash: ContentHash,
}

/// Writes one blob. Every method blocks. After an error it is of no use but to be dropped.
pub(super) struct Writer {
    file: StageFile,
    id: BlobId,
    sums: Sums,
    len: u64,
    trail: Option<Arc<Trail>>,
}

impl Writer {
    /// Begins the blob `id` in a new file `path`; `trail` is told what is in it.
    pub(super) fn create(path: PathBuf, id: BlobId, trail: Option<Arc<Trail>>) -> Result<Self> {
        let file = StageFile::create(path)?;
        Ok(Self { file, id, sums: Sums::default(), len: 0, trail })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn file(&self) -> &Arc<File> {
        self.file.file()
    }

    /// Writes a batch.
    pub(super) fn write(&mut self, frames: &[Bytes]) -> Result<()> {
        for frame in frames {
            self.sums.update(frame);
            self.file.file.write_all_at(frame, self.len)?;
            self.len += frame.len() as u64;
        }
        if let Some(trail) = &self.trail {
            trail.written(self.file.file(), self.len, self.sums.of_whole_blocks());
        }
        Ok(())
    }

    /// Writes the last batch and the trailer; `hash` has taken everything before it.
    pub(super) fn finish(mut self, batch: Batch, mut hash: ContentHash) -> Result<Whole> {
        let frames = batch.into_frames();
        frames.iter().for_each(|frame| hash.update(frame));
        self.write(&frames)?;
        let digest = hash.clone().finish();
        let footer = Footer { id: self.id, len: self.len, digest, block_log2: BLOCK_LOG2 };
        self.file.file.write_all_at(&self.sums.into_trailer(&footer), self.len)?;
        Ok(Whole { file: self.file, footer, hash })
    }
}
