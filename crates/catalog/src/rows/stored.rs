//! Rows as they are stored: [`Row`] to key and value, and back. What checks and repairs the catalog reads and writes
//! through here; operations never do.
//!
//! What does not live here: the layout of keys (`keys`) and values (`record` and the files beside it). The invariant:
//! reading never fails: what cannot be is a [`Row::Unread`], and what a key says of a record must be what the record says.

use bytes::Bytes;
use model::{
    AccountId, BlobId, CallbackId, Digest, DirId, Error, InlineId, JobId, Kind, Result, Time,
    TokenHash, UploadId, UserId,
};

use super::codec::{decode, encode};
use super::events::Callbacks;
use super::inlined::Inlined;
use super::keys::{self, Family};
use super::record::{Attrs, DirectoryRow, Entry, FileRow, Number, Payload};
use super::upload_record::UploadRow;
use crate::Place;
use crate::audit::{Index, Row};

/// Where the rows of an index are kept.
pub(crate) fn family(index: Index) -> Family {
    match index {
        Index::Meta => Family::Meta,
        Index::Names => Family::Names,
        Index::Numbers => Family::Numbers,
        Index::Directories => Family::Dirs,
        Index::Inline => Family::Inline,
        Index::Sessions => Family::Sessions,
        Index::Blobs => Family::Blobs,
        Index::Doomed => Family::Doomed,
        Index::Uploads => Family::Uploads,
        Index::Pieces => Family::Pieces,
        Index::Events => Family::Events,
        Index::Jobs => Family::Jobs,
    }
}

/// Where a row stands, and what stands there. `None` for what cannot be written.
pub(crate) fn stored(row: &Row) -> Option<(Family, Vec<u8>, Vec<u8>)> {
    use Family::{Blobs, Dirs, Doomed, Events, Jobs, Meta, Names, Numbers};
    use Family::{Pieces, Sessions, Uploads};

    fn number(value: u64) -> Vec<u8> {
        encode(&Number(value))
    }
    let nothing = || encode(&Payload(&[]));
    let place = |account, dir, name| keys::name(Place { account, dir, name });
    Some(match row {
        Row::Format(n) => (Meta, keys::FORMAT.to_vec(), number(*n)),
        Row::LastId(n) => (Meta, keys::LAST_ID.to_vec(), number(*n)),
        Row::Scrub(scrub) => (Meta, keys::SCRUB.to_vec(), encode(scrub)),
        Row::KeyCheck(check) => (Meta, keys::KEY_CHECK.to_vec(), encode(&Payload(check))),
        Row::OrphansSwept(up_to) => (Meta, keys::ORPHANS_SWEPT.to_vec(), number(up_to.0)),
        Row::Lease(name, it) => (Meta, keys::lease(name), encode(it)),
        Row::Account(it) => (Meta, keys::account(it.id), encode(it)),
        Row::AccountName(name, id) => (Meta, keys::account_name(name), number(id.0.into())),
        Row::Usage(account, it) => (Meta, keys::usage(*account), encode(it)),
        Row::User(it) => (Meta, keys::user(it.id), encode(it)),
        Row::UserName(name, id) => (Meta, keys::user_name(name), number(id.0.into())),
        Row::KeyPair(it) => (Meta, keys::key_pair(it.account), encode(it)),
        Row::AccessKey(key, account) => (Meta, keys::access_key(key), number(account.0.into())),
        Row::UnfinishedUploads(account, n) => (Meta, keys::unfinished(*account), number(*n)),
        Row::LastUpload(user, n) => (Meta, keys::last_upload(*user), number(*n)),
        Row::Callbacks(account, all) => {
            (Meta, keys::callbacks(*account), encode(&Callbacks(all.clone())))
        }
        Row::WaitingEvents(callback, n) => (Meta, keys::waiting_events(*callback), number(*n)),
        Row::File(account, dir, name, file) => {
            (Names, place(*account, *dir, name), encode(&Entry::File(file.clone())))
        }
        Row::DirectoryName(account, dir, name, id, number) => {
            let entry = Entry::Directory { id: *id, number: *number };
            (Names, place(*account, *dir, name), encode(&entry))
        }
        Row::FileRow(account, dir, number, name, attrs) => {
            let row = FileRow { name, attrs: Attrs::of(attrs) };
            (Numbers, keys::number(*account, *dir, Kind::File, *number), encode(&row))
        }
        Row::DirectoryRow(account, dir, number, name, id) => {
            let key = keys::number(*account, *dir, Kind::Directory, *number);
            (Numbers, key, encode(&DirectoryRow { name, id: *id }))
        }
        Row::Directory(account, it) => (Dirs, keys::dir(*account, it.id), encode(it)),
        Row::Inline(account, id, bytes) => content(keys::inline(*account, *id), bytes),
        Row::Session(token, it) => (Sessions, keys::session(token), encode(it)),
        Row::SessionOf(user, token) => (Sessions, keys::session_of(*user, token), nothing()),
        Row::Signature(account, digest, until) => {
            (Sessions, keys::signature(*account, *digest), number(until.0))
        }
        Row::References(blob, n) => (Blobs, keys::blob(*blob), number((*n).into())),
        Row::Doomed(blob, since) => (Doomed, keys::blob(*blob), number(since.0)),
        Row::Upload(it) => (Uploads, keys::upload(it.id), encode(it)),
        Row::UploadOf(user, number, id) => {
            (Uploads, keys::upload_of(*user, *number), encode(&UploadRow(*id)))
        }
        Row::Joining(id) => (Uploads, keys::joining(*id), nothing()),
        Row::Piece(upload, it) => (Pieces, keys::piece(*upload, it.arrival), encode(it)),
        Row::PieceNumber(upload, n, arrival) => {
            (Pieces, keys::piece_number(*upload, *n), number(*arrival))
        }
        Row::Event(account, callback, it) => {
            (Events, keys::event(*account, *callback, it.id), encode(it))
        }
        Row::Job(it) => (Jobs, keys::job(it.id), encode(it)),
        Row::JobDue(at, id) => (Jobs, keys::job_due(*at, *id), nothing()),
        Row::UnfinishedJobs(account, n) => (Jobs, keys::job_count(*account), number(*n)),
        Row::Unread(..) => return None,
    })
}

/// The index whose rows a family keeps.
pub(crate) fn index(of: Family) -> Option<Index> {
    Index::ALL.into_iter().find(|index| family(*index) == of)
}

/// Reads a row.
pub(crate) fn read(index: Index, key: &[u8], value: &[u8]) -> Row {
    let row = match family(index) {
        Family::Meta => meta(key, value),
        Family::Names => name(key, value),
        Family::Numbers => number(key, value),
        Family::Dirs => directory(key, value),
        Family::Inline => inline(key, value),
        Family::Sessions => session(key, value),
        Family::Blobs | Family::Doomed => blob(index, key, value),
        Family::Uploads => upload(key, value),
        Family::Pieces => piece(key, value),
        Family::Events => event(key, value),
        Family::Jobs => job(key, value),
        // No index has them.
        Family::Moves => Err(unknown()),
    };
    let row = row.and_then(|row| match stored(&row) {
        // The record names itself, and must name the key it stands under.
        Some((_, own, _)) if own == key => Ok(row),
        _ => Err(Error::Damaged("record stands under the key of another".to_owned())),
    });
    row.unwrap_or_else(|e| Row::Unread(index, shown(key), e.to_string()))
}

/// A key for a human: text as it is, other bytes in hex digits.
fn shown(key: &[u8]) -> String {
    key.iter().fold(String::new(), |text, byte| match byte {
        b'!'..=b'~' => text + &char::from(*byte).to_string(),
        _ => text + &format!("\\{byte:02x}"),
    })
}

/// What is left of a key.
struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(super::view::bad_key)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn letter(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn account(&mut self) -> Result<AccountId> {
        Ok(AccountId(self.u32()?))
    }

    fn dir(&mut self) -> Result<DirId> {
        Ok(DirId(self.u64()?))
    }

    fn text(&mut self) -> Result<String> {
        let text = std::str::from_utf8(std::mem::take(&mut self.0));
        text.map(str::to_owned).map_err(|_| Error::Damaged("a name is not UTF-8".to_owned()))
    }
}

fn count(value: &[u8]) -> Result<u64> {
    Ok(decode::<Number>(value)?.0)
}

fn count32(value: &[u8]) -> Result<u32> {
    decode::<Number>(value)?.to_u32()
}

fn unknown() -> Error {
    Error::Damaged("a key of no known kind".to_owned())
}

/// A value that says nothing beyond its key.
fn nothing(value: &[u8]) -> Result<()> {
    match decode::<Payload<'_>>(value)?.0 {
        [] => Ok(()),
        _ => Err(Error::Damaged("a row that should be empty is not".to_owned())),
    }
}

fn meta(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    Ok(match k.letter()? {
        b'f' => Row::Format(count(value)?),
        b'i' => Row::LastId(count(value)?),
        b's' => Row::Scrub(decode(value)?),
        b'v' => Row::KeyCheck(decode::<Payload<'_>>(value)?.0.to_vec()),
        b'o' => Row::OrphansSwept(Time(count(value)?)),
        b'l' => Row::Lease(k.text()?, decode(value)?),
        b'a' => Row::Account(decode(value)?),
        b'A' => Row::AccountName(k.text()?, AccountId(count32(value)?)),
        b'g' => Row::Usage(k.account()?, decode(value)?),
        b'u' => Row::User(decode(value)?),
        b'U' => Row::UserName(k.text()?, UserId(count32(value)?)),
        b'k' => Row::KeyPair(decode(value)?),
        b'K' => Row::AccessKey(k.text()?, AccountId(count32(value)?)),
        b'm' => Row::UnfinishedUploads(k.account()?, count(value)?),
        b'n' => Row::LastUpload(UserId(k.u32()?), count(value)?),
        b'c' => Row::Callbacks(k.account()?, decode::<Callbacks>(value)?.0),
        b'w' => Row::WaitingEvents(CallbackId(k.u64()?), count(value)?),
        _ => return Err(unknown()),
    })
}

fn name(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    let (account, dir, name) = (k.account()?, k.dir()?, k.text()?);
    Ok(match decode(value)? {
        Entry::File(file) => Row::File(account, dir, name, file),
        Entry::Directory { id, number } => Row::DirectoryName(account, dir, name, id, number),
    })
}

fn number(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    let (account, dir, kind, number) = (k.account()?, k.dir()?, k.letter()?, k.u64()?);
    Ok(match kind {
        1 => {
            let row: DirectoryRow<'_> = decode(value)?;
            Row::DirectoryRow(account, dir, number, row.name.to_owned(), row.id)
        }
        2 => {
            let row: FileRow<'_> = decode(value)?;
            Row::FileRow(account, dir, number, row.name.to_owned(), row.attrs.owned()?)
        }
        _ => return Err(unknown()),
    })
}

fn directory(key: &[u8], value: &[u8]) -> Result<Row> {
    Ok(Row::Directory(Key(key).account()?, decode(value)?))
}

fn content(key: Vec<u8>, bytes: &[u8]) -> (Family, Vec<u8>, Vec<u8>) {
    let value = encode(&Inlined::new(&key, bytes));
    (Family::Inline, key, value)
}

fn inline(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    let content = Bytes::copy_from_slice(decode::<Inlined<'_>>(value)?.content(key)?);
    Ok(Row::Inline(k.account()?, InlineId(k.u64()?), content))
}

fn session(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    Ok(match k.letter()? {
        b's' => Row::Session(TokenHash(k.array()?), decode(value)?),
        b'u' => {
            nothing(value)?;
            Row::SessionOf(UserId(k.u32()?), TokenHash(k.array()?))
        }
        b'x' => Row::Signature(k.account()?, Digest(k.array()?), Time(count(value)?)),
        _ => return Err(unknown()),
    })
}

fn blob(index: Index, key: &[u8], value: &[u8]) -> Result<Row> {
    let id = BlobId(Key(key).array()?);
    Ok(match index {
        Index::Doomed => Row::Doomed(id, Time(count(value)?)),
        _ => Row::References(id, count32(value)?),
    })
}

fn upload(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    Ok(match k.letter()? {
        b'i' => Row::Upload(decode(value)?),
        b'u' => Row::UploadOf(UserId(k.u32()?), k.u64()?, decode::<UploadRow>(value)?.0),
        b'j' => {
            nothing(value)?;
            Row::Joining(UploadId(k.array()?))
        }
        _ => return Err(unknown()),
    })
}

fn piece(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    let id = UploadId(k.array()?);
    Ok(match k.letter()? {
        b'a' => Row::Piece(id, decode(value)?),
        b'n' => Row::PieceNumber(id, k.u32()?, count(value)?),
        _ => return Err(unknown()),
    })
}

fn event(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    Ok(Row::Event(k.account()?, CallbackId(k.u64()?), decode(value)?))
}

fn job(key: &[u8], value: &[u8]) -> Result<Row> {
    let mut k = Key(key);
    Ok(match k.letter()? {
        b'j' => Row::Job(decode(value)?),
        b'd' => {
            nothing(value)?;
            let at = Time(k.u64()?);
            Row::JobDue(at, JobId { account: k.account()?, number: k.u64()? })
        }
        b'c' => Row::UnfinishedJobs(k.account()?, count(value)?),
        _ => return Err(unknown()),
    })
}

#[cfg(test)]
mod tests {
    use model::{Lease, NodeId, Usage};

    use super::*;
    use crate::suite::pieces::piece;
    use crate::suite::uploads::upload;
    use crate::suite::{ACCOUNT, ROOT, directory, file};

    fn back(row: &Row) -> Row {
        let (at, key, value) = stored(row).unwrap();
        read(index(at).unwrap(), &key, &value)
    }

    #[test]
    fn rows_come_back() {
        let file = file(6);
        let id = JobId { account: ACCOUNT, number: 9 };
        let blob = BlobId([7; 16]);
        let name = || "a\u{301}/b".to_owned();
        for row in [
            Row::Format(1),
            Row::LastId(u64::MAX),
            Row::KeyCheck(vec![0, 255]),
            Row::OrphansSwept(Time(9)),
            Row::Lease(name(), Lease { holder: NodeId(u64::MAX), until: Time(5) }),
            Row::AccountName(name(), ACCOUNT),
            Row::Usage(ACCOUNT, Usage { files: 1, directories: 2, bytes: 3 }),
            Row::UserName(name(), UserId(3)),
            Row::AccessKey(name(), ACCOUNT),
            Row::UnfinishedUploads(ACCOUNT, 4),
            Row::LastUpload(UserId(3), 5),
            Row::Callbacks(ACCOUNT, Vec::new()),
            Row::WaitingEvents(CallbackId(4), 6),
            Row::File(ACCOUNT, ROOT, name(), file.clone()),
            Row::DirectoryName(ACCOUNT, ROOT, name(), DirId(5), 6),
            Row::FileRow(ACCOUNT, ROOT, 7, name(), file.attrs),
            Row::DirectoryRow(ACCOUNT, ROOT, 6, name(), DirId(5)),
            Row::Directory(ACCOUNT, directory(5)),
            Row::Inline(ACCOUNT, InlineId(8), Bytes::from_static(b"x")),
            Row::SessionOf(UserId(3), TokenHash([9; 32])),
            Row::Signature(ACCOUNT, Digest([1; 32]), Time(7)),
            Row::References(blob, 3),
            Row::Doomed(blob, Time(8)),
            Row::Upload(upload(1, 3, 2)),
            Row::UploadOf(UserId(3), 2, UploadId([4; 16])),
            Row::Joining(UploadId([4; 16])),
            Row::Piece(UploadId([4; 16]), piece(3, 5)),
            Row::PieceNumber(UploadId([4; 16]), 3, 5),
            Row::JobDue(Time(5), id),
            Row::UnfinishedJobs(ACCOUNT, 3),
        ] {
            assert_eq!(back(&row), row);
        }
    }

    #[test]
    fn what_cannot_be_is_not_guessed() {
        let unread = |index, key: &[u8], value: &[u8]| matches!(read(index, key, value), Row::Unread(i, _, _) if i == index);
        let (_, key, value) = stored(&Row::Directory(ACCOUNT, directory(5))).unwrap();
        assert!(!unread(Index::Directories, &key, &value));
        let mut other = key.clone();
        other[11] ^= 1;
        assert!(unread(Index::Directories, &other, &value), "under the key of another");
        for end in 0..key.len() {
            assert!(unread(Index::Directories, &key[..end], &value));
        }
        for end in 0..value.len() {
            assert!(unread(Index::Directories, &key, &value[..end]));
        }
        for index in Index::ALL {
            assert!(unread(index, b"?", b"\x01"));
        }
        let (_, key, _) = stored(&Row::Joining(UploadId([4; 16]))).unwrap();
        assert!(unread(Index::Uploads, &key, b"\x01x"));
        assert_eq!(shown(b"a\0\xff"), "a\\00\\ff");
        assert!(stored(&Row::Unread(Index::Meta, String::new(), String::new())).is_none());
    }
}
