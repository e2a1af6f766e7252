//! How fast a pass reads: as fast as it must to end within its period, and never faster than the operator allows.
//!
//! What does not live here: what is read.

use std::time::{Duration, Instant};

use model::{Scrub, Time};

/// How scrubbing is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Seconds from the beginning of one pass to that of the next; 0: none begins by itself.
    pub period_secs: u64,
    /// Bytes a second at most, of passes that begin by themselves.
    pub bytes_per_second_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { period_secs: 7 * 86_400, bytes_per_second_max: 64 << 20 }
    }
}

/// Bytes a second at least: a small store is read in minutes, and nobody notices.
const RATE_MIN: u64 = 1 << 20;
/// A pass aims at this part of its period, in percent, so that it ends within it.
const PERIOD_PERCENT: u64 = 80;
/// What opening something costs beside its bytes.
const OBJECT_BYTES: u64 = 16 << 10;

/// Holds a pass back.
pub(super) struct Pace {
    limits: Limits,
    /// About how many bytes there are to read.
    total: u64,
    /// Up to when what was read is paid for.
    paid: Instant,
}

impl Pace {
    pub(super) fn new(limits: Limits, total: u64) -> Self {
        Self { limits, total, paid: Instant::now() }
    }

    /// Bytes a second now; `None`: as fast as it goes.
    fn rate(&self, scrub: &Scrub, now: Time) -> Option<u64> {
        match scrub.rate {
            Some(0) => return None,
            Some(rate) => return Some(rate),
            None => {}
        }
        let aim_ms = self.limits.period_secs.saturating_mul(10 * PERIOD_PERCENT);
        let left_ms = aim_ms.saturating_sub(now.since(scrub.begun)).max(1000);
        let left = u128::from(self.total.saturating_sub(scrub.bytes));
        let needed = u64::try_from(left * 1000 / u128::from(left_ms)).unwrap_or(u64::MAX);
        Some(needed.max(RATE_MIN).min(self.limits.bytes_per_second_max).max(1))
    }

    /// How long to wait after so many bytes; 0 stands for what opening something costs.
    pub(super) fn wait(
        &mut self,
        scrub: &Scrub,
        bytes: u64,
        (now, instant): (Time, Instant),
    ) -> Option<Duration> {
        let rate = self.rate(scrub, now)?;
        let cost = if bytes == 0 { OBJECT_BYTES } else { bytes };
        // What was not used is not saved up.
        self.paid = self.paid.max(instant) + Duration::from_secs_f64(cost as f64 / rate as f64);
        let wait = self.paid.saturating_duration_since(instant);
        (wait > Duration::from_millis(5)).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn rate(total: u64, read: u64, after_secs: u64) -> u64 {
        let limits = Limits { period_secs: 1_000_000, bytes_per_second_max: 100 << 20 };
        let scrub = Scrub { bytes: read, begun: Time(5), ..Scrub::default() };
        Pace::new(limits, total).rate(&scrub, Time(5 + after_secs * 1000)).unwrap()
    }

    #[test]
    fn as_fast_as_it_must_and_no_faster_than_it_may() {
        assert_eq!(rate(GIB, 0, 0), RATE_MIN, "a small store");
        assert_eq!(rate(10_000 * GIB, 0, 0), 10_000 * GIB / 800_000);
        assert_eq!(rate(10_000 * GIB, 5_000 * GIB, 400_000), 5_000 * GIB / 400_000, "on time");
        assert_eq!(rate(10_000 * GIB, 2_500 * GIB, 400_000), 7_500 * GIB / 400_000, "late");
        assert_eq!(rate(10_000 * GIB, 2_500 * GIB, 2_000_000), 100 << 20, "too late");
        assert_eq!(rate(1_000_000 * GIB, 0, 0), 100 << 20);
    }

    #[test]
    fn a_rate_that_was_asked_for_holds() {
        let mut pace = Pace::new(Limits::default(), 5);
        let asked = |rate| Scrub { rate: Some(rate), ..Scrub::default() };
        let begun = pace.paid;
        let mut wait = |rate, after_ms| {
            let instant = begun + Duration::from_millis(after_ms);
            pace.wait(&asked(rate), 500_000, (Time(0), instant)).map(|wait| wait.as_millis())
        };
        assert_eq!(wait(0, 0), None);
        assert_eq!(wait(1_000_000, 0), Some(500));
        assert_eq!(wait(1_000_000, 0), Some(1_000));
        assert_eq!(wait(1_000_000, 600), Some(900));
        assert_eq!(wait(1_000_000, 60_000), Some(500), "idle time is not saved up");
    }
}
