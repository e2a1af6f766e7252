//! `headwater fsck` at the real binary: clean after everything the API can do and after a kill; and each kind of finding,
//! seeded on purpose, seen, mended where that needs no guess, and clean afterwards.
//!
//! A store of a million entries: `HEADWATER_ENTRIES=1000000 cargo nextest run -p server --test fsck million --no-capture`
//! (20,000 by default).
//!
//! What lives here: the store that is damaged (`store`), damage in the catalog (`catalog`) and on disk (`disk`), stores
//! that are well (`well`). What does not: bit flips and damage that readers meet (tests/damage).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]

#[expect(dead_code, unused_imports, reason = "the harness serves other tests, too")]
#[path = "../wire/harness/mod.rs"]
mod harness;

mod catalog;
mod disk;
mod million;
mod store;
mod well;
