//! Servers that tests run beside headwater, each a process of its own on a free port of the loopback interface, with its data
//! in a directory that goes away.
//!
//! What lives here: starting, stopping, holding up and bringing back such a server. What does not: what is tested with it,
//! and installing it (`scripts/setup test`). The invariant: whatever happens in a test, dropping the value ends the process
//! that was started here, by its id, and no other.

mod proxy;
mod s3;

pub use proxy::{Mishap, Proxy};
pub use s3::{Durability, S3};
