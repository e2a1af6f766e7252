//! Multipart uploads and their pieces: the lookups and changes that [`crate::Read`] and [`crate::Tx`] ask for.
//!
//! What lives here: which keys of `uploads` and `pieces` each of them reads or writes. What does not: the layout of keys
//! and records, what a state means, and when an upload may go from one to another (operations ask the model).
//!
//! Invariants: an upload stands under its id and among its user's, and both agree; it stands among those to be put
//! together as long as its state says so; an account's counter counts its unfinished ones. Numbers and arrivals are
//! never given twice: the last ones are kept, not looked for.

use model::{AccountId, Error, Multipart, Piece, Result, UploadId, UploadState, UserId};

use super::codec::decode;
use super::keys::{self, Family};
use super::record::{Number, Payload};
use super::source::{Follow, Group, Scan, Source};
use super::tx::misuse;
use super::upload_record::UploadRow;
use super::view::{View, bad_key};

impl<S: Source> View<S> {
    /// An upload by id.
    pub(crate) fn find_upload(&self, id: UploadId) -> Result<Option<Multipart>> {
        self.record(Family::Uploads, &keys::upload(id))
    }

    /// A page of a user's uploads: one scan, and a lookup for each.
    pub(crate) fn list_uploads_of(
        &self,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Multipart>> {
        let mut uploads = Vec::new();
        let Some(first) = after.checked_add(1) else { return Ok(uploads) };
        let (from, below) = (keys::upload_of(user, first), keys::end_of(&keys::uploads_of(user)));
        let follow = |_: &[u8], value: &[u8]| {
            decode(value).ok().map(|UploadRow(id)| (Family::Uploads, keys::upload(id)))
        };
        let (family, follow) = (Family::Uploads, Follow::Rows(follow));
        let scan = Scan { family, from: &from, below: &below, limit, follow };
        self.page_of(scan, &mut |_, value| {
            let UploadRow(id) = decode(value)?;
            let lost = || Error::Damaged(format!("upload {id:?} has a number and no record"));
            uploads.push(self.find_upload(id)?.ok_or_else(lost)?);
            Ok(())
        })?;
        Ok(uploads)
    }

    /// A page of all uploads.
    pub(crate) fn list_uploads(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<Multipart>> {
        let from = match after {
            Some(id) => keys::after(keys::upload(id)),
            None => keys::UPLOADS.to_vec(),
        };
        let mut uploads = Vec::new();
        let below = keys::end_of(keys::UPLOADS);
        self.page(Family::Uploads, (&from, &below), limit, &mut |_, value| {
            uploads.push(decode(value)?);
            Ok(())
        })?;
        Ok(uploads)
    }

    /// The uploads to be put together.
    pub(crate) fn list_joining(&self) -> Result<Vec<UploadId>> {
        let mut joining = Vec::new();
        let below = keys::end_of(keys::JOINING);
        self.page(Family::Uploads, (keys::JOINING, &below), usize::MAX, &mut |key, _| {
            joining.push(keys::upload_id(key).ok_or_else(bad_key)?);
            Ok(())
        })?;
        Ok(joining)
    }

    /// An account's counter.
    pub(crate) fn count_unfinished(&self, account: AccountId) -> Result<u64> {
        Ok(self.number(Family::Meta, &keys::unfinished(account))?.map_or(0, |count| count.0))
    }

    /// A page of an upload's pieces.
    pub(crate) fn list_pieces(
        &self,
        upload: UploadId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let Some(first) = after.checked_add(1) else { return Ok(pieces) };
        let (from, below) = (keys::piece(upload, first), keys::end_of(&keys::pieces(upload)));
        self.page(Family::Pieces, (&from, &below), limit, &mut |_, value| {
            pieces.push(decode(value)?);
            Ok(())
        })?;
        Ok(pieces)
    }

    /// The piece that counts under a number.
    pub(crate) fn find_piece(&self, upload: UploadId, number: u32) -> Result<Option<Piece>> {
        let Some(Number(arrival)) =
            self.number(Family::Pieces, &keys::piece_number(upload, number))?
        else {
            return Ok(None);
        };
        let piece = self.record(Family::Pieces, &keys::piece(upload, arrival))?;
        let lost = || {
            Error::Damaged(format!(
                "piece {number} of upload {upload:?} has a number and no record"
            ))
        };
        Ok(Some(piece.ok_or_else(lost)?))
    }
}

impl<S: Group> View<S> {
    /// The upload an operation says is there.
    fn known_upload(&self, id: UploadId) -> Result<Multipart> {
        self.find_upload(id)?.ok_or_else(|| misuse(format!("upload {id:?} is not there")))
    }

    /// Adds or replaces an upload.
    pub(crate) fn store_upload(&mut self, upload: &Multipart) -> Result<Multipart> {
        let old = self.find_upload(upload.id)?;
        let mut stored = upload.clone();
        match &old {
            Some(old) => {
                (stored.user, stored.account) = (old.user, old.account);
                (stored.number, stored.received) = (old.number, old.received);
            }
            None => {
                (stored.number, stored.received) = (self.next_upload(stored.user)?, 0);
                let key = keys::upload_of(stored.user, stored.number);
                self.put(Family::Uploads, key, &UploadRow(stored.id));
            }
        }
        self.change_state(&stored, old.map(|old| old.state), Some(stored.state))?;
        self.put(Family::Uploads, keys::upload(stored.id), &stored);
        Ok(stored)
    }

    /// The next number among a user's uploads.
    fn next_upload(&mut self, user: UserId) -> Result<u64> {
        let key = keys::last_upload(user);
        let number = self.number(Family::Meta, &key)?.map_or(0, |last| last.0) + 1;
        self.put(Family::Meta, key, &Number(number));
        Ok(number)
    }

    /// Keeps what is indexed and counted by state right; `None`: the upload is not there.
    fn change_state(
        &mut self,
        upload: &Multipart,
        from: Option<UploadState>,
        to: Option<UploadState>,
    ) -> Result<()> {
        let joins = |state| matches!(state, Some(UploadState::Complete | UploadState::Join));
        match (joins(from), joins(to)) {
            (false, true) => self.put(Family::Uploads, keys::joining(upload.id), &Payload(&[])),
            (true, false) => self.remove(Family::Uploads, keys::joining(upload.id)),
            (false, false) | (true, true) => {}
        }
        let counts = |state: Option<UploadState>| state.is_some_and(UploadState::is_unfinished);
        let account = upload.account;
        let count = self.count_unfinished(account)?;
        let count = match (counts(from), counts(to)) {
            (false, true) => count + 1,
            (true, false) => {
                let wrong = || {
                    Error::Damaged(format!(
                        "account {} counts fewer uploads than it has",
                        account.0
                    ))
                };
                count.checked_sub(1).ok_or_else(wrong)?
            }
            (false, false) | (true, true) => return Ok(()),
        };
        self.put(Family::Meta, keys::unfinished(account), &Number(count));
        Ok(())
    }

    /// Removes an upload and its pieces' records.
    pub(crate) fn drop_upload(&mut self, id: UploadId) -> Result<()> {
        let upload = self.known_upload(id)?;
        let mut gone = Vec::new();
        // The numbers follow the pieces: one range.
        let (from, below) = (keys::pieces(id), keys::end_of(&keys::piece_numbers(id)));
        self.page(Family::Pieces, (&from, &below), usize::MAX, &mut |key, _| {
            gone.push(key.to_vec());
            Ok(())
        })?;
        for key in gone {
            self.remove(Family::Pieces, key);
        }
        self.change_state(&upload, Some(upload.state), None)?;
        self.remove(Family::Uploads, keys::upload_of(upload.user, upload.number));
        self.remove(Family::Uploads, keys::upload(id));
        Ok(())
    }

    /// Adds a piece, last in the order of arrival.
    pub(crate) fn append_piece(&mut self, upload: UploadId, piece: &Piece) -> Result<Piece> {
        let mut record = self.known_upload(upload)?;
        record.received += 1;
        let piece = Piece { arrival: record.received, ..*piece };
        self.put(Family::Uploads, keys::upload(upload), &record);
        self.put(Family::Pieces, keys::piece(upload, piece.arrival), &piece);
        let key = keys::piece_number(upload, piece.number);
        self.put(Family::Pieces, key, &Number(piece.arrival));
        Ok(piece)
    }

    /// Replaces a piece's record.
    pub(crate) fn replace_piece(&mut self, upload: UploadId, piece: &Piece) -> Result<()> {
        let key = keys::piece(upload, piece.arrival);
        let missing =
            || misuse(format!("upload {upload:?} has no piece that arrived as {}", piece.arrival));
        let old: Piece = self.record(Family::Pieces, &key)?.ok_or_else(missing)?;
        self.put(Family::Pieces, key, &Piece { number: old.number, ..*piece });
        Ok(())
    }
}
