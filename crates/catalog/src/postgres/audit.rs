//! The catalog laid open, row by row: one transaction, and a cursor in it for each index that is walked through.
//!
//! What does not live here: what rows mean (`crate::rows::stored`).
//!
//! Cursors belong to their transaction, which a pooler keeps on one connection. Names are sorted by the server, as their
//! key has a hash in their place: directory by directory.

use std::cell::Cell;

use model::{Moving, Result};

use super::line::Line;
use super::snapshot::{Snapshot, key_and_value};
use super::sql::{self, Query};
use super::tables::{self, Table};
use crate::audit::{Audit, Change, Index, Row, Rows};
use crate::rows::keys;
use crate::rows::moving;
use crate::rows::stored;

/// How the transaction begins: statements may take long, and so may whoever looks at the rows.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = 600000; SET LOCAL idle_in_transaction_session_timeout = 3600000";
/// Rows that are fetched together.
const FETCH: usize = 1000;

/// One state of the whole.
pub(super) struct Frozen<'a> {
    snapshot: Snapshot<'a>,
    cursors: Cell<u64>,
}

impl<'a> Frozen<'a> {
    /// The state as it will be when the first row is asked for.
    pub(super) fn new(line: &'a Line) -> Self {
        Self { snapshot: Snapshot::patient(line, BEGIN), cursors: Cell::new(0) }
    }

    /// Begins, so that what is seen is what there is now.
    pub(super) fn begin(&self) -> Result<()> {
        self.snapshot.ask(&[]).map(drop)
    }

    /// Ends the transaction.
    pub(super) fn end(&self) {
        self.snapshot.end();
    }

    fn run(&self, sql: String) -> Result<Vec<tokio_postgres::Row>> {
        let query = Query { sql, values: Vec::new() };
        Ok(self.snapshot.ask(&[query])?.swap_remove(0))
    }
}

impl Audit for Frozen<'_> {
    fn rows(&self, index: Index, after: Option<&Row>) -> Rows<'_> {
        let from = after.and_then(stored::stored).map(|(_, key, _)| keys::after(key));
        let tables: Vec<_> = tables::all_of(stored::family(index)).collect();
        Box::new(Scan {
            frozen: self,
            index,
            from: from.unwrap_or_default(),
            tables: tables.into_iter(),
            open: None,
            rows: Vec::new().into_iter(),
        })
    }

    fn stored(&self, like: &Row) -> Result<Option<Row>> {
        let Some((at, key, _)) = stored::stored(like) else { return Ok(None) };
        let Some(index) = stored::index(at) else { return Ok(None) };
        Ok(self.snapshot.look_up(at, &key)?.map(|value| stored::read(index, &key, &value)))
    }

    fn moving(&self) -> Result<Option<Moving>> {
        moving::door(&self.snapshot)
    }

    fn changes(&self, up_to: u64, after: Option<&Change>, limit: usize) -> Result<Vec<Change>> {
        moving::changes(&self.snapshot, up_to, after, limit)
    }

    fn rows_at(&self, changes: &[Change]) -> Result<Vec<Option<Row>>> {
        moving::rows_at(changes, &|places| self.snapshot.look_up_all(places))
    }

    fn are_noted(&self, rows: &[Row], epoch: u64) -> Result<Vec<bool>> {
        moving::are_noted(rows, epoch, &|places| self.snapshot.look_up_all(places))
    }
}

/// A walk through the tables of an index.
struct Scan<'f, 'a> {
    frozen: &'f Frozen<'a>,
    index: Index,
    from: Vec<u8>,
    tables: std::vec::IntoIter<&'static Table>,
    /// The table that is walked through, and its cursor.
    open: Option<(&'static Table, String)>,
    rows: std::vec::IntoIter<tokio_postgres::Row>,
}

impl Scan<'_, '_> {
    /// The next row's key and value.
    fn step(&mut self) -> Result<Option<Row>> {
        loop {
            if let (Some((table, _)), Some(row)) = (&self.open, self.rows.next()) {
                let (key, value) = key_and_value(table, &row)?;
                return Ok(Some(stored::read(self.index, &key, &value)));
            }
            if let Some((_, cursor)) = &self.open {
                let rows = self.frozen.run(format!("FETCH {FETCH} FROM {cursor}"))?;
                if rows.is_empty() {
                    self.frozen.run(format!("CLOSE {cursor}"))?;
                    self.open = None;
                }
                self.rows = rows.into_iter();
                continue;
            }
            let Some(table) = self.tables.next() else { return Ok(None) };
            // Behind all keys there are.
            let Some(range) = table.range(&self.from, &[u8::MAX; 64]) else { continue };
            let number = self.frozen.cursors.get();
            self.frozen.cursors.set(number + 1);
            let cursor = format!("walk{number}");
            let mut query = sql::range(table, &range, false, None);
            query.sql = format!("DECLARE {cursor} NO SCROLL CURSOR FOR {}", query.sql);
            self.frozen.snapshot.ask(&[query])?;
            self.open = Some((table, cursor));
        }
    }
}

impl Iterator for Scan<'_, '_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let step = self.step();
        if step.is_err() {
            // There are no more rows, and there may have been.
            self.tables = Vec::new().into_iter();
            self.open = None;
        }
        step.transpose()
    }
}
