//! The tables' versions: what a new database is given, and how an older one is brought up.
//!
//! What lives here: the migrations and their order. What does not: what is in them (`migrations/`).
//!
//! Each version is one file of SQL that is run once, in a transaction, by whoever comes first: the row of table
//! `headwater_schema` that says which version is there is locked meanwhile, so nodes that start together wait for one
//! another. (Advisory locks would do as well, but clusters lack them, and so does a pooler.) A database that is newer than
//! this release is refused, since nobody here knows what its rows mean.
//!
//! A released file never changes. A version must leave the one before it able to run until all nodes are new: add first,
//! remove a release later.

use model::{Error, Result};
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::line::{ANSWER, Line, Statement, param};
use crate::rows::codec::encode;
use crate::rows::keys::{FORMAT, LAST_ID};
use crate::rows::record::Number;

/// The migrations: the first makes version 1.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
];
/// How often a step is tried while other nodes do the same.
const ATTEMPTS_MAX: u32 = 20;
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 600000";
/// What holds the number of the version that is there. Asking first spares a right that a server's role need not have.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS headwater_schema (id int8 PRIMARY KEY, version int8 NOT NULL); \
     INSERT INTO headwater_schema (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING";

/// Brings the database to this release's version.
///
/// # Errors
/// [`Error::Storage`] when a newer release wrote it; [`Error::Unavailable`].
pub(super) fn migrate(line: &Line) -> Result<()> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match step(line) {
            Ok(true) => return Ok(()),
            Ok(false) => attempts = 0,
            // Two that make the same table at once: one of them is told that it is there already.
            Err(Fault::Conflict) if attempts < ATTEMPTS_MAX => {
                line.hang_up();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Err(fault) => return Err(fault.error()),
        }
    }
}

/// Does the next step; whether there is none.
fn step(line: &Line) -> std::result::Result<bool, Fault> {
    line.connect()?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let version = match version(line, "")? {
        Some(version) if version == newest => return Ok(true),
        Some(version) if version > newest => {
            return Err(Fault::Refused(Error::Storage(format!(
                "a newer release wrote this catalog: its tables have version {version}, this release knows {newest}"
            ))));
        }
        Some(version) => version,
        None => {
            line.send(None, &[], Some(TABLE), ANSWER)?;
            return Ok(false);
        }
    };
    line.send(Some(BEGIN), &[], None, ANSWER)?;
    if self::version(line, " FOR UPDATE")? != Some(version) {
        // Somebody was quicker.
        line.send(None, &[], Some("ROLLBACK"), ANSWER)?;
        return Ok(false);
    }
    let next = usize::try_from(version).unwrap_or_default();
    line.send(Some(MIGRATIONS[next]), &[], None, ANSWER * 120)?;
    let values = [
        param(FORMAT.to_vec(), Type::BYTEA),
        param(encode(&Number(super::FORMAT)), Type::BYTEA),
        param(LAST_ID.to_vec(), Type::BYTEA),
        param(encode(&Number(0)), Type::BYTEA),
    ];
    let rows =
        "INSERT INTO meta (key, value) VALUES ($1, $2), ($3, $4) ON CONFLICT (key) DO NOTHING";
    let update = "UPDATE headwater_schema SET version = version + 1 WHERE id = 1";
    let statements =
        [Statement { sql: rows, values: &values }, Statement { sql: update, values: &[] }];
    line.send(None, &statements, Some("COMMIT"), ANSWER)?;
    Ok(false)
}

/// The version that is there; `None`: not even the table is.
fn version(line: &Line, how: &str) -> std::result::Result<Option<i64>, Fault> {
    let there = "SELECT 1 FROM information_schema.tables \
         WHERE table_name = 'headwater_schema' AND table_schema = current_schema()";
    let there = line.send(None, &[Statement { sql: there, values: &[] }], None, ANSWER)?;
    if there[0].is_empty() {
        return Ok(None);
    }
    let sql = format!("SELECT version FROM headwater_schema WHERE id = 1{how}");
    // Whoever is at it may take long.
    let limit = ANSWER * 120;
    let rows = line.send(None, &[Statement { sql: &sql, values: &[] }], None, limit)?;
    rows[0].first().map(|row| row.try_get(0).map_err(Fault::from)).transpose()
}
