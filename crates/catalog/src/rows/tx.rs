//! Changes: [`Tx`] over a group's overlay.
//!
//! What lives here: which keys each change writes, so that the indices, numbers and counters agree. What does not: save
//! points (the writer sets them), rules of the service (operations keep them), and the keys of multipart uploads
//! (`uploads`).
//!
//! Invariants: those of [`Tx`]. A call that returns an error may have changed something already: the operation must
//! fail, and the writer takes all of it back.

use bytes::Bytes;
use model::{
    Account, AccountId, BlobId, Callback, CallbackId, Digest, DirId, Directory, Error, Event, File,
    InlineId, Job, JobId, KeyPair, Kind, Lease, Moving, Multipart, Piece, Result, Session, Time,
    TokenHash, UploadId, Usage, User,
};

use super::codec::{Record, encode};
use super::inlined::Inlined;
use super::keys::{self, Family};
use super::moving;
use super::record::{Attrs, DirectoryRow, Entry, FileRow, Number, Payload};
use super::source::Group;
use super::stored;
use super::view::View;
use crate::{
    Place, Read, Tx,
    audit::{Change, Row},
};

impl<S: Group> View<S> {
    /// Sets a key's record.
    pub(crate) fn put<'a>(&mut self, family: Family, key: Vec<u8>, record: &impl Record<'a>) {
        self.0.overlay().put(family, key, encode(record));
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, family: Family, key: Vec<u8>) {
        self.0.overlay().remove(family, key);
    }

    fn put_dir(&mut self, account: AccountId, directory: &Directory) {
        self.put(Family::Dirs, keys::dir(account, directory.id), directory);
    }

    /// The directory an operation says is there.
    fn known_dir(&self, account: AccountId, id: DirId) -> Result<Directory> {
        self.dir(account, id)?.ok_or_else(|| misuse(format!("directory {} is not there", id.0)))
    }

    /// The entry an operation says is there.
    fn known_entry(&self, place: Place<'_>) -> Result<Entry> {
        self.entry(place)?.ok_or_else(|| misuse(format!("nothing stands at {place:?}")))
    }

    /// Fails unless nothing stands at `place`.
    fn check_free(&self, place: Place<'_>) -> Result<()> {
        match self.entry(place)? {
            None => Ok(()),
            Some(_) => Err(misuse(format!("{place:?} is taken"))),
        }
    }

    /// Counts an entry into the directory that holds `place` and returns its number.
    fn receive(&mut self, place: Place<'_>, kind: Kind) -> Result<u64> {
        let mut dir = self.known_dir(place.account, place.dir)?;
        let (count, last) = match kind {
            Kind::Directory => (&mut dir.directories, &mut dir.last_directory),
            Kind::File => (&mut dir.files, &mut dir.last_file),
        };
        *count += 1;
        *last += 1;
        let number = *last;
        self.put_dir(place.account, &dir);
        Ok(number)
    }

    /// Counts an entry out of the directory that holds `place`, and takes it off both indices.
    fn release(&mut self, place: Place<'_>, kind: Kind, number: u64) -> Result<()> {
        let mut dir = self.dir_of_entry(place.account, place.dir)?;
        let count = match kind {
            Kind::Directory => &mut dir.directories,
            Kind::File => &mut dir.files,
        };
        let wrong =
            || Error::Damaged(format!("directory {} counts less than it holds", place.dir.0));
        *count = count.checked_sub(1).ok_or_else(wrong)?;
        self.put_dir(place.account, &dir);
        self.remove(Family::Names, keys::name(place));
        self.remove(Family::Numbers, keys::number(place.account, place.dir, kind, number));
        Ok(())
    }

    /// Writes a file to both indices.
    fn index_file(&mut self, place: Place<'_>, file: File) {
        let row = FileRow { name: place.name, attrs: Attrs::of(&file.attrs) };
        let key = keys::number(place.account, place.dir, Kind::File, file.number);
        self.put(Family::Numbers, key, &row);
        self.put(Family::Names, keys::name(place), &Entry::File(file));
    }

    /// Writes a directory to both indices.
    fn index_directory(&mut self, place: Place<'_>, id: DirId, number: u64) {
        let key = keys::number(place.account, place.dir, Kind::Directory, number);
        self.put(Family::Numbers, key, &DirectoryRow { name: place.name, id });
        self.put(Family::Names, keys::name(place), &Entry::Directory { id, number });
    }
}

/// The error for an operation that did not look before it called.
pub(crate) fn misuse(what: String) -> Error {
    Error::Storage(what)
}

fn no_row() -> Error {
    misuse("a row that could not be read cannot be written".to_owned())
}

impl<S: Group> Tx for View<S> {
    fn fresh_id(&mut self) -> Result<u64> {
        if let Some(id) = self.0.fresh_id() {
            return id;
        }
        let last = self.record::<Number>(Family::Meta, keys::LAST_ID)?.map_or(0, |last| last.0);
        let id = last.checked_add(1).ok_or_else(|| misuse("no ids are left".to_owned()))?;
        self.put(Family::Meta, keys::LAST_ID.to_vec(), &Number(id));
        Ok(id)
    }

    fn put_account(&mut self, account: &Account) -> Result<()> {
        if let Some(old) = self.account(account.id)? {
            self.remove(Family::Meta, keys::account_name(&old.name));
        }
        if self.account_by_name(&account.name)?.is_some() {
            return Err(misuse(format!("the account name {:?} is taken", account.name)));
        }
        self.put(Family::Meta, keys::account_name(&account.name), &Number(account.id.0.into()));
        self.put(Family::Meta, keys::account(account.id), account);
        Ok(())
    }

    fn put_usage(&mut self, account: AccountId, usage: Usage) -> Result<()> {
        self.put(Family::Meta, keys::usage(account), &usage);
        Ok(())
    }

    fn put_user(&mut self, user: &User) -> Result<()> {
        if let Some(old) = self.user(user.id)? {
            self.remove(Family::Meta, keys::user_name(&old.name));
        }
        if self.user_by_name(&user.name)?.is_some() {
            return Err(misuse(format!("the user name {:?} is taken", user.name)));
        }
        self.put(Family::Meta, keys::user_name(&user.name), &Number(user.id.0.into()));
        self.put(Family::Meta, keys::user(user.id), user);
        Ok(())
    }

    fn put_session(&mut self, token: &TokenHash, session: &Session) -> Result<()> {
        self.remove_session(token)?;
        self.put(Family::Sessions, keys::session(token), session);
        self.put(Family::Sessions, keys::session_of(session.user, token), &Payload(&[]));
        Ok(())
    }

    fn remove_session(&mut self, token: &TokenHash) -> Result<()> {
        if let Some(old) = self.session(token)? {
            self.remove(Family::Sessions, keys::session(token));
            self.remove(Family::Sessions, keys::session_of(old.user, token));
        }
        Ok(())
    }

    fn put_key_pair(&mut self, pair: &KeyPair) -> Result<()> {
        if let Some(old) = self.key_pair_of(pair.account)? {
            self.remove(Family::Meta, keys::access_key(&old.access_key));
        }
        if self.key_pair(&pair.access_key)?.is_some() {
            return Err(misuse("the access key is taken".to_owned()));
        }
        self.put(Family::Meta, keys::access_key(&pair.access_key), &Number(pair.account.0.into()));
        self.put(Family::Meta, keys::key_pair(pair.account), pair);
        Ok(())
    }

    fn put_root(&mut self, account: AccountId, directory: &Directory) -> Result<()> {
        if self.dir(account, directory.id)?.is_some() {
            return Err(misuse(format!("directory {} is there already", directory.id.0)));
        }
        self.put_dir(account, directory);
        Ok(())
    }

    fn add_directory(&mut self, place: Place<'_>, mut directory: Directory) -> Result<Directory> {
        self.check_free(place)?;
        if self.dir(place.account, directory.id)?.is_some() {
            return Err(misuse(format!("directory {} is there already", directory.id.0)));
        }
        directory.number = self.receive(place, Kind::Directory)?;
        self.put_dir(place.account, &directory);
        self.index_directory(place, directory.id, directory.number);
        Ok(directory)
    }

    fn touch_directory(&mut self, account: AccountId, id: DirId, mtime: u64) -> Result<()> {
        let dir = self.known_dir(account, id)?;
        self.put_dir(account, &Directory { mtime, ..dir });
        Ok(())
    }

    fn remove_directory(&mut self, place: Place<'_>) -> Result<()> {
        let Entry::Directory { id, number } = self.known_entry(place)? else {
            return Err(misuse(format!("{place:?} is a file")));
        };
        if !self.dir_of_entry(place.account, id)?.is_empty() {
            return Err(misuse(format!("directory {} is not empty", id.0)));
        }
        self.release(place, Kind::Directory, number)?;
        self.remove(Family::Dirs, keys::dir(place.account, id));
        Ok(())
    }

    fn put_file(&mut self, place: Place<'_>, file: &File) -> Result<()> {
        let number = match self.entry(place)? {
            Some(Entry::File(old)) => old.number,
            Some(Entry::Directory { .. }) => {
                return Err(misuse(format!("{place:?} is a directory")));
            }
            None => self.receive(place, Kind::File)?,
        };
        self.index_file(place, File { number, ..file.clone() });
        Ok(())
    }

    fn remove_file(&mut self, place: Place<'_>) -> Result<()> {
        match self.known_entry(place)? {
            Entry::File(file) => self.release(place, Kind::File, file.number),
            Entry::Directory { .. } => Err(misuse(format!("{place:?} is a directory"))),
        }
    }

    fn move_entry(&mut self, from: Place<'_>, to: Place<'_>) -> Result<()> {
        if from.account != to.account {
            return Err(misuse("an entry does not move to another account".to_owned()));
        }
        let entry = self.known_entry(from)?;
        self.check_free(to)?;
        let (kind, old) = match &entry {
            Entry::Directory { number, .. } => (Kind::Directory, *number),
            Entry::File(file) => (Kind::File, file.number),
        };
        let number = if from.dir == to.dir {
            self.remove(Family::Names, keys::name(from));
            old
        } else {
            self.release(from, kind, old)?;
            self.receive(to, kind)?
        };
        match entry {
            Entry::File(file) => self.index_file(to, File { number, ..file }),
            Entry::Directory { id, .. } => {
                if number != old {
                    let dir = self.dir_of_entry(from.account, id)?;
                    self.put_dir(from.account, &Directory { number, ..dir });
                }
                self.index_directory(to, id, number);
            }
        }
        Ok(())
    }

    fn put_inline(&mut self, account: AccountId, id: InlineId, bytes: Bytes) -> Result<()> {
        let key = keys::inline(account, id);
        let content = Inlined::new(&key, &bytes);
        self.put(Family::Inline, key.clone(), &content);
        Ok(())
    }

    fn remove_inline(&mut self, account: AccountId, id: InlineId) -> Result<()> {
        self.remove(Family::Inline, keys::inline(account, id));
        Ok(())
    }

    fn put_blob_refs(&mut self, blob: BlobId, refs: u32) -> Result<()> {
        match refs {
            0 => self.remove(Family::Blobs, keys::blob(blob)),
            _ => self.put(Family::Blobs, keys::blob(blob), &Number(refs.into())),
        }
        Ok(())
    }

    fn put_upload(&mut self, upload: &Multipart) -> Result<Multipart> {
        self.store_upload(upload)
    }

    fn remove_upload(&mut self, id: UploadId) -> Result<()> {
        self.drop_upload(id)
    }

    fn add_piece(&mut self, upload: UploadId, piece: &Piece) -> Result<Piece> {
        self.append_piece(upload, piece)
    }

    fn put_piece(&mut self, upload: UploadId, piece: &Piece) -> Result<()> {
        self.replace_piece(upload, piece)
    }

    fn put_used_signature(
        &mut self,
        account: AccountId,
        signature: Digest,
        until: Time,
    ) -> Result<()> {
        self.put(Family::Sessions, keys::signature(account, signature), &Number(until.0));
        Ok(())
    }

    fn forget_used_signature(&mut self, account: AccountId, signature: Digest) -> Result<()> {
        self.remove(Family::Sessions, keys::signature(account, signature));
        Ok(())
    }

    fn put_callbacks(&mut self, account: AccountId, callbacks: &[Callback]) -> Result<()> {
        self.store_callbacks(account, callbacks);
        Ok(())
    }

    fn put_event(&mut self, account: AccountId, callback: CallbackId, event: &Event) -> Result<()> {
        self.store_event(account, callback, event)
    }

    fn remove_event(&mut self, account: AccountId, callback: CallbackId, id: u64) -> Result<()> {
        self.drop_event(account, callback, id)
    }

    fn put_job(&mut self, job: &Job) -> Result<()> {
        self.store_job(job)
    }

    fn remove_job(&mut self, id: JobId) -> Result<()> {
        self.drop_job(id)
    }

    fn doom(&mut self, blob: BlobId, now: Time) -> Result<()> {
        self.put(Family::Doomed, keys::blob(blob), &Number(now.0));
        Ok(())
    }

    fn forget_doomed(&mut self, blob: BlobId) -> Result<()> {
        self.remove(Family::Doomed, keys::blob(blob));
        Ok(())
    }

    fn put_lease(&mut self, name: &str, lease: &Lease) -> Result<()> {
        self.put(Family::Meta, keys::lease(name), lease);
        Ok(())
    }

    fn remove_lease(&mut self, name: &str) -> Result<()> {
        self.remove(Family::Meta, keys::lease(name));
        Ok(())
    }

    fn put_key_check(&mut self, check: &[u8]) -> Result<()> {
        self.put(Family::Meta, keys::KEY_CHECK.to_vec(), &Payload(check));
        Ok(())
    }

    fn put_orphans_swept(&mut self, up_to: Time) -> Result<()> {
        self.put(Family::Meta, keys::ORPHANS_SWEPT.to_vec(), &Number(up_to.0));
        Ok(())
    }

    fn put_row(&mut self, row: &Row) -> Result<()> {
        let (family, key, value) = stored::stored(row).ok_or_else(no_row)?;
        self.0.overlay().put(family, key, value);
        Ok(())
    }

    fn remove_row(&mut self, row: &Row) -> Result<()> {
        let (family, key, _) = stored::stored(row).ok_or_else(no_row)?;
        self.remove(family, key);
        Ok(())
    }

    fn remove_at(&mut self, change: &Change) -> Result<()> {
        self.remove(change.family, change.key.clone());
        Ok(())
    }

    fn put_moving(&mut self, moving: Option<&Moving>) -> Result<()> {
        let (key, value) = (keys::DOOR.to_vec(), moving::door_value(moving));
        self.0.overlay().put(Family::Moves, key, value);
        Ok(())
    }

    fn forget_changes(&mut self, changes: &[Change]) -> Result<()> {
        changes.iter().for_each(|change| self.remove(Family::Moves, change.noted_at()));
        Ok(())
    }
}
