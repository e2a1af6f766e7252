//! The bytes that are sent: random, so that no engine can compress them or find them twice, and reproducible from a seed,
//! so that what was stored can be checked. No I/O.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// Bytes of a chunk of a [`Long`] body.
pub(crate) const CHUNK: usize = 1 << 20;
/// A chunk is made distinct by a stamp every so many bytes.
const STAMP_EVERY: usize = 4096;
/// Bytes of a stamp.
const STAMP: usize = 8;

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

/// Contents of one length that differ in their first bytes alone, the stamp: cheap to send and to check.
pub(crate) struct Stamped {
    block: Vec<u8>,
}

impl Stamped {
    /// Contents of this length.
    pub(crate) fn new(length: usize) -> Self {
        let mut block = Vec::with_capacity(length);
        append(length as u64, length, &mut block);
        Self { block }
    }

    /// The length.
    pub(crate) fn length(&self) -> usize {
        self.block.len()
    }

    /// Appends the beginning of a content; [`Stamped::rest`] follows.
    pub(crate) fn begin(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&stamp(number)[..STAMP.min(self.length())]);
    }

    /// What follows the beginning of each.
    pub(crate) fn rest(&self) -> &[u8] {
        self.block.get(STAMP..).unwrap_or_default()
    }

    /// A whole content.
    pub(crate) fn whole(&self, number: u64) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.length());
        self.begin(number, &mut whole);
        whole.extend_from_slice(self.rest());
        whole
    }

    /// Whether these bytes are the content with this number.
    pub(crate) fn is(&self, number: u64, bytes: &[u8]) -> bool {
        let (begin, rest) = bytes.split_at(STAMP.min(bytes.len()));
        bytes.len() == self.length() && stamp(number).starts_with(begin) && rest == self.rest()
    }
}

fn stamp(number: u64) -> [u8; STAMP] {
    Random::new(number).next().to_le_bytes()
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
            page[..STAMP].copy_from_slice(&long_stamp(self.seed, number, i));
        }
        &self.chunk
    }

    /// The checksum of the first `chunks`.
    pub(crate) fn checksum(&mut self, chunks: u64) -> String {
        self.checksum_of(0..chunks)
    }

    /// The checksum of these chunks.
    pub(crate) fn checksum_of(&mut self, chunks: std::ops::Range<u64>) -> String {
        let mut hash = Context::new(&SHA256);
        chunks.for_each(|number| hash.update(self.chunk(number)));
        hex(hash.finish().as_ref())
    }
}

fn long_stamp(seed: u64, chunk: u64, place: u64) -> [u8; STAMP] {
    (seed ^ (chunk << 16) ^ place).to_le_bytes()
}

/// Whether a piece of the long body of `seed`, from `offset` on, bears the right stamps: cheap, and bytes that are those of
/// another place or another body do not pass.
pub(crate) fn long_has(seed: u64, offset: u64, piece: &[u8]) -> bool {
    let every = STAMP_EVERY as u64;
    let (in_chunk, mut at) = (CHUNK as u64 / every, offset.next_multiple_of(every));
    let end = offset + piece.len() as u64;
    while at + STAMP as u64 <= end {
        let stamp = long_stamp(seed, at / CHUNK as u64, at / every % in_chunk);
        let Ok(from) = usize::try_from(at - offset) else { return false };
        if piece[from..from + STAMP] != stamp {
            return false;
        }
        at += every;
    }
    true
}

/// The checksum of `bytes`, as the server writes it.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
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
    fn stamps_tell_contents_apart() {
        for length in [0, 1, 8, 9, 4096] {
            let contents = Stamped::new(length);
            let whole = contents.whole(5);
            assert_eq!(whole.len(), length);
            assert!(contents.is(5, &whole));
            assert!(length == 0 || !contents.is(5, &whole[1..]));
            assert!(length == 0 || !contents.is(6, &whole), "{length}");
        }
        let mut whole = Stamped::new(4096).whole(1);
        whole[4000] ^= 1;
        assert!(!Stamped::new(4096).is(1, &whole));
    }

    #[test]
    fn stamps_tell_places_apart() {
        let mut long = Long::new(3);
        let mut body = long.chunk(0).to_vec();
        body.extend_from_slice(long.chunk(1));
        for (from, to) in [(0, body.len()), (1, 5000), (4090, 4100), (CHUNK - 1, CHUNK + 9)] {
            assert!(long_has(3, from as u64, &body[from..to]));
            assert!(!long_has(4, from as u64, &body[from..to]) || (from, to) == (4090, 4100));
        }
        assert!(!long_has(3, 0, &body[4096..]));
    }

    #[test]
    fn checksums_are_hex() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(checksum(b""), empty);
    }
}
