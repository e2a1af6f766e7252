//! The record of small content.
//!
//! What does not live here: the other records (`record`), and who may put or read content.
//!
//! Invariant: content that is handed out is what was put under that key, whatever the engine below did or did not compare.

use model::{Error, Result};

use super::codec::{In, Out, Record};

/// Inline content, and a checksum of it and of where it stands: whoever reads it compares them, so that an engine need not
/// look at content that it hands out ([`has_sum`]).
pub(crate) struct Inlined<'a> {
    sum: Option<u32>,
    bytes: &'a [u8],
}

impl<'a> Inlined<'a> {
    /// Of content that is to stand at `key`.
    pub(crate) fn new(key: &[u8], bytes: &'a [u8]) -> Self {
        Self { sum: Some(sum(key, bytes)), bytes }
    }

    /// The content, if it is what was put at `key`. The first release stored no sum.
    pub(crate) fn content(self, key: &[u8]) -> Result<&'a [u8]> {
        if self.sum.is_none_or(|told| told == sum(key, self.bytes)) {
            return Ok(self.bytes);
        }
        Err(Error::Damaged("inline content does not match its checksum".to_owned()))
    }
}

fn sum(key: &[u8], bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), bytes)
}

/// Whether a value of [`Inlined`] has its checksum.
pub(crate) fn has_sum(value: &[u8]) -> bool {
    value.first().is_some_and(|version| *version >= 2)
}

impl<'a> Record<'a> for Inlined<'a> {
    const WHAT: &'static str = "inline";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Out) {
        out.fixed(&self.sum.unwrap_or_default().to_le_bytes());
        out.fixed(self.bytes);
    }

    fn read(version: u8, from: &mut In<'a>) -> Result<Self> {
        let sum = (version >= 2).then(|| from.array().map(u32::from_le_bytes)).transpose()?;
        Ok(Self { sum, bytes: from.remainder() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::codec::{decode, encode};

    #[test]
    fn content_is_what_was_put_where_it_stands() {
        let stored = encode(&Inlined::new(b"here", b"content"));
        let content = |key: &[u8], stored: &[u8]| {
            decode::<Inlined<'_>>(stored)?.content(key).map(<[u8]>::to_vec)
        };
        assert!(has_sum(&stored));
        assert_eq!(content(b"here", &stored), Ok(b"content".to_vec()));
        assert!(matches!(content(b"there", &stored), Err(Error::Damaged(_))));
        for at in 1..stored.len() {
            let mut flipped = stored.clone();
            flipped[at] ^= 4;
            assert!(matches!(content(b"here", &flipped), Err(Error::Damaged(_))), "{at}");
        }
        let first_release = b"\x01content";
        assert!(!has_sum(first_release));
        assert_eq!(content(b"here", first_release), Ok(b"content".to_vec()));
    }
}
