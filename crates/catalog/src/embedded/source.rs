//! Where a view's bytes come from: RocksDB under a snapshot, or RocksDB under a group's changes.
//!
//! What lives here: point reads and range scans of bytes, and the merge of changes that are not durable yet with what
//! is. What does not: what the bytes mean (`view`).
//!
//! Invariants: a scan sees each key once, with its newest value, in the order of keys; an error of RocksDB ends a scan
//! with that error, never early and in silence.

use std::cell::RefCell;
use std::cmp::Ordering;

use bytes::Bytes;
use model::{Error, Result};
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions, Snapshot};

use super::fault;
use super::keys::Family;
use super::memory::Memory;
use super::overlay::Overlay;
use super::recall::Recall;
use crate::Witness;
use crate::witness::Watch;

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

    /// Whether what was read so far is still so, where that is watched.
    fn witness(&self) -> Option<Witness> {
        None
    }
}

/// One state of the catalog, whatever is written meanwhile.
pub(super) struct Frozen<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    /// What is remembered, and the last group of changes when the snapshot was not taken yet.
    recall: Option<(&'a Recall, u64)>,
    watch: RefCell<Option<Watch>>,
}

impl<'a> Frozen<'a> {
    /// The state as it is on disk now.
    pub(super) fn new(db: &'a DB) -> Self {
        Self { db, snapshot: db.snapshot(), recall: None, watch: RefCell::default() }
    }

    /// The state as it is now, as far as possible from what is remembered; what is read of it is kept in mind, if there is
    /// a `watch`.
    pub(super) fn recalled(db: &'a DB, recall: &'a Recall, watch: Option<Watch>) -> Self {
        // Both before the snapshot: see `witness`.
        let (recall, watch) = (Some((recall, recall.now())), RefCell::new(watch));
        Self { db, snapshot: db.snapshot(), recall, watch }
    }

    fn watch(&self, note: impl FnOnce(&mut Watch)) {
        if let Some(watch) = self.watch.borrow_mut().as_mut() {
            note(watch);
        }
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
        self.watch(|watch| watch.row(family as u8, key));
        if let Some((recall, since)) = self.recall
            && let Some(row) = recall.get(family, key, since)
        {
            return row.map(|value| read(&value)).transpose();
        }
        let value = self.snapshot.get_pinned_cf(handle(self.db, family)?, key).map_err(fault)?;
        if let Some((recall, since)) = self.recall {
            recall.keep(family, key, value.as_deref(), since);
        }
        value.map(|value| read(&value)).transpose()
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        below: &[u8],
        visit: &mut Visit<'_, bool>,
    ) -> Result<()> {
        self.watch(|watch| match (family, from) {
            // These are few, and their first byte says what they are.
            (Family::Meta, [first, ..]) => watch.rows(family as u8, *first),
            _ => watch.give_up(),
        });
        let stored =
            self.snapshot.raw_iterator_cf_opt(handle(self.db, family)?, bounded(from, below));
        merge(stored, from, std::iter::empty(), visit)
    }

    fn witness(&self) -> Option<Witness> {
        self.watch.borrow_mut().take().and_then(Watch::witness)
    }
}

/// What is durable, under the changes of the group being put together. Only the writer's thread changes what is
/// durable, and it holds this, so no snapshot is needed.
pub(super) struct Group<'a> {
    /// What is durable.
    pub(super) db: &'a DB,
    /// What is not yet.
    pub(super) overlay: &'a mut Overlay,
    /// What of the durable was looked up before.
    pub(super) memory: &'a Memory,
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
        let row = match self.memory.get(family, key) {
            Some(row) => row,
            None => {
                let found = self.db.get_pinned_cf(handle(self.db, family)?, key).map_err(fault)?;
                let row = found.map(|value| Bytes::copy_from_slice(&value));
                self.memory.keep(family, key, &row);
                row
            }
        };
        row.map(|value| read(&value)).transpose()
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
