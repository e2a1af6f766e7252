//! Servers that tests run beside headwater: PostgreSQL and a pooler in front of it, an S3 server, a network that misbehaves.
//!
//! What lives here: starting, stopping, killing, holding up and bringing back such a server. What does not: what is tested
//! with it, installing it (`scripts/setup test`), and anything of the product, which never depends on this crate. The
//! invariant: whatever happens in a test, dropping the value ends the process that was started here, by its id, and no
//! other.
//!
//! They listen on the loopback interface or on Unix sockets in temporary directories; PostgreSQL runs as the unprivileged
//! user `postgres` where tests run as root.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot begin ends")]

mod authority;
mod pooler;
mod postgres;
mod proxy;
mod s3;
mod shared;

pub use authority::Authority;
pub use pooler::Pooler;
pub use postgres::{Database, Schema, Server, Stop, shared};
pub use proxy::{Mishap, Proxy};
pub use s3::{Durability, S3};
