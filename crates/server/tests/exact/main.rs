//! Only verified bytes come in, and only whole versions go out (promises 7 and 10).
//!
//! `HEADWATER_ROUNDS=10000` sets how many bad uploads are tried, and half of it how many changes are read through; the
//! default is 300. Seeds are fixed: the same number of rounds does the same.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of the wire tests, of which this takes a part"
)]
#[path = "../wire/harness/mod.rs"]
mod harness;
mod incoming;
mod outgoing;

/// How much is tried.
pub(crate) fn rounds() -> u64 {
    std::env::var("HEADWATER_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}
