//! A short read without a snapshot: taking one and giving it back costs two turns at RocksDB's lock, as much as a lookup.
//!
//! Rows are read as they are, and kept in mind ([`Watch`]). If none of them was written since the read began, they are what a
//! snapshot of that moment has; otherwise the read counts for nothing and is made again, over a snapshot
//! ([`Latest::is_whole`]). What cannot be kept in mind, a scan or very many rows, is read from a snapshot taken on the way, which
//! has the rows before it, too, if none of them was written until then. What does not live here: reads over one snapshot
//! (`source`), how it is known that a row was written (`witness`).

use std::cell::{Cell, OnceCell, RefCell};

use model::Result;
use rocksdb::{DB, ReadOptions};

use super::Core;
use super::source::{self, Frozen, Recalled};
use crate::Witness;
use crate::rows::keys::Family;
use crate::rows::source::{Scan, Source, Visit};
use crate::witness::Watch;

/// The catalog as it is from row to row.
pub(super) struct Latest<'a> {
    db: &'a DB,
    recall: Recalled<'a>,
    watch: RefCell<Watch>,
    /// Whether somebody will ask for the witness.
    witnessed: bool,
    reading: &'a Reading,
    /// What the rest is read from, once there was need of it.
    frozen: OnceCell<Frozen<'a>>,
    /// Whether a row that was read before had been written by then.
    torn: Cell<bool>,
}

/// Options of reads of the newest state, made once.
pub(super) struct Reading {
    checked: ReadOptions,
    /// Content has a sum of its own ([`source::looked_up`]).
    unchecked: ReadOptions,
}

impl Default for Reading {
    fn default() -> Self {
        let [checked, mut unchecked] = [(); 2].map(|()| ReadOptions::default());
        unchecked.set_verify_checksums(false);
        Self { checked, unchecked }
    }
}

impl Reading {
    fn options(&self, checked: bool) -> &ReadOptions {
        if checked { &self.checked } else { &self.unchecked }
    }
}

impl<'a> Latest<'a> {
    /// Begins a read, which may ask for its witness if it is `witnessed`.
    pub(super) fn new(core: &'a Core, witnessed: bool) -> Self {
        let watch = core.stamps.watch();
        Self {
            db: &core.db,
            recall: (&core.recall, watch.since()),
            watch: RefCell::new(watch),
            witnessed,
            reading: &core.reading,
            frozen: OnceCell::new(),
            torn: Cell::new(false),
        }
    }

    /// Whether all that was read is of one state, and that no older than the beginning of the read.
    pub(super) fn is_whole(&self) -> bool {
        if self.frozen.get().is_some() { !self.torn.get() } else { self.watch.borrow().holds() }
    }

    /// Reads all that follows from a snapshot.
    pub(super) fn freeze(&self) -> &Frozen<'a> {
        self.frozen.get_or_init(|| {
            let frozen = Frozen::recalled(self.db, self.recall);
            self.torn.set(!self.watch.borrow().holds());
            frozen
        })
    }
}

impl Source for Latest<'_> {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.frozen.get().is_none() && self.watch.borrow().is_full() {
            self.freeze();
        }
        self.watch.borrow_mut().row(family as u8, key);
        if let Some(frozen) = self.frozen.get() {
            return frozen.get(family, key, read);
        }
        source::recalled(Some(self.recall), family, key, read, || {
            let handle = source::handle(self.db, family)?;
            source::looked_up(family, |checked| {
                self.db.get_pinned_cf_opt(handle, key, self.reading.options(checked))
            })
        })
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        let frozen = self.freeze();
        match (scan.family, scan.from) {
            // These are few, and their first byte says what they are.
            (Family::Meta, [first, ..]) => self.watch.borrow_mut().rows(Family::Meta as u8, *first),
            _ => self.watch.borrow_mut().give_up(),
        }
        frozen.scan(scan, visit)
    }

    fn witness(&self) -> Option<Witness> {
        if self.witnessed { self.watch.borrow().witness() } else { None }
    }
}
