//! Blocks compared with their checksums, and exact reads from a file.
//!
//! What does not live here: where the checksums come from (`layout`), and which blocks a range needs. The invariant: what
//! [`verified`] and [`compared`] pass was compared, every block of it.

use std::{fs::File, io};

use model::{BlobId, Error, Result};
use rustix::{buffer::spare_capacity, io::Errno};

use crate::layout::{Footer, SUM_BYTES};

/// Reads `len` bytes from the beginning of block `first`, each block compared with its checksum in `sums`. Blocks.
pub(crate) fn verified(
    file: &File,
    id: BlobId,
    block_bytes: usize,
    first: u64,
    len: u64,
    sums: &[u8],
) -> Result<Vec<u8>> {
    let bytes = read_at(file, id, first * block_bytes as u64, len)?;
    compared(id, block_bytes, first, &bytes, sums)?;
    Ok(bytes)
}

/// Compares `bytes`, which begin where block `first` does, with the checksums of their blocks.
pub(crate) fn compared(
    id: BlobId,
    block_bytes: usize,
    first: u64,
    bytes: &[u8],
    sums: &[u8],
) -> Result<()> {
    if bytes.len().div_ceil(block_bytes) * SUM_BYTES != sums.len() {
        return Err(Error::Damaged(format!("blob {id:?}: checksums missing from block {first}")));
    }
    let pairs = bytes.chunks(block_bytes).zip(sums.chunks_exact(SUM_BYTES));
    for (block, (bytes, sum)) in (first..).zip(pairs) {
        if crc32c::crc32c(bytes).to_le_bytes() != sum {
            return Err(Error::Damaged(format!(
                "blob {id:?}: block {block} of {block_bytes} bytes"
            )));
        }
    }
    Ok(())
}

/// Reads exactly `len` bytes. With `pread` into memory that was not zeroed first: on a whole read that would cost more
/// than comparing the checksums.
pub(crate) fn read_at(file: &File, id: BlobId, offset: u64, len: u64) -> Result<Vec<u8>> {
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
pub(crate) fn outside(footer: &Footer, offset: u64, len: usize) -> Error {
    let (id, has) = (footer.id, footer.len);
    Error::Damaged(format!("blob {id:?}: has {has} bytes, not {len} at {offset}"))
}

/// It was as long as its footer says when it was opened, and nothing here ever shortens a file.
pub(crate) fn cut_short(id: BlobId) -> Error {
    Error::Damaged(format!("blob {id:?}: was cut short"))
}

pub(crate) fn too_long() -> Error {
    Error::Storage("more bytes asked for than fit in memory".into())
}

pub(crate) fn storage(id: BlobId, e: &io::Error) -> Error {
    Error::Storage(format!("blob {id:?}: {e}"))
}
