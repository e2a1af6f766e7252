//! What is stored of each noun: the fields of every record, in their order.
//!
//! What lives here: an implementation of [`Record`] for each kind of value. What does not: how fields become bytes
//! (`codec`), under which key a record stands (`keys`), and multipart uploads (`upload_record`).
//!
//! Invariant: whatever can be put can be read back equal. Layouts are at version 1 unless they say what
//! came later.

use model::{
    Account, AccountId, BlobId, Content, ContentType, Digest, DirId, Directory, Error, Extent,
    File, FileAttrs, InlineId, KeyPair, Owner, Quota, Result, Secret, Session, SessionOrigin, Time,
    TreePath, Usage, User, UserId,
};

use super::codec::{In, Out, Record, decode};
use super::keys::Family;

/// The kind of an [`Entry`] that is a directory, in the byte after the version.
const ENTRY_DIRECTORY: u8 = 1;

/// What stands under a name.
#[derive(Debug, PartialEq)]
pub(crate) enum Entry {
    /// A directory: its record stands under its id.
    Directory {
        /// Its id.
        id: DirId,
        /// Its number in the directory that holds the name.
        number: u64,
    },
    /// A file, whole.
    File(File),
}

impl Record<'_> for Entry {
    const WHAT: &'static str = "entry";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        match self {
            Entry::Directory { id, number } => {
                out.byte(ENTRY_DIRECTORY);
                out.varint(id.0);
                out.varint(*number);
            }
            Entry::File(file) => {
                out.byte(2);
                out.varint(file.number);
                Attrs::of(&file.attrs).write(out);
                write_content(&file.content, out);
            }
        }
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        match from.byte()? {
            ENTRY_DIRECTORY => {
                Ok(Entry::Directory { id: DirId(from.varint()?), number: from.varint()? })
            }
            2 => Ok(Entry::File(File {
                number: from.varint()?,
                attrs: Attrs::read(from)?.owned()?,
                content: read_content(from)?,
            })),
            other => Err(from.damaged(&format!("has kind {other}"))),
        }
    }
}

/// The directory that a row of the index by name or by number leads to.
pub(crate) fn leads_to(family: Family, value: &[u8]) -> Result<Option<DirId>> {
    Ok(match family {
        // A file's record need not be read whole for that.
        Family::Names if value.get(1) != Some(&ENTRY_DIRECTORY) => None,
        Family::Names => match decode(value)? {
            Entry::Directory { id, .. } => Some(id),
            Entry::File(_) => None,
        },
        // Rows of files have more fields.
        Family::Numbers => decode::<DirectoryRow<'_>>(value).ok().map(|row| row.id),
        _ => None,
    })
}

/// The small content that a row of the index by name leads to.
pub(crate) fn content_of(value: &[u8]) -> Result<Option<InlineId>> {
    Ok(match decode(value)? {
        Entry::File(File { content: Content::Inline(id), .. }) => Some(id),
        Entry::File(_) | Entry::Directory { .. } => None,
    })
}

/// [`FileAttrs`] as they are stored, the content type not looked at yet: a listing reads thousands of these and sees the
/// same few types again and again (`recent`).
pub(crate) struct Attrs<'a> {
    /// As in [`FileAttrs`].
    pub(crate) owner: Owner,
    /// As in [`FileAttrs`].
    pub(crate) size: u64,
    /// As in [`FileAttrs`].
    pub(crate) checksum: Digest,
    /// What is one, unless the record is damaged.
    pub(crate) content_type: &'a str,
    /// As in [`FileAttrs`].
    pub(crate) ctime: u64,
    /// As in [`FileAttrs`].
    pub(crate) mtime: u64,
}

impl<'a> Attrs<'a> {
    /// Attributes, to be written.
    pub(crate) fn of(attrs: &'a FileAttrs) -> Self {
        let &FileAttrs { owner, size, checksum, ref content_type, ctime, mtime } = attrs;
        Self { owner, size, checksum, content_type: content_type.as_str(), ctime, mtime }
    }

    fn write(&self, out: &mut Out) {
        write_owner(self.owner, out);
        out.varint(self.size);
        out.fixed(&self.checksum.0);
        out.text(self.content_type);
        out.varint(self.ctime);
        out.varint(self.mtime);
    }

    fn read(from: &mut In<'a>) -> Result<Self> {
        Ok(Self {
            owner: read_owner(from)?,
            size: from.varint()?,
            checksum: Digest(from.array()?),
            content_type: from.text()?,
            ctime: from.varint()?,
            mtime: from.varint()?,
        })
    }

    /// The attributes by themselves.
    pub(crate) fn owned(&self) -> Result<FileAttrs> {
        let &Self { owner, size, checksum, content_type, ctime, mtime } = self;
        let content_type = read_content_type(content_type)?;
        Ok(FileAttrs { owner, size, checksum, content_type, ctime, mtime })
    }
}

/// A content type as it was stored.
pub(crate) fn read_content_type(text: &str) -> Result<ContentType> {
    let damaged = |_| Error::Damaged("file record has an invalid content type".to_owned());
    ContentType::parse(text).map_err(damaged)
}

pub(crate) fn write_owner(owner: Owner, out: &mut Out) {
    out.varint(owner.uid.into());
    out.varint(owner.gid.into());
}

pub(crate) fn read_owner(from: &mut In<'_>) -> Result<Owner> {
    Ok(Owner { uid: from.varint32()?, gid: from.varint32()? })
}

fn write_content(content: &Content, out: &mut Out) {
    match content {
        Content::Empty => out.byte(0),
        Content::Inline(id) => {
            out.byte(1);
            out.varint(id.0);
        }
        Content::Blobs(extents) => {
            out.byte(2);
            out.varint(extents.len() as u64);
            for extent in extents {
                out.fixed(&extent.blob.0);
                out.varint(extent.len);
            }
        }
    }
}

fn read_content(from: &mut In<'_>) -> Result<Content> {
    match from.byte()? {
        0 => Ok(Content::Empty),
        1 => Ok(Content::Inline(InlineId(from.varint()?))),
        2 => {
            let count = from.varint()?;
            let extent = |_| Ok(Extent { blob: BlobId(from.array()?), len: from.varint()? });
            Ok(Content::Blobs((0..count).map(extent).collect::<Result<_>>()?))
        }
        other => Err(from.damaged(&format!("has content {other}"))),
    }
}

/// A row of a listing of files.
pub(crate) struct FileRow<'a> {
    /// The file's name.
    pub(crate) name: &'a str,
    /// What listings show.
    pub(crate) attrs: Attrs<'a>,
}

impl<'a> Record<'a> for FileRow<'a> {
    const WHAT: &'static str = "file row";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.text(self.name);
        self.attrs.write(out);
    }

    fn read(_: u8, from: &mut In<'a>) -> Result<Self> {
        Ok(Self { name: from.text()?, attrs: Attrs::read(from)? })
    }
}

/// A row of a listing of directories.
pub(crate) struct DirectoryRow<'a> {
    /// The directory's name.
    pub(crate) name: &'a str,
    /// Its id.
    pub(crate) id: DirId,
}

impl<'a> Record<'a> for DirectoryRow<'a> {
    const WHAT: &'static str = "directory row";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.text(self.name);
        out.varint(self.id.0);
    }

    fn read(_: u8, from: &mut In<'a>) -> Result<Self> {
        Ok(Self { name: from.text()?, id: DirId(from.varint()?) })
    }
}

impl Record<'_> for Directory {
    const WHAT: &'static str = "directory";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.id.0);
        out.varint(self.number);
        write_owner(self.owner, out);
        out.varint(self.ctime);
        out.varint(self.mtime);
        out.varint(self.directories);
        out.varint(self.files);
        out.varint(self.last_directory);
        out.varint(self.last_file);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            id: DirId(from.varint()?),
            number: from.varint()?,
            owner: read_owner(from)?,
            ctime: from.varint()?,
            mtime: from.varint()?,
            directories: from.varint()?,
            files: from.varint()?,
            last_directory: from.varint()?,
            last_file: from.varint()?,
        })
    }
}

impl Record<'_> for Account {
    const WHAT: &'static str = "account";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Out) {
        out.varint(self.id.0.into());
        out.text(&self.name);
        out.varint(self.root.0);
        out.varint(self.gid.into());
        write_optional(self.quota.bytes, out);
        write_optional(self.quota.files, out);
        out.flag(self.private);
        out.varint(self.sealed_url_secrets.len() as u64);
        self.sealed_url_secrets.iter().for_each(|secret| out.bytes(secret));
    }

    /// Version 1 had neither a quota nor anything of signed URLs.
    fn read(version: u8, from: &mut In<'_>) -> Result<Self> {
        let mut account = Self {
            id: AccountId(from.varint32()?),
            name: from.text()?.to_owned(),
            root: DirId(from.varint()?),
            gid: from.varint32()?,
            quota: Quota::default(),
            private: false,
            sealed_url_secrets: Vec::new(),
        };
        if version > 1 {
            account.quota.bytes = read_optional(from)?;
            account.quota.files = read_optional(from)?;
            account.private = from.flag()?;
            let count = from.varint()?;
            let secret = |_| Ok(from.bytes()?.to_vec());
            account.sealed_url_secrets = (0..count).map(secret).collect::<Result<_>>()?;
        }
        Ok(account)
    }
}

/// A number that may not be there.
pub(crate) fn write_optional(value: Option<u64>, out: &mut Out) {
    out.flag(value.is_some());
    out.varint(value.unwrap_or_default());
}

/// Reads one back.
pub(crate) fn read_optional(from: &mut In<'_>) -> Result<Option<u64>> {
    let some = from.flag()?;
    let value = from.varint()?;
    Ok(some.then_some(value))
}

impl Record<'_> for Usage {
    const WHAT: &'static str = "usage";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.files);
        out.varint(self.directories);
        out.varint(self.bytes);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self { files: from.varint()?, directories: from.varint()?, bytes: from.varint()? })
    }
}

impl Record<'_> for User {
    const WHAT: &'static str = "user";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.id.0.into());
        out.varint(self.account.0.into());
        out.text(&self.name);
        out.text(self.password_hash.expose());
        out.varint(self.uid.into());
        out.varint(self.gid.into());
        out.text(self.directory.as_str());
        out.flag(self.active);
        out.flag(self.read_only);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            id: UserId(from.varint32()?),
            account: AccountId(from.varint32()?),
            name: from.text()?.to_owned(),
            password_hash: Secret::new(from.text()?),
            uid: from.varint32()?,
            gid: from.varint32()?,
            directory: read_path(from)?,
            active: from.flag()?,
            read_only: from.flag()?,
        })
    }
}

/// A path may be a join, and then longer than what [`TreePath::parse`] takes in one piece.
pub(crate) fn read_path(from: &mut In<'_>) -> Result<TreePath> {
    let text = from.text()?;
    if let Ok(path) = TreePath::parse(text) {
        return Ok(path);
    }
    let mut path = TreePath::root();
    for segment in text.split('/') {
        path =
            path.join(&TreePath::parse(segment).map_err(|_| from.damaged("has an invalid path"))?);
    }
    Ok(path)
}

impl Record<'_> for Session {
    const WHAT: &'static str = "session";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.user.0.into());
        out.byte(match self.origin {
            SessionOrigin::Login => 1,
            SessionOrigin::Authenticate => 2,
        });
        out.text(self.subdir.as_str());
        out.varint(self.created.0);
        write_optional(self.expires.map(|time| time.0), out);
        out.flag(self.updated);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            user: UserId(from.varint32()?),
            origin: match from.byte()? {
                1 => SessionOrigin::Login,
                2 => SessionOrigin::Authenticate,
                other => return Err(from.damaged(&format!("has origin {other}"))),
            },
            subdir: read_path(from)?,
            created: Time(from.varint()?),
            expires: read_optional(from)?.map(Time),
            updated: from.flag()?,
        })
    }
}

impl Record<'_> for KeyPair {
    const WHAT: &'static str = "key pair";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.text(&self.access_key);
        out.bytes(&self.sealed_secret);
        out.varint(self.account.0.into());
        out.varint(self.user.0.into());
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            access_key: from.text()?.to_owned(),
            sealed_secret: from.bytes()?.to_vec(),
            account: AccountId(from.varint32()?),
            user: UserId(from.varint32()?),
        })
    }
}

/// One integer: an id, a count, a time.
#[derive(Debug, PartialEq)]
pub(crate) struct Number(pub(crate) u64);

impl Record<'_> for Number {
    const WHAT: &'static str = "number";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.varint(self.0);
    }

    fn read(_: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self(from.varint()?))
    }
}

impl Number {
    /// The integer, where it is known to have no more than 32 bits.
    pub(crate) fn to_u32(&self) -> Result<u32> {
        u32::try_from(self.0)
            .map_err(|_| Error::Damaged("number record is above 32 bits".to_owned()))
    }
}

/// Bytes that mean nothing here: all that follows the version.
pub(crate) struct Payload<'a>(pub(crate) &'a [u8]);

impl<'a> Record<'a> for Payload<'a> {
    const WHAT: &'static str = "payload";
    const VERSION: u8 = 1;

    fn write(&self, out: &mut Out) {
        out.fixed(self.0);
    }

    fn read(_: u8, from: &mut In<'a>) -> Result<Self> {
        Ok(Self(from.remainder()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::codec::encode;

    #[test]
    fn accounts_of_the_first_release_move_up() {
        let old = [1, 7, 4, b'a', b'c', b'm', b'e', 3, 100];
        let account: Account = decode(&old).unwrap();
        assert_eq!((account.id, account.name.as_str()), (AccountId(7), "acme"));
        assert_eq!((account.root, account.gid), (DirId(3), 100));
        assert_eq!(account.quota, Quota::default());
        assert!(!account.private && account.sealed_url_secrets.is_empty());
        assert_eq!(decode::<Account>(&encode(&account)), Ok(account));
    }
}
