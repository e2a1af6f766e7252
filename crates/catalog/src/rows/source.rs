//! What an engine gives a view: bytes under keys, and a place for changes.
//!
//! What lives here: the traits [`Source`] and [`Group`], and what a scan asks for. What does not: what the bytes mean
//! (`view`, `tx`), and any engine.

use std::cmp::Ordering;

use bytes::Bytes;
use model::{AccountId, DirId, Result, TreePath};

use super::keys::Family;
use super::overlay::Overlay;
use crate::Witness;

/// What a scan hands keys and values to.
pub(crate) type Visit<'v, T> = dyn FnMut(&[u8], &[u8]) -> Result<T> + 'v;

/// What a scan is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    /// Which rows.
    pub(crate) family: Family,
    /// The first key.
    pub(crate) from: &'a [u8],
    /// The first key that is none of them any more.
    pub(crate) below: &'a [u8],
    /// How many rows will be asked for at most, at least one.
    pub(crate) limit: usize,
    /// Which rows will be looked up for each of them: an engine to which lookups are far brings them along.
    pub(crate) follow: Follow,
}

/// Where a row stands: its family and its key.
pub(crate) type Place = (Family, Vec<u8>);

/// What a scan's rows lead to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Follow {
    /// Nothing that is looked up.
    Nothing,
    /// The records of the directories that rows of [`Family::Numbers`] lead to.
    Directories,
    /// The row that a key and its value name.
    Rows(fn(&[u8], &[u8]) -> Option<Place>),
}

/// Lookups that are about to follow.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ahead<'a> {
    /// What stands at each step of a path, and, with `record`, the record of the last directory on it.
    Path {
        /// The account.
        account: AccountId,
        /// Its top directory.
        root: DirId,
        /// The path from there.
        path: &'a TreePath,
        /// Whether the directory is looked up, too.
        record: bool,
    },
    /// What stands at a place, and the record if that is a directory.
    Node(crate::Place<'a>),
    /// An account by its name, what stands at each step of a path from its top, and, with `content`, what is in the file
    /// there, if that is small.
    File {
        /// The account's name.
        account: &'a str,
        /// The path.
        path: &'a TreePath,
        /// Whether the content is looked up, too.
        content: bool,
    },
}

/// What a row led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lead {
    /// Another row.
    Row(Family, Vec<u8>),
    /// The top directory of an account.
    Top(AccountId, DirId),
}

/// A source of bytes: one state of the catalog.
pub(crate) trait Source {
    /// Hands the value of a key to `read`, if there is one.
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>>;

    /// Hands keys with their values, in the order of keys, to `visit`, until it says `false`.
    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()>;

    /// Is told which lookups follow, so that an engine to which each is a journey makes one of them.
    fn look_ahead(&self, _: Ahead<'_>) -> Result<()> {
        Ok(())
    }

    /// Is told what a row led to: whoever asks for the row will ask for that next, as long as the row stays as it is.
    fn led(&self, _from: impl FnOnce() -> Place, _to: impl FnOnce() -> Lead) {}

    /// Whether what was read so far is still so, where that is watched.
    fn witness(&self) -> Option<Witness> {
        None
    }
}

/// A source under changes that are not durable yet.
pub(crate) trait Group: Source {
    /// The changes.
    fn overlay(&mut self) -> &mut Overlay;

    /// Whether what was changed since the last save point is to be taken back, whatever the operation says.
    fn is_void(&self) -> bool {
        false
    }

    /// A number never given before, from an engine that does not keep the last one among the group's rows.
    fn fresh_id(&mut self) -> Option<Result<u64>> {
        None
    }
}

/// Rows in the order of their keys, one at a time.
pub(crate) trait Cursor {
    /// The row it stands at; `None` behind the last one.
    fn row(&mut self) -> Result<Option<(&[u8], &[u8])>>;
    /// Goes to the next one.
    fn advance(&mut self);
}

/// Walks stored rows and changes side by side; where both have a key, the change counts.
pub(crate) fn merge<'c>(
    stored: &mut impl Cursor,
    changes: impl Iterator<Item = (&'c [u8], &'c Option<Bytes>)>,
    visit: &mut Visit<'_, bool>,
) -> Result<()> {
    let mut changes = changes.peekable();
    loop {
        let row = stored.row()?;
        let order = match (row, changes.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((key, _)), Some((changed, _))) => key.cmp(changed),
        };
        let go_on = match (order, row) {
            (Ordering::Less, Some((key, value))) => visit(key, value)?,
            _ => match changes.next() {
                Some((key, Some(value))) => visit(key, value)?,
                Some((_, None)) | None => true,
            },
        };
        if !go_on {
            return Ok(());
        }
        if order != Ordering::Greater {
            stored.advance();
        }
    }
}
