//! The changes of a group on top of one state of the database.
//!
//! What lives here: what a group's operations see, and the flush of what they changed. What does not: the order of
//! things (`writer`).
//!
//! **Running ahead.** Asking for one row after the other, a group of a hundred operations would wait for the database a
//! hundred times and more. While a group runs ahead, a row that is not there yet ends the operation, and is noted; when
//! all operations have come as far as they could, everything noted is read in one journey, and they begin again. So a
//! group waits as often as its most curious operation, whatever their number.

use std::cell::{Cell, RefCell};

use model::{Error, Result};

use super::ids::Ids;
use super::line::Statement;
use super::snapshot::{Known, Path, Snapshot, Wanted};
use super::sql::{self, Query};
use super::tables::{self, Table, Value};
use crate::rows::keys::Family;
use crate::rows::overlay::Overlay;
use crate::rows::record::leads_to;
use crate::rows::source::{Ahead, Group, Scan, Source, Visit, merge};

/// What operations of a group see.
pub(super) struct Pending<'a> {
    pub(super) snapshot: Snapshot<'a>,
    pub(super) overlay: Overlay,
    pub(super) ids: &'a Ids,
    /// What was missed while running ahead.
    pub(super) missing: Missing,
}

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

/// Whether the group runs ahead, and what it missed.
#[derive(Default)]
pub(super) struct Missing {
    mode: Cell<Mode>,
    missed: Cell<bool>,
    noted: Cell<bool>,
    wanted: RefCell<Wanted>,
}

impl Missing {
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

    /// What was noted, by all.
    pub(super) fn take(&self) -> Wanted {
        self.wanted.take()
    }

    fn is_ahead(&self) -> bool {
        self.mode.get() != Mode::AtOnce
    }

    fn miss(&self, note: impl FnOnce(&mut Wanted)) -> Error {
        self.missed.set(true);
        note(&mut self.wanted.borrow_mut());
        Error::Unavailable("a row is not there yet".to_owned())
    }
}

impl Pending<'_> {
    fn known(&self, family: Family, key: &[u8]) -> Option<Known> {
        self.overlay.get(family, key).cloned().or_else(|| self.snapshot.known(family, key))
    }
}

impl Source for Pending<'_> {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        let row = match self.known(family, key) {
            Some(row) => row,
            None if self.missing.is_ahead() => {
                return Err(self.missing.miss(|wanted| {
                    wanted.rows.insert((family, key.to_vec()));
                }));
            }
            None => self.snapshot.look_up(family, key)?,
        };
        row.map(|value| read(&value)).transpose()
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        if self.missing.is_ahead() {
            self.missing.noted.set(false);
            return Err(self.missing.miss(|_| {}));
        }
        let changes = self.overlay.range(scan.family, scan.from, scan.below);
        merge(&mut self.snapshot.cursor(scan), changes, visit)
    }

    fn look_ahead(&self, ahead: Ahead<'_>) -> Result<()> {
        match Path::of(ahead, |family, key| self.known(family, key))? {
            Some(path) if self.missing.is_ahead() => Err(self.missing.miss(|wanted| {
                wanted.paths.insert(path);
            })),
            Some(path) => self.snapshot.fetch(Wanted { paths: [path].into(), ..Wanted::default() }),
            None => Ok(()),
        }
    }
}

impl Group for Pending<'_> {
    fn overlay(&mut self) -> &mut Overlay {
        &mut self.overlay
    }

    fn is_void(&self) -> bool {
        self.missing.has_missed() || self.missing.mode.get() == Mode::Trial
    }

    fn fresh_id(&mut self) -> Option<Result<u64>> {
        Some(self.ids.next())
    }
}

/// Rows of a table that change.
struct Changes {
    table: &'static Table,
    put: Vec<Vec<Value>>,
    names: Vec<Vec<u8>>,
    children: Vec<Option<i64>>,
    values: Vec<Vec<u8>>,
    remove: Vec<Vec<Value>>,
}

/// The statements that make a group's changes: for each table one that puts rows and one that removes some.
pub(super) fn flush(overlay: &Overlay) -> Result<Vec<Query>> {
    let mut all: Vec<Changes> = Vec::new();
    for (family, key, change) in overlay.changes() {
        let table = tables::of(family, key)?;
        let place = all.iter().position(|changes| std::ptr::eq(changes.table, table));
        let place = place.unwrap_or_else(|| {
            let (put, names, children, values, remove) = Default::default();
            all.push(Changes { table, put, names, children, values, remove });
            all.len() - 1
        });
        let changes = &mut all[place];
        match (table.find(key), change) {
            (None, Some(_)) => {
                return Err(Error::Storage("a number is larger than the database's".to_owned()));
            }
            (None, None) => {}
            (Some(found_by), None) => changes.remove.push(found_by),
            (Some(found_by), Some(value)) => {
                if table.child {
                    let child = leads_to(family, value)?.map(|dir| dir.0.cast_signed());
                    changes.children.push(child);
                }
                if let (Family::Names, Some(name)) = (family, key.get(12..)) {
                    changes.names.push(name.to_vec());
                }
                changes.put.push(found_by);
                changes.values.push(value.to_vec());
            }
        }
    }
    let mut queries = Vec::new();
    for Changes { table, put, names, children, values, remove } in all {
        if !remove.is_empty() {
            queries.push(sql::remove(table, &remove));
        }
        if !put.is_empty() {
            queries.push(sql::put(table, &put, names, children, values));
        }
    }
    Ok(queries)
}

/// Queries as they are sent.
pub(super) fn statements(queries: &[Query]) -> Vec<Statement<'_>> {
    queries.iter().map(|query| Statement { sql: &query.sql, values: &query.values }).collect()
}
