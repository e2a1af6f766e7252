//! Names of stored bytes: blobs, inline content, digests. The bytes themselves are the business of crate `blobs`.

use std::fmt;

use crate::AccountId;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of no bytes at all.
    pub const EMPTY: Digest = Digest([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// Reads 64 hex digits of either case; `None` for anything else.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        if hex.len() != 64 {
            return None;
        }
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            b'A'..=b'F' => Some(b - b'A' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// 64 lower-case hex digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Names one blob: bytes written once and never changed. 16 bytes: the account (4, big-endian), the millisecond it was
/// staged (6), and 6 random ones, so that ids tell an operator whose and how old a blob is, and never collide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub [u8; 16]);

impl BlobId {
    /// Puts an id together.
    pub fn new(account: AccountId, staged_ms: u64, random: [u8; 6]) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&account.0.to_be_bytes());
        id[4..10].copy_from_slice(&staged_ms.to_be_bytes()[2..]);
        id[10..].copy_from_slice(&random);
        Self(id)
    }

    /// The account whose upload made the blob.
    pub fn account(self) -> AccountId {
        AccountId(u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]))
    }

    /// When it was staged, in milliseconds since the epoch.
    pub fn staged_ms(self) -> u64 {
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&self.0[4..10]);
        u64::from_be_bytes(ms)
    }

    /// 32 lower-case hex digits: the name of its file.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// Reads what [`BlobId::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let mut id = [0; 16];
        for (i, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Names content kept inside the catalog, unique within an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InlineId(pub u64);

/// A whole blob as a part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The blob.
    pub blob: BlobId,
    /// Its length in bytes.
    pub len: u64,
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_account_and_time() {
        let id = BlobId::new(AccountId(7), 1_764_000_000_123, [1, 2, 3, 4, 5, 6]);
        assert_eq!((id.account(), id.staged_ms()), (AccountId(7), 1_764_000_000_123));
        assert_eq!(BlobId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(BlobId::from_hex("zz"), None);
    }

    #[test]
    fn digests_read_either_case() {
        let hex = Digest::EMPTY.to_hex();
        assert_eq!(Digest::from_hex(hex.as_bytes()), Some(Digest::EMPTY));
        assert_eq!(Digest::from_hex(hex.to_uppercase().as_bytes()), Some(Digest::EMPTY));
        assert_eq!(Digest::from_hex(&hex.as_bytes()[1..]), None);
        assert_eq!(Digest::from_hex(hex.replace('e', "g").as_bytes()), None);
    }
}
