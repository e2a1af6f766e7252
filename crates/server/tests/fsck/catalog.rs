//! Damage in the catalog, one row or two at a time: each kind is seen for what it is, and mended where nothing has to
//! be guessed.
//!
//! What does not live here: damage to blobs (`disk`). The invariant: a table, so that a kind without a row is noticed.

use std::{collections::BTreeSet, thread};

use bytes::Bytes;
use catalog::audit::Row;
use model::{
    AccountId, BlobId, CallbackId, Content, Digest, DirId, Directory, File, InlineId, Multipart,
    Owner, Piece, PieceContent, PieceState, Time, TokenHash, UploadId, UploadState,
};
use ops::fsck::Kind;

use crate::store::{Store, fsck, has};

enum Edit {
    Put(Row),
    Remove(Row),
}
use Edit::{Put, Remove};

/// What is done about a finding.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    /// It is mended, and nothing is left.
    Mended,
    /// It stays, and with it the exit code.
    Left,
    /// It stays, and is seen only when every byte is read.
    Deep,
}
use Fate::{Deep, Left, Mended};

type Damage = fn(&[Row]) -> Vec<Edit>;

/// The first row that a pattern fits.
macro_rules! first {
    ($rows:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {
        $rows.iter().find_map(|row| match row.clone() {
            $pattern $(if $guard)? => Some($value),
            _ => None,
        }).expect("the store has some of everything")
    };
}

const ACME: AccountId = AccountId(1);

fn file(rows: &[Row], wanted: &str) -> (DirId, File) {
    first!(rows, Row::File(ACME, dir, name, file) if name == wanted => (dir, file))
}

fn directory(rows: &[Row], wanted: &str) -> (DirId, Directory) {
    let (above, id) =
        first!(rows, Row::DirectoryName(ACME, dir, name, id, _) if name == wanted => (dir, id));
    (above, first!(rows, Row::Directory(ACME, record) if record.id == id => record))
}

fn upload(rows: &[Row], state: UploadState) -> Multipart {
    first!(rows, Row::Upload(upload) if upload.state == state && upload.pieces > 0 => upload)
}

fn piece_of(rows: &[Row], wanted: UploadId) -> Piece {
    first!(rows, Row::Piece(id, piece) if id == wanted => piece)
}

/// Both rows of a file.
fn both(dir: DirId, name: &str, file: &File) -> Vec<Edit> {
    let row = Row::FileRow(ACME, dir, file.number, name.to_owned(), file.attrs.clone());
    vec![Put(Row::File(ACME, dir, name.to_owned(), file.clone())), Put(row)]
}

/// An id that was given, and not to a directory or small content.
fn free_id(rows: &[Row]) -> u64 {
    first!(rows, Row::Job(job) => job.id.number)
}

const NAMES: &[(Kind, Fate, Damage)] = &[
    (Kind::AccountName, Mended, |rows| {
        vec![Remove(first!(rows, row @ Row::AccountName(..) => row))]
    }),
    (Kind::AccountName, Mended, |_| vec![Put(Row::AccountName("ghost".to_owned(), ACME))]),
    (Kind::UserName, Mended, |rows| vec![Remove(first!(rows, row @ Row::UserName(..) => row))]),
    (Kind::UserName, Mended, |_| vec![Put(Row::UserName("ghost".to_owned(), model::UserId(1)))]),
    (Kind::OwnerMissing, Left, |rows| {
        let user = first!(rows, Row::User(user) => user);
        vec![Put(Row::User(model::User { account: AccountId(99), ..user }))]
    }),
    (Kind::AccessKey, Mended, |rows| vec![Remove(first!(rows, row @ Row::AccessKey(..) => row))]),
    (Kind::AccessKey, Mended, |_| vec![Put(Row::AccessKey("ff".to_owned(), ACME))]),
    (Kind::SessionOfUser, Mended, |rows| {
        vec![Remove(first!(rows, row @ Row::SessionOf(..) => row))]
    }),
    (Kind::SessionOfUser, Mended, |_| {
        vec![Put(Row::SessionOf(model::UserId(1), TokenHash([7; 32])))]
    }),
    (Kind::LastId, Mended, |_| vec![Put(Row::LastId(1))]),
    (Kind::Usage, Mended, |rows| {
        let usage = first!(rows, Row::Usage(ACME, usage) => usage);
        vec![Put(Row::Usage(ACME, model::Usage { bytes: usage.bytes + 1, ..usage }))]
    }),
    (Kind::EventsWaiting, Mended, |_| vec![Put(Row::WaitingEvents(CallbackId(3), 3))]),
    (Kind::EventsWaiting, Mended, |rows| {
        vec![Remove(first!(rows, row @ Row::WaitingEvents(..) => row))]
    }),
    (Kind::JobDue, Mended, |rows| vec![Remove(first!(rows, row @ Row::JobDue(..) => row))]),
    (Kind::JobDue, Mended, |rows| {
        vec![Put(first!(rows, Row::JobDue(at, id) => Row::JobDue(Time(at.0 + 1), id)))]
    }),
    (Kind::JobsUnfinished, Mended, |_| vec![Put(Row::UnfinishedJobs(ACME, 7))]),
];

const TREE: &[(Kind, Fate, Damage)] = &[
    (Kind::RootMissing, Left, |rows| {
        let root = first!(rows, Row::Account(account) if account.id == ACME => account.root);
        let is = |record: &Directory| record.id == root;
        vec![Remove(first!(rows, Row::Directory(ACME, r) if is(&r) => Row::Directory(ACME, r)))]
    }),
    (Kind::DirectoryLost, Left, |rows| vec![Remove(Row::Directory(ACME, directory(rows, "b").1))]),
    (Kind::NamesAstray, Left, |rows| {
        let (_, file) = file(rows, "f0");
        both(DirId(free_id(rows)), "astray", &file)
    }),
    (Kind::DirectoryOrphan, Mended, |rows| {
        let nobody = Owner { uid: 1, gid: 1 };
        vec![Put(Row::Directory(ACME, Directory::new(DirId(free_id(rows)), nobody, 1)))]
    }),
    (Kind::DirectoryOrphan, Left, |rows| {
        let (above, b) = directory(rows, "b");
        vec![
            Remove(Row::DirectoryName(ACME, above, "b".to_owned(), b.id, b.number)),
            Remove(Row::DirectoryRow(ACME, above, b.number, "b".to_owned(), b.id)),
        ]
    }),
    (Kind::DirectoryTwice, Left, |rows| {
        let (above, b) = directory(rows, "b");
        vec![Put(Row::DirectoryName(ACME, above, "twin".to_owned(), b.id, 77))]
    }),
    (Kind::DirectoryCycle, Left, |rows| {
        let ((top, x), (_, y)) = (directory(rows, "x"), directory(rows, "y"));
        vec![
            Remove(Row::DirectoryName(ACME, top, "x".to_owned(), x.id, x.number)),
            Put(Row::DirectoryName(ACME, y.id, "x".to_owned(), x.id, x.number)),
        ]
    }),
    (Kind::DirectoryNumber, Mended, |rows| {
        let b = directory(rows, "b").1;
        vec![Put(Row::Directory(ACME, Directory { number: b.number + 5, ..b }))]
    }),
    (Kind::DirectoryCount, Mended, |rows| {
        let b = directory(rows, "b").1;
        vec![Put(Row::Directory(ACME, Directory { files: b.files + 1, ..b }))]
    }),
    (Kind::DirectoryLast, Mended, |rows| {
        let b = directory(rows, "b").1;
        vec![Put(Row::Directory(ACME, Directory { last_file: 1, ..b }))]
    }),
    (Kind::Unlisted, Mended, |rows| vec![Remove(first!(rows, row @ Row::FileRow(..) => row))]),
    (Kind::Unlisted, Mended, |rows| vec![Remove(first!(rows, row @ Row::DirectoryRow(..) => row))]),
    (Kind::ListingDiffers, Mended, |rows| {
        let (dir, file) = file(rows, "f2");
        let attrs = model::FileAttrs { size: 1, ..file.attrs };
        vec![Put(Row::FileRow(ACME, dir, file.number, "f2".to_owned(), attrs))]
    }),
    (Kind::ListingStale, Mended, |rows| {
        let (dir, file) = file(rows, "f2");
        vec![Put(Row::FileRow(ACME, dir, 500, "f2".to_owned(), file.attrs))]
    }),
    (Kind::NameLost, Left, |rows| {
        let (dir, file) = file(rows, "f7");
        vec![Remove(Row::File(ACME, dir, "f7".to_owned(), file))]
    }),
    (Kind::NameLost, Mended, |rows| {
        let (above, b) = directory(rows, "b");
        vec![Remove(Row::DirectoryName(ACME, above, "b".to_owned(), b.id, b.number))]
    }),
    (Kind::NumberTwice, Left, |rows| {
        let ((dir, two), (_, other)) = (file(rows, "f2"), file(rows, "f5"));
        let file = File { number: other.number, ..two };
        vec![Put(Row::File(ACME, dir, "f2".to_owned(), file))]
    }),
];

const CONTENT: &[(Kind, Fate, Damage)] = &[
    (Kind::FileContent, Left, |rows| {
        let (dir, mut file) = file(rows, "f7");
        file.attrs.size += 1;
        both(dir, "f7", &file)
    }),
    (Kind::FileContent, Left, |rows| {
        let (dir, mut file) = file(rows, "f0");
        file.attrs.checksum = Digest([1; 32]);
        both(dir, "f0", &file)
    }),
    (Kind::InlineMissing, Left, |rows| {
        vec![Remove(first!(rows, row @ Row::Inline(ACME, ..) => row))]
    }),
    (Kind::InlineSize, Left, |rows| {
        vec![Put(first!(rows, Row::Inline(ACME, id, _) =>
            Row::Inline(ACME, id, Bytes::from_static(b"not that long, nor that short"))))]
    }),
    (Kind::InlineTwice, Left, |rows| {
        let ((dir, one), (_, mut other)) = (file(rows, "f2"), file(rows, "small-copy"));
        other.content = one.content;
        both(dir, "small-copy", &other)
    }),
    (Kind::InlineOrphan, Mended, |rows| {
        let id = InlineId(free_id(rows));
        vec![Put(Row::Inline(ACME, id, Bytes::from_static(b"nobody's")))]
    }),
    (Kind::InlineOrphan, Mended, |_| {
        vec![Put(Row::Inline(AccountId(50), InlineId(1), Bytes::from_static(b"nobody's")))]
    }),
    (Kind::InlineDamaged, Deep, |rows| {
        vec![Put(first!(rows, Row::Inline(ACME, id, bytes) if bytes.len() > 10 => {
            let mut bytes = bytes.to_vec();
            bytes[5] ^= 1;
            Row::Inline(ACME, id, bytes.into())
        }))]
    }),
    (Kind::References, Mended, |rows| {
        vec![Put(first!(rows, Row::References(id, n) => Row::References(id, n + 1)))]
    }),
    (Kind::References, Mended, |rows| vec![Remove(first!(rows, row @ Row::References(..) => row))]),
    (Kind::References, Mended, |_| vec![Put(Row::References(BlobId([3; 16]), 1))]),
    (Kind::DoomedInUse, Mended, |rows| {
        vec![Put(first!(rows, Row::References(id, _) => Row::Doomed(id, Time(1))))]
    }),
    (Kind::ExtentLength, Left, |rows| {
        let (dir, mut file) = file(rows, "copy");
        let Content::Blobs(extents) = &mut file.content else { panic!("a blob") };
        extents[0].len += 1;
        file.attrs.size += 1;
        both(dir, "copy", &file)
    }),
    (Kind::FileChecksum, Deep, |rows| {
        let (dir, mut file) = file(rows, "f7");
        file.attrs.checksum = Digest([1; 32]);
        both(dir, "f7", &file)
    }),
    (Kind::FileChecksum, Deep, |rows| {
        let (dir, mut file) = file(rows, "film");
        let Content::Blobs(extents) = &mut file.content else { panic!("blobs") };
        extents.swap(0, 2);
        both(dir, "film", &file)
    }),
    (Kind::FileChecksum, Deep, |rows| {
        let id = upload(rows, UploadState::New).id;
        vec![Put(Row::Piece(id, Piece { checksum: Digest([2; 32]), ..piece_of(rows, id) }))]
    }),
];

const UPLOADS: &[(Kind, Fate, Damage)] = &[
    (Kind::UploadOfUser, Mended, |rows| vec![Remove(first!(rows, row @ Row::UploadOf(..) => row))]),
    (Kind::UploadOfUser, Mended, |rows| {
        vec![Put(first!(rows, Row::UploadOf(user, _, id) => Row::UploadOf(user, 90, id)))]
    }),
    (Kind::UploadJoining, Mended, |rows| {
        vec![Put(Row::Joining(upload(rows, UploadState::New).id))]
    }),
    (Kind::UploadJoining, Mended, |rows| {
        let failed = upload(rows, UploadState::Failed);
        vec![Put(Row::Upload(Multipart { state: UploadState::Join, ..failed }))]
    }),
    (Kind::UploadsUnfinished, Mended, |_| vec![Put(Row::UnfinishedUploads(ACME, 90))]),
    (Kind::UploadLast, Mended, |_| vec![Put(Row::LastUpload(model::UserId(1), 0))]),
    (Kind::UploadCount, Mended, |rows| {
        let upload = upload(rows, UploadState::New);
        vec![Put(Row::Upload(Multipart { bytes: upload.bytes + 1, ..upload }))]
    }),
    (Kind::UploadCount, Left, |rows| {
        let upload = upload(rows, UploadState::New);
        vec![Put(Row::Upload(Multipart { received: upload.received + 1, ..upload }))]
    }),
    (Kind::PieceOrphan, Left, |rows| {
        let piece = piece_of(rows, upload(rows, UploadState::New).id);
        let content = PieceContent::Empty;
        vec![Put(Row::Piece(UploadId([5; 16]), Piece { content, size: 0, ..piece }))]
    }),
    (Kind::PieceNumber, Mended, |rows| {
        let id = upload(rows, UploadState::Success).id;
        vec![Put(Row::PieceNumber(id, 2, 2))]
    }),
    (Kind::PieceNumber, Mended, |rows| {
        vec![Remove(first!(rows, row @ Row::PieceNumber(..) => row))]
    }),
    (Kind::PieceNumber, Left, |rows| {
        vec![Put(Row::PieceNumber(upload(rows, UploadState::New).id, 60, 60))]
    }),
    (Kind::PieceContent, Left, |rows| {
        let id = upload(rows, UploadState::Abort).id;
        let piece = piece_of(rows, id);
        vec![Put(Row::Piece(id, Piece { size: piece.size + 1, ..piece }))]
    }),
    (Kind::References, Left, |rows| {
        // A piece that is lost: what it referred to is kept for whoever finds out.
        let id = upload(rows, UploadState::New).id;
        let last = |piece: &Piece| piece.arrival == 3 && piece.state == PieceState::New;
        vec![Remove(first!(rows, Row::Piece(i, p) if i == id && last(&p) => Row::Piece(i, p)))]
    }),
];

/// Damages a copy for each row of a table, and looks, mends, looks again.
fn check(table: &'static [(Kind, Fate, Damage)]) {
    let store = Store::make();
    let rows = store.rows();
    thread::scope(|scope| {
        for half in table.chunks(table.len().div_ceil(2)) {
            let (store, rows) = (&store, &rows);
            scope.spawn(move || half.iter().for_each(|row| check_one(store, rows, row)));
        }
    });
}

fn check_one(store: &Store, rows: &[Row], (kind, fate, damage): &(Kind, Fate, Damage)) {
    let (name, store) = (kind.name(), store.copy());
    let edits = damage(rows);
    {
        let (runtime, catalog) = store.catalog();
        let write = catalog.write(move |tx| {
            edits.iter().try_for_each(|edit| match edit {
                Put(row) => tx.put_row(row),
                Remove(row) => tx.remove_row(row),
            })
        });
        runtime.block_on(write).unwrap();
    }
    let deep: &[&str] = if *fate == Deep { &["--deep"] } else { &[] };
    if *fate == Deep {
        assert_eq!(fsck(&store.data(), &[]).0, 0, "{name}: not to be seen without reading");
    }
    let (code, report) = fsck(&store.data(), deep);
    assert!(code == 1 && has(&report, name), "{name} {fate:?}: {code} {report:#}");
    assert_eq!(report["complete"], true, "{name}: {report:#}");
    let (code, report) = fsck(&store.data(), &[deep, &["--repair"]].concat());
    assert!(has(&report, name), "{name}: {report:#}");
    let expected = i32::from(*fate != Mended);
    assert_eq!(code, expected, "{name} {fate:?}: {report:#}");
    let (code, report) = fsck(&store.data(), deep);
    assert_eq!(code, expected, "{name}, after the repair: {report:#}");
    assert_eq!(has(&report, name), *fate != Mended, "{name}: {report:#}");
    // No entry of a user's was removed, whatever was mended.
    let names = |rows: &[Row]| -> BTreeSet<String> {
        let name = |row: &Row| match row {
            Row::File(_, dir, name, _) | Row::DirectoryName(_, dir, name, ..) => {
                Some(format!("{} {name}", dir.0))
            }
            _ => None,
        };
        rows.iter().filter_map(name).collect()
    };
    let contents =
        |rows: &[Row]| rows.iter().filter(|row| matches!(row, Row::References(..))).count();
    let after = store.rows();
    if ![Kind::NameLost, Kind::DirectoryOrphan, Kind::DirectoryCycle].contains(kind) {
        assert!(names(&after).is_superset(&names(rows)), "{name}: a name was removed");
    }
    if *fate == Left && [Kind::NameLost, Kind::References].contains(kind) {
        assert_eq!(contents(&after), contents(rows), "{name}: bytes of what was lost are kept");
    }
}

#[test]
fn accounts_and_jobs() {
    check(NAMES);
}

#[test]
fn trees() {
    check(TREE);
}

#[test]
fn contents() {
    check(CONTENT);
}

#[test]
fn multipart_uploads() {
    check(UPLOADS);
}

/// Every kind is seeded somewhere.
#[test]
fn no_kind_is_left_out() {
    let seeded: BTreeSet<Kind> =
        [NAMES, TREE, CONTENT, UPLOADS].concat().iter().map(|(kind, ..)| *kind).collect();
    let elsewhere = crate::disk::KINDS;
    for kind in Kind::ALL {
        assert!(seeded.contains(kind) || elsewhere.contains(kind), "{}", kind.name());
    }
}
