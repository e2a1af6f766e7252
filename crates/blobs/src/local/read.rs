//! Reading sealed blobs, verified.
//!
//! What does not live here: the format (`layout`), and who may read. The invariant: no byte is handed out before the
//! block it lies in was compared with its checksum; a damaged block takes no other block with it.

use std::{
    fs::File,
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use model::{BlobId, Digest, Error, Result};
use rustix::{buffer::spare_capacity, io::Errno};

use super::{
    blocking,
    known::{Known, Stamp},
    layout::{self, FOOTER_BYTES, Footer, SUM_BYTES},
};
use crate::{Blob, FileSpan, InFile, Task};

/// An open blob. The descriptor keeps the bytes alive after a removal.
pub(super) struct LocalBlob(pub(super) Arc<Known>);

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
        Ok(Self(Arc::new(Known::new(file, footer, (stamp, settled)))))
    }
}

impl Blob for LocalBlob {
    fn len(&self) -> u64 {
        self.0.footer.len
    }

    fn digest(&self) -> Digest {
        self.0.footer.digest
    }

    fn read(&self, offset: u64, len: usize) -> Task<'_, Result<Bytes>> {
        let known = Arc::clone(&self.0);
        Box::pin(blocking(move || read(&known.file, &known.footer, offset, len)))
    }

    fn in_file(&self) -> Option<&dyn InFile> {
        Some(self)
    }
}

impl InFile for LocalBlob {
    fn verified_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan>> {
        self.0.verified_now(offset, len)
    }

    fn verified(&self, offset: u64, len: usize) -> Task<'_, Result<FileSpan>> {
        let known = Arc::clone(&self.0);
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

/// Reads `len` bytes from the beginning of block `first`, each block compared with its checksum in `sums`. Blocks.
pub(super) fn verified(
    file: &File,
    id: BlobId,
    block_bytes: usize,
    first: u64,
    len: u64,
    sums: &[u8],
) -> Result<Vec<u8>> {
    let bytes = read_at(file, id, first * block_bytes as u64, len)?;
    let pairs = bytes.chunks(block_bytes).zip(sums.chunks_exact(SUM_BYTES));
    for (block, (bytes, sum)) in (first..).zip(pairs) {
        if crc32c::crc32c(bytes).to_le_bytes() != sum {
            return Err(Error::Damaged(format!(
                "blob {id:?}: block {block} of {block_bytes} bytes"
            )));
        }
    }
    Ok(bytes)
}

/// Reads exactly `len` bytes. With `pread` into memory that was not zeroed first: on a whole read that would cost more
/// than comparing the checksums.
fn read_at(file: &File, id: BlobId, offset: u64, len: u64) -> Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| too_long())?;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(cut_short(id)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(storage(id, &e.into())),
        }
    }
    // The allocator may have given more, and the file may have filled it.
    bytes.truncate(len);
    Ok(bytes)
}

/// What is asked for is not in the blob.
pub(super) fn outside(footer: &Footer, offset: u64, len: usize) -> Error {
    let (id, has) = (footer.id, footer.len);
    Error::Damaged(format!("blob {id:?}: has {has} bytes, not {len} at {offset}"))
}

/// It was as long as its footer says when it was opened, and nothing here ever shortens a file.
pub(super) fn cut_short(id: BlobId) -> Error {
    Error::Damaged(format!("blob {id:?}: was cut short"))
}

fn too_long() -> Error {
    Error::Storage("more bytes asked for than fit in memory".into())
}

pub(super) fn storage(id: BlobId, e: &io::Error) -> Error {
    Error::Storage(format!("blob {id:?}: {e}"))
}
