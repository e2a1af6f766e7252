//! What is to be read in one journey: rows by their keys, and walks along paths.
//!
//! What lives here: [`Wanted`], and which part of a path is not known yet. What does not: how it is read (`snapshot`), and
//! who wants it (`ahead`).

use std::collections::HashSet;

use model::{AccountId, DirId, Result, TreePath};

use super::snapshot::Known;
use super::sql::Walk;
use super::tables;
use crate::Place;
use crate::rows::keys::{self, Family};
use crate::rows::record::leads_to;
use crate::rows::source;

/// Rows and paths to be read.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) rows: HashSet<source::Place>,
    pub(super) paths: HashSet<Path>,
}

impl Wanted {
    /// Whether that is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.paths.is_empty()
    }

    /// That as well.
    pub(super) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.paths.extend(other.paths);
    }
}

/// A path from a directory of an account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'a> {
    /// The account.
    pub(super) account: AccountId,
    /// Where the path begins.
    pub(super) root: DirId,
    /// The path.
    pub(super) path: &'a TreePath,
    /// Whether the record of the last directory is looked up, too.
    pub(super) record: bool,
    /// Whether the file's content is.
    pub(super) content: bool,
}

/// The part of a path that is not known yet.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Path {
    pub(super) account: AccountId,
    pub(super) dir: DirId,
    pub(super) names: Vec<String>,
    record: bool,
    content: bool,
}

impl Path {
    pub(super) fn walk(&self) -> Walk {
        Walk {
            // An id above all that can be stored leads nowhere.
            dir: i64::try_from(self.dir.0).unwrap_or(-1),
            hashes: self.names.iter().map(|name| tables::name_hash(name.as_bytes())).collect(),
            record: self.record,
            content: self.content,
        }
    }

    /// A name in a directory, and the record if it is one's.
    pub(super) fn of_place(
        Place { account, dir, name }: Place<'_>,
        known: impl Fn(Family, &[u8]) -> Option<Known>,
    ) -> Option<Self> {
        let key = keys::name(Place { account, dir, name });
        let names = vec![name.to_owned()];
        let path = Self { account, dir, names, record: true, content: false };
        known(Family::Names, &key).is_none().then_some(path)
    }

    /// What must be read of a way, given what is `known`; `None`: nothing, or one row, which is as well read when it is
    /// asked for.
    pub(super) fn of(
        Way { account, root, path, record, content }: Way<'_>,
        known: impl Fn(Family, &[u8]) -> Option<Known>,
    ) -> Result<Option<Self>> {
        let mut dir = root;
        let mut names = TreePath::segments(path);
        while let Some(name) = names.next() {
            match known(Family::Names, &keys::name(Place { account, dir, name })) {
                Some(Some(value)) => match leads_to(Family::Names, &value)? {
                    Some(child) => dir = child,
                    None => return Ok(None),
                },
                Some(None) => return Ok(None),
                None => {
                    let names: Vec<String> =
                        std::iter::once(name).chain(names).map(str::to_owned).collect();
                    let many = record || content || names.len() > 1;
                    return Ok(many.then_some(Self { account, dir, names, record, content }));
                }
            }
        }
        Ok(None)
    }
}
