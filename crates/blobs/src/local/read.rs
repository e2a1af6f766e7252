//! Reading sealed blobs, verified.
//!
//! What does not live here: the format (`layout`), and who may read. The invariant: no byte is handed out before the
//! block it lies in was compared with its checksum; a damaged block takes no other block with it.

use std::{fs::File, io::ErrorKind, path::Path, sync::Arc};

use bytes::Bytes;
use model::{BlobId, Digest, Error, Result};

use super::known::{Known, Stamp};
use crate::{
    Blob, FileSpan, InFile, Task,
    blocks::{cut_short, outside, read_at, storage, too_long, verified},
    layout::{self, FOOTER_BYTES, Footer, SUM_BYTES},
    threads::blocking,
};

/// An open blob. The descriptor keeps the bytes alive after a removal.
pub(super) struct LocalBlob {
    known: Arc<Known>,
}

impl LocalBlob {
    /// Opens the blob `id` under `blobs`. Blocks.
    pub(super) fn open(blobs: &Path, id: BlobId) -> Result<Self> {
        let file = File::open(layout::sealed_path(blobs, id)).map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::Damaged(format!("blob {id:?}: is missing")),
            _ => storage(id, &e),
        })?;
        let stamp = Stamp::of(&file).map_err(|e| storage(id, &e))?;
        let (file_bytes, settled) = (stamp.file_bytes(), stamp.is_settled());
        let Some(footer_at) = file_bytes.checked_sub(FOOTER_BYTES as u64) else {
            return Err(Error::Damaged(format!("blob {id:?}: too short for a footer")));
        };
        let raw = read_at(&file, id, footer_at, FOOTER_BYTES as u64)?;
        let raw = raw.first_chunk().ok_or_else(|| cut_short(id))?;
        let footer = Footer::decode(raw, id, file_bytes)?;
        let known = Arc::new(Known::new(file, footer, (stamp, settled)));
        Ok(Self { known })
    }

    /// One that is open.
    pub(super) fn known(known: Arc<Known>) -> Self {
        Self { known }
    }

    /// What is known of it.
    pub(super) fn file(&self) -> &Arc<Known> {
        &self.known
    }
}

impl Blob for LocalBlob {
    fn len(&self) -> u64 {
        self.known.footer.len
    }

    fn digest(&self) -> Digest {
        self.known.footer.digest
    }

    fn read(&self, offset: u64, len: usize) -> Task<'_, Result<Bytes>> {
        let known = Arc::clone(&self.known);
        Box::pin(blocking(move || read(&known.file, &known.footer, offset, len)))
    }

    fn in_file(&self) -> Option<&dyn InFile> {
        Some(self)
    }
}

impl InFile for LocalBlob {
    fn verified_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan>> {
        self.known.verified_now(offset, len)
    }

    fn verified(&self, offset: u64, len: usize) -> Task<'_, Result<FileSpan>> {
        let known = Arc::clone(&self.known);
        Box::pin(blocking(move || known.verified_later(offset, len)))
    }
}

/// Reads the blocks that the range lies in, compares each with its checksum, and returns the range.
fn read(file: &File, footer: &Footer, offset: u64, len: usize) -> Result<Bytes> {
    let id = footer.id;
    let block_bytes = footer.block_bytes();
    let end = match offset.checked_add(len as u64) {
        Some(end) if end <= footer.len => end,
        _ => return Err(outside(footer, offset, len)),
    };
    if len == 0 {
        return Ok(Bytes::new());
    }

    let first = offset / block_bytes;
    let begin = first * block_bytes;
    let blocks = (end - begin).div_ceil(block_bytes);
    let whole = (begin + blocks * block_bytes).min(footer.len) - begin;

    let sums = read_at(file, id, footer.sum_at(first), blocks * SUM_BYTES as u64)?;
    let bytes = verified(file, id, 1 << footer.block_log2, first, whole, &sums)?;
    // Within `bytes`: `offset` lies in the first block.
    let skip = usize::try_from(offset - begin).map_err(|_| too_long())?;
    Ok(Bytes::from(bytes).slice(skip..skip + len))
}
