//! The door: the row that says whether the catalog is moved, and holds up those that write while that changes.
//!
//! Every transaction that writes locks it for sharing, with its first journey, and holds it to its end. Whoever changes it
//! waits for those, and those that come later wait for the change, or see it: so no group that has seen the door open
//! commits after it was closed, whatever its snapshot shows. What the door says means, and what is noted, is
//! `crate::rows::moving`'s. Here is also how many rows are looked up at once for whoever moves a catalog.

use bytes::Bytes;
use model::{Moving, Result};
use tokio_postgres::Row;

use super::snapshot::{Snapshot, bytes, int, strange};
use super::sql::{self, Query};
use super::tables::{self, Table, Value};
use crate::rows::keys::{DOOR, Family};
use crate::rows::moving;
use crate::rows::overlay::Overlay;
use crate::rows::source::Place;

/// Rows of a table that are asked for: which of all they are, and the columns they are found by.
type Asked = (&'static Table, Vec<usize>, Vec<Vec<Value>>);

/// What locks it.
pub(super) const LOCK: &str = "SELECT value FROM door WHERE id = 0 FOR SHARE";

impl Snapshot<'_> {
    /// Keeps what [`LOCK`] found.
    pub(super) fn keep_door(&self, rows: &[Row]) -> Result<()> {
        let value = bytes(rows.first().ok_or_else(strange)?, 0)?;
        self.keep(Family::Moves, DOOR.to_vec(), Some(value));
        Ok(())
    }

    /// What the door says, under the changes of a group; begins the transaction if it has not begun.
    pub(super) fn door(&self, overlay: &Overlay) -> Result<Option<Moving>> {
        if !self.has_begun() {
            self.ask(&[])?;
        }
        match overlay.get(Family::Moves, DOOR) {
            Some(change) => moving::read_door(change.as_deref().unwrap_or_default()),
            None => moving::door(self),
        }
    }

    /// Values of keys in one journey. They are not kept.
    pub(super) fn look_up_all(&self, places: &[Place]) -> Result<Vec<Option<Bytes>>> {
        let mut by_table: Vec<Asked> = Vec::new();
        for (n, (family, key)) in places.iter().enumerate() {
            let table = tables::of(*family, key)?;
            let Some(found_by) = table.find(key) else { continue };
            let at = by_table.iter().position(|(other, ..)| std::ptr::eq(*other, table));
            let at = at.unwrap_or_else(|| {
                by_table.push((table, Vec::new(), Vec::new()));
                by_table.len() - 1
            });
            by_table[at].1.push(n);
            by_table[at].2.push(found_by);
        }
        let queries: Vec<Query> =
            by_table.iter().map(|(table, _, found_by)| sql::many(table, found_by)).collect();
        let mut values = vec![None; places.len()];
        if queries.is_empty() {
            return Ok(values);
        }
        for ((_, places, _), rows) in by_table.iter().zip(self.ask(&queries)?) {
            for row in rows {
                let n = usize::try_from(int(&row, 0)?).ok().and_then(|n| places.get(n));
                let place = n.and_then(|n| values.get_mut(*n)).ok_or_else(strange)?;
                *place = Some(bytes(&row, 1)?);
            }
        }
        Ok(values)
    }
}
