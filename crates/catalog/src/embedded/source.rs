//! Where a view's bytes come from: RocksDB under a snapshot, or RocksDB under a group's changes.
//!
//! What lives here: point reads and range scans of bytes, and the merge of changes that are not durable yet with what
//! is. What does not: what the bytes mean (`view`).
//!
//! Invariants: a scan sees each key once, with its newest value, in the order of keys; an error of RocksDB ends a scan
//! with that error, never early and in silence.

use std::cmp::Ordering;

use bytes::Bytes;
use model::{Error, Result};
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions, Snapshot};

use super::fault;
use super::keys::Family;
use super::overlay::Overlay;

/// What a scan hands keys and values to.
pub(super) type Visit<'v, T> = dyn FnMut(&[u8], &[u8]) -> Result<T> + 'v;

/// A source of bytes.
pub(super) trait Source {
    /// Hands the value of a key to `read`, if there is one.
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>>;

    /// Hands keys from `from` on and below `below`, with their values, to `visit`, until it says `false`.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        below: &[u8],
        visit: &mut Visit<'_, bool>,
    ) -> Result<()>;
}

/// One state of the catalog, whatever is written meanwhile.
pub(super) struct Frozen<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
}

impl<'a> Frozen<'a> {
    /// The state as it is now.
    pub(super) fn new(db: &'a DB) -> Self {
        Self { db, snapshot: db.snapshot() }
    }

    /// The database.
    pub(super) fn db(&self) -> &'a DB {
        self.db
    }

    /// The snapshot.
    pub(super) fn snapshot(&self) -> &Snapshot<'a> {
        &self.snapshot
    }
}

impl Source for Frozen<'_> {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        let value = self.snapshot.get_pinned_cf(handle(self.db, family)?, key).map_err(fault)?;
        value.map(|value| read(&value)).transpose()
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        below: &[u8],
        visit: &mut Visit<'_, bool>,
    ) -> Result<()> {
        let stored =
            self.snapshot.raw_iterator_cf_opt(handle(self.db, family)?, bounded(from, below));
        merge(stored, from, std::iter::empty(), visit)
    }
}

/// What is durable, under the changes of the group being put together. Only the writer's thread changes what is
/// durable, and it holds this, so no snapshot is needed.
pub(super) struct Group<'a> {
    /// What is durable.
    pub(super) db: &'a DB,
    /// What is not yet.
    pub(super) overlay: &'a mut Overlay,
}

impl Source for Group<'_> {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        if let Some(change) = self.overlay.get(family, key) {
            return change.as_ref().map(|value| read(value)).transpose();
        }
        let value = self.db.get_pinned_cf(handle(self.db, family)?, key).map_err(fault)?;
        value.map(|value| read(&value)).transpose()
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        below: &[u8],
        visit: &mut Visit<'_, bool>,
    ) -> Result<()> {
        let stored = self.db.raw_iterator_cf_opt(handle(self.db, family)?, bounded(from, below));
        merge(stored, from, self.overlay.range(family, from, below), visit)
    }
}

/// The handle of a column family.
pub(super) fn handle(db: &DB, family: Family) -> Result<&ColumnFamily> {
    let missing = || Error::Storage(format!("column family {} is not open", family.name()));
    db.cf_handle(family.name()).ok_or_else(missing)
}

fn bounded(from: &[u8], below: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    options.set_iterate_upper_bound(below);
    options
}

/// Walks stored keys and changes side by side; where both have a key, the change counts.
fn merge<'c>(
    mut stored: DBRawIterator<'_>,
    from: &[u8],
    changes: impl Iterator<Item = (&'c [u8], &'c Option<Bytes>)>,
    visit: &mut Visit<'_, bool>,
) -> Result<()> {
    let mut changes = changes.peekable();
    stored.seek(from);
    // Every scan of a snapshot: nothing to merge, and the shortest way through many rows.
    if changes.peek().is_none() {
        while let Some((key, value)) = stored.item() {
            if !visit(key, value)? {
                break;
            }
            stored.next();
        }
        return stored.status().map_err(fault);
    }
    loop {
        let order = match (stored.key(), changes.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(key), Some((changed, _))) => key.cmp(changed),
        };
        let go_on = match order {
            Ordering::Less => stored.item().map_or(Ok(true), |(key, value)| visit(key, value))?,
            Ordering::Equal | Ordering::Greater => match changes.next() {
                Some((key, Some(value))) => visit(key, value)?,
                Some((_, None)) | None => true,
            },
        };
        if !go_on {
            break;
        }
        if order != Ordering::Greater {
            stored.next();
        }
    }
    stored.status().map_err(fault)
}
