//! Moving house: a store goes to other engines while clients change it, and whatever dies on the way.
//!
//! What lives here: `headwater migrate` at the wire, between all kinds of engines, judged by the oracle of the crash tests
//! (`ledger`): what was acknowledged is at the new place. What does not: the law of what a catalog notes (in `catalog`).
//! `HEADWATER_MOVE_FILES=100000` makes `many_files` as large, and prints how long it took; `HEADWATER_CRASH_BINARY=path`
//! tries another build.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]
#![expect(clippy::print_stderr, reason = "says with which seed, and how long it took")]

#[path = "../crash/caller.rs"]
#[allow(dead_code, reason = "what crash tests need beside this")]
mod caller;
#[path = "../wire/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what the tests of the contract need beside this")]
mod harness;
#[path = "../crash/ledger.rs"]
#[allow(dead_code, reason = "what crash tests need beside this")]
mod ledger;

mod cuts;
mod house;
mod kinds;
mod many;
mod rules;
