//! How a record becomes bytes and back.
//!
//! What lives here: integers, strings and arrays ([`Out`], [`In`]) and the frame around every record ([`encode`],
//! [`decode`]). What does not: which fields a record has (`record`), and keys (`keys`).
//!
//! Invariant: the first byte of every stored value is the version of its layout. A value is read whole or not at all:
//! an unknown version, a field cut short and bytes left over are [`Error::Damaged`], never a guess.

use model::{Error, Result};

/// A kind of stored value.
///
/// The way up: a layout that has been released never changes. A new one gets the next [`Record::VERSION`], and `read`
/// keeps a branch for each version before it, which fills in what that version did not have. Whatever is written is
/// written in the newest layout, so records move up as they are touched and no migration has to run.
pub(crate) trait Record<'a>: Sized {
    /// Names the kind in errors.
    const WHAT: &'static str;
    /// The layout `write` writes. Versions count from 1.
    const VERSION: u8;
    /// Appends the fields.
    fn write(&self, out: &mut Out);
    /// Reads the fields of layout `version`, which is one of 1 to [`Record::VERSION`].
    fn read(version: u8, from: &mut In<'a>) -> Result<Self>;
}

/// A record as it is stored.
pub(crate) fn encode<'a, R: Record<'a>>(record: &R) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(128));
    out.byte(R::VERSION);
    record.write(&mut out);
    out.0
}

/// Reads what [`encode`] wrote, now or in an earlier release.
pub(crate) fn decode<'a, R: Record<'a>>(bytes: &'a [u8]) -> Result<R> {
    let mut from = In { what: R::WHAT, rest: bytes };
    let version = from.byte()?;
    if version == 0 || version > R::VERSION {
        return Err(
            from.damaged(&format!("has unknown version {version} (newest known: {})", R::VERSION))
        );
    }
    let record = R::read(version, &mut from)?;
    match from.rest.len() {
        0 => Ok(record),
        left => Err(from.damaged(&format!("has {left} bytes too many"))),
    }
}

/// Bytes being written.
pub(crate) struct Out(Vec<u8>);

impl Out {
    /// One byte.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A truth value, one byte.
    pub(crate) fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    /// An integer, seven bits a byte, low ones first; the top bit says that more follow.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    /// Bytes whose number the reader knows.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Bytes after their number.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.fixed(bytes);
    }

    /// Text after the number of its bytes.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
}

/// Bytes being read.
pub(crate) struct In<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> In<'a> {
    /// One byte.
    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A truth value; only 0 and 1 are.
    pub(crate) fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(&format!("has flag {other}"))),
        }
    }

    /// An integer of up to 64 bits.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged("has an integer of more than 64 bits"))
    }

    /// An integer of up to 32 bits.
    pub(crate) fn varint32(&mut self) -> Result<u32> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| self.damaged("has an integer of more than 32 bits"))
    }

    /// As many bytes as the type says.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => Err(self.damaged("is cut short")),
        }
    }

    /// Bytes after their number.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.varint()?;
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let Some((bytes, rest)) = split else { return Err(self.damaged("is cut short")) };
        self.rest = rest;
        Ok(bytes)
    }

    /// Text after the number of its bytes.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("has text that is not UTF-8"))
    }

    /// What is left, all of it.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The error for a record that cannot be what was written.
    pub(crate) fn damaged(&self, why: &str) -> Error {
        Error::Damaged(format!("{} record {why}", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(write: impl FnOnce(&mut Out)) -> Vec<u8> {
        let mut out = Out(Vec::new());
        write(&mut out);
        out.0
    }

    fn input(bytes: &[u8]) -> In<'_> {
        In { what: "test", rest: bytes }
    }

    #[test]
    fn integers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            let bytes = out(|o| o.varint(value));
            assert_eq!(input(&bytes).varint(), Ok(value));
            assert!(input(&bytes[..bytes.len() - 1]).varint().is_err());
        }
        assert_eq!(out(|o| o.varint(127)).len(), 1);
        assert_eq!(out(|o| o.varint(u64::MAX)).len(), 10);
    }

    #[test]
    fn integers_too_large_are_damage() {
        assert!(input(&[0xff; 11]).varint().is_err());
        assert!(
            input(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint().is_err()
        );
        assert!(input(&out(|o| o.varint(1 << 32))).varint32().is_err());
        assert!(input(&[2]).flag().is_err());
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut bytes = out(|o| o.varint(u64::MAX));
        bytes.push(0);
        assert!(input(&bytes).bytes().is_err());
        assert!(input(&out(|o| o.bytes(&[0xff]))).text().is_err());
    }

    /// A record whose second version added a field.
    #[derive(Debug, PartialEq)]
    struct Grown(u64, Option<u64>);

    impl Record<'_> for Grown {
        const WHAT: &'static str = "grown";
        const VERSION: u8 = 2;

        fn write(&self, out: &mut Out) {
            out.varint(self.0);
            out.varint(self.1.unwrap_or_default());
        }

        fn read(version: u8, from: &mut In<'_>) -> Result<Self> {
            Ok(Self(from.varint()?, if version >= 2 { Some(from.varint()?) } else { None }))
        }
    }

    #[test]
    fn the_frame_refuses_what_it_does_not_know() {
        assert_eq!(encode(&Grown(5, Some(6))), [2, 5, 6]);
        assert_eq!(decode(&[2, 5, 6]), Ok(Grown(5, Some(6))));
        assert_eq!(decode(&[1, 5]), Ok(Grown(5, None)), "the way up from version 1");
        let why = |bytes: &[u8]| decode::<Grown>(bytes).expect_err("damaged").to_string();
        assert!(why(&[3, 5]).contains("grown record has unknown version 3"));
        assert!(why(&[0, 5]).contains("unknown version 0"));
        assert!(why(&[1, 5, 6]).contains("1 bytes too many"));
        assert!(why(&[2, 5]).contains("cut short"));
        assert!(why(&[]).contains("cut short"));
    }
}
