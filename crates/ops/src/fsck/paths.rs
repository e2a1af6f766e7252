//! From ids to paths: where the directories of the catalog stand, and which files refer to some content.
//!
//! Used only when there is something to tell, because it reads all names: some 100 bytes of memory a directory.

use std::collections::{BTreeMap, HashMap, HashSet};

use catalog::audit::{Audit, Index, Row};
use model::{AccountId, Content, DirId, PieceContent, Result, Subject};

use super::report::Spot;

/// Paths that are told of one subject.
const PATHS_MAX: usize = 10;

/// Where directories stand, as far as the catalog can be read.
#[derive(Default)]
pub(crate) struct Paths {
    accounts: BTreeMap<AccountId, (String, DirId)>,
    above: HashMap<(AccountId, DirId), (DirId, String)>,
}

impl Paths {
    /// Reads them. What cannot be read is left out.
    pub(crate) fn load(audit: &dyn Audit) -> Self {
        Self::load_and(audit, |_| {})
    }

    fn load_and(audit: &dyn Audit, mut each: impl FnMut(&Row)) -> Self {
        let mut paths = Self::default();
        for row in audit.rows(Index::Meta, None).map_while(Result::ok) {
            if let Row::Account(account) = row {
                paths.accounts.insert(account.id, (account.name, account.root));
            }
        }
        for row in audit.rows(Index::Names, None).map_while(Result::ok) {
            each(&row);
            if let Row::DirectoryName(account, dir, name, id, _) = row {
                paths.above.insert((account, id), (dir, name));
            }
        }
        paths
    }

    /// The path of an entry: `/account/…`, or from the last directory that is known.
    pub(crate) fn of(&self, (account, dir, name): &Spot) -> String {
        let mut segments = vec![name.as_str()];
        let (top, root) = match self.accounts.get(account) {
            Some((name, root)) => (format!("/{name}"), Some(*root)),
            None => (format!("(account {})", account.0), None),
        };
        let (mut at, mut seen) = (*dir, HashSet::new());
        let start = loop {
            if Some(at) == root {
                break top;
            }
            match self.above.get(&(*account, at)) {
                Some((above, name)) if seen.insert(at) => {
                    segments.push(name);
                    at = *above;
                }
                Some(_) | None => break format!("{top}/(directory {})", at.0),
            }
        };
        segments.reverse();
        let path: String =
            segments.iter().filter(|s| !s.is_empty()).map(|s| format!("/{s}")).collect();
        start + &path
    }
}

/// Some of the paths of the files (and pieces of uploads) that refer to each of `subjects`.
pub(crate) fn referrers(
    audit: &dyn Audit,
    subjects: &HashSet<Subject>,
) -> HashMap<Subject, Vec<String>> {
    let mut spots: HashMap<Subject, Vec<Spot>> = HashMap::new();
    let paths = Paths::load_and(audit, |row| {
        let Row::File(account, dir, name, file) = row else { return };
        let found: Vec<Subject> = match &file.content {
            Content::Empty => vec![],
            Content::Inline(id) => vec![Subject::Inline(*account, *id)],
            content @ Content::Blobs(_) => content.blobs().map(Subject::Blob).collect(),
        };
        for subject in found.into_iter().filter(|subject| subjects.contains(subject)) {
            let spots = spots.entry(subject).or_default();
            if spots.len() < PATHS_MAX {
                spots.push((*account, *dir, name.clone()));
            }
        }
    });
    let mut told: HashMap<Subject, Vec<String>> = spots
        .into_iter()
        .map(|(subject, spots)| (subject, spots.iter().map(|spot| paths.of(spot)).collect()))
        .collect();
    for row in audit.rows(Index::Pieces, None).map_while(Result::ok) {
        let Row::Piece(upload, piece) = row else { continue };
        let PieceContent::Blob(extent) = piece.content else { continue };
        let subject = Subject::Blob(extent.blob);
        if crate::multipart::holds(&piece) && subjects.contains(&subject) {
            let told = told.entry(subject).or_default();
            if told.len() < PATHS_MAX {
                told.push(format!("upload {}, piece {}", upload.to_hex(), piece.number));
            }
        }
    }
    told
}
