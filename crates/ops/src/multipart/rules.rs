//! The rules of multipart uploads, as functions over a transaction. Which state may follow which is one table in
//! `model::multipart`; every change of state here goes through [`step`] or [`step_piece`], which ask it.

use catalog::{Read, Tx};
use model::{
    Caller, Content, ContentType, Digest, Error, EventKind, Extent, Multipart, Piece, PieceContent,
    PieceState, Result, Time, UploadId, UploadState, UserId,
};

use super::{Limits, MultipartSpec};
use crate::{Detect, Room, TypeRule, content_type, put, quota, reference, tree::may_write};

/// How often, on average, every piece of an upload may be sent again.
const RESENT_MAX: u64 = 10;
/// Pieces handled at a time.
const PAGE: usize = 256;

/// What a client says of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceSpec {
    /// The upload it belongs to.
    pub upload: UploadId,
    /// Its number, from 1.
    pub number: u32,
    /// What its bytes must hash to.
    pub checksum: Option<Digest>,
    /// How many bytes were announced, where they were; in the end, how many came.
    pub len: Option<u64>,
}

/// Takes an upload to its next state.
pub(super) fn step(upload: &mut Multipart, next: UploadState, now: Time) -> Result<()> {
    if !upload.state.may_become(next) {
        return Err(Error::UploadClosed);
    }
    upload.state = next;
    upload.changed = now;
    Ok(())
}

/// Takes a piece to its next state, and its record with it; pieces that cannot go there stay where they are.
fn step_piece(tx: &mut dyn Tx, id: UploadId, piece: &Piece, next: PieceState) -> Result<bool> {
    if !piece.state.may_become(next) {
        return Ok(false);
    }
    tx.put_piece(id, &Piece { state: next, ..*piece })?;
    Ok(true)
}

/// Does something to every piece of an upload, those replaced included.
pub(super) fn each_piece(
    tx: &mut dyn Tx,
    id: UploadId,
    mut work: impl FnMut(&mut dyn Tx, &Piece) -> Result<()>,
) -> Result<()> {
    let mut after = 0;
    loop {
        let page = tx.pieces(id, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.arrival;
        for piece in &page {
            work(tx, piece)?;
        }
    }
}

/// Takes all pieces of an upload to a state and lets go of what they hold.
pub(super) fn drop_pieces(
    tx: &mut dyn Tx,
    upload: &Multipart,
    next: PieceState,
    now: Time,
) -> Result<()> {
    each_piece(tx, upload.id, |tx, piece| {
        if step_piece(tx, upload.id, piece, next)? {
            release(tx, upload, piece, now)?;
        }
        Ok(())
    })
}

/// Whether a piece refers to its content: from when it comes until it is a part of the file, or given up.
pub(crate) fn holds(piece: &Piece) -> bool {
    matches!(piece.state, PieceState::New | PieceState::Join)
}

fn release(tx: &mut dyn Tx, upload: &Multipart, piece: &Piece, now: Time) -> Result<()> {
    reference::release(tx, upload.account, &content([piece].into_iter()), now)
}

/// Pieces as the content of one file.
pub(super) fn content<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Content {
    let extents: Vec<Extent> = pieces
        .filter_map(|piece| match piece.content {
            PieceContent::Empty => None,
            PieceContent::Blob(extent) => Some(extent),
        })
        .collect();
    if extents.is_empty() { Content::Empty } else { Content::Blobs(extents) }
}

/// An upload of a user's. Anyone else's does not exist.
pub(super) fn own<R: Read + ?Sized>(tx: &mut R, user: UserId, id: UploadId) -> Result<Multipart> {
    tx.upload(id)?
        .filter(|upload| upload.user == user && upload.state != UploadState::Deleted)
        .ok_or(Error::NoSuchUpload)
}

pub(super) fn create(
    tx: &mut dyn Tx,
    caller: &Caller,
    spec: &MultipartSpec,
    id: UploadId,
    unfinished_max: u64,
    now: Time,
) -> Result<Multipart> {
    may_write(caller)?;
    if tx.unfinished_uploads(caller.account)? >= unfinished_max {
        return Err(Error::TooManyUploads);
    }
    let spot = put::may_put(tx, caller, &spec.path, spec.parents)?;
    spot.room(tx, caller.account)?.takes(quota::at_least(None))?;
    // The directories are made now, so that completing needs no more rights than sending pieces.
    spot.directory(tx, caller, now)?;
    let full = caller.full(&spec.path);
    tx.put_upload(&Multipart {
        id,
        account: caller.account,
        user: caller.user,
        owner: caller.owner,
        number: 0,
        path: full,
        content_type: known_type(spec),
        mtime: spec.mtime,
        checksum: spec.checksum,
        created: now,
        changed: now,
        state: UploadState::New,
        error: 0,
        received: 0,
        pieces: 0,
        highest: 0,
        bytes: 0,
    })
}

/// The type as far as it is known before the content is.
fn known_type(spec: &MultipartSpec) -> Option<ContentType> {
    let by_name = || spec.path.name().and_then(content_type::by_name);
    match &spec.content_type {
        TypeRule::Given(given) => Some(given.clone()),
        TypeRule::Detect(Detect::Auto) => by_name(),
        TypeRule::Detect(Detect::Name) => by_name().or_else(|| Some(ContentType::octet_stream())),
        TypeRule::Detect(Detect::Content) => None,
    }
}

/// Where a piece may be added.
pub(super) struct Spot {
    pub(super) upload: Multipart,
    /// The piece that it would replace.
    pub(super) old: Option<Piece>,
    /// How large it may be, as far as the account's quota goes.
    pub(super) room: Room,
}

/// Whether the caller may add a piece, and where.
pub(super) fn may_add<R: Read + ?Sized>(
    tx: &mut R,
    caller: &Caller,
    spec: &PieceSpec,
    limits: Limits,
) -> Result<Spot> {
    may_write(caller)?;
    let upload = own(tx, caller.user, spec.upload)?;
    match upload.state {
        UploadState::New => {}
        UploadState::Abort => return Err(Error::UploadAborted),
        _ => return Err(Error::UploadClosed),
    }
    if spec.number == 0 || spec.number > limits.pieces_max {
        return Err(Error::InvalidPieceNumber);
    }
    if upload.received >= u64::from(limits.pieces_max) * RESENT_MAX {
        return Err(Error::TooManyPieces);
    }
    let old = tx.piece(spec.upload, spec.number)?;
    let len = spec.len.unwrap_or(0);
    if len > limits.piece_bytes_max {
        return Err(Error::PieceTooLarge);
    }
    let others = upload.bytes - old.as_ref().map_or(0, |piece| piece.size);
    if others.saturating_add(len) > limits.upload_bytes_max {
        return Err(Error::UploadTooLarge);
    }
    let room = room(tx, caller, &upload)?.beside(others);
    room.takes(quota::at_least(spec.len))?;
    Ok(Spot { upload, old, room })
}

/// How large an upload's file may be.
fn room<R: Read + ?Sized>(tx: &mut R, caller: &Caller, upload: &Multipart) -> Result<Room> {
    quota::room(tx, upload.account, |tx| {
        let file = tx.file(upload.account, caller.top, &upload.path)?;
        Ok(file.map(|file| file.attrs.size))
    })
}

pub(super) fn add(
    tx: &mut dyn Tx,
    caller: &Caller,
    spec: &PieceSpec,
    checksum: Digest,
    content: &Content,
    limits: Limits,
    now: Time,
) -> Result<PieceContent> {
    let Spot { mut upload, old, .. } = may_add(tx, caller, spec, limits)?;
    let content = match content {
        Content::Blobs(extents) => {
            extents.first().copied().map_or(PieceContent::Empty, PieceContent::Blob)
        }
        Content::Empty | Content::Inline(_) => PieceContent::Empty,
    };
    let size = spec.len.unwrap_or(0);
    let piece = Piece {
        number: spec.number,
        arrival: 0,
        size,
        checksum,
        content,
        state: PieceState::New,
        error: 0,
    };
    let added = tx.add_piece(spec.upload, &piece)?;
    if let Some(old) = &old {
        step_piece(tx, spec.upload, old, PieceState::Skipped)?;
        release(tx, &upload, old, now)?;
    }
    upload.received = added.arrival;
    upload.pieces += u32::from(old.is_none());
    upload.highest = upload.highest.max(spec.number);
    upload.bytes = upload.bytes - old.map_or(0, |piece| piece.size) + size;
    tx.put_upload(&upload)?;
    Ok(content)
}

pub(super) fn complete(tx: &mut dyn Tx, caller: &Caller, id: UploadId, now: Time) -> Result<u32> {
    may_write(caller)?;
    let mut upload = own(tx, caller.user, id)?;
    match upload.state {
        UploadState::New | UploadState::Ready => {}
        UploadState::Abort => return Err(Error::UploadAborted),
        _ => return Err(Error::UploadClosed),
    }
    if upload.pieces == 0 {
        return Err(Error::NoPieces);
    }
    if upload.highest != upload.pieces {
        return Err(Error::PieceGap);
    }
    if upload.state == UploadState::New {
        step(&mut upload, UploadState::Ready, now)?;
    }
    step(&mut upload, UploadState::Complete, now)?;
    tx.put_upload(&upload)?;
    Ok(upload.pieces)
}

pub(super) fn abort(tx: &mut dyn Tx, caller: &Caller, id: UploadId, now: Time) -> Result<()> {
    may_write(caller)?;
    let mut upload = own(tx, caller.user, id)?;
    if upload.state == UploadState::Abort {
        return Err(Error::UploadAborted);
    }
    step(&mut upload, UploadState::Abort, now)?;
    drop_pieces(tx, &upload, PieceState::Abort, now)?;
    tx.put_upload(&upload).map(drop)
}

pub(super) fn restart(tx: &mut dyn Tx, caller: &Caller, id: UploadId, now: Time) -> Result<()> {
    may_write(caller)?;
    let mut upload = own(tx, caller.user, id)?;
    if upload.state != UploadState::Failed {
        return Err(Error::NotFailed);
    }
    step(&mut upload, UploadState::Complete, now)?;
    upload.error = 0;
    tx.put_upload(&upload).map(drop)
}

/// The pieces that count, in the order of their numbers.
pub(super) fn current<R: Read + ?Sized>(tx: &mut R, upload: &Multipart) -> Result<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(upload.pieces as usize);
    for number in 1..=upload.highest {
        pieces.push(tx.piece(upload.id, number)?.ok_or(Error::PieceGap)?);
    }
    Ok(pieces)
}

/// An upload begins to be put together.
pub(super) fn begin_join(tx: &mut dyn Tx, id: UploadId, now: Time) -> Result<Multipart> {
    let mut upload = tx.upload(id)?.ok_or(Error::NoSuchUpload)?;
    if upload.state == UploadState::Join {
        return Ok(upload);
    }
    step(&mut upload, UploadState::Join, now)?;
    for piece in current(tx, &upload)? {
        step_piece(tx, id, &piece, PieceState::Join)?;
    }
    tx.put_upload(&upload)
}

/// The file appears, whole: the pieces' references become the file's.
pub(super) fn end_join(
    tx: &mut dyn Tx,
    caller: &Caller,
    id: UploadId,
    checksum: Digest,
    content_type: &ContentType,
    now: Time,
) -> Result<()> {
    let mut upload = tx.upload(id)?.ok_or(Error::NoSuchUpload)?;
    if upload.checksum.is_some_and(|said| said != checksum) {
        return Err(Error::ChecksumMismatch);
    }
    step(&mut upload, UploadState::Success, now)?;
    let pieces = current(tx, &upload)?;
    let parents = crate::Parents::Required;
    let spot = put::may_put(tx, caller, &upload.path, parents)?;
    let attrs = model::FileAttrs {
        owner: upload.owner,
        size: upload.bytes,
        checksum,
        content_type: content_type.clone(),
        ctime: now.secs(),
        mtime: if upload.mtime == 0 { upload.created.secs() } else { upload.mtime },
    };
    put::place(tx, caller, &spot, EventKind::Multipart, attrs, content(pieces.iter()), now)?;
    for piece in &pieces {
        step_piece(tx, id, piece, PieceState::Success)?;
    }
    tx.put_upload(&upload).map(drop)
}

/// The file cannot appear; the client may restart the upload when the reason is gone.
pub(super) fn fail(tx: &mut dyn Tx, id: UploadId, error: i32, now: Time) -> Result<()> {
    let mut upload = tx.upload(id)?.ok_or(Error::NoSuchUpload)?;
    step(&mut upload, UploadState::Failed, now)?;
    upload.error = error;
    tx.put_upload(&upload).map(drop)
}
