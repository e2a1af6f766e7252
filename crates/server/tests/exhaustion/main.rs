//! What happens when something runs out: room on the disk, files on it, memory.
//!
//! Every test needs file systems or memory limits of its own, and with them the right to make them: without it a test
//! says so and passes. The invariants: what was acknowledged stays, reads go on, the answers are the contract's, and
//! nobody has to restart anything when there is room again.
//!
//! `HEADWATER_STREAM_MB=20000` sets how much `a_stream_under_a_memory_limit` sends (600 by default).

#![allow(clippy::unwrap_used, reason = "a test may")]

mod disk;
mod full;
#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of the wire tests, of which this takes a part"
)]
#[path = "../wire/harness/mod.rs"]
mod harness;
mod memory;
