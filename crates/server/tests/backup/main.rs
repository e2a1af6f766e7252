//! Snapshots and the way back, and files brought in from elsewhere: `headwater export` and `headwater import`.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of the wire tests, of which this takes a part"
)]
#[path = "../wire/harness/mod.rs"]
mod harness;
mod import;
mod snapshot;
