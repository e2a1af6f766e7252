//! Fresh ids: taken from the database in blocks, so that giving one out touches no row that other nodes write.
//!
//! Invariant: no id is given twice, whichever node gives it, whatever becomes of the transaction it was for. Those of a
//! block that are not given when the process ends are lost, which does not matter.

use std::cell::RefCell;
use std::ops::Range;

use model::{Error, Result};
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::line::{ANSWER, Line, Statement, param};
use crate::rows::codec::{decode, encode};
use crate::rows::keys::LAST_ID;
use crate::rows::record::Number;

/// Ids in a block.
const BLOCK: u64 = 1024;
/// How often a block is tried for while other nodes take theirs.
const ATTEMPTS_MAX: u32 = 5;
/// One row is locked, and nothing else is looked at: no snapshot has to hold.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on; \
     SET LOCAL statement_timeout = 4500";

/// The ids that were taken and not given yet.
pub(super) struct Ids {
    line: Line,
    left: RefCell<Range<u64>>,
}

impl Ids {
    /// Nothing is taken yet.
    pub(super) fn new(line: Line) -> Self {
        Self { line, left: RefCell::new(0..0) }
    }

    /// An id.
    pub(super) fn next(&self) -> Result<u64> {
        if let Some(id) = self.left.borrow_mut().next() {
            return Ok(id);
        }
        let mut block = self.take()?;
        let id = block.next().ok_or_else(no_more)?;
        self.left.replace(block);
        Ok(id)
    }

    /// The last id was set behind our back: what is left may be given elsewhere.
    pub(super) fn forget(&self) {
        self.left.replace(0..0);
    }

    fn take(&self) -> Result<Range<u64>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.try_take() {
                Ok(block) => return Ok(block),
                // A block whose end was not heard of is lost; the next one is another.
                Err(Fault::Conflict | Fault::Lost(_)) if attempts < ATTEMPTS_MAX => {}
                Err(fault) => return Err(fault.error()),
            }
        }
    }

    fn try_take(&self) -> std::result::Result<Range<u64>, Fault> {
        self.line.connect()?;
        let key = param(LAST_ID.to_vec(), Type::BYTEA);
        let sql = "SELECT value FROM meta WHERE key = $1 FOR UPDATE";
        let rows = self.line.send(Some(BEGIN), &[Statement { sql, values: &[key] }], None, ANSWER);
        let block = rows.and_then(|rows| {
            let read = |value: &[u8]| decode::<Number>(value).map_err(Fault::Refused);
            let last = rows[0].first().map(|row| row.try_get::<_, &[u8]>(0).map(read));
            // The row is there since the schema is.
            let Number(last) = last.ok_or_else(|| Fault::Refused(no_more()))???;
            let end = last.checked_add(BLOCK).ok_or_else(|| Fault::Refused(no_more()))?;
            let values =
                [param(LAST_ID.to_vec(), Type::BYTEA), param(encode(&Number(end)), Type::BYTEA)];
            let sql = "UPDATE meta SET value = $2 WHERE key = $1";
            self.line.send(None, &[Statement { sql, values: &values }], Some("COMMIT"), ANSWER)?;
            Ok(last + 1..end + 1)
        });
        if block.is_err() && self.line.is_connected() {
            // Whatever state the transaction is in ends with its connection.
            self.line.hang_up();
        }
        block
    }
}

fn no_more() -> Error {
    Error::Storage("no ids are left".to_owned())
}
