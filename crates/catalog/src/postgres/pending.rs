//! The changes of a group on top of one state of the database.
//!
//! What lives here: what a group's operations see, and the flush of what they changed. What does not: the order of
//! things (`writer`).

use model::{Error, Result};

use super::ahead::Lookout;
use super::ids::Ids;
use super::line::Statement;
use super::snapshot::Known;
use super::sql::{self, Query};
use super::tables::{self, Table, Value};
use crate::rows::keys::{self, Family};
use crate::rows::overlay::Overlay;
use crate::rows::record::{content_of, leads_to};
use crate::rows::source::{Ahead, Group, Scan, Source, Visit, merge};

/// What operations of a group see.
pub(super) struct Pending<'a> {
    pub(super) lookout: Lookout<'a>,
    pub(super) overlay: Overlay,
    pub(super) ids: &'a Ids,
}

impl Pending<'_> {
    fn known(&self, family: Family, key: &[u8]) -> Option<Known> {
        self.overlay.get(family, key).cloned().or_else(|| self.lookout.snapshot.known(family, key))
    }
}

impl Source for Pending<'_> {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        let row = match self.overlay.get(family, key) {
            Some(change) => change.clone(),
            None => self.lookout.row(family, key)?,
        };
        row.map(|value| read(&value)).transpose()
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        self.lookout.may_scan()?;
        let changes = self.overlay.range(scan.family, scan.from, scan.below);
        merge(&mut self.lookout.snapshot.cursor(scan), changes, visit)
    }

    fn look_ahead(&self, ahead: Ahead<'_>) -> Result<()> {
        // Whoever changes what stands at a path asks these next: whether there is room, whom to tell, what to count.
        let beside = || match ahead {
            Ahead::Path { account, .. } => [keys::account, keys::usage, keys::callbacks]
                .map(|key| (Family::Meta, key(account)))
                .to_vec(),
            Ahead::Node(_) | Ahead::File { .. } => Vec::new(),
        };
        self.lookout.prepare(ahead, beside, |family, key| self.known(family, key))
    }
}

impl Group for Pending<'_> {
    fn overlay(&mut self) -> &mut Overlay {
        &mut self.overlay
    }

    fn is_void(&self) -> bool {
        self.lookout.is_void()
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
    contents: Vec<Option<i64>>,
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
            let (put, names, children, contents, values, remove) = Default::default();
            all.push(Changes { table, put, names, children, contents, values, remove });
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
                    let content = content_of(value)?.map(|id| id.0.cast_signed());
                    changes.contents.push(content);
                }
                changes.put.push(found_by);
                changes.values.push(value.to_vec());
            }
        }
    }
    let mut queries = Vec::new();
    for Changes { table, put, names, children, contents, values, remove } in all {
        if !remove.is_empty() {
            queries.push(sql::remove(table, &remove));
        }
        if !put.is_empty() {
            queries.push(sql::put(table, &put, names, [children, contents], values));
        }
    }
    Ok(queries)
}

/// Queries as they are sent.
pub(super) fn statements(queries: &[Query]) -> Vec<Statement<'_>> {
    queries.iter().map(|query| Statement { sql: &query.sql, values: &query.values }).collect()
}
