//! What was acknowledged is there after a crash, and nothing torn is: the real binary over HTTP, killed, failed at every
//! step, and robbed of its power; one oracle judges all (`ledger`).
//!
//! What lives here: promises 1 to 5 and 15, and of 14 what nodes of one store do (`nodes`, `outages`). What does not: the contract itself (`wire`), and faults under the traits (in
//! `ops`, tests/faults). By default each test runs for some seconds. `HEADWATER_CRASH=full` runs all of each at full
//! length, `HEADWATER_CRASH=300` that many rounds; `HEADWATER_CRASH_SEED=n` repeats what a run printed, `HEADWATER_CRASH_BINARY=path` tries another build. Tests that need
//! root and loop devices say so on stderr and pass without.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]
#![expect(
    clippy::print_stderr,
    reason = "says what was done, with which seed, and what was not run"
)]

#[path = "../wire/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what the tests of the contract need beside this")]
mod harness;

mod caller;
mod clients;
mod cluster;
mod device;
mod effort;
mod errors;
mod faults;
mod fuse;
mod kills;
mod ledger;
mod load;
mod node;
mod nodes;
mod outages;
mod power;
mod script;
mod states;
mod steps;
mod world;
