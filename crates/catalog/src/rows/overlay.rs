//! The changes of a group that are not durable yet, in the order of their keys.
//!
//! What lives here: an indexed batch with save points. What does not: the engine below it; `view` lays one over the
//! other.
//!
//! Invariant: after [`Overlay::roll_back`] the overlay is byte for byte what it was at the last [`Overlay::keep`], so an
//! operation that failed its rules leaves nothing.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::keys::Family;

/// A key's new value; `None`: the key is removed.
type Change = Option<Bytes>;

/// What to put back under a key: the change that stood there, if one did.
struct Undo {
    family: Family,
    key: Vec<u8>,
    before: Option<Change>,
}

/// The indexed batch.
#[derive(Default)]
pub(crate) struct Overlay {
    families: [BTreeMap<Vec<u8>, Change>; Family::COUNT],
    undo: Vec<Undo>,
    bytes: usize,
}

impl Overlay {
    /// The change of a key, if the group made one.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Option<&Change> {
        self.families[family as usize].get(key)
    }

    /// The changes of keys from `from` on and below `below`.
    pub(crate) fn range<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        below: &[u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a Change)> + use<'a> {
        // An empty range would make `BTreeMap::range` panic.
        let below = below.max(from);
        self.families[family as usize]
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(below)))
            .map(|(key, change)| (key.as_slice(), change))
    }

    /// Every change.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Family, &[u8], &Change)> {
        Family::ALL.into_iter().flat_map(|family| {
            self.families[family as usize]
                .iter()
                .map(move |(key, change)| (family, key.as_slice(), change))
        })
    }

    /// Sets a key's value.
    pub(crate) fn put(&mut self, family: Family, key: Vec<u8>, value: impl Into<Bytes>) {
        self.change(family, key, Some(value.into()));
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, family: Family, key: Vec<u8>) {
        self.change(family, key, None);
    }

    fn change(&mut self, family: Family, key: Vec<u8>, change: Change) {
        self.bytes += weight(&key, &change);
        let before = self.families[family as usize].insert(key.clone(), change);
        if let Some(before) = &before {
            self.bytes -= weight(&key, before);
        }
        self.undo.push(Undo { family, key, before });
    }

    /// Keeps the changes made since the last save point and sets the next.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back the changes made since the last save point.
    pub(crate) fn roll_back(&mut self) {
        while let Some(Undo { family, key, before }) = self.undo.pop() {
            let keys = &mut self.families[family as usize];
            if let Some(before) = &before {
                self.bytes += weight(&key, before);
            }
            let taken_back = match before {
                Some(before) => keys.insert(key.clone(), before),
                None => keys.remove(&key),
            };
            if let Some(taken_back) = &taken_back {
                self.bytes -= weight(&key, taken_back);
            }
        }
    }

    /// Bytes of keys and values: about what the group will write.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.families.iter().all(BTreeMap::is_empty)
    }
}

fn weight(key: &[u8], change: &Change) -> usize {
    key.len() + change.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(overlay: &Overlay) -> Vec<(Family, Vec<u8>, Change)> {
        overlay.changes().map(|(f, k, c)| (f, k.to_vec(), c.clone())).collect()
    }

    #[test]
    fn a_roll_back_leaves_what_was_kept() {
        let mut overlay = Overlay::default();
        overlay.put(Family::Names, b"a".to_vec(), &b"1"[..]);
        overlay.put(Family::Dirs, b"a".to_vec(), &b"2"[..]);
        overlay.remove(Family::Dirs, b"b".to_vec());
        overlay.keep();
        let (kept, bytes) = (all(&overlay), overlay.bytes());
        assert_eq!(bytes, 5);

        overlay.put(Family::Names, b"a".to_vec(), &b"changed"[..]);
        overlay.remove(Family::Names, b"a".to_vec());
        overlay.put(Family::Names, b"new".to_vec(), &b"3"[..]);
        overlay.put(Family::Dirs, b"b".to_vec(), &b"4"[..]);
        overlay.put(Family::Names, b"a".to_vec(), &b"again"[..]);
        overlay.roll_back();
        assert_eq!((all(&overlay), overlay.bytes()), (kept, bytes));
    }

    #[test]
    fn ranges_are_half_open() {
        let mut overlay = Overlay::default();
        for key in ["a", "b", "c"] {
            overlay.put(Family::Names, key.into(), &b"1"[..]);
        }
        let keys = |from: &str, below: &str| -> Vec<Vec<u8>> {
            overlay
                .range(Family::Names, from.as_bytes(), below.as_bytes())
                .map(|(k, _)| k.to_vec())
                .collect()
        };
        assert_eq!(keys("a", "c"), [b"a", b"b"]);
        assert!(keys("c", "a").is_empty());
        assert!(keys("b", "b").is_empty());
    }
}
