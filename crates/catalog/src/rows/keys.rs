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
//! | | `x`, account, digest | when a used signature expires |
//! | `blobs` | blob id (which begins with the account) | how many files refer to it |
//! | `doomed` | blob id | when it was doomed |
//! | `uploads` | `i`, upload id | an upload's record |
//! | | `u`, user, number | the id of the user's upload with that number |
//! | | `j`, upload id | nothing: the upload is complete or being put together |
//! | `pieces` | upload id, `a`, arrival | a piece's record |
//! | | upload id, `n`, number | which arrival counts under that number |
//! | `events` | account, callback, event id | an event that waits to be told |
//! | `jobs` | `j`, account, number | a job's record |
//! | | `d`, time, account, number | nothing: the job may be begun at that time |
//! | | `c`, account | how many of its jobs are unfinished |
//! | `moves` | `d`, 0 | what is said of a move of the whole |
//! | | `j`, epoch, hash | where a row stands that was changed during a move |

use model::{
    AccountId, BlobId, CallbackId, Digest, DirId, InlineId, JobId, Kind, Time, TokenHash, UploadId,
    UserId,
};

use crate::Place;

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
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
    /// Multipart uploads.
    Uploads,
    /// Their pieces.
    Pieces,
    /// Events that wait to be told.
    Events,
    /// Transfers from other servers.
    Jobs,
    /// A move of the whole, and what was changed during it: nothing that the store itself consists of.
    Moves,
}

impl Family {
    /// How many there are.
    pub(crate) const COUNT: usize = 13;
    /// All of them; each at the place its number says.
    pub(crate) const ALL: [Family; Self::COUNT] = [
        Family::Meta,
        Family::Names,
        Family::Numbers,
        Family::Dirs,
        Family::Inline,
        Family::Sessions,
        Family::Blobs,
        Family::Doomed,
        Family::Uploads,
        Family::Pieces,
        Family::Events,
        Family::Jobs,
        Family::Moves,
    ];

    /// Its name on disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Meta => "default",
            Family::Names => "names",
            Family::Numbers => "numbers",
            Family::Dirs => "dirs",
            Family::Inline => "inline",
            Family::Sessions => "sessions",
            Family::Blobs => "blobs",
            Family::Doomed => "doomed",
            Family::Uploads => "uploads",
            Family::Pieces => "pieces",
            Family::Events => "events",
            Family::Jobs => "jobs",
            Family::Moves => "moves",
        }
    }
}

/// The number of the catalog's format, in [`Family::Meta`].
pub(crate) const FORMAT: &[u8] = b"f";
/// The last fresh id, in [`Family::Meta`].
pub(crate) const LAST_ID: &[u8] = b"i";
/// How far scrubbing is, in [`Family::Meta`].
pub(crate) const SCRUB: &[u8] = b"s";
/// What tells the key apart that secrets are sealed under, in [`Family::Meta`].
pub(crate) const KEY_CHECK: &[u8] = b"v";
/// Up to when no orphan is left, in [`Family::Meta`].
pub(crate) const ORPHANS_SWEPT: &[u8] = b"o";
/// What leases' keys begin with, in [`Family::Meta`].
const LEASES: &[u8] = b"l";
/// What accounts' keys begin with, in [`Family::Meta`].
pub(crate) const ACCOUNTS: &[u8] = b"a";
/// What users' keys begin with, in [`Family::Meta`].
pub(crate) const USERS: &[u8] = b"u";
/// What sessions' keys begin with, in [`Family::Sessions`].
pub(crate) const SESSIONS: &[u8] = b"s";
/// What uploads' keys begin with, in [`Family::Uploads`].
pub(crate) const UPLOADS: &[u8] = b"i";
/// What the keys of uploads to be put together begin with, in [`Family::Uploads`].
pub(crate) const JOINING: &[u8] = b"j";

/// A key after those of all blobs, which have 16 bytes.
pub(crate) const AFTER_BLOBS: &[u8] = &[u8::MAX; 17];

fn join<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    parts.concat()
}

/// An account's record, in [`Family::Meta`].
pub(crate) fn account(id: AccountId) -> Vec<u8> {
    join([ACCOUNTS, &id.0.to_be_bytes()])
}

/// The id of the account with a name, in [`Family::Meta`].
pub(crate) fn account_name(name: &str) -> Vec<u8> {
    join([b"A", name.as_bytes()])
}

/// What an account holds, in [`Family::Meta`].
pub(crate) fn usage(id: AccountId) -> Vec<u8> {
    join([b"g", &id.0.to_be_bytes()])
}

/// A lease, or what the keys of all begin with whose names begin so, in [`Family::Meta`].
pub(crate) fn lease(name: &str) -> Vec<u8> {
    join([LEASES, name.as_bytes()])
}

/// The name in a key of a lease.
pub(crate) fn lease_name(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(LEASES)?).ok()
}

/// A user's record, in [`Family::Meta`].
pub(crate) fn user(id: UserId) -> Vec<u8> {
    join([USERS, &id.0.to_be_bytes()])
}

/// The id of the user with a name, in [`Family::Meta`].
pub(crate) fn user_name(name: &str) -> Vec<u8> {
    join([b"U", name.as_bytes()])
}

/// The key pair of an account, in [`Family::Meta`].
pub(crate) fn key_pair(account: AccountId) -> Vec<u8> {
    join([b"k", &account.0.to_be_bytes()])
}

/// The account whose key pair has this access key, in [`Family::Meta`].
pub(crate) fn access_key(access_key: &str) -> Vec<u8> {
    join([b"K", access_key.as_bytes()])
}

/// A session, in [`Family::Sessions`].
pub(crate) fn session(token: &TokenHash) -> Vec<u8> {
    join([SESSIONS, &token.0])
}

/// What keys of a user's sessions begin with, in [`Family::Sessions`].
pub(crate) fn sessions_of(user: UserId) -> Vec<u8> {
    join([b"u", &user.0.to_be_bytes()])
}

/// A session among a user's, in [`Family::Sessions`].
pub(crate) fn session_of(user: UserId, token: &TokenHash) -> Vec<u8> {
    join([b"u", &user.0.to_be_bytes(), &token.0])
}

/// What keys of used signatures begin with, in [`Family::Sessions`].
pub(crate) const SIGNATURES: &[u8] = b"x";

/// A used signature, in [`Family::Sessions`].
pub(crate) fn signature(account: AccountId, signature: Digest) -> Vec<u8> {
    join([SIGNATURES, &account.0.to_be_bytes(), &signature.0])
}

/// The account and the digest in a key of a used signature.
pub(crate) fn signature_of(key: &[u8]) -> Option<(AccountId, Digest)> {
    let (account, signature) = key.strip_prefix(SIGNATURES)?.split_first_chunk()?;
    Some((AccountId(u32::from_be_bytes(*account)), Digest(signature.try_into().ok()?)))
}

/// The token's hash at the end of a key of [`Family::Sessions`].
pub(crate) fn token(key: &[u8]) -> Option<TokenHash> {
    key.last_chunk().map(|hash| TokenHash(*hash))
}

/// What stands at a place, in [`Family::Names`].
pub(crate) fn name(place: Place<'_>) -> Vec<u8> {
    join([&place.account.0.to_be_bytes(), &place.dir.0.to_be_bytes(), place.name.as_bytes()])
}

/// A row of a listing, in [`Family::Numbers`].
pub(crate) fn number(account: AccountId, dir: DirId, kind: Kind, number: u64) -> Vec<u8> {
    join([&rows(account, dir, kind), &number.to_be_bytes()])
}

/// What the keys of a listing's rows begin with, in [`Family::Numbers`].
pub(crate) fn rows(account: AccountId, dir: DirId, kind: Kind) -> Vec<u8> {
    let kind = match kind {
        Kind::Directory => 1,
        Kind::File => 2,
    };
    join([&account.0.to_be_bytes(), &dir.0.to_be_bytes(), &[kind]])
}

/// The number at the end of a key of [`Family::Numbers`].
pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|number| u64::from_be_bytes(*number))
}

/// A directory's record, in [`Family::Dirs`].
pub(crate) fn dir(account: AccountId, id: DirId) -> Vec<u8> {
    join([&account.0.to_be_bytes(), &id.0.to_be_bytes()])
}

/// Content, in [`Family::Inline`].
pub(crate) fn inline(account: AccountId, id: InlineId) -> Vec<u8> {
    join([&account.0.to_be_bytes(), &id.0.to_be_bytes()])
}

/// A blob, in [`Family::Blobs`] and [`Family::Doomed`].
pub(crate) fn blob(id: BlobId) -> Vec<u8> {
    id.0.to_vec()
}

/// The blob that a key of [`Family::Doomed`] is for.
pub(crate) fn blob_of(key: &[u8]) -> Option<BlobId> {
    key.try_into().ok().map(BlobId)
}

/// How many uploads of an account are unfinished, in [`Family::Meta`].
pub(crate) fn unfinished(account: AccountId) -> Vec<u8> {
    join([b"m", &account.0.to_be_bytes()])
}

/// The last number given to an upload of a user, in [`Family::Meta`].
pub(crate) fn last_upload(user: UserId) -> Vec<u8> {
    join([b"n", &user.0.to_be_bytes()])
}

/// An upload, in [`Family::Uploads`].
pub(crate) fn upload(id: UploadId) -> Vec<u8> {
    join([UPLOADS, &id.0])
}

/// What keys of a user's uploads begin with, in [`Family::Uploads`].
pub(crate) fn uploads_of(user: UserId) -> Vec<u8> {
    join([b"u", &user.0.to_be_bytes()])
}

/// An upload among a user's, in [`Family::Uploads`].
pub(crate) fn upload_of(user: UserId, number: u64) -> Vec<u8> {
    join([&uploads_of(user), &number.to_be_bytes()])
}

/// An upload to be put together, in [`Family::Uploads`].
pub(crate) fn joining(id: UploadId) -> Vec<u8> {
    join([JOINING, &id.0])
}

/// The upload's id at the end of a key of [`JOINING`].
pub(crate) fn upload_id(key: &[u8]) -> Option<UploadId> {
    key.last_chunk().map(|id| UploadId(*id))
}

/// What keys of an upload's pieces begin with, in [`Family::Pieces`].
pub(crate) fn pieces(upload: UploadId) -> Vec<u8> {
    join([&upload.0, b"a"])
}

/// A piece by its arrival, in [`Family::Pieces`].
pub(crate) fn piece(upload: UploadId, arrival: u64) -> Vec<u8> {
    join([&pieces(upload), &arrival.to_be_bytes()])
}

/// What keys of the numbers of an upload's pieces begin with, in [`Family::Pieces`]; they follow those of the pieces.
pub(crate) fn piece_numbers(upload: UploadId) -> Vec<u8> {
    join([&upload.0, b"n"])
}

/// The arrival that counts under a number, in [`Family::Pieces`].
pub(crate) fn piece_number(upload: UploadId, number: u32) -> Vec<u8> {
    join([&piece_numbers(upload), &number.to_be_bytes()])
}

/// What callbacks' keys begin with, in [`Family::Meta`].
pub(crate) const CALLBACKS: &[u8] = b"c";

/// All callbacks of an account, in [`Family::Meta`].
pub(crate) fn callbacks(account: AccountId) -> Vec<u8> {
    join([CALLBACKS, &account.0.to_be_bytes()])
}

/// How many events wait for a callback, in [`Family::Meta`].
pub(crate) fn waiting_events(callback: CallbackId) -> Vec<u8> {
    join([b"w", &callback.0.to_be_bytes()])
}

/// What keys of the events that wait for a callback begin with, in [`Family::Events`].
pub(crate) fn events(account: AccountId, callback: CallbackId) -> Vec<u8> {
    join([&account.0.to_be_bytes(), &callback.0.to_be_bytes()])
}

/// An event, in [`Family::Events`].
pub(crate) fn event(account: AccountId, callback: CallbackId, id: u64) -> Vec<u8> {
    join([&events(account, callback), &id.to_be_bytes()])
}

/// What jobs' keys begin with, in [`Family::Jobs`].
pub(crate) const JOBS: &[u8] = b"j";
/// What the keys of queued jobs begin with, in [`Family::Jobs`].
pub(crate) const JOBS_DUE: &[u8] = b"d";

/// What the keys of an account's jobs begin with, in [`Family::Jobs`].
pub(crate) fn jobs_of(account: AccountId) -> Vec<u8> {
    join([JOBS, &account.0.to_be_bytes()])
}

/// A job, in [`Family::Jobs`].
pub(crate) fn job(id: JobId) -> Vec<u8> {
    join([&jobs_of(id.account), &id.number.to_be_bytes()])
}

/// A job that may be begun at a time, in [`Family::Jobs`].
pub(crate) fn job_due(at: Time, id: JobId) -> Vec<u8> {
    let JobId { account, number } = id;
    join([JOBS_DUE, &at.0.to_be_bytes(), &account.0.to_be_bytes(), &number.to_be_bytes()])
}

/// The time and the job in a key of [`JOBS_DUE`].
pub(crate) fn job_due_of(key: &[u8]) -> Option<(Time, JobId)> {
    let (at, rest) = key.strip_prefix(JOBS_DUE)?.split_first_chunk()?;
    let (account, number) = rest.split_first_chunk()?;
    let id = JobId {
        account: AccountId(u32::from_be_bytes(*account)),
        number: u64::from_be_bytes(number.try_into().ok()?),
    };
    Some((Time(u64::from_be_bytes(*at)), id))
}

/// How many of an account's jobs are unfinished, in [`Family::Jobs`].
pub(crate) fn job_count(account: AccountId) -> Vec<u8> {
    join([b"c", &account.0.to_be_bytes()])
}

/// What is said of a move, in [`Family::Moves`].
pub(crate) const DOOR: &[u8] = b"d\0\0\0\0";
/// What the keys of changed rows begin with, in [`Family::Moves`].
const CHANGES: &[u8] = b"j";
/// Bytes of the hash that stands for where a changed row is.
pub(crate) const CHANGE_HASH_BYTES: usize = 20;

/// What the keys of rows begin with that were changed in an epoch of a move, in [`Family::Moves`].
pub(crate) fn changes(epoch: u64) -> Vec<u8> {
    join([CHANGES, &epoch.to_be_bytes()])
}

/// A row that was changed, in [`Family::Moves`].
pub(crate) fn change(epoch: u64, hash: &[u8; CHANGE_HASH_BYTES]) -> Vec<u8> {
    join([&changes(epoch), hash])
}

/// The epoch in a key of a changed row.
pub(crate) fn change_epoch(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.strip_prefix(CHANGES)?.first_chunk()?))
}

/// The first key after all that begin with `prefix`, which does not consist of `0xff` alone.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
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
pub(crate) fn after(mut key: Vec<u8>) -> Vec<u8> {
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
    fn pieces_stand_in_order_of_arrival_then_their_numbers() {
        for id in [UploadId([0; 16]), UploadId([0xff; 16])] {
            let keys = [
                pieces(id),
                piece(id, 0),
                piece(id, 255),
                piece(id, 256),
                piece(id, u64::MAX),
                end_of(&pieces(id)),
                piece_number(id, 1),
                piece_number(id, u32::MAX),
                end_of(&piece_numbers(id)),
            ];
            assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        }
        assert!(end_of(&piece_numbers(UploadId([0; 16]))) < pieces(UploadId([1; 16])));
        let id = UploadId([7; 16]);
        assert_eq!(upload_id(&joining(id)), Some(id));
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
