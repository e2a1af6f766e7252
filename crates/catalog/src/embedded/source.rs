//! Where a view's bytes come from: RocksDB under a snapshot, or RocksDB under a group's changes.
//!
//! What lives here: point reads and range scans of bytes, and the merge of changes that are not durable yet with what
//! is. What does not: what the bytes mean (`view`).
//!
//! Invariants: a scan sees each key once, with its newest value, in the order of keys; an error of RocksDB ends a scan
//! with that error, never early and in silence.

use std::cell::RefCell;

use bytes::Bytes;
use model::{Error, Result};
use rocksdb::{ColumnFamily, DB, DBPinnableSlice, DBRawIterator, ReadOptions, Snapshot};

use super::fault;
use super::memory::Memory;
use super::recall::Recall;
use crate::Witness;
use crate::rows::inlined::has_sum;
use crate::rows::keys::Family;
use crate::rows::overlay::Overlay;
use crate::rows::source::{Cursor, Group, Scan, Source, Visit, merge};
use crate::witness::Watch;

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

    /// Content. RocksDB compares what lies in blob files with a checksum that it computes by a table, which takes as long as
    /// finding and reading it; whoever reads content compares it with our own sum, by instructions of the CPU. What has no
    /// such sum is read again, RocksDB's way.
    fn content(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>> {
        let family = handle(self.db, Family::Inline)?;
        let mut unchecked = ReadOptions::default();
        unchecked.set_verify_checksums(false);
        match self.snapshot.get_pinned_cf_opt(family, key, unchecked).map_err(fault)? {
            Some(value) if has_sum(&value) => Ok(Some(value)),
            _ => self.snapshot.get_pinned_cf(family, key).map_err(fault),
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
        let value = match family {
            Family::Inline => self.content(key)?,
            _ => self.snapshot.get_pinned_cf(handle(self.db, family)?, key).map_err(fault)?,
        };
        if let Some((recall, since)) = self.recall {
            recall.keep(family, key, value.as_deref(), since);
        }
        value.map(|value| read(&value)).transpose()
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        let Scan { family, from, below, .. } = scan;
        self.watch(|watch| match (family, from) {
            // These are few, and their first byte says what they are.
            (Family::Meta, [first, ..]) => watch.rows(family as u8, *first),
            _ => watch.give_up(),
        });
        let stored =
            self.snapshot.raw_iterator_cf_opt(handle(self.db, family)?, bounded(from, below));
        all(stored, from, visit)
    }

    fn witness(&self) -> Option<Witness> {
        self.watch.borrow_mut().take().and_then(Watch::witness)
    }
}

/// What is durable, under the changes of the group being put together. Only the writer's thread changes what is
/// durable, and it holds this, so no snapshot is needed.
pub(super) struct Pending<'a> {
    /// What is durable.
    pub(super) db: &'a DB,
    /// What is not yet.
    pub(super) overlay: &'a mut Overlay,
    /// What of the durable was looked up before.
    pub(super) memory: &'a Memory,
}

impl Group for Pending<'_> {
    fn overlay(&mut self) -> &mut Overlay {
        self.overlay
    }
}

impl Source for Pending<'_> {
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

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        let Scan { family, from, below, .. } = scan;
        let stored = self.db.raw_iterator_cf_opt(handle(self.db, family)?, bounded(from, below));
        let mut changes = self.overlay.range(family, from, below).peekable();
        if changes.peek().is_none() {
            return all(stored, from, visit);
        }
        merge(&mut Stored::new(stored, from), changes, visit)
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

/// Every scan of a snapshot: nothing to merge, and the shortest way through many rows.
fn all(mut stored: DBRawIterator<'_>, from: &[u8], visit: &mut Visit<'_, bool>) -> Result<()> {
    stored.seek(from);
    while let Some((key, value)) = stored.item() {
        if !visit(key, value)? {
            break;
        }
        stored.next();
    }
    stored.status().map_err(fault)
}

/// Stored rows, to be merged with changes.
struct Stored<'a>(DBRawIterator<'a>);

impl<'a> Stored<'a> {
    fn new(mut rows: DBRawIterator<'a>, from: &[u8]) -> Self {
        rows.seek(from);
        Self(rows)
    }
}

impl Cursor for Stored<'_> {
    fn row(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if !self.0.valid() {
            self.0.status().map_err(fault)?;
        }
        Ok(self.0.item())
    }

    fn advance(&mut self) {
        self.0.next();
    }
}
