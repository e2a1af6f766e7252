//! Multipart uploads and their pieces: records, states, and the one table of transitions (protocol.md, section 6).
//!
//! What is not here: who may do what, and what a transition entails (`ops::multipart`).

use std::fmt;

use crate::{AccountId, ContentType, Digest, Extent, Owner, Time, TreePath, UserId};

/// Names an upload: the wire's `mpid`, 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub [u8; 16]);

impl UploadId {
    /// Reads 32 hex digits of either case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        crate::BlobId::from_hex(text)
            .filter(|_| text.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(|id| Self(id.0))
    }

    /// 32 lower-case hex digits.
    pub fn to_hex(self) -> String {
        crate::BlobId(self.0).to_hex()
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// State of an upload; the numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UploadState {
    /// Takes pieces.
    New = 1,
    /// Has all its pieces.
    Ready = 2,
    /// Was completed; waits to be put together.
    Complete = 3,
    /// Is being put together.
    Join = 5,
    /// The file is there.
    Success = 6,
    /// Its record waits to be removed.
    Deleted = 8,
    /// Went wrong for good.
    Error = 9,
    /// Was given up by the client.
    Abort = 10,
    /// Was given up by the server.
    Expired = 11,
    /// Could not be put together; may be restarted.
    Failed = 12,
}

impl UploadState {
    /// Every state.
    pub const ALL: [UploadState; 10] = [
        UploadState::New,
        UploadState::Ready,
        UploadState::Complete,
        UploadState::Join,
        UploadState::Success,
        UploadState::Deleted,
        UploadState::Error,
        UploadState::Abort,
        UploadState::Expired,
        UploadState::Failed,
    ];

    /// The wire's number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state with a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Where an upload may go from here: the whole table.
    pub const fn next(self) -> &'static [UploadState] {
        use UploadState::{
            Abort, Complete, Deleted, Error, Expired, Failed, Join, New, Ready, Success,
        };
        match self {
            New => &[Ready, Abort, Deleted, Expired],
            Ready => &[Complete, Abort],
            Complete => &[Join],
            Join => &[Success, Failed],
            Failed => &[Complete, Deleted, Expired],
            Success | Abort => &[Deleted],
            Deleted | Error | Expired => &[],
        }
    }

    /// Whether an upload may go from here to `next`.
    pub fn may_become(self, next: UploadState) -> bool {
        self.next().contains(&next)
    }

    /// Whether it still counts against the limit of unfinished uploads.
    pub const fn is_unfinished(self) -> bool {
        matches!(
            self,
            UploadState::New
                | UploadState::Ready
                | UploadState::Complete
                | UploadState::Join
                | UploadState::Failed
        )
    }
}

/// Numbers and names of the states of uploads, as `getMultipartStatusMap` tells them.
pub const UPLOAD_STATE_NAMES: [(u8, &str); 11] = [
    (0, "UNKNOWN"),
    (1, "NEW"),
    (2, "READY"),
    (3, "COMPLETE"),
    (5, "JOIN"),
    (6, "SUCCESS"),
    (8, "DELETED"),
    (9, "ERROR"),
    (10, "ABORT"),
    (11, "EXPIRED"),
    (12, "FAILED"),
];

/// State of a piece; the numbers are the wire's, and from 10 on others than those of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceState {
    /// Is there.
    New = 1,
    /// Is being put together with the others.
    Join = 5,
    /// Is a part of the file.
    Success = 6,
    /// Its bytes are gone.
    Deleted = 8,
    /// Went wrong.
    Error = 9,
    /// Was replaced by another of its number.
    Skipped = 10,
    /// Went with its upload, given up by the client.
    Abort = 11,
    /// Went with its upload, given up by the server.
    Expired = 12,
    /// Could not be put together.
    Failed = 13,
}

impl PieceState {
    /// Every state.
    pub const ALL: [PieceState; 9] = [
        PieceState::New,
        PieceState::Join,
        PieceState::Success,
        PieceState::Deleted,
        PieceState::Error,
        PieceState::Skipped,
        PieceState::Abort,
        PieceState::Expired,
        PieceState::Failed,
    ];

    /// The wire's number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state with a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Where a piece may go from here: the whole table.
    pub const fn next(self) -> &'static [PieceState] {
        use PieceState::{Abort, Deleted, Error, Expired, Failed, Join, New, Skipped, Success};
        match self {
            New => &[Join, Abort, Expired, Error, Skipped],
            Join => &[Success, Failed],
            Success | Abort | Failed => &[Deleted],
            Deleted | Error | Skipped | Expired => &[],
        }
    }

    /// Whether a piece may go from here to `next`.
    pub fn may_become(self, next: PieceState) -> bool {
        self.next().contains(&next)
    }
}

/// Numbers and names of the states of pieces.
pub const PIECE_STATE_NAMES: [(u8, &str); 10] = [
    (0, "UNKNOWN"),
    (1, "NEW"),
    (5, "JOIN"),
    (6, "SUCCESS"),
    (8, "DELETED"),
    (9, "ERROR"),
    (10, "SKIPPED"),
    (11, "ABORT"),
    (12, "EXPIRED"),
    (13, "FAILED"),
];

/// A multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// Its id.
    pub id: UploadId,
    /// Where the file will be.
    pub account: AccountId,
    /// Who began it: to anyone else it does not exist.
    pub user: UserId,
    /// Owner of the file.
    pub owner: Owner,
    /// Its place among its user's uploads, in the order of creation, from 1. Set by the catalog.
    pub number: u64,
    /// Where the file will be, from the account's top directory.
    pub path: TreePath,
    /// The type that was given, or that the name tells; `None`: told from the content when the file is put together.
    pub content_type: Option<ContentType>,
    /// Seconds since the epoch, as given; 0: the time of creation.
    pub mtime: u64,
    /// What the whole must hash to, where the client said it beforehand.
    pub checksum: Option<Digest>,
    /// When it was begun.
    pub created: Time,
    /// When its state changed last.
    pub changed: Time,
    /// Its state.
    pub state: UploadState,
    /// Why it FAILED, as a code; 0: it did not.
    pub error: i32,
    /// Pieces ever received; the last one's place in the list of pieces.
    pub received: u64,
    /// Distinct numbers among its pieces.
    pub pieces: u32,
    /// Highest number among its pieces.
    pub highest: u32,
    /// Bytes of the pieces that count.
    pub bytes: u64,
}

/// Why an upload FAILED: the directory its file belongs in is gone.
pub const FAILED_PARENT_MISSING: i32 = -23;
/// Why an upload FAILED: a directory, or another group's file, stands where its file belongs.
pub const FAILED_PATH: i32 = -16;
/// Why an upload FAILED: its file would take the account over its quota.
pub const FAILED_QUOTA: i32 = -22;
/// Why an upload FAILED: the whole does not hash to what its client said beforehand.
pub const FAILED_CHECKSUM: i32 = -26;
/// Why an upload FAILED: a fault of storage, such as a damaged piece.
pub const FAILED_INTERNAL: i32 = -27;

/// Where a piece's bytes are: always in a blob of their own, so that completing an upload moves none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceContent {
    /// No bytes.
    Empty,
    /// In a blob of its own.
    Blob(Extent),
}

/// A piece of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its number among the pieces of the file, from 1.
    pub number: u32,
    /// Its place in the order of arrival, from 1. Set by the catalog.
    pub arrival: u64,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub checksum: Digest,
    /// Where they are.
    pub content: PieceContent,
    /// Its state.
    pub state: PieceState,
    /// Why it went wrong, as a code; 0: it did not.
    pub error: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back() {
        let id = UploadId([0xab; 16]);
        assert_eq!(UploadId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(UploadId::from_hex(&id.to_hex().to_uppercase()), Some(id));
        for bad in ["", "+b", &"g".repeat(32), &format!("+{}", "a".repeat(31)), &"a".repeat(33)] {
            assert_eq!(UploadId::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_state_has_its_number_and_name() {
        for state in UploadState::ALL {
            assert_eq!(UploadState::from_number(state.number()), Some(state));
            let name = format!("{state:?}").to_uppercase();
            assert!(UPLOAD_STATE_NAMES.contains(&(state.number(), name.as_str())));
        }
        for state in PieceState::ALL {
            assert_eq!(PieceState::from_number(state.number()), Some(state));
            let name = format!("{state:?}").to_uppercase();
            assert!(PIECE_STATE_NAMES.contains(&(state.number(), name.as_str())));
        }
        assert_eq!(UPLOAD_STATE_NAMES.len(), UploadState::ALL.len() + 1);
        assert_eq!(PIECE_STATE_NAMES.len(), PieceState::ALL.len() + 1);
    }

    /// The sentence of the contract, read once more: `A→B|C` for every state.
    #[test]
    fn the_tables_are_the_contracts() {
        let said = "NEW→READY|ABORT|DELETED|EXPIRED, READY→COMPLETE|ABORT, COMPLETE→JOIN, \
                    JOIN→SUCCESS|FAILED, FAILED→COMPLETE|DELETED|EXPIRED, SUCCESS→DELETED, ABORT→DELETED";
        let may = |from: &str, to: &str| {
            said.split(", ").any(|rule| {
                let (a, b) = rule.split_once('→').unwrap();
                a == from && b.split('|').any(|b| b == to)
            })
        };
        let name = |state: UploadState| format!("{state:?}").to_uppercase();
        for from in UploadState::ALL {
            for to in UploadState::ALL {
                assert_eq!(from.may_become(to), may(&name(from), &name(to)), "{from:?} {to:?}");
            }
        }
        let said = "NEW→JOIN|ABORT|EXPIRED|ERROR|SKIPPED, JOIN→SUCCESS|FAILED, SUCCESS→DELETED, \
                    ABORT→DELETED, FAILED→DELETED";
        let may = |from: &str, to: &str| {
            said.split(", ").any(|rule| {
                let (a, b) = rule.split_once('→').unwrap();
                a == from && b.split('|').any(|b| b == to)
            })
        };
        let name = |state: PieceState| format!("{state:?}").to_uppercase();
        for from in PieceState::ALL {
            for to in PieceState::ALL {
                assert_eq!(from.may_become(to), may(&name(from), &name(to)), "{from:?} {to:?}");
            }
        }
    }
}
