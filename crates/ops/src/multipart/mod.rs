//! Multipart uploads (protocol.md, section 6): begin, send pieces, complete, abort, restart, look.
//!
//! Pieces stay where they were put when they arrived: completing an upload moves no byte. The rules are plain functions
//! over a transaction in `rules`; putting a completed upload together, in the background, is `join`; the checksum of the
//! whole, which runs ahead of completion, is `prefix`, and its way through a piece that arrives `ahead`; which of the pieces
//! that arrive goes first is `turns`; clean-up is `expire`.

mod ahead;
mod expire;
mod join;
mod prefix;
mod rules;
mod turns;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use model::{Caller, Digest, Error, Multipart, Piece, Result, TreePath, UploadId, limits};

use self::ahead::Ahead;
use crate::{Room, Store, TypeRule, landing::Landing, slots::Slot};

pub use join::Joiner;
pub(crate) use prefix::Prefixes;
pub use rules::PieceSpec;
pub(crate) use rules::holds;
pub(crate) use turns::Turns;

/// Limits of multipart uploads, with their units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pieces of one upload.
    pub pieces_max: u32,
    /// Bytes of one piece.
    pub piece_bytes_max: u64,
    /// Bytes of one upload.
    pub upload_bytes_max: u64,
    /// Unfinished uploads of one account.
    pub unfinished_max: u64,
    /// Seconds after which an upload that is not completed expires; `None`: never.
    pub expire_secs: Option<u64>,
    /// Seconds for which an upload that is over stays listed.
    pub keep_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pieces_max: 1_000,
            piece_bytes_max: 100_000_000_000,
            upload_bytes_max: 20_000_000_000_000,
            unfinished_max: 1_000_000,
            expire_secs: Some(86_400),
            keep_secs: 86_400,
        }
    }
}

/// What a client says of an upload it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartSpec {
    /// Where the file will be, relative to the caller's root.
    pub path: TreePath,
    /// The type it will be served with. What only the content tells is told when the file is put together.
    pub content_type: TypeRule,
    /// Seconds since the epoch; 0: the time of creation.
    pub mtime: u64,
    /// What the whole must hash to.
    pub checksum: Option<Digest>,
    /// What happens where the directory is missing.
    pub parents: crate::Parents,
}

/// A piece that is being uploaded. Dropping it discards it.
pub struct PieceUpload {
    store: Store,
    caller: Caller,
    spec: PieceSpec,
    landing: Landing,
    room: Room,
    ahead: Option<Ahead>,
    gate: Arc<turns::Gate>,
    turn: Option<turns::Turn>,
    slot: Slot,
}

impl Store {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`Error::InvalidPath`], [`Error::InvalidMtime`], [`Error::ParentMissing`], [`Error::IsDirectory`],
    /// [`Error::NotDirectory`], [`Error::Denied`], [`Error::TooManyUploads`], [`Error::OverQuota`].
    pub async fn create_multipart(
        &self,
        caller: &Caller,
        spec: &MultipartSpec,
    ) -> Result<Multipart> {
        if spec.mtime > limits::MTIME_MAX {
            return Err(Error::InvalidMtime);
        }
        let id = new_id()?;
        let (caller, spec, now) = (caller.clone(), spec.clone(), self.now());
        let unfinished_max = self.0.limits.multipart.unfinished_max;
        self.0
            .catalog
            .write(move |tx| rules::create(tx, &caller, &spec, id, unfinished_max, now))
            .await
    }

    /// An upload of the caller's.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`].
    pub async fn multipart(&self, caller: &Caller, id: UploadId) -> Result<Multipart> {
        let user = caller.user;
        self.0.catalog.read(move |tx| rules::own(tx, user, id)).await
    }

    /// Uploads of the caller's with numbers above `after`, in the order of creation.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn multiparts(
        &self,
        caller: &Caller,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Multipart>> {
        let user = caller.user;
        self.0.catalog.scan(move |tx| tx.uploads_of(user, after, limit)).await
    }

    /// Pieces of an upload of the caller's that arrived after `after`, in the order of arrival.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`].
    pub async fn pieces(
        &self,
        caller: &Caller,
        id: UploadId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Piece>> {
        let user = caller.user;
        self.0
            .catalog
            .scan(move |tx| {
                rules::own(tx, user, id)?;
                tx.pieces(id, after, limit)
            })
            .await
    }

    /// Whether a piece would be refused for what is known before its first byte, and the beginning of its upload.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::UploadAborted`], [`Error::UploadClosed`], [`Error::InvalidPieceNumber`],
    /// [`Error::TooManyPieces`], [`Error::PieceTooLarge`], [`Error::UploadTooLarge`], [`Error::Denied`],
    /// [`Error::OverQuota`], [`Error::RateLimited`] (the account has as many uploads running as it may have),
    /// [`Error::Full`], [`Error::Storage`] (nothing is written any more).
    pub async fn upload_piece(&self, caller: &Caller, spec: PieceSpec) -> Result<PieceUpload> {
        let (user, limits) = (caller.clone(), self.0.limits.multipart);
        let said = spec;
        let may = move |tx: &mut dyn catalog::Read| rules::may_add(tx, &user, &said, limits);
        let room = self.0.catalog.read(may).await?.room;
        self.may_grow(crate::quota::at_least(said.len))?;
        let slot = self.0.slots.take(caller.account)?;
        let landing = Landing::followed_blob(self, caller.account);
        let (store, caller, gate) = (self.clone(), caller.clone(), self.0.turns.of(spec.upload));
        Ok(PieceUpload { store, caller, spec, landing, room, ahead: None, gate, turn: None, slot })
    }

    /// Completes an upload: from now on it is put together in the background. Returns its number of pieces.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::NoPieces`], [`Error::PieceGap`], [`Error::UploadAborted`],
    /// [`Error::UploadClosed`].
    pub async fn complete_multipart(&self, caller: &Caller, id: UploadId) -> Result<u32> {
        let (caller, now) = (caller.clone(), self.now());
        let pieces = self.0.catalog.write(move |tx| rules::complete(tx, &caller, id, now)).await?;
        self.0.joiner.wake(id);
        Ok(pieces)
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::UploadAborted`] (a second time), [`Error::UploadClosed`].
    pub async fn abort_multipart(&self, caller: &Caller, id: UploadId) -> Result<()> {
        let (caller, now) = (caller.clone(), self.now());
        self.0.catalog.write(move |tx| rules::abort(tx, &caller, id, now)).await?;
        self.0.prefixes.forget(id);
        Ok(())
    }

    /// Puts an upload that failed to work again.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::NotFailed`].
    pub async fn restart_multipart(&self, caller: &Caller, id: UploadId) -> Result<()> {
        let (caller, now) = (caller.clone(), self.now());
        self.0.catalog.write(move |tx| rules::restart(tx, &caller, id, now)).await?;
        self.0.joiner.wake(id);
        Ok(())
    }
}

impl PieceUpload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::PieceTooLarge`], [`Error::OverQuota`], [`Error::Full`], [`Error::Storage`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let size = self.landing.size() + bytes.len() as u64;
        if size > self.store.0.limits.multipart.piece_bytes_max {
            return Err(Error::PieceTooLarge);
        }
        self.room.takes(size)?;
        if self.turn.is_none() {
            self.turn = self.gate.turn(self.spec.number).await;
        }
        self.landing.write(bytes).await?;
        if let Some(followed) = self.landing.followed() {
            let PieceSpec { upload, number, .. } = self.spec;
            self.ahead = Some(Ahead::new(&self.store, upload, number, followed));
        }
        if let Some(ahead) = &mut self.ahead {
            ahead.came(size).await;
        }
        if !self.gate.is_awaited() || self.gate.is_before(self.spec.number) {
            self.pause();
        }
        Ok(())
    }

    /// Whether other pieces of the upload wait until this one has taken over what is here: until [`PieceUpload::pause`].
    pub fn is_awaited(&self) -> bool {
        self.turn.is_some()
    }

    /// Lets others go first: the next bytes are not here yet.
    pub fn pause(&mut self) {
        self.turn = None;
    }

    /// Verifies the checksum, makes the bytes durable, then adds the piece to its upload. Goes on to its end when the
    /// future is dropped. Returns the piece's size and checksum.
    ///
    /// # Errors
    /// [`Error::ChecksumMismatch`], and those of [`Store::upload_piece`].
    pub async fn commit(self) -> Result<(u64, Digest)> {
        let work = tokio::spawn(self.commit_now());
        work.await.unwrap_or_else(|e| Err(Error::Storage(format!("piece failed: {e}"))))
    }

    async fn commit_now(self) -> Result<(u64, Digest)> {
        let (store, caller, mut ahead, _slot) = (self.store, self.caller, self.ahead, self.slot);
        let turn = self.turn;
        if let Some(ahead) = &mut ahead {
            ahead.hold().await;
            ahead.all_came().await;
        }
        // What is left of it is in memory, and whoever comes next waits for its hash.
        drop(turn);
        let landed = self.landing.end(self.spec.checksum).await?;
        let (size, checksum) = (landed.size(), landed.digest());
        let spec = PieceSpec { len: Some(size), ..self.spec };
        let (limits, now) = (store.0.limits.multipart, store.now());
        let hash = landed.hash().filter(|_| spec.number == 1);
        let place = landed.place(&store, move |tx, content| {
            rules::add(tx, &caller, &spec, checksum, &content, limits, now)
        });
        let (placed, ahead) = join(place, past(ahead)).await;
        let content = placed?;
        if let Some(ahead) = ahead {
            ahead.landed(content);
        }
        if let Some(hash) = hash {
            store.0.prefixes.begin(spec.upload, content, hash);
        }
        store.0.joiner.wake(spec.upload);
        Ok((size, checksum))
    }
}

/// Waits a little for the hash of the whole, beside what takes longer.
async fn past(mut ahead: Option<Ahead>) -> Option<Ahead> {
    if let Some(ahead) = &mut ahead {
        ahead.is_past().await;
    }
    ahead
}

fn new_id() -> Result<UploadId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| Error::Storage(format!("no randomness: {e}")))?;
    Ok(UploadId(id))
}
