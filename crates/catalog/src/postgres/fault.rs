//! What goes wrong between here and the database, as facts.
//!
//! What lives here: which of PostgreSQL's conditions means what. What does not: what is done about it (`line`, `writer`).

use std::time::Duration;

use model::Error;
use tokio_postgres::error::SqlState;

/// Why something was not done, or nobody knows whether it was.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Another transaction was in the way: nothing was done, and trying again may work.
    Conflict,
    /// The connection is gone, or of no use any more. What was sent last was done or not.
    Lost(String),
    /// Nothing was done, and the connection is in order.
    Refused(Error),
}

impl Fault {
    /// As operations see it.
    pub(super) fn error(self) -> Error {
        match self {
            Fault::Conflict => {
                Error::Unavailable("other writes of the same records are in the way".to_owned())
            }
            Fault::Lost(why) => Error::Unavailable(format!("the database: {why}")),
            Fault::Refused(error) => error,
        }
    }

    /// Nothing came within the time there was.
    pub(super) fn late(limit: Duration) -> Self {
        Fault::Lost(format!("no answer within {} s", limit.as_secs()))
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(e: tokio_postgres::Error) -> Self {
        let Some(answer) = e.as_db_error() else {
            // A value that cannot be read as what its column is would be our mistake; everything else is the connection.
            return match std::error::Error::source(&e) {
                Some(why) => Fault::Lost(format!("{e}: {why}")),
                None => Fault::Lost(e.to_string()),
            };
        };
        let text = format!("{} ({})", answer.message(), answer.code().code());
        let code = answer.code();
        let class = code.code().get(..2).unwrap_or_default();
        match code.code() {
            _ if *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::T_R_DEADLOCK_DETECTED
                // Somebody made the same table, or its first row, at the same time (`schema`).
                || *code == SqlState::UNIQUE_VIOLATION
                || *code == SqlState::DUPLICATE_TABLE
                // A table's type comes before the table.
                || *code == SqlState::DUPLICATE_OBJECT =>
            {
                Fault::Conflict
            }
            // Connections that end, servers that start or stop or have no place left, a standby, an outcome that
            // nobody knows, and a transaction that waited for us too long.
            "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25006" | "40003" | "25P03"
            // A statement under a name that means nothing any more, or something else since the tables changed.
            | "26000" | "42P05" | "0A000" => {
                Fault::Lost(text)
            }
            _ if class == "08" => Fault::Lost(text),
            // A time-out of a statement or of a lock; no memory.
            "57014" | "55P03" | "53200" => Fault::Refused(Error::Unavailable(text)),
            "53100" => Fault::Refused(Error::Full),
            "XX001" | "XX002" => Fault::Refused(Error::Damaged(text)),
            _ => Fault::Refused(Error::Storage(text)),
        }
    }
}
