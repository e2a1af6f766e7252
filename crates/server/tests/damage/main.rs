//! Promises 8 and 9 at the real binary: wrong bytes never leave, damage is found, and a catalog that was damaged never
//! passes for a smaller one that is whole.
//!
//! What lives here: damage to blobs (`blobs`), damage to the catalog's files (`catalog`), scrubbing (`scrub`). What does
//! not: rows that contradict each other (tests/fsck).
//!
//! At full length: `HEADWATER_FLIPS=500 cargo nextest run -p server --test damage catalog` (40 by default), and
//! `HEADWATER_SEED=N` to repeat a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]

#[expect(dead_code, unused_imports, reason = "the harness serves other tests, too")]
#[path = "../wire/harness/mod.rs"]
mod harness;
#[expect(dead_code, reason = "it serves the tests of fsck, too")]
#[path = "../fsck/store.rs"]
mod store;

mod blobs;
mod catalog;
mod scrub;

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Chance(u64);

impl Chance {
    /// Of this run; its seed is printed.
    #[expect(clippy::print_stdout, reason = "to repeat a run that failed")]
    pub(crate) fn new() -> Self {
        let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(harness::now_secs);
        println!("HEADWATER_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}
