//! Where rows led last: a session to its user, the user to an account, an account's name to its record and its top.
//!
//! What lives here: a memory of that, from one transaction to the next, so that what will be asked for is read together
//! with what is asked for now. What does not: any row. What is remembered says which rows to read, never what is in them:
//! each is read in the transaction that asks, and a trail that leads elsewhere by now costs a row that nobody looks at
//! and the journeys there would have been without it.

use model::{AccountId, DirId};
use quick_cache::sync::Cache;

use crate::rows::keys::Family;
use crate::rows::source::{Lead, Place};

/// Trails remembered: some hundred bytes each.
const TRAILS_MAX: usize = 16 << 10;
/// The longest way: session, user, account.
const STEPS_MAX: usize = 4;

/// The memory.
pub(super) struct Trails(Cache<Place, Lead>);

impl Default for Trails {
    fn default() -> Self {
        Self(Cache::new(TRAILS_MAX))
    }
}

impl Trails {
    /// A row led somewhere.
    pub(super) fn note(&self, from: Place, to: Lead) {
        if self.0.peek(&from).as_ref() != Some(&to) {
            self.0.insert(from, to);
        }
    }

    /// The rows a row leads to, one after the other, and the top directory at the end.
    pub(super) fn from(&self, row: &Place) -> (Vec<Place>, Option<(AccountId, DirId)>) {
        let mut rows = Vec::new();
        let mut next = self.0.get(row);
        while let Some(lead) = next {
            match lead {
                Lead::Row(family, key) if rows.len() < STEPS_MAX => {
                    let row: (Family, Vec<u8>) = (family, key);
                    next = self.0.get(&row);
                    rows.push(row);
                }
                Lead::Row(..) => break,
                Lead::Top(account, root) => return (rows, Some((account, root))),
            }
        }
        (rows, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Place {
        (Family::Meta, name.as_bytes().to_vec())
    }

    fn lead(name: &str) -> Lead {
        let (family, key) = row(name);
        Lead::Row(family, key)
    }

    #[test]
    fn trails_are_followed_and_end() {
        let trails = Trails::default();
        assert_eq!(trails.from(&row("a")), (vec![], None));
        trails.note(row("a"), lead("b"));
        trails.note(row("b"), lead("c"));
        let top = (AccountId(1), DirId(2));
        trails.note(row("c"), Lead::Top(top.0, top.1));
        assert_eq!(trails.from(&row("a")), (vec![row("b"), row("c")], Some(top)));
        trails.note(row("b"), lead("d"));
        assert_eq!(trails.from(&row("a")), (vec![row("b"), row("d")], None));
        trails.note(row("d"), lead("a"));
        assert_eq!(trails.from(&row("a")).0.len(), STEPS_MAX, "a circle ends");
    }
}
