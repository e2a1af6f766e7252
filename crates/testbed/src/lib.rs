//! Servers that tests run against: PostgreSQL, and a pooler in front of it, from Debian's packages.
//!
//! What lives here: starting, stopping and killing them, and giving each test a database of its own. What does not: what
//! tests do with them, and anything of the product, which never depends on this crate.
//!
//! Servers listen on Unix sockets in temporary directories, run as the unprivileged user `postgres` where tests run as
//! root, and are ended by their own process ids.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot begin ends")]

mod pooler;
mod postgres;

pub use pooler::Pooler;
pub use postgres::{Database, Server, Stop, shared};
