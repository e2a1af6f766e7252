//! Uploads that an account has in flight: bodies that are coming in or being put in their place.
//!
//! Counted while they run, by something that counts down when it is dropped, wherever that happens. Nothing is counted
//! unless there is a limit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::{AccountId, Error, Result};

/// Seconds after which a client whose account is busy may try again: nobody knows when an upload ends.
const RETRY_SECS: u32 = 1;

/// Of all accounts; those that have none are not in it.
type Open = Mutex<HashMap<AccountId, u32>>;

/// How many uploads run.
pub(crate) struct Slots {
    /// For each account; 0: no limit.
    max: u32,
    open: Arc<Open>,
}

/// A place among an account's uploads, free again when this is dropped.
pub(crate) struct Slot(Option<(Arc<Open>, AccountId)>);

impl Slots {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, open: Arc::default() }
    }

    /// A place for one more.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub(crate) fn take(&self, account: AccountId) -> Result<Slot> {
        if self.max == 0 {
            return Ok(Slot(None));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(account).or_default();
        if *count >= self.max {
            return Err(Error::RateLimited { retry_secs: RETRY_SECS });
        }
        *count += 1;
        Ok(Slot(Some((Arc::clone(&self.open), account))))
    }
}

impl Slot {
    /// A place that is not counted.
    pub(crate) fn none() -> Self {
        Self(None)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((open, account)) = &self.0 else { return };
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(account) {
            *count -= 1;
            if *count == 0 {
                open.remove(account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_and_no_more() {
        let slots = Slots::new(2);
        let (one, two) = (AccountId(1), AccountId(2));
        let first = slots.take(one).unwrap();
        let second = slots.take(one).unwrap();
        assert_eq!(slots.take(one).err(), Some(Error::RateLimited { retry_secs: 1 }));
        let other = slots.take(two).unwrap();
        drop(first);
        let third = slots.take(one).unwrap();
        assert!(slots.take(one).is_err());
        drop((second, third, other));
        assert!(slots.open.lock().unwrap().is_empty(), "nothing is kept of who has none");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let slots = Slots::new(0);
        let all: Vec<_> = (0..100).map(|_| slots.take(AccountId(1)).unwrap()).collect();
        assert!(slots.open.lock().unwrap().is_empty());
        drop(all);
    }
}
