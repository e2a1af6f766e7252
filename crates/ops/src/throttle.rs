//! Slowing down repeated wrong passwords, per user and per address (protocol.md, section 4).
//!
//! Attempts for a name or from an address that has seen too many wrong passwords wait for their turn before any hash is
//! computed, so guessing at one user takes neither cores nor turns from others. Kept in memory: it is a brake, not a
//! record, and starts loose after a restart. Where several nodes have the catalog, each counts for itself, and whoever is
//! slowed waits for a turn that all nodes share ([`Throttle::delay`]): guessing is as slow as with one of them, after as many
//! wrong passwords that cost nothing as each node grants.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use model::Time;

use crate::backoff;

/// How wrong passwords are slowed down; every number has the unit in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowDown {
    /// Wrong passwords for one user that cost nothing yet.
    pub free_per_user: u32,
    /// Wrong passwords from one address that cost nothing yet; more, since many users may share one.
    pub free_per_address: u32,
    /// Delay after the first that costs, in milliseconds; it doubles with each further one.
    pub first_delay_ms: u64,
    /// Longest delay, in milliseconds.
    pub longest_delay_ms: u64,
    /// Milliseconds without a wrong password after which all is forgotten.
    pub forget_after_ms: u64,
    /// Attempts that may wait for one slowed user or address at the same time; one more is refused without a check.
    pub waiting_max: u32,
}

impl Default for SlowDown {
    fn default() -> Self {
        Self {
            free_per_user: 5,
            free_per_address: 50,
            first_delay_ms: 250,
            longest_delay_ms: 8_000,
            forget_after_ms: 900_000,
            waiting_max: 16,
        }
    }
}

/// Names and addresses remembered at most; past that, those with nothing left to wait for are forgotten.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    wrong: u32,
    last_wrong: Time,
    /// When the next attempt may be checked.
    next: Time,
    waiting: u32,
}

/// Wrong passwords of late.
pub struct Throttle {
    rules: SlowDown,
    users: Mutex<HashMap<String, Record>>,
    addresses: Mutex<HashMap<IpAddr, Record>>,
}

impl Throttle {
    /// Nothing remembered.
    pub fn new(rules: SlowDown) -> Self {
        Self { rules, users: Mutex::default(), addresses: Mutex::default() }
    }

    /// How many milliseconds an attempt must wait before its password may be checked; `None`: too many wait already.
    /// Every `Some` is answered by one call of [`Throttle::done`] or [`Throttle::forget`].
    pub fn enter(&self, user: &str, from: Option<IpAddr>, now: Time) -> Option<u64> {
        let for_user = self.turn(&self.users, user.to_owned(), self.rules.free_per_user, now)?;
        let Some(from) = from else { return Some(for_user) };
        match self.turn(&self.addresses, from, self.rules.free_per_address, now) {
            Some(for_address) => Some(for_user.max(for_address)),
            None => {
                leave(&self.users, &user.to_owned());
                None
            }
        }
    }

    /// How long the next attempt has to wait after one for this user or from this address now, in milliseconds, as far as
    /// was seen here: for the user, for the address. 0: as long as it likes.
    pub fn delay(&self, user: &str, from: Option<IpAddr>) -> (u64, u64) {
        let rules = self.rules;
        let of = |wrong: u32, free: u32| match wrong.checked_sub(free).filter(|past| *past > 0) {
            Some(past) => backoff::delay(rules.first_delay_ms, rules.longest_delay_ms, past - 1),
            None => 0,
        };
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let for_user = users.get(user).map_or(0, |record| of(record.wrong, rules.free_per_user));
        drop(users);
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let record = from.and_then(|from| addresses.get(&from));
        (for_user, record.map_or(0, |record| of(record.wrong, rules.free_per_address)))
    }

    /// Takes back an attempt that came to nothing for a reason of ours.
    pub fn forget(&self, user: &str, from: Option<IpAddr>) {
        leave(&self.users, &user.to_owned());
        if let Some(from) = from {
            leave(&self.addresses, &from);
        }
    }

    /// Takes an attempt's outcome.
    pub fn done(&self, user: &str, from: Option<IpAddr>, right: bool, now: Time) {
        self.learn(&self.users, user.to_owned(), self.rules.free_per_user, right, now);
        if let Some(from) = from {
            self.learn(&self.addresses, from, self.rules.free_per_address, right, now);
        }
    }

    fn turn<K: Eq + Hash>(
        &self,
        map: &Mutex<HashMap<K, Record>>,
        key: K,
        free: u32,
        now: Time,
    ) -> Option<u64> {
        let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= REMEMBERED_MAX {
            let rules = self.rules;
            map.retain(|_, r| {
                r.waiting > 0 || r.next > now || now.since(r.last_wrong) < rules.forget_after_ms / 4
            });
        }
        if map.len() >= REMEMBERED_MAX && !map.contains_key(&key) {
            return None;
        }
        let record = map.entry(key).or_default();
        if now.since(record.last_wrong) > self.rules.forget_after_ms {
            record.wrong = 0;
        }
        if record.wrong > free && record.waiting >= self.rules.waiting_max {
            return None;
        }
        record.waiting += 1;
        let wait = record.next.since(now);
        if wait > 0 {
            // The one after this waits for this one's turn and the delay on top: turns do not pile up at one moment.
            record.next = Time(record.next.0.saturating_add(self.rules.first_delay_ms));
        }
        Some(wait.min(self.rules.longest_delay_ms))
    }

    fn learn<K: Eq + Hash>(
        &self,
        map: &Mutex<HashMap<K, Record>>,
        key: K,
        free: u32,
        right: bool,
        now: Time,
    ) {
        let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = map.get_mut(&key) else { return };
        record.waiting = record.waiting.saturating_sub(1);
        if right {
            record.wrong = 0;
            record.next = Time::default();
        } else {
            record.wrong = record.wrong.saturating_add(1);
            record.last_wrong = now;
            if let Some(past) = record.wrong.checked_sub(free).filter(|p| *p > 0) {
                let (first, longest) = (self.rules.first_delay_ms, self.rules.longest_delay_ms);
                let next = now.0.saturating_add(backoff::delay(first, longest, past - 1));
                record.next = Time(record.next.0.max(next));
            }
        }
        if record.wrong == 0 && record.waiting == 0 {
            map.remove(&key);
        }
    }
}

/// Takes back a turn that is not used.
fn leave<K: Eq + Hash>(map: &Mutex<HashMap<K, Record>>, key: &K) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(record) = map.get_mut(key) {
        record.waiting = record.waiting.saturating_sub(1);
        if record.wrong == 0 && record.waiting == 0 {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(t: &Throttle, user: &str, from: u8, right: bool, now: u64) -> Option<u64> {
        let from = Some(IpAddr::from([10, 0, 0, from]));
        let wait = t.enter(user, from, Time(now))?;
        t.done(user, from, right, Time(now + wait));
        Some(wait)
    }

    #[test]
    fn wrong_passwords_cost_more_and_more() {
        let t = Throttle::new(SlowDown::default());
        for _ in 0..6 {
            assert_eq!(attempt(&t, "anna", 1, false, 0), Some(0));
        }
        assert_eq!(attempt(&t, "anna", 1, false, 0), Some(250));
        assert_eq!(attempt(&t, "anna", 2, false, 250), Some(500), "from another address too");
        assert_eq!(attempt(&t, "bert", 1, true, 250), Some(0), "others do not wait");
    }

    #[test]
    fn the_delay_has_an_end_and_is_forgotten() {
        let t = Throttle::new(SlowDown::default());
        let mut now = 0;
        for _ in 0..40 {
            now += attempt(&t, "anna", 1, false, now).unwrap();
        }
        assert_eq!(attempt(&t, "anna", 1, false, now), Some(8_000));
        now += 8_000 + 900_001;
        assert_eq!(attempt(&t, "anna", 1, false, now), Some(0));
    }

    #[test]
    fn a_right_password_clears_the_user() {
        let t = Throttle::new(SlowDown::default());
        for _ in 0..8 {
            attempt(&t, "anna", 1, false, 0);
        }
        assert!(attempt(&t, "anna", 1, true, 0).unwrap() > 0);
        assert_eq!(attempt(&t, "anna", 1, false, 0), Some(0));
    }

    #[test]
    fn few_may_wait() {
        let t = Throttle::new(SlowDown { waiting_max: 2, ..SlowDown::default() });
        for _ in 0..6 {
            attempt(&t, "anna", 1, false, 0);
        }
        assert!(t.enter("anna", None, Time(0)).is_some());
        assert!(t.enter("anna", None, Time(0)).is_some());
        assert!(t.enter("anna", None, Time(0)).is_none());
        assert!(t.enter("bert", None, Time(0)).is_some());
        t.done("anna", None, false, Time(0));
        assert!(t.enter("anna", None, Time(0)).is_some());
    }

    #[test]
    fn faults_of_ours_are_no_wrong_passwords() {
        let t = Throttle::new(SlowDown::default());
        let from = Some(IpAddr::from([10, 0, 0, 1]));
        for _ in 0..9 {
            assert_eq!(t.enter("anna", from, Time(0)), Some(0));
            t.forget("anna", from);
        }
        assert!(t.users.lock().unwrap().is_empty() && t.addresses.lock().unwrap().is_empty());
        assert_eq!(t.delay("anna", from), (0, 0));
        for _ in 0..7 {
            attempt(&t, "anna", 1, false, 0);
        }
        assert_eq!(t.delay("anna", from), (500, 0));
    }
}
