//! What a check has found: findings, what would mend them, and what was looked at.
//!
//! What does not live here: how anything is found. The invariants: findings that are kept are bounded, those that are
//! counted are not; where something could not be read, nothing is mended, because it may be what would tell otherwise.

use std::collections::BTreeMap;

use catalog::audit::Row;
use model::{AccountId, BlobId, DirId, Subject};

use super::Kind;

/// Findings that are kept with all they say.
const FINDINGS_MAX: usize = 1_000;
/// Changes that are made in one round.
const CHANGES_MAX: usize = 100_000;

/// A thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Where: a path, or what else names it.
    pub at: String,
    /// What is there.
    pub stored: String,
    /// What should be.
    pub expected: String,
    /// Whether it can be mended without guessing.
    pub mendable: bool,
    /// Whether it was.
    pub mended: bool,
    /// Whether mending it would let go of bytes.
    pub(super) lets_go: bool,
    /// Where it stands in a tree, as long as its path is not known.
    pub(super) place: Option<Spot>,
    /// The content it is about, as long as it is not known whose that is.
    pub(super) subject: Option<Subject>,
}

/// An entry's place: account, directory, name (or none for the directory itself).
pub(super) type Spot = (AccountId, DirId, String);

/// What mends something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Put(Row),
    Remove(Row),
    RemoveBlob(BlobId),
    /// Lets go of bytes that nobody seems to want: not made where somebody may have been lost who does.
    LetGo(Vec<Change>),
}

impl Change {
    /// The changes that it consists of.
    pub(super) fn single(self) -> Vec<Change> {
        match self {
            Change::LetGo(changes) => changes,
            change => vec![change],
        }
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Accounts.
    pub accounts: u64,
    /// Users.
    pub users: u64,
    /// Sessions.
    pub sessions: u64,
    /// Directories, top ones included.
    pub directories: u64,
    /// Files.
    pub files: u64,
    /// Small contents.
    pub inline: u64,
    /// Blobs that are referred to.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Multipart uploads.
    pub uploads: u64,
    /// Their pieces.
    pub pieces: u64,
    /// Events that wait.
    pub events: u64,
    /// Transfers.
    pub jobs: u64,
    /// Bytes that were read and compared with their checksums.
    pub verified_bytes: u64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The first findings.
    pub findings: Vec<Finding>,
    /// How many of each kind there are, or, after a repair, were.
    pub kinds: BTreeMap<Kind, u64>,
    /// How many there are left.
    pub left: u64,
    /// How much was looked at.
    pub counts: Counts,
    /// Something could not be read: nothing is mended.
    pub incomplete: bool,
    pub(super) changes: Vec<Change>,
}

impl Report {
    /// How many findings there are, or were before a repair.
    pub fn total(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Notes a finding.
    pub(super) fn note(
        &mut self,
        kind: Kind,
        at: impl Into<At>,
        (stored, expected): (impl ToString, impl ToString),
        changes: impl IntoIterator<Item = Change>,
    ) {
        *self.kinds.entry(kind).or_default() += 1;
        self.left += 1;
        let before = self.changes.len();
        let (mut mendable, mut lets_go) = (false, false);
        for change in changes {
            (mendable, lets_go) = (true, matches!(change, Change::LetGo(_)));
            // What does not fit is mended in another round.
            if before < CHANGES_MAX {
                self.changes.push(change);
            }
        }
        if self.findings.len() < FINDINGS_MAX {
            let (at, place, subject) = match at.into() {
                At::Text(text) => (text, None, None),
                At::Spot(spot) => (String::new(), Some(spot), None),
                At::Subject(subject) => (String::new(), None, Some(subject)),
            };
            self.findings.push(Finding {
                kind,
                at,
                stored: stored.to_string(),
                expected: expected.to_string(),
                mendable,
                mended: false,
                lets_go,
                place,
                subject,
            });
        }
    }

    /// Takes back what must not be mended: anything where something could not be read; what lets go of bytes where a
    /// record was lost that may be the one to refer to them.
    pub(super) fn hold_back(&mut self) {
        let lost = [Kind::NameLost, Kind::NamesAstray, Kind::PieceOrphan, Kind::PieceNumber];
        let lost = lost.iter().any(|kind| self.kinds.contains_key(kind))
            || self.findings.iter().any(|f| f.kind == Kind::UploadCount && !f.mendable);
        if self.incomplete {
            self.changes.clear();
        } else if lost {
            self.changes.retain(|change| !matches!(change, Change::LetGo(_)));
        }
        for finding in &mut self.findings {
            finding.mendable &= !(self.incomplete || lost && finding.lets_go);
        }
    }

    /// Notes something that nothing can mend.
    pub(super) fn report(
        &mut self,
        kind: Kind,
        at: impl Into<At>,
        what: (impl ToString, impl ToString),
    ) {
        self.note(kind, at, what, []);
    }
}

/// Where a finding is.
pub(super) enum At {
    Text(String),
    Spot(Spot),
    Subject(Subject),
}

impl From<Subject> for At {
    fn from(subject: Subject) -> Self {
        Self::Subject(subject)
    }
}

impl From<String> for At {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Spot> for At {
    fn from(spot: Spot) -> Self {
        Self::Spot(spot)
    }
}
