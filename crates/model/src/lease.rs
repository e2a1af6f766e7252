//! Leases: who does something that one node at a time is to do, and until when.
//!
//! What is not here: taking and renewing one, and what a lease is good for (`ops::lease`).

use std::fmt;

use crate::Time;

/// Names a process for as long as it runs: a random number made at its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    /// 16 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// Something that is a node's until a point in time. When that has come it is anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is.
    pub holder: NodeId,
    /// Until when, by the clock of the holder.
    pub until: Time,
}

impl Lease {
    /// A lease that ends with its holder: where there are no other nodes.
    pub const fn for_good(holder: NodeId) -> Self {
        Self { holder, until: Time(u64::MAX) }
    }

    /// Whether `node` may take it at `now`: it is its own already, or has run out.
    pub fn is_free_for(&self, node: NodeId, now: Time) -> bool {
        self.holder == node || self.until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_or_run_out() {
        let (one, two) = (NodeId(1), NodeId(2));
        let lease = Lease { holder: one, until: Time(100) };
        assert!(lease.is_free_for(one, Time(0)) && !lease.is_free_for(two, Time(99)));
        assert!(lease.is_free_for(two, Time(100)));
        assert!(!Lease::for_good(one).is_free_for(two, Time(u64::MAX - 1)));
        assert_eq!(NodeId(0xab).to_string(), "00000000000000ab");
    }
}
