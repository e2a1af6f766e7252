//! Hostile clients (promises.md, "Threats" and "Corpus of bad input"): bad input on every front end, connections that are
//! held, callers without a right, and what must not be found afterwards: secrets, leaks, pages that run.
//!
//! What lives here: tests over raw sockets against the real binary, most of them tables. What does not: the contract for
//! clients that mean well (`wire`), crashes and disks. Counts are small enough for CI; the full ones are run with
//! `HEADWATER_ABUSE=full cargo nextest run -p server --test abuse --no-capture`, and every test prints what it counted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]
#![expect(clippy::too_many_lines, reason = "tables, which are read from top to bottom")]
#![expect(clippy::print_stdout, reason = "every test says what it counted")]

#[allow(dead_code, unused_imports, reason = "it stands beside `wire`, which uses all of it")]
#[path = "../wire/harness/mod.rs"]
mod harness;

mod callers;
mod corpus;
mod crowd;
mod leaks;
mod origin;
mod proc;
mod secrets;
mod signing;
mod slow;

/// Whether the long counts are wanted.
fn full() -> bool {
    std::env::var("HEADWATER_ABUSE").is_ok_and(|value| value == "full")
}
