//! How long to wait before something is tried again: doubling from a first delay up to a longest.
//!
//! What does not live here: what is tried again and how often, and how much of the delay is left to chance, so that what
//! failed together does not come back together: each caller says that beside its own limits.

/// The delay before a further attempt after `earlier` delays, in the unit of `first` and `longest`.
pub(crate) fn delay(first: u64, longest: u64, earlier: u32) -> u64 {
    first.saturating_mul(1 << earlier.min(40)).min(longest)
}

/// A random number. Without randomness delays are not spread: no reason not to wait.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let delays = |earlier: [u32; 6]| earlier.map(|n| delay(3, 100, n));
        assert_eq!(delays([0, 1, 2, 5, 6, u32::MAX]), [3, 6, 12, 96, 100, 100]);
        assert_eq!(delay(u64::MAX, u64::MAX, 9), u64::MAX);
    }
}
