//! The bytes that are sent: random, so that no engine can compress them or find them twice, and reproducible from a seed,
//! so that what was stored can be checked. No I/O.

use sha2::{Digest, Sha256};

/// Bytes of a chunk of a [`Long`] body.
pub(crate) const CHUNK: usize = 1 << 20;
/// A chunk is made distinct by a stamp every so many bytes.
const STAMP_EVERY: usize = 4096;

/// The generator `splitmix64`.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Appends `length` bytes, those of `seed`.
pub(crate) fn append(seed: u64, length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    let mut random = Random::new(seed);
    while out.len() < end {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    out.truncate(end);
}

/// A long body, made a chunk at a time and cheaply: one random chunk, stamped with its number throughout.
pub(crate) struct Long {
    seed: u64,
    chunk: Vec<u8>,
}

impl Long {
    /// The body of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chunk = Vec::with_capacity(CHUNK);
        append(seed, CHUNK, &mut chunk);
        Self { seed, chunk }
    }

    /// The chunk with this number.
    pub(crate) fn chunk(&mut self, number: u64) -> &[u8] {
        for (i, page) in (0u64..).zip(self.chunk.chunks_exact_mut(STAMP_EVERY)) {
            page[..8].copy_from_slice(&(self.seed ^ (number << 16) ^ i).to_le_bytes());
        }
        &self.chunk
    }

    /// The checksum of the first `chunks`.
    pub(crate) fn checksum(&mut self, chunks: u64) -> String {
        self.checksum_of(0..chunks)
    }

    /// The checksum of these chunks.
    pub(crate) fn checksum_of(&mut self, chunks: std::ops::Range<u64>) -> String {
        let mut hash = Sha256::new();
        chunks.for_each(|number| hash.update(self.chunk(number)));
        hex(&hash.finalize())
    }
}

/// The checksum of `bytes`, as the server writes it.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |d: u8| char::from(DIGITS[usize::from(d)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_reproducible_and_distinct() {
        let make = |seed| {
            let mut out = Vec::new();
            append(seed, 4099, &mut out);
            out
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        assert_eq!(make(1).len(), 4099);
        let mut long = Long::new(7);
        let first = long.chunk(0).to_vec();
        assert_ne!(first, long.chunk(1));
        assert_eq!(first, long.chunk(0));
        assert_eq!(long.checksum(1), checksum(&first));
    }

    #[test]
    fn checksums_are_hex() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(checksum(b""), empty);
    }
}
