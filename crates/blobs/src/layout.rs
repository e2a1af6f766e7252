//! What a blob looks like on disk: the fan-out of names, and the trailer behind the bytes.
//!
//! ```text
//! blobs/xx/yy/<32 hex digits of the id>      xx and yy are the last two bytes of the id, which are random
//!
//! | the bytes as they came | CRC32C of each block, 4 bytes each | footer, 64 bytes |
//!
//! footer: "hw" | version | log2 of the block size | length (8) | SHA-256 (32) | id (16) | CRC32C of these (4)
//! ```
//!
//! Integers are little-endian. The bytes come first and unchanged, so that an operator finds them with plain tools; the
//! footer names the blob, so that a file under the wrong name is noticed and one from `lost+found` finds home.
//!
//! What does not live here: any I/O. The invariant: a footer is believed only when its own checksum, its id and the
//! length of the file all agree.

use std::path::{Path, PathBuf};

use model::{BlobId, Digest, Error, Result};

/// log2 of the size of a block, the unit of verification. 64 KiB: a ranged read verifies little more than it returns,
/// and the checksums are a 16,384th of the bytes.
pub(crate) const BLOCK_LOG2: u8 = 16;
/// Size of a block in bytes.
pub(crate) const BLOCK_BYTES: usize = 1 << BLOCK_LOG2;
/// Size of the checksum of a block.
pub(crate) const SUM_BYTES: usize = 4;
/// Size of the footer.
pub(crate) const FOOTER_BYTES: usize = 64;

const MAGIC: [u8; 2] = *b"hw";
const VERSION: u8 = 1;
/// Block sizes a reader accepts: 4 KiB to 16 MiB.
const BLOCK_LOG2_RANGE: std::ops::RangeInclusive<u8> = 12..=24;

/// What a blob says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Its name.
    pub id: BlobId,
    /// Length of its bytes.
    pub len: u64,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// log2 of the size of its blocks.
    pub block_log2: u8,
}

impl Footer {
    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut raw = [0; FOOTER_BYTES];
        raw[..2].copy_from_slice(&MAGIC);
        raw[2] = VERSION;
        raw[3] = self.block_log2;
        raw[4..12].copy_from_slice(&self.len.to_le_bytes());
        raw[12..44].copy_from_slice(&self.digest.0);
        raw[44..60].copy_from_slice(&self.id.0);
        let crc = crc32c::crc32c(&raw[..60]);
        raw[60..].copy_from_slice(&crc.to_le_bytes());
        raw
    }

    /// Reads the footer of the file named `id`, which is `file_bytes` long.
    pub(crate) fn decode(raw: &[u8; FOOTER_BYTES], id: BlobId, file_bytes: u64) -> Result<Self> {
        let damaged = |what: &str| Err(Error::Damaged(format!("blob {id:?}: {what}")));
        let (body, crc) = raw.split_at(60);
        if crc != crc32c::crc32c(body).to_le_bytes() {
            return damaged("footer does not match its checksum");
        }
        let [m0, m1, version, block_log2, ..] = *raw;
        if [m0, m1] != MAGIC {
            return damaged("footer is not one of ours");
        }
        if version != VERSION {
            let text =
                format!("blob {id:?}: format version {version} is not known to this release");
            return Err(Error::Storage(text));
        }
        if !BLOCK_LOG2_RANGE.contains(&block_log2) {
            return damaged("impossible block size");
        }
        let footer = Self {
            id: BlobId(take(&raw[44..60])),
            len: u64::from_le_bytes(take(&raw[4..12])),
            digest: Digest(take(&raw[12..44])),
            block_log2,
        };
        if footer.id != id {
            return damaged(&format!("holds blob {:?}", footer.id));
        }
        if footer.file_bytes() != Some(file_bytes) {
            return damaged("file is not as long as its footer says");
        }
        Ok(footer)
    }

    /// Size of a block.
    pub(crate) fn block_bytes(&self) -> u64 {
        1 << self.block_log2
    }

    /// Where in the file the checksum of a block stands.
    pub(crate) fn sum_at(&self, block: u64) -> u64 {
        self.len + block * SUM_BYTES as u64
    }

    /// How long the whole file is.
    fn file_bytes(&self) -> Option<u64> {
        let sums = self.len.div_ceil(self.block_bytes()).checked_mul(SUM_BYTES as u64)?;
        self.len.checked_add(sums)?.checked_add(FOOTER_BYTES as u64)
    }
}

/// The checksums of the blocks of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    done: Vec<u8>,
    crc: u32,
    filled: usize,
}

impl Sums {
    /// Goes on with `bytes`.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.crc = crc32c::crc32c_append(self.crc, now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                self.end_block();
            }
            bytes = later;
        }
    }

    /// Those of the blocks that are full, one after the other.
    pub(crate) fn of_whole_blocks(&self) -> &[u8] {
        &self.done
    }

    /// Everything that stands behind the bytes in the file.
    pub(crate) fn into_trailer(mut self, footer: &Footer) -> Vec<u8> {
        if self.filled > 0 {
            self.end_block();
        }
        let mut trailer = self.done;
        trailer.extend_from_slice(&footer.encode());
        trailer
    }

    fn end_block(&mut self) {
        self.done.extend_from_slice(&self.crc.to_le_bytes());
        (self.crc, self.filled) = (0, 0);
    }
}

/// The two bytes of an id that choose its directory.
pub(crate) fn fan(id: BlobId) -> [u8; 2] {
    [id.0[14], id.0[15]]
}

/// The name of one level of the fan-out.
pub(crate) fn fan_name(byte: u8) -> String {
    format!("{byte:02x}")
}

/// Where a sealed blob lies.
pub(crate) fn sealed_path(blobs: &Path, id: BlobId) -> PathBuf {
    let [first, second] = fan(id);
    let mut path = blobs.join(fan_name(first));
    path.push(fan_name(second));
    path.push(id.to_hex());
    path
}

/// Reads a file name back, if it is exactly what [`BlobId::to_hex`] writes.
pub(crate) fn id_of(name: &str) -> Option<BlobId> {
    BlobId::from_hex(name).filter(|id| id.to_hex() == name)
}

fn take<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use model::AccountId;

    use super::*;

    fn footer() -> Footer {
        let id = BlobId::new(AccountId(7), 1_764_000_000_123, [1, 2, 3, 4, 0xa5, 6]);
        Footer { id, len: 65_537, digest: Digest([9; 32]), block_log2: BLOCK_LOG2 }
    }

    #[test]
    fn a_footer_reads_back_and_every_bit_of_it_counts() {
        let (footer, size) = (footer(), 65_537 + 8 + 64);
        let raw = footer.encode();
        assert_eq!(Footer::decode(&raw, footer.id, size).unwrap(), footer);
        for bit in 0..raw.len() * 8 {
            let mut bad = raw;
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = Footer::decode(&bad, footer.id, size);
            assert!(matches!(read, Err(Error::Damaged(_))), "bit {bit}: {read:?}");
        }
        for wrong in [size - 1, size + 1, 0, u64::MAX] {
            assert!(matches!(Footer::decode(&raw, footer.id, wrong), Err(Error::Damaged(_))));
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_without_overflow() {
        for len in [u64::MAX, u64::MAX - 64] {
            let footer = Footer { len, ..footer() };
            let read = Footer::decode(&footer.encode(), footer.id, 64);
            assert!(matches!(read, Err(Error::Damaged(_))));
        }
    }

    /// Written once; a change of this array is a change of the format and needs a new version.
    #[test]
    fn the_format_stands_still() {
        let mut sums = Sums::default();
        sums.update(b"123456789");
        let footer = Footer { len: 9, ..footer() };
        let trailer = sums.into_trailer(&footer);
        assert_eq!(trailer[..4], 0xe306_9283_u32.to_le_bytes(), "CRC32C's check value");
        assert_eq!(trailer[4..8], [b'h', b'w', 1, 16]);
        assert_eq!(trailer[8..16], [9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(trailer[16..48], [9; 32]);
        assert_eq!(trailer[48..64], footer.id.0);
        assert_eq!(trailer.len(), 68);
    }

    #[test]
    fn names_fan_out_by_their_random_end() {
        let id = footer().id;
        let path = sealed_path(Path::new("b"), id);
        assert_eq!(path, Path::new("b/a5/06").join(id.to_hex()));
        assert_eq!(id_of(&id.to_hex()), Some(id));
        assert_eq!(id_of(&id.to_hex().to_uppercase()), None);
        assert_eq!(id_of(&format!("+{}", &id.to_hex()[1..])), None);
    }
}
