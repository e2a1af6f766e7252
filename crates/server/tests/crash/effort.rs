//! How much a test does: some seconds by default, all of it on demand; and with which seed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use blobs::suite::Chance;

/// The effort of one test.
pub(crate) struct Effort {
    /// Printed, and taken from the environment.
    pub(crate) seed: u64,
    what: &'static str,
    rounds: Option<usize>,
    done: usize,
    begun: Instant,
    seconds: u64,
    failed: Vec<String>,
}

impl Effort {
    /// By default `seconds` of work, at full length `full` rounds.
    pub(crate) fn new(what: &'static str, seconds: u64, full: usize) -> Self {
        let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
        let seed = number("HEADWATER_CRASH_SEED").unwrap_or_else(|| blobs::suite::seed() >> 32);
        let rounds = match std::env::var("HEADWATER_CRASH").as_deref() {
            Ok("full") => Some(full),
            Ok(rounds) => Some(rounds.parse().expect("HEADWATER_CRASH is `full` or a number")),
            Err(_) => None,
        };
        eprintln!("{what}: HEADWATER_CRASH_SEED={seed}");
        Self { seed, what, rounds, done: 0, begun: Instant::now(), seconds, failed: vec![] }
    }

    /// Whether there is another round to do, which is counted. There are three in any case.
    pub(crate) fn goes_on(&mut self) -> bool {
        let more = match self.rounds {
            Some(rounds) => self.done < rounds,
            None => self.done < 3 || self.begun.elapsed() < Duration::from_secs(self.seconds),
        };
        self.done += usize::from(more);
        more
    }

    /// Whether it was asked for on demand, and may take its time.
    pub(crate) fn is_full(&self) -> bool {
        self.rounds.is_some()
    }

    /// Chance for a part of the test.
    pub(crate) fn chance(&self, part: u64) -> Chance {
        Chance::new(self.seed ^ part.wrapping_mul(0x9e37_79b9))
    }

    /// One case of many: what fails in it is told at the end, after the others.
    pub(crate) fn case(&mut self, name: &str, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            eprintln!("{}: FAILED: {name}", self.what);
            self.failed.push(name.to_owned());
        }
    }

    /// Says what was done; fails if a case did.
    pub(crate) fn report(&self, more: &str) {
        let secs = self.begun.elapsed().as_secs_f64();
        eprintln!("{}: {} rounds in {secs:.1} s; {more}", self.what, self.done);
        assert!(self.failed.is_empty(), "seed {}: {:#?}", self.seed, self.failed);
    }
}

/// Puts a list into an order by chance.
pub(crate) fn shuffle<T>(list: &mut [T], chance: &mut Chance) {
    for i in (1..list.len()).rev() {
        list.swap(i, chance.below(i + 1));
    }
}
