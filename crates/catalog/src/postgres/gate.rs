//! Gates: nodes that write the same accounts at the same time go through one after the other.
//!
//! Only an optimization: that no update is lost rests on the transactions' isolation alone. Without a gate, of the groups
//! that several nodes run at once on one account all but the first to commit are run again; behind it they wait before
//! they take their snapshot, and meanwhile gather more operations. A gate is a row that is locked by a transaction of its
//! own, so it opens by itself when a node dies. It is only used for some seconds after a conflict: a node that writes
//! alone pays nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::AccountId;

use super::line::{ANSWER, Line, Statement, param};
use tokio_postgres::types::Type;

/// Rows of table `gates`: accounts share them.
const GATES: u32 = 64;
/// How long after a conflict a gate is used.
const LASTS: Duration = Duration::from_secs(5);
/// It is given up on sooner than a statement is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 2000; \
     SET LOCAL idle_in_transaction_session_timeout = 30000";

/// The gates a node goes through.
pub(super) struct Gates {
    line: Line,
    until: RefCell<BTreeMap<i64, Instant>>,
}

/// While it is there, the gates are held.
pub(super) struct Held<'a>(Option<&'a Line>);

impl Gates {
    /// None yet.
    pub(super) fn new(line: Line) -> Self {
        Self { line, until: RefCell::default() }
    }

    /// Somebody else writes these accounts.
    pub(super) fn use_for(&self, accounts: impl Iterator<Item = AccountId>) {
        let until = Instant::now() + LASTS;
        let mut gates = self.until.borrow_mut();
        gates.extend(accounts.map(|account| (i64::from(account.0 % GATES), until)));
    }

    /// Goes through the gates that are in use, in their order. If that does not work, it goes on without.
    pub(super) fn enter(&self) -> Held<'_> {
        let gates: Vec<i64> = {
            let mut gates = self.until.borrow_mut();
            gates.retain(|_, until| *until > Instant::now());
            gates.keys().copied().collect()
        };
        if gates.is_empty() {
            return Held(None);
        }
        let values = [param(gates, Type::INT8_ARRAY)];
        let sql = "SELECT id FROM gates WHERE id = ANY($1) ORDER BY id FOR UPDATE";
        let entered = self.line.connect().and_then(|()| {
            self.line.send(Some(BEGIN), &[Statement { sql, values: &values }], None, ANSWER)
        });
        if entered.is_err() {
            self.line.toss("ROLLBACK");
            return Held(None);
        }
        Held(Some(&self.line))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.0 {
            line.toss("COMMIT");
        }
    }
}
