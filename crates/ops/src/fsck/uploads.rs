//! Multipart uploads and their pieces: by id, by user, by state, by arrival and by number, and what counts them.
//!
//! What does not live here: which pieces hold references (crate::multipart), and the blobs themselves (`content`).

use std::collections::BTreeMap;

use catalog::audit::{Index, Row};
use model::{
    AccountId, Multipart, Owner, Piece, PieceContent, PieceState, Time, TreePath, UploadId,
    UploadState, UserId,
};

use super::{
    Kind,
    look::{Look, Stream},
    records::Meta,
    report::Change,
};

/// What the pieces of an upload come to.
#[derive(Default, PartialEq, Eq)]
struct Sum {
    received: u64,
    pieces: u32,
    highest: u32,
    bytes: u64,
}

/// Checks all uploads.
pub(super) fn check(look: &mut Look<'_>, meta: &Meta) {
    let mut unfinished: BTreeMap<AccountId, u64> = BTreeMap::new();
    let mut last: BTreeMap<UserId, u64> = BTreeMap::new();
    let mut pieces = Stream::new(look, Index::Pieces);
    let mut rows = Stream::new(look, Index::Uploads);
    while let Some(row) = rows.take(look) {
        match &row {
            Row::Upload(upload) => {
                look.report.counts.uploads += 1;
                strays(look, &mut pieces, Some(upload.id));
                *unfinished.entry(upload.account).or_default() +=
                    u64::from(upload.state.is_unfinished());
                let number = last.entry(upload.user).or_default();
                *number = (*number).max(upload.number);
                indexed(look, upload);
                let sum = sum(look, &mut pieces, upload.id);
                counted(look, upload, &sum);
            }
            Row::UploadOf(user, number, id) => {
                let found = find(look, *id);
                if found.is_none_or(|u| (u.user, u.number) != (*user, *number)) {
                    let what = (format!("number {number} of user {}", user.0), "nothing");
                    look.report.note(Kind::UploadOfUser, at(*id), what, [Change::Remove(row)]);
                }
            }
            Row::Joining(id) => {
                let upload = find(look, *id);
                if upload.is_none_or(|upload| !joins(&upload)) {
                    let what = ("to be put together", "another state");
                    look.report.note(Kind::UploadJoining, at(*id), what, [Change::Remove(row)]);
                }
            }
            _ => {}
        }
    }
    strays(look, &mut pieces, None);
    let mut accounts: Vec<AccountId> =
        meta.unfinished.keys().chain(unfinished.keys()).copied().collect();
    accounts.sort_unstable();
    accounts.dedup();
    for id in accounts {
        let of = |all: &BTreeMap<AccountId, u64>| all.get(&id).copied().unwrap_or(0);
        let (stored, expected) = (of(&meta.unfinished), of(&unfinished));
        if stored != expected {
            let put = Change::Put(Row::UnfinishedUploads(id, expected));
            let at = format!("/{}", look.account_name(id));
            look.report.note(Kind::UploadsUnfinished, at, (stored, expected), [put]);
        }
    }
    for (user, number) in last {
        let stored = meta.last_uploads.get(&user).copied().unwrap_or(0);
        if stored < number {
            let put = Change::Put(Row::LastUpload(user, number));
            let what = (stored, format!("{number} at least"));
            look.report.note(Kind::UploadLast, format!("user {}", user.0), what, [put]);
        }
    }
}

fn at(id: UploadId) -> String {
    format!("upload {}", id.to_hex())
}

fn joins(upload: &Multipart) -> bool {
    matches!(upload.state, UploadState::Complete | UploadState::Join)
}

fn find(look: &mut Look<'_>, id: UploadId) -> Option<Multipart> {
    let like = Multipart {
        id,
        account: AccountId(0),
        user: UserId(0),
        owner: Owner { uid: 0, gid: 0 },
        number: 0,
        path: TreePath::root(),
        content_type: None,
        mtime: 0,
        checksum: None,
        created: Time(0),
        changed: Time(0),
        state: UploadState::New,
        error: 0,
        received: 0,
        pieces: 0,
        highest: 0,
        bytes: 0,
    };
    match look.stored(&Row::Upload(like)) {
        Some(Row::Upload(upload)) => Some(upload),
        _ => None,
    }
}

/// Checks that an upload is where it is looked for.
fn indexed(look: &mut Look<'_>, upload: &Multipart) {
    let id = upload.id;
    if !look.users.contains_key(&upload.user) || !look.accounts.contains_key(&upload.account) {
        let what = (format!("user {}", upload.user.0), "a user that is there");
        look.report.report(Kind::OwnerMissing, at(id), what);
    }
    let right = Row::UploadOf(upload.user, upload.number, id);
    let found = look.stored(&right);
    if found.as_ref() != Some(&right) {
        let stored = match found {
            Some(Row::UploadOf(_, _, other)) => at(other),
            _ => "nothing".to_owned(),
        };
        let what = (stored, format!("number {} of user {}", upload.number, upload.user.0));
        look.report.note(Kind::UploadOfUser, at(id), what, [Change::Put(right)]);
    }
    let joining = Row::Joining(id);
    if joins(upload) && look.stored(&joining).is_none() {
        let what = ("not to be put together", "to be put together");
        look.report.note(Kind::UploadJoining, at(id), what, [Change::Put(joining)]);
    }
}

fn counted(look: &mut Look<'_>, upload: &Multipart, sum: &Sum) {
    let Multipart { received, pieces, highest, bytes, .. } = *upload;
    let stored = Sum { received, pieces, highest, bytes };
    if stored == *sum {
        return;
    }
    let say = |s: &Sum| {
        format!(
            "{} received, {} pieces, highest {}, {} bytes",
            s.received, s.pieces, s.highest, s.bytes
        )
    };
    // What was received is never fewer than it was: pieces whose records are lost are not made good by counting.
    let lost = stored.received > sum.received;
    let right = Multipart {
        received: sum.received,
        pieces: sum.pieces,
        highest: sum.highest,
        bytes: sum.bytes,
        ..upload.clone()
    };
    let put = (!lost).then(|| Change::Put(Row::Upload(right)));
    look.report.note(Kind::UploadCount, at(upload.id), (say(&stored), say(sum)), put);
}

/// Pieces of uploads that are not there, before the upload `id` or to the end.
fn strays<'a>(look: &mut Look<'a>, pieces: &mut Stream<'a>, id: Option<UploadId>) {
    let before = |row: &Row| match row {
        Row::Piece(upload, _) | Row::PieceNumber(upload, ..) => id.is_none_or(|id| upload.0 < id.0),
        _ => false,
    };
    while let Some(row) = pieces.take_if(look, before) {
        match &row {
            Row::Piece(upload, piece) => {
                // Its bytes may be wanted by whoever finds out where the upload went.
                hold(look, piece);
                let what = (format!("piece {}", piece.number), "an upload");
                look.report.report(Kind::PieceOrphan, at(*upload), what);
            }
            Row::PieceNumber(upload, number, _) => {
                let what = (format!("a number of piece {number}"), "nothing");
                look.report.note(Kind::PieceNumber, at(*upload), what, [Change::Remove(row)]);
            }
            _ => {}
        }
    }
}

fn hold(look: &mut Look<'_>, piece: &Piece) {
    if let PieceContent::Blob(extent) = piece.content
        && crate::multipart::holds(piece)
    {
        look.references.push((extent.blob, extent.len));
    }
}

/// Checks the pieces of an upload and sums them up. Memory: 24 bytes a number.
fn sum<'a>(look: &mut Look<'a>, pieces: &mut Stream<'a>, id: UploadId) -> Sum {
    let here = |row: &Row| match row {
        Row::Piece(upload, _) | Row::PieceNumber(upload, ..) => *upload == id,
        _ => false,
    };
    // By number: the last arrival, and its size.
    let mut current: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut numbers: BTreeMap<u32, u64> = BTreeMap::new();
    let mut sum = Sum::default();
    while let Some(row) = pieces.take_if(look, here) {
        match row {
            Row::Piece(_, piece) => {
                look.report.counts.pieces += 1;
                sum.received = sum.received.max(piece.arrival);
                current.insert(piece.number, (piece.arrival, piece.size));
                hold(look, &piece);
                fits(look, id, &piece);
            }
            Row::PieceNumber(_, number, arrival) => {
                numbers.insert(number, arrival);
            }
            _ => {}
        }
    }
    for (number, (arrival, size)) in &current {
        sum.pieces += 1;
        sum.highest = *number;
        sum.bytes += size;
        let stored = numbers.remove(number);
        if stored != Some(*arrival) {
            let say = |arrival: u64| format!("piece {number} is arrival {arrival}");
            let what = (stored.map_or_else(|| "nothing".to_owned(), say), say(*arrival));
            let put = Change::Put(Row::PieceNumber(id, *number, *arrival));
            look.report.note(Kind::PieceNumber, at(id), what, [put]);
        }
    }
    for (number, arrival) in numbers {
        let what = (format!("piece {number} is arrival {arrival}"), "that piece's record");
        look.report.report(Kind::PieceNumber, at(id), what);
    }
    sum
}

fn fits(look: &mut Look<'_>, id: UploadId, piece: &Piece) {
    let held = match piece.content {
        PieceContent::Empty => 0,
        PieceContent::Blob(extent) => extent.len,
    };
    if held != piece.size && piece.state != PieceState::Deleted {
        let what = (format!("{held} bytes"), format!("{} bytes", piece.size));
        let at = format!("{}, piece {}", at(id), piece.number);
        look.report.report(Kind::PieceContent, at, what);
    }
}
