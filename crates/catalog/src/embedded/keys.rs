//! The layout of keys: which column family holds what, and under which bytes.
//!
//! What lives here: [`Family`] and a function for each kind of key. What does not: values (`record`).
//!
//! Invariants: integers are big-endian, so that the order of bytes is the order of numbers; the account leads every key
//! of an index that grows with the tree; a variable part stands last, so that no key is a prefix of another by accident.
//!
//! | family | key | value |
//! | --- | --- | --- |
//! | `default` | a letter, then the rest (see below) | accounts, users, key pairs, counters: few and small |
//! | `names` | account, directory, name | a file's whole record, or which directory stands there |
//! | `numbers` | account, directory, kind, number | name and attributes: one row of a listing |
//! | `dirs` | account, directory | a directory's record with its counters |
//! | `inline` | account, inline id | content |
//! | `sessions` | `s`, hash, or `u`, user, hash | a session; nothing |
//! | `blobs` | blob id (which begins with the account) | how many files refer to it |
//! | `doomed` | blob id | when it was doomed |

use model::{AccountId, BlobId, DirId, InlineId, Kind, TokenHash, UserId};

use crate::Place;

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Few and small records of several kinds; RocksDB insists on having this family.
    Meta,
    /// The index by name.
    Names,
    /// The index by number.
    Numbers,
    /// Directory records.
    Dirs,
    /// Inline content.
    Inline,
    /// Sessions.
    Sessions,
    /// Counts of references to blobs.
    Blobs,
    /// Blobs to be removed.
    Doomed,
}

impl Family {
    /// How many there are.
    pub(super) const COUNT: usize = 8;
    /// All of them; each at the place its number says.
    pub(super) const ALL: [Family; Self::COUNT] = [
        Family::Meta,
        Family::Names,
        Family::Numbers,
        Family::Dirs,
        Family::Inline,
        Family::Sessions,
        Family::Blobs,
        Family::Doomed,
    ];

    /// Its name on disk.
    pub(super) fn name(self) -> &'static str {
        match self {
            Family::Meta => "default",
            Family::Names => "names",
            Family::Numbers => "numbers",
            Family::Dirs => "dirs",
            Family::Inline => "inline",
            Family::Sessions => "sessions",
            Family::Blobs => "blobs",
            Family::Doomed => "doomed",
        }
    }
}

/// The number of the catalog's format, in [`Family::Meta`].
pub(super) const FORMAT: &[u8] = b"f";
/// The last fresh id, in [`Family::Meta`].
pub(super) const LAST_ID: &[u8] = b"i";
/// What accounts' keys begin with, in [`Family::Meta`].
pub(super) const ACCOUNTS: &[u8] = b"a";
/// What users' keys begin with, in [`Family::Meta`].
pub(super) const USERS: &[u8] = b"u";
/// What sessions' keys begin with, in [`Family::Sessions`].
pub(super) const SESSIONS: &[u8] = b"s";

/// A key after those of all blobs, which have 16 bytes.
pub(super) const AFTER_BLOBS: &[u8] = &[u8::MAX; 17];

fn join<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    parts.concat()
}

/// An account's record, in [`Family::Meta`].
pub(super) fn account(id: AccountId) -> Vec<u8> {
    join([ACCOUNTS, &id.0.to_be_bytes()])
}

/// The id of the account with a name, in [`Family::Meta`].
pub(super) fn account_name(name: &str) -> Vec<u8> {
    join([b"A", name.as_bytes()])
}

/// What an account holds, in [`Family::Meta`].
pub(super) fn usage(id: AccountId) -> Vec<u8> {
    join([b"g", &id.0.to_be_bytes()])
}

/// A user's record, in [`Family::Meta`].
pub(super) fn user(id: UserId) -> Vec<u8> {
    join([USERS, &id.0.to_be_bytes()])
}

/// The id of the user with a name, in [`Family::Meta`].
pub(super) fn user_name(name: &str) -> Vec<u8> {
    join([b"U", name.as_bytes()])
}

/// The key pair of an account, in [`Family::Meta`].
pub(super) fn key_pair(account: AccountId) -> Vec<u8> {
    join([b"k", &account.0.to_be_bytes()])
}

/// The account whose key pair has this access key, in [`Family::Meta`].
pub(super) fn access_key(access_key: &str) -> Vec<u8> {
    join([b"K", access_key.as_bytes()])
}

/// A session, in [`Family::Sessions`].
pub(super) fn session(token: &TokenHash) -> Vec<u8> {
    join([SESSIONS, &token.0])
}

/// What keys of a user's sessions begin with, in [`Family::Sessions`].
pub(super) fn sessions_of(user: UserId) -> Vec<u8> {
    join([b"u", &user.0.to_be_bytes()])
}

/// A session among a user's, in [`Family::Sessions`].
pub(super) fn session_of(user: UserId, token: &TokenHash) -> Vec<u8> {
    join([b"u", &user.0.to_be_bytes(), &token.0])
}

/// The token's hash at the end of a key of [`Family::Sessions`].
pub(super) fn token(key: &[u8]) -> Option<TokenHash> {
    key.last_chunk().map(|hash| TokenHash(*hash))
}

/// What stands at a place, in [`Family::Names`].
pub(super) fn name(place: Place<'_>) -> Vec<u8> {
    join([&place.account.0.to_be_bytes(), &place.dir.0.to_be_bytes(), place.name.as_bytes()])
}

/// A row of a listing, in [`Family::Numbers`].
pub(super) fn number(account: AccountId, dir: DirId, kind: Kind, number: u64) -> Vec<u8> {
    join([&rows(account, dir, kind), &number.to_be_bytes()])
}

/// What the keys of a listing's rows begin with, in [`Family::Numbers`].
pub(super) fn rows(account: AccountId, dir: DirId, kind: Kind) -> Vec<u8> {
    let kind = match kind {
        Kind::Directory => 1,
        Kind::File => 2,
    };
    join([&account.0.to_be_bytes(), &dir.0.to_be_bytes(), &[kind]])
}

/// The number at the end of a key of [`Family::Numbers`].
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|number| u64::from_be_bytes(*number))
}

/// A directory's record, in [`Family::Dirs`].
pub(super) fn dir(account: AccountId, id: DirId) -> Vec<u8> {
    join([&account.0.to_be_bytes(), &id.0.to_be_bytes()])
}

/// Content, in [`Family::Inline`].
pub(super) fn inline(account: AccountId, id: InlineId) -> Vec<u8> {
    join([&account.0.to_be_bytes(), &id.0.to_be_bytes()])
}

/// A blob, in [`Family::Blobs`] and [`Family::Doomed`].
pub(super) fn blob(id: BlobId) -> Vec<u8> {
    id.0.to_vec()
}

/// The blob that a key of [`Family::Doomed`] is for.
pub(super) fn blob_of(key: &[u8]) -> Option<BlobId> {
    key.try_into().ok().map(BlobId)
}

/// The first key after all that begin with `prefix`, which does not consist of `0xff` alone.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The first key after `key`.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_at_their_numbers() {
        for (i, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, i);
        }
    }

    #[test]
    fn order_of_bytes_is_order_of_numbers() {
        let key = |n| number(AccountId(1), DirId(1), Kind::File, n);
        for (a, b) in [(0, 1), (1, 255), (255, 256), (65_535, 65_536), (u64::MAX - 1, u64::MAX)] {
            assert!(key(a) < key(b));
        }
        assert_eq!(number_of(&key(77)), Some(77));
    }

    #[test]
    fn ends() {
        assert_eq!(end_of(&[1, 2]), [1, 3]);
        assert_eq!(end_of(&[1, 0xff, 0xff]), [2]);
        assert!(
            rows(AccountId(1), DirId(1), Kind::Directory)
                < rows(AccountId(1), DirId(1), Kind::File)
        );
        assert_eq!(after(vec![1]), [1, 0]);
    }
}
