//! Running ahead of the rows that are needed: what keeps many operations from waiting for the database one by one.
//!
//! What lives here: [`Lookout`], a snapshot under which a row that is not there yet ends an operation and is noted. What
//! does not: who runs when, and what becomes of the results (`readers` for reads, `writer` for a group of changes).
//!
//! Asking for one row after the other, a hundred operations would wait for the database a hundred times and more. While
//! they run ahead, all of them come as far as they can on the rows that were read already; then everything noted is read
//! in one journey, and they run again. So together they wait as often as the most curious of them, whatever their number.
//!
//! Invariant: an operation that missed anything has no result, whatever it made of the error that ended it.

use std::cell::{Cell, RefCell};

use model::{Error, Result};

use super::snapshot::{Known, Snapshot};
use super::wanted::{Path, Wanted, Way};
use crate::rows::keys::{self, Family};
use crate::rows::source::{Ahead, Lead, Place, Scan, Source, Visit};

/// Times operations run ahead before they ask for each row when they need it.
pub(super) const RUNS_AHEAD_MAX: u32 = 16;

/// What becomes of a row that is not there yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is read.
    #[default]
    AtOnce,
    /// It ends the operation, and is noted.
    Ahead,
    /// Likewise, and the operation leaves nothing even if nothing is missing.
    Trial,
}

/// A snapshot, and what operations missed of it while they ran ahead.
pub(super) struct Lookout<'a> {
    pub(super) snapshot: Snapshot<'a>,
    mode: Cell<Mode>,
    missed: Cell<bool>,
    noted: Cell<bool>,
    wanted: RefCell<Wanted>,
}

impl<'a> Lookout<'a> {
    /// Nothing is missed so far.
    pub(super) fn new(snapshot: Snapshot<'a>) -> Self {
        let (mode, missed, noted, wanted) = Default::default();
        Self { snapshot, mode, missed, noted, wanted }
    }

    /// Before an operation is run.
    pub(super) fn set(&self, mode: Mode) {
        self.mode.set(mode);
        self.missed.set(false);
        self.noted.set(true);
    }

    /// Whether the operation missed anything.
    pub(super) fn has_missed(&self) -> bool {
        self.missed.get()
    }

    /// Whether all it missed was noted.
    pub(super) fn is_noted(&self) -> bool {
        self.noted.get()
    }

    /// Whether the operation is to leave nothing behind, whatever it says.
    pub(super) fn is_void(&self) -> bool {
        self.has_missed() || self.mode.get() == Mode::Trial
    }

    /// Reads what was noted, by all, in one journey.
    pub(super) fn fetch(&self) -> Result<()> {
        self.snapshot.fetch(self.wanted.take())
    }

    /// A row that no change of a group's own hides, and with it those it led to before.
    pub(super) fn row(&self, family: Family, key: &[u8]) -> Result<Known> {
        if let Some(row) = self.snapshot.known(family, key) {
            return Ok(row);
        }
        let row = (family, key.to_vec());
        let (mut rows, _) = self.snapshot.trails().from(&row);
        rows.retain(|(family, key)| self.snapshot.known(*family, key).is_none());
        if self.is_ahead() || !rows.is_empty() {
            rows.push(row);
            let rows = rows.into_iter().collect();
            self.want(Wanted { rows, ..Wanted::default() })?;
        }
        self.snapshot.look_up(family, key)
    }

    /// What is scanned cannot be noted.
    pub(super) fn may_scan(&self) -> Result<()> {
        if !self.is_ahead() {
            return Ok(());
        }
        self.noted.set(false);
        Err(self.miss())
    }

    /// Reads what an operation is about to look up, or notes it, and rows `beside` that, given what is `known`.
    pub(super) fn prepare(
        &self,
        ahead: Ahead<'_>,
        beside: impl FnOnce() -> Vec<Place>,
        known: impl Fn(Family, &[u8]) -> Option<Known>,
    ) -> Result<()> {
        let mut wanted = Wanted::default();
        wanted.paths.extend(match ahead {
            Ahead::Node(place) => Path::of_place(place, &known),
            Ahead::Path { account, root, path, record } => {
                Path::of(Way { account, root, path, record, content: false }, &known)?
            }
            Ahead::File { account, path, content } => {
                let name = (Family::Meta, keys::account_name(account));
                let (rows, top) = self.snapshot.trails().from(&name);
                wanted.rows.extend(rows);
                match top {
                    Some((account, root)) => {
                        wanted.rows.insert(name);
                        Path::of(Way { account, root, path, record: false, content }, &known)?
                    }
                    None => None,
                }
            }
        });
        if !wanted.paths.is_empty() {
            wanted.rows.extend(beside());
        }
        wanted.rows.retain(|(family, key)| known(*family, key).is_none());
        if wanted.is_empty() { Ok(()) } else { self.want(wanted) }
    }

    /// Reads that, or notes it.
    fn want(&self, wanted: Wanted) -> Result<()> {
        if !self.is_ahead() {
            return self.snapshot.fetch(wanted);
        }
        self.wanted.borrow_mut().extend(wanted);
        Err(self.miss())
    }

    fn is_ahead(&self) -> bool {
        self.mode.get() != Mode::AtOnce
    }

    fn miss(&self) -> Error {
        self.missed.set(true);
        Error::Unavailable("a row is not there yet".to_owned())
    }
}

impl Source for Lookout<'_> {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        self.row(family, key)?.map(|value| read(&value)).transpose()
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        self.may_scan()?;
        self.snapshot.scan(scan, visit)
    }

    fn look_ahead(&self, ahead: Ahead<'_>) -> Result<()> {
        self.prepare(ahead, Vec::new, |family, key| self.snapshot.known(family, key))
    }

    fn led(&self, from: impl FnOnce() -> Place, to: impl FnOnce() -> Lead) {
        self.snapshot.trails().note(from(), to());
    }
}
