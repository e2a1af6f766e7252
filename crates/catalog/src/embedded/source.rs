//! Where a view's bytes come from: RocksDB under a snapshot, or RocksDB under a group's changes.
//!
//! What lives here: point reads and range scans of bytes, and the merge of changes that are not durable yet with what
//! is. What does not: what the bytes mean (`view`).
//!
//! Invariants: a scan sees each key once, with its newest value, in the order of keys; an error of RocksDB ends a scan
//! with that error, never early and in silence.

use bytes::Bytes;
use model::{Error, Result};
use rocksdb::{ColumnFamily, DB, DBPinnableSlice, DBRawIterator, ReadOptions, Snapshot};

use super::fault;
use super::memory::Memory;
use super::recall::Recall;
use crate::rows::inlined::has_sum;
use crate::rows::keys::Family;
use crate::rows::overlay::Overlay;
use crate::rows::source::{Cursor, Group, Scan, Source, Visit, merge};

/// One state of the catalog, whatever is written meanwhile.
pub(super) struct Frozen<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    recall: Option<Recalled<'a>>,
}

/// What is remembered, and the last group of changes that was finished when a read began.
pub(super) type Recalled<'a> = (&'a Recall, u64);

impl<'a> Frozen<'a> {
    /// The state as it is on disk now.
    pub(super) fn new(db: &'a DB) -> Self {
        Self { db, snapshot: db.snapshot(), recall: None }
    }

    /// The state as it is now, as far as possible from what is remembered.
    pub(super) fn recalled(db: &'a DB, recall: Recalled<'a>) -> Self {
        Self { db, snapshot: db.snapshot(), recall: Some(recall) }
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
        recalled(self.recall, family, key, read, || {
            let handle = handle(self.db, family)?;
            looked_up(family, |checked| {
                let mut options = ReadOptions::default();
                options.set_verify_checksums(checked);
                self.snapshot.get_pinned_cf_opt(handle, key, options)
            })
        })
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        let Scan { family, from, below, .. } = scan;
        let stored =
            self.snapshot.raw_iterator_cf_opt(handle(self.db, family)?, bounded(from, below));
        all(stored, from, visit)
    }
}

/// A row that is remembered; otherwise it is looked up and remembered.
pub(super) fn recalled<'v, T>(
    recall: Option<Recalled<'_>>,
    family: Family,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T>,
    look_up: impl FnOnce() -> Result<Option<DBPinnableSlice<'v>>>,
) -> Result<Option<T>> {
    if let Some((recall, since)) = recall
        && let Some(row) = recall.get(family, key, since)
    {
        return row.map(|value| read(&value)).transpose();
    }
    let value = look_up()?;
    if let Some((recall, since)) = recall {
        recall.keep(family, key, value.as_deref(), since);
    }
    value.map(|value| read(&value)).transpose()
}

/// A row by `get`, which is told whether RocksDB is to compare checksums. What lies in blob files, which is content, it
/// may compare with a checksum that it computes by a table, which takes as long as finding and reading it; whoever reads content
/// compares it with our own sum, by instructions of the CPU. What has no such sum is read again, RocksDB's way.
pub(super) fn looked_up<'v>(
    family: Family,
    get: impl Fn(bool) -> std::result::Result<Option<DBPinnableSlice<'v>>, rocksdb::Error>,
) -> Result<Option<DBPinnableSlice<'v>>> {
    if family == Family::Inline
        && let Some(value) = get(false).map_err(fault)?
        && has_sum(&value)
    {
        return Ok(Some(value));
    }
    get(true).map_err(fault)
}

/// What is durable, under the changes of the group being put together. Only whoever has the turn to write
/// changes what is durable, and holds this, so no snapshot is needed.
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
