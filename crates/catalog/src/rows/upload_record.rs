//! What is stored of multipart uploads: the fields of their records, in their order.
//!
//! What lives here: an implementation of [`Record`] for an upload, its row among its user's, and a piece. What does not:
//! all other records (`record`) and keys (`keys`).
//!
//! Invariant: whatever can be put can be read back equal. Layouts are at version 1 unless they say what came
//! later.

use model::{
    AccountId, BlobId, ContentType, Digest, Extent, Multipart, Piece, PieceContent, PieceState,
    Result, Time, UploadId, UploadState, UserId,
};

use super::codec::{In, Out, Record};
use super::record::{read_owner, read_path, write_owner};

impl Record<'_> for Multipart {
    const WHAT: &'static str = "upload";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Out) {
        out.fixed(&self.id.0);
        out.varint(self.account.0.into());
        out.varint(self.user.0.into());
        write_owner(self.owner, out);
        out.varint(self.number);
        out.text(self.path.as_str());
        out.flag(self.content_type.is_some());
        if let Some(content_type) = &self.content_type {
            out.text(content_type.as_str());
        }
        out.varint(self.mtime);
        out.varint(self.created.0);
        out.varint(self.changed.0);
        out.byte(self.state.number());
        write_code(self.error, out);
        out.varint(self.received);
        out.varint(self.pieces.into());
        out.varint(self.highest.into());
        out.varint(self.bytes);
        out.flag(self.checksum.is_some());
        if let Some(checksum) = &self.checksum {
            out.fixed(&checksum.0);
        }
    }

    /// Version 1 had no checksum.
    fn read(version: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            id: UploadId(from.array()?),
            account: AccountId(from.varint32()?),
            user: UserId(from.varint32()?),
            owner: read_owner(from)?,
            number: from.varint()?,
            path: read_path(from)?,
            content_type: if from.flag()? { Some(read_content_type(from)?) } else { None },
            mtime: from.varint()?,
            created: Time(from.varint()?),
            changed: Time(from.varint()?),
            state: {
                let number = from.byte()?;
                UploadState::from_number(number)
                    .ok_or_else(|| from.damaged(&format!("has state {number}")))?
            },
            error: read_code(from)?,
            received: from.varint()?,
            pieces: from.varint32()?,
            highest: from.varint32()?,
            bytes: from.varint()?,
            checksum: if version > 1 && from.flag()? { Some(Digest(from.array()?)) } else { None },
        })
    }
}

fn read_content_type(from: &mut In<'_>) -> Result<ContentType> {
    let text = from.text()?;
    ContentType::parse(text).map_err(|_| from.damaged("has an invalid content type"))
}

/// Codes are negative: a varint would not be short.
fn write_code(code: i32, out: &mut Out) {
    out.fixed(&code.to_be_bytes());
}

fn read_code(from: &mut In<'_>) -> Result<i32> {
    Ok(i32::from_be_bytes(from.array()?))
}

/// An upload among its user's.
#[derive(Debug, PartialEq)]
pub(crate) struct UploadRow(pub(crate) UploadId);

impl Record<'_> for UploadRow {
    const WHAT: &'static str = "upload row";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.fixed(&self.0.0);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self(UploadId(from.array()?)))
    }
}

impl Record<'_> for Piece {
    const WHAT: &'static str = "piece";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.number.into());
        out.varint(self.arrival);
        out.varint(self.size);
        out.fixed(&self.checksum.0);
        match self.content {
            PieceContent::Empty => out.byte(0),
            PieceContent::Blob(extent) => {
                out.byte(1);
                out.fixed(&extent.blob.0);
                out.varint(extent.len);
            }
        }
        out.byte(self.state.number());
        write_code(self.error, out);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            number: from.varint32()?,
            arrival: from.varint()?,
            size: from.varint()?,
            checksum: Digest(from.array()?),
            content: match from.byte()? {
                0 => PieceContent::Empty,
                1 => {
                    PieceContent::Blob(Extent { blob: BlobId(from.array()?), len: from.varint()? })
                }
                other => return Err(from.damaged(&format!("has content {other}"))),
            },
            state: {
                let number = from.byte()?;
                PieceState::from_number(number)
                    .ok_or_else(|| from.damaged(&format!("has state {number}")))?
            },
            error: read_code(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;
    use crate::suite::pieces::piece;
    use crate::suite::uploads::upload;

    /// Every prefix of a record is damage, and so is the record with a byte more or a newer version.
    fn check<R: for<'a> Record<'a> + PartialEq + std::fmt::Debug>(record: &R) {
        let mut bytes = encode(record);
        assert_eq!(decode::<R>(&bytes).as_ref(), Ok(record));
        assert_eq!(bytes[0], R::VERSION, "the version");
        for end in 0..bytes.len() {
            assert!(decode::<R>(&bytes[..end]).is_err(), "{end} of {record:?}");
        }
        bytes.push(0);
        assert!(decode::<R>(&bytes).is_err());
        bytes.pop();
        bytes[0] = R::VERSION + 1;
        assert!(decode::<R>(&bytes).is_err());
    }

    #[test]
    fn records_come_back() {
        for seed in 0..40_u8 {
            check(&upload(seed, 3, seed.into()));
            check(&piece(7, seed.into()));
        }
        let most = Multipart {
            checksum: Some(Digest([7; 32])),
            number: u64::MAX,
            received: u64::MAX,
            pieces: u32::MAX,
            highest: u32::MAX,
            error: i32::MIN,
            ..upload(255, u32::MAX, u64::MAX)
        };
        check(&most);
        check(&Piece { arrival: u64::MAX, error: i32::MIN, ..piece(u32::MAX, u64::MAX) });
        check(&UploadRow(UploadId([0xab; 16])));
    }

    #[test]
    fn uploads_of_the_first_release_move_up() {
        let now = Multipart { checksum: None, ..upload(1, 3, 1) };
        let mut bytes = encode(&now);
        assert_eq!(bytes.pop(), Some(0), "that there is no checksum");
        bytes[0] = 1;
        assert_eq!(decode::<Multipart>(&bytes), Ok(now));
    }

    #[test]
    fn unknown_states_are_damage() {
        let piece = piece(1, 0);
        let mut bytes = encode(&piece);
        let at = bytes.len() - 5;
        assert_eq!(bytes[at], piece.state.number());
        bytes[at] = 2;
        let why = decode::<Piece>(&bytes).expect_err("damaged").to_string();
        assert!(why.contains("piece record has state 2"), "{why}");
    }
}
