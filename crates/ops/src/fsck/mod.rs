//! `fsck`: proves that what is stored holds together, and mends what can be mended without guessing.
//!
//! What lives here: what must be true of the catalog and the blobs, and what is done where it is not. What does not: how
//! rows are stored (crate `catalog`), and how a report looks (crate `server`). What a check asks for:
//!
//! - `look`: the catalog, index by index, in one snapshot: `records`, `tree`, `uploads`, then the references of `content`;
//! - then the disk (`content`): a name there proves nothing, a record of the catalog does;
//! - `paths`: where in a tree the findings are, read only when there are any.
//!
//! Invariants: no entry of a user's is removed; nothing is mended by guessing, nor anything at all where something could
//! not be read; a repair is looked at again, until nothing changes.

mod content;
mod kind;
mod look;
pub(crate) mod paths;
mod records;
mod report;
mod tree;
mod uploads;

use std::collections::HashSet;

use catalog::Tx;
use model::{BlobId, Error, Result, Subject, Time};

pub use kind::Kind;
pub use report::{Counts, Finding, Report};

use crate::Store;
use look::Look;
use report::Change;

/// Changes made in one transaction.
const CHANGES_AT_ONCE: usize = 256;
/// Looks and repairs after which it is left alone.
const ROUNDS_MAX: u32 = 50;

/// How a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Read every byte and compare it with its checksums.
    pub deep: bool,
    /// Mend what can be mended.
    pub repair: bool,
    /// Others write at the same time (whether other nodes do is found out): what may be on its way is not called damage.
    pub online: bool,
}

impl Store {
    /// Looks at everything that is stored.
    ///
    /// # Errors
    /// [`Error::InvalidFlags`] for a repair while others write; [`Error::Storage`] where it could not look at all.
    pub async fn fsck(&self, options: Options) -> Result<Report> {
        let online = options.online || self.is_served().await?;
        let options = Options { online, ..options };
        if options.repair && options.online {
            return Err(Error::InvalidFlags);
        }
        let mut first = self.look(options).await?;
        if !options.repair {
            return Ok(first);
        }
        let mut changes = std::mem::take(&mut first.changes);
        let (mut last, mut rounds) = (None, 0);
        while !changes.is_empty() && !first.incomplete && rounds < ROUNDS_MAX {
            self.mend(changes).await?;
            let mut again = self.look(options).await?;
            changes = std::mem::take(&mut again.changes);
            last = Some(again);
            rounds += 1;
        }
        let Some(last) = last else { return Ok(first) };
        let left: HashSet<(Kind, String)> =
            last.findings.iter().map(|f| (f.kind, f.at.clone())).collect();
        for finding in &mut first.findings {
            finding.mended = !left.contains(&(finding.kind, finding.at.clone()));
        }
        // What showed only when something before it was mended.
        let known: HashSet<(Kind, String)> =
            first.findings.iter().map(|f| (f.kind, f.at.clone())).collect();
        let new = last.findings.into_iter().filter(|f| !known.contains(&(f.kind, f.at.clone())));
        first.findings.extend(new);
        Ok(Report { left: last.left, counts: last.counts, incomplete: last.incomplete, ..first })
    }

    /// One look at everything.
    async fn look(&self, options: Options) -> Result<Report> {
        let now = self.now();
        let (mut report, blobs) =
            self.0.catalog.audit(move |audit| Ok(look_at_catalog(Look::new(audit), now))).await?;
        let Options { deep, online, .. } = options;
        self.look_at_disk(&mut report, blobs, (online, deep)).await?;
        if deep {
            content::merge(&mut report, self.look_at_contents(online).await?);
        }
        report.hold_back();
        self.locate(report).await
    }

    /// Says where the findings are.
    async fn locate(&self, mut report: Report) -> Result<Report> {
        let unknown = |finding: &Finding| finding.place.is_some() || finding.subject.is_some();
        if !report.findings.iter().any(unknown) {
            return Ok(report);
        }
        self.0
            .catalog
            .audit(move |audit| {
                let paths = paths::Paths::load(audit);
                let subjects: HashSet<Subject> =
                    report.findings.iter().filter_map(|f| f.subject.clone()).collect();
                let told = paths::referrers(audit, &subjects);
                for finding in &mut report.findings {
                    if let Some(spot) = finding.place.take() {
                        finding.at = paths.of(&spot);
                    }
                    if let Some(subject) = finding.subject.take() {
                        let of = told.get(&subject).map_or(String::new(), |p| p.join(", "));
                        finding.at = match subject {
                            Subject::Blob(id) => format!("blob {} of {of}", id.to_hex()),
                            Subject::Inline(_, id) => format!("small content {} of {of}", id.0),
                            Subject::Catalog(what) => what,
                        };
                    }
                }
                Ok(report)
            })
            .await
    }

    /// Makes changes, some at a time: each stands by itself.
    async fn mend(&self, changes: Vec<Change>) -> Result<()> {
        let changes: Vec<Change> = changes.into_iter().flat_map(Change::single).collect();
        let blobs: Vec<BlobId> = changes
            .iter()
            .filter_map(|change| match change {
                Change::RemoveBlob(id) => Some(*id),
                Change::Put(_) | Change::Remove(_) | Change::LetGo(_) => None,
            })
            .collect();
        for some in changes.chunks(CHANGES_AT_ONCE) {
            let some = some.to_vec();
            self.0.catalog.write(move |tx| some.iter().try_for_each(|c| change(tx, c))).await?;
        }
        self.0.blobs.remove_all(blobs).await
    }
}

fn change(tx: &mut dyn Tx, change: &Change) -> Result<()> {
    match change {
        Change::Put(row) => tx.put_row(row),
        Change::Remove(row) => tx.remove_row(row),
        Change::RemoveBlob(_) | Change::LetGo(_) => Ok(()),
    }
}

fn look_at_catalog(mut look: Look<'_>, now: Time) -> (Report, Vec<(BlobId, u64)>) {
    let meta = records::check(&mut look);
    records::sessions(&mut look);
    tree::check(&mut look);
    uploads::check(&mut look, &meta);
    records::events(&mut look, &meta);
    records::jobs(&mut look);
    records::last_id(&mut look, &meta);
    let blobs = content::references(&mut look, now);
    (look.report, blobs)
}
