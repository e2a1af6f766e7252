//! Blobs: references against counts, counts against what is to be removed, and both against what lies on disk; with
//! `deep`, every byte against its checksums.
//!
//! What does not live here: names, and what may be removed. The order: what the catalog says first, then the disk. The
//! invariant: what changed since the catalog was looked at is asked about again before it is called damage.

use std::sync::{Arc, Mutex, PoisonError};

use blobs::{Blob, ContentHash, Lying};
use catalog::audit::{Audit, Index, Row};
use model::{BlobId, Content, Digest, Error, Extent, File, PieceContent, Result, Subject, Time};
use tokio::runtime::Handle;

use super::{
    Kind, Report,
    look::{Look, Stream},
    report::{Change, Spot},
};
use crate::Store;

/// Bytes read, verified and hashed at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Blobs asked about in one look at the catalog.
const BATCH: usize = 256;

/// Compares references with counts, and returns each blob that is referred to with its length, in the order of ids.
pub(super) fn references(look: &mut Look<'_>, now: Time) -> Vec<(BlobId, u64)> {
    let mut all = std::mem::take(&mut look.references);
    all.sort_unstable();
    let mut counts = Stream::new(look, Index::Blobs);
    let mut doomed = Stream::new(look, Index::Doomed);
    let mut kept = 0;
    let mut from = 0;
    while from < all.len() {
        let (id, len) = all[from];
        let to = from + all[from..].iter().take_while(|(other, _)| *other == id).count();
        let right = u32::try_from(to - from).unwrap_or(u32::MAX);
        uncounted(look, &mut counts, Some(id), now);
        let here = |row: &Row| matches!(row, Row::References(blob, _) if *blob == id);
        let stored = match counts.take_if(look, here) {
            Some(Row::References(_, n)) => n,
            _ => 0,
        };
        if stored != right {
            let put = Change::Put(Row::References(id, right));
            // A count that is too low loses bytes; one that is too high only keeps them.
            let put = if stored < right { put } else { Change::LetGo(vec![put]) };
            look.report.note(Kind::References, Subject::Blob(id), (stored, right), [put]);
        }
        if all[from..to].iter().any(|(_, other)| *other != len) {
            let what = (format!("{len} and {} bytes", all[to - 1].1), "one length");
            look.report.report(Kind::ExtentLength, Subject::Blob(id), what);
        }
        while doomed.take_if(look, |row| doomed_id(row).is_some_and(|d| d < id)).is_some() {}
        if let Some(row) = doomed.take_if(look, |row| doomed_id(row) == Some(id)) {
            let what = ("to be removed", "kept: it is referred to");
            look.report.note(Kind::DoomedInUse, Subject::Blob(id), what, [Change::Remove(row)]);
        }
        all[kept] = (id, len);
        (kept, from) = (kept + 1, to);
    }
    uncounted(look, &mut counts, None, now);
    while doomed.take(look).is_some() {}
    all.truncate(kept);
    look.report.counts.blobs = all.len() as u64;
    look.report.counts.blob_bytes = all.iter().map(|(_, len)| len).sum();
    all
}

fn doomed_id(row: &Row) -> Option<BlobId> {
    match row {
        Row::Doomed(id, _) => Some(*id),
        _ => None,
    }
}

/// Blobs that are counted and not referred to, before `id` or to the end: the sweeper should have them.
fn uncounted<'a>(look: &mut Look<'a>, counts: &mut Stream<'a>, id: Option<BlobId>, now: Time) {
    let before =
        |row: &Row| matches!(row, Row::References(blob, _) if id.is_none_or(|id| *blob < id));
    while let Some(row) = counts.take_if(look, before) {
        let Row::References(blob, n) = row else { continue };
        let changes = vec![Change::Remove(row), Change::Put(Row::Doomed(blob, now))];
        let at = format!("blob {}", blob.to_hex());
        look.report.note(Kind::References, at, (n, 0), [Change::LetGo(changes)]);
    }
}

impl Store {
    /// Compares the blobs that are referred to with what lies on disk.
    pub(super) async fn look_at_disk(
        &self,
        report: &mut Report,
        wanted: Vec<(BlobId, u64)>,
        (online, deep): (bool, bool),
    ) -> Result<()> {
        let wanted = Arc::new(wanted);
        let seen =
            Arc::new(Mutex::new(Seen { there: vec![false; wanted.len()], ..Seen::default() }));
        let (list, marks) = (Arc::clone(&wanted), Arc::clone(&seen));
        let visit = Box::new(move |batch: Vec<Lying>| {
            let mut seen = marks.lock().unwrap_or_else(PoisonError::into_inner);
            batch.into_iter().for_each(|one| seen.take(&list, one));
        });
        self.0.blobs.survey(visit).await?;
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        for ((id, len), there) in wanted.iter().zip(seen.there) {
            let found = self.look_at_blob(report, (*id, *len), there, deep).await;
            let Err((kind, what)) = found else { continue };
            // A file that was replaced or deleted meanwhile takes its blobs along.
            let refs = {
                let id = *id;
                self.0.catalog.read(move |tx| tx.blob_refs(id)).await?
            };
            if refs > 0 || !online {
                report.report(kind, Subject::Blob(*id), what);
            }
        }
        self.look_at_others(report, seen.others, online).await?;
        for path in seen.strays {
            report.report(Kind::StrayFile, path, ("a file of nobody's", "nothing"));
        }
        if !online {
            for name in seen.staged {
                let what = ("an unfinished upload", "nothing while no server runs");
                report.report(Kind::StageLeft, format!("stage/{name}"), what);
            }
        }
        Ok(())
    }

    async fn look_at_blob(
        &self,
        report: &mut Report,
        (id, len): (BlobId, u64),
        there: bool,
        deep: bool,
    ) -> std::result::Result<(), (Kind, (String, String))> {
        let blob = match self.0.blobs.open(id).await {
            Ok(blob) => blob,
            Err(_) if !there => {
                let what = ("nothing".to_owned(), format!("{len} bytes"));
                return Err((Kind::BlobMissing, what));
            }
            Err(e) => return Err((Kind::BlobDamaged, (e.to_string(), format!("{len} bytes")))),
        };
        if blob.len() != len {
            let what = (format!("{} bytes", blob.len()), format!("{len} bytes"));
            return Err((Kind::BlobDamaged, what));
        }
        if deep {
            let mut hash = ContentHash::new();
            let read = hash_blob(&*blob, &mut hash).await;
            report.counts.verified_bytes += len;
            let digest = hash.finish();
            match read {
                Err(e) => {
                    return Err((
                        Kind::BlobDamaged,
                        (e.to_string(), "what was written".to_owned()),
                    ));
                }
                Ok(()) if digest != blob.digest() => {
                    let what = (digest.to_hex(), blob.digest().to_hex());
                    return Err((Kind::BlobDamaged, what));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Sealed blobs that nothing referred to when the catalog was looked at. Those that uploads may be about to refer to
    /// are passed over.
    async fn look_at_others(
        &self,
        report: &mut Report,
        others: Vec<BlobId>,
        online: bool,
    ) -> Result<()> {
        let mut started = self.0.started;
        if self.is_shared() {
            // Uploads of other nodes may have begun long before this one started.
            let age = self.0.limits.sweep.orphan_age_ms;
            started = started.min(Time(self.now().0.saturating_sub(age)));
        }
        let old: Vec<BlobId> =
            others.into_iter().filter(|id| !online || id.staged_ms() < started.0).collect();
        for some in old.chunks(BATCH) {
            let some = some.to_vec();
            let unknown = self.0.catalog.audit(move |audit| unknown(audit, some)).await?;
            for id in unknown {
                // The sweep of a server that has just started may have it by now.
                if online && self.0.blobs.open(id).await.is_err() {
                    continue;
                }
                let at = format!("blob {}", id.to_hex());
                let what = ("a blob", "a file that refers to it");
                let change = Change::LetGo(vec![Change::RemoveBlob(id)]);
                report.note(Kind::BlobOrphan, at, what, [change]);
            }
        }
        Ok(())
    }

    /// Compares the content of every file with the checksum in its record. Blobs are compared with their own checksums
    /// elsewhere, so those that are a file by themselves are not read again.
    pub(super) async fn look_at_contents(&self, online: bool) -> Result<Report> {
        let (store, here) = (self.clone(), Handle::current());
        let mut report = self
            .0
            .catalog
            .audit(move |audit| {
                // The engine's thread may be none of the runtime's, and blobs are read from it.
                let _here = here.enter();
                let mut look = Look::new(audit);
                let mut names = Stream::new(&mut look, Index::Names);
                while let Some(row) = names.take(&mut look) {
                    let Row::File(account, dir, name, file) = row else { continue };
                    store.look_at_content(&mut look, (account, dir, name), &file, online);
                }
                let mut pieces = Stream::new(&mut look, Index::Pieces);
                while let Some(row) = pieces.take(&mut look) {
                    let Row::Piece(upload, piece) = row else { continue };
                    let PieceContent::Blob(extent) = piece.content else { continue };
                    let noted = || Handle::current().block_on(store.0.blobs.open(extent.blob));
                    if crate::multipart::holds(&piece)
                        && let Ok(blob) = noted()
                        && blob.digest() != piece.checksum
                    {
                        let at = format!("upload {}, piece {}", upload.to_hex(), piece.number);
                        let what = (blob.digest().to_hex(), piece.checksum.to_hex());
                        look.report.report(Kind::FileChecksum, at, what);
                    }
                }
                Ok(look.report)
            })
            .await?;
        // What could not be read was reported by the look before this one.
        report.findings.retain(|f| f.kind == Kind::FileChecksum || f.kind == Kind::InlineDamaged);
        report.kinds.retain(|kind, _| *kind == Kind::FileChecksum || *kind == Kind::InlineDamaged);
        report.left = report.kinds.values().sum();
        Ok(report)
    }

    fn look_at_content(&self, look: &mut Look<'_>, spot: Spot, file: &File, online: bool) {
        let (digest, kind) = match &file.content {
            Content::Empty => return,
            Content::Inline(id) => {
                let like = Row::Inline(spot.0, *id, bytes::Bytes::new());
                // One that is missing was reported before.
                let Some(Row::Inline(_, _, bytes)) = look.stored(&like) else { return };
                look.report.counts.verified_bytes += bytes.len() as u64;
                (Ok(ContentHash::of(&bytes)), Kind::InlineDamaged)
            }
            Content::Blobs(extents) => {
                let read = Handle::current().block_on(self.digest_of(extents));
                if extents.len() > 1 {
                    look.report.counts.verified_bytes += file.attrs.size;
                }
                (read, Kind::FileChecksum)
            }
        };
        match digest {
            Ok(digest) if digest == file.attrs.checksum => {}
            // Which blob it is, and why, was reported before; the file's record is not to blame.
            Err(_) => {}
            Ok(digest) => {
                let what = (digest.to_hex(), file.attrs.checksum.to_hex());
                if !online || self.is_still(&spot, file) {
                    look.report.report(kind, spot, what);
                }
            }
        }
    }

    /// Whether a file has the content it had.
    fn is_still(&self, spot: &Spot, file: &File) -> bool {
        let (account, dir, name) = spot.clone();
        let now = Handle::current().block_on(
            self.0.catalog.read(move |tx| tx.node(catalog::Place { account, dir, name: &name })),
        );
        matches!(now, Ok(Some(model::Node::File(now))) if now.content == file.content)
    }

    async fn digest_of(&self, extents: &[Extent]) -> Result<Digest> {
        let mut hash = ContentHash::new();
        for extent in extents {
            let blob = self.0.blobs.open(extent.blob).await?;
            if extents.len() == 1 {
                return Ok(blob.digest());
            }
            hash_blob(&*blob, &mut hash).await?;
        }
        Ok(hash.finish())
    }
}

/// Which of some blobs neither are referred to nor are to be removed.
fn unknown(audit: &dyn Audit, some: Vec<BlobId>) -> Result<Vec<BlobId>> {
    let mut unknown = Vec::new();
    for id in some {
        let rows = [Row::References(id, 0), Row::Doomed(id, Time(0))];
        let known = rows.iter().map(|row| audit.stored(row)).collect::<Result<Vec<_>>>()?;
        if known.iter().all(Option::is_none) {
            unknown.push(id);
        }
    }
    Ok(unknown)
}

/// Reads a blob, compares its blocks with their checksums, and takes its bytes into a hash.
pub(crate) async fn hash_blob(blob: &dyn Blob, hash: &mut ContentHash) -> Result<()> {
    let mut offset = 0;
    while offset < blob.len() {
        let left = usize::try_from(blob.len() - offset).unwrap_or(usize::MAX);
        let bytes = blob.read(offset, left.min(READ_BYTES)).await?;
        if bytes.is_empty() {
            return Err(Error::Damaged("a blob ended early".to_owned()));
        }
        offset += bytes.len() as u64;
        hash.update(&bytes);
    }
    Ok(())
}

/// What lies in the store.
#[derive(Default)]
struct Seen {
    there: Vec<bool>,
    others: Vec<BlobId>,
    strays: Vec<String>,
    staged: Vec<String>,
}

impl Seen {
    fn take(&mut self, wanted: &[(BlobId, u64)], one: Lying) {
        match one {
            Lying::Sealed(id) => match wanted.binary_search_by_key(&id, |(id, _)| *id) {
                Ok(at) => self.there[at] = true,
                Err(_) => self.others.push(id),
            },
            Lying::Stray(path) => self.strays.push(path),
            Lying::Staged(name) => self.staged.push(name),
        }
    }
}

/// Kept small: what is counted of each kind when two looks are put together.
pub(super) fn merge(into: &mut Report, more: Report) {
    for (kind, n) in more.kinds {
        *into.kinds.entry(kind).or_default() += n;
    }
    into.left += more.left;
    into.counts.verified_bytes += more.counts.verified_bytes;
    into.findings.extend(more.findings);
}
