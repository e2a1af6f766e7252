//! How many requests an address and a user may send: a steady rate, and a burst that may come at once (GCRA).
//!
//! What lives here: the counting, by address and by user, off unless the operator says otherwise. What does not: what a
//! refusal looks like (the rooms), slowing down wrong passwords (`throttle`). Kept in memory and bounded: it is a brake, not
//! a record, and starts loose after a restart.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};
use model::{Error, Result, UserId};

use crate::Store;

/// Keys remembered at most, more or less: those that have nothing to wait for are forgotten from here on, and if that is
/// not enough, all.
const REMEMBERED_MAX: usize = 100_000;
/// Requests between two looks at how many keys there are.
const LOOK_EVERY: u32 = 1024;

/// A steady rate, with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time in which one more request may be sent; not zero.
    pub every: Duration,
    /// Requests that may come at once.
    pub burst: NonZeroU32,
}

/// Which rates hold; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Requests from one address (IPv6: from one /64 network).
    pub per_address: Option<Rate>,
    /// Calls of one user.
    pub per_user: Option<Rate>,
}

/// Everything that is counted.
pub(crate) struct Rates {
    addresses: Option<Limiter<IpAddr, MonotonicClock>>,
    users: Option<Limiter<UserId, MonotonicClock>>,
}

impl Rates {
    pub(crate) fn new(limits: Limits) -> Self {
        let (address, user) = (limits.per_address, limits.per_user);
        Self {
            addresses: address.map(|rate| Limiter::new(rate, MonotonicClock)),
            users: user.map(|rate| Limiter::new(rate, MonotonicClock)),
        }
    }

    /// Counts a call of a user whom the call has shown to be who they say.
    pub(crate) fn admit_user(&self, user: UserId) -> Result<()> {
        self.users.as_ref().map_or(Ok(()), |users| users.admit(user))
    }
}

impl Store {
    /// Counts a request from an address.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub fn admit_address(&self, from: IpAddr) -> Result<()> {
        self.0.rates.addresses.as_ref().map_or(Ok(()), |addresses| addresses.admit(network(from)))
    }
}

/// Whoever has one IPv6 address has its whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

type Counts<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// One rate for each of many keys.
struct Limiter<K: Hash + Eq + Clone, C: Clock> {
    quota: Quota,
    clock: C,
    /// Locked for writing only to forget all.
    counts: RwLock<Counts<K, C>>,
    until_look: AtomicU32,
    remembered_max: usize,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limiter<K, C> {
    fn new(rate: Rate, clock: C) -> Self {
        let every = rate.every.max(Duration::from_nanos(1));
        // `with_period` refuses zero alone.
        let quota = Quota::with_period(every).unwrap_or_else(|| Quota::per_second(rate.burst));
        let quota = quota.allow_burst(rate.burst);
        Self {
            quota,
            counts: RwLock::new(RateLimiter::hashmap_with_clock(quota, clock.clone())),
            clock,
            until_look: AtomicU32::new(LOOK_EVERY),
            remembered_max: REMEMBERED_MAX,
        }
    }

    fn admit(&self, key: K) -> Result<()> {
        if self.until_look.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.until_look.store(LOOK_EVERY, Ordering::Relaxed);
            self.forget_some();
        }
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        counts.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Error::RateLimited { retry_secs: whole_secs(wait) }
        })
    }

    fn forget_some(&self) {
        {
            let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
            if counts.len() < self.remembered_max {
                return;
            }
            counts.retain_recent();
            counts.shrink_to_fit();
            if counts.len() < self.remembered_max {
                return;
            }
        }
        tracing::warn!(
            "too many addresses or users to count the requests of: counting begins again"
        );
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        *counts = RateLimiter::hashmap_with_clock(self.quota, self.clock.clone());
    }
}

/// What a client is told to wait: no less than the time, and never nothing.
fn whole_secs(wait: Duration) -> u32 {
    let secs = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    u32::try_from(secs.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(every_ms: u64, burst: u32) -> (Limiter<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let every = Duration::from_millis(every_ms);
        let rate = Rate { every, burst: NonZeroU32::new(burst).unwrap() };
        (Limiter::new(rate, clock.clone()), clock)
    }

    #[test]
    fn a_burst_then_a_steady_rate() {
        let (limiter, clock) = limiter(2_500, 3);
        for _ in 0..3 {
            assert_eq!(limiter.admit(1), Ok(()));
        }
        assert_eq!(limiter.admit(1), Err(Error::RateLimited { retry_secs: 3 }));
        assert_eq!(limiter.admit(2), Ok(()), "others have a burst of their own");
        clock.advance(Duration::from_millis(2_400));
        assert_eq!(limiter.admit(1), Err(Error::RateLimited { retry_secs: 1 }));
        clock.advance(Duration::from_millis(100));
        assert_eq!(limiter.admit(1), Ok(()));
        assert!(limiter.admit(1).is_err());
        clock.advance(Duration::from_secs(3600));
        assert_eq!((0..9).filter(|_| limiter.admit(1).is_ok()).count(), 3, "no more is saved up");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut limiter, clock) = limiter(1_000, 1);
        limiter.remembered_max = 2_000;
        let len = |limiter: &Limiter<_, _>| limiter.counts.read().unwrap().len();
        for key in 0..1_500 {
            limiter.admit(key).unwrap();
        }
        // All of these are as good as new by now, and make room.
        clock.advance(Duration::from_secs(10));
        limiter.admit(0).unwrap();
        for key in 5_000..7_000 {
            limiter.admit(key).unwrap();
        }
        assert!(len(&limiter) < 3_500, "{}", len(&limiter));
        for key in 10_000..90_000 {
            limiter.admit(key).unwrap();
            assert!(len(&limiter) <= 2_000 + LOOK_EVERY as usize);
        }
    }

    #[test]
    fn networks() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("10.0.0.1", "10.0.0.2") && same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(!same("::ffff:10.0.0.1", "::ffff:10.0.0.2"));
    }

    #[test]
    fn seconds_to_wait() {
        for (wait_ms, secs) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(whole_secs(Duration::from_millis(wait_ms)), secs);
        }
        assert_eq!(whole_secs(Duration::MAX), u32::MAX);
    }
}
