//! What writers looked up, remembered: a group asks for the same few rows again and again, and for each new
//! name twice.
//!
//! Nobody else changes the catalog, so what is remembered is what is durable, as long as every group that is written is
//! told here ([`Memory::written`]) and all is forgotten when a write fails. What does not live here: changes that are not
//! durable yet (`overlay`).

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;

use crate::rows::keys::Family;
use crate::rows::overlay::Overlay;

/// Rows of one family that are remembered at most; then all of them are forgotten.
const ROWS_MAX: usize = 4096;

/// A row as it is durable; `None`: it is not there.
type Row = Option<Bytes>;

/// The rows.
#[derive(Default)]
pub(super) struct Memory {
    families: RefCell<[HashMap<Vec<u8>, Row>; Family::COUNT]>,
}

/// Rows that are asked for from one group to the next: few, and read by every change of a tree.
fn lasts(family: Family) -> bool {
    matches!(family, Family::Meta | Family::Dirs)
}

impl Memory {
    /// The row, if it is remembered.
    pub(super) fn get(&self, family: Family, key: &[u8]) -> Option<Row> {
        self.families.borrow()[family as usize].get(key).cloned()
    }

    /// Remembers a row that was looked up. Content is not worth its memory.
    pub(super) fn keep(&self, family: Family, key: &[u8], row: &Row) {
        if family != Family::Inline {
            let rows = &mut self.families.borrow_mut()[family as usize];
            if rows.len() >= ROWS_MAX {
                rows.clear();
            }
            rows.insert(key.to_vec(), row.clone());
        }
    }

    /// A group was made durable.
    pub(super) fn written(&self, overlay: &Overlay) {
        let mut families = self.families.borrow_mut();
        for family in Family::ALL {
            if !lasts(family) {
                families[family as usize].clear();
            }
        }
        for (family, key, change) in overlay.changes().filter(|(family, ..)| lasts(*family)) {
            let rows = &mut families[family as usize];
            if rows.len() >= ROWS_MAX {
                rows.clear();
            }
            rows.insert(key.to_vec(), change.clone());
        }
    }

    /// Nobody knows what is durable.
    pub(super) fn forget(&self) {
        self.families.borrow_mut().iter_mut().for_each(HashMap::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_takes_the_place_of_what_was_read() {
        let memory = Memory::default();
        let old = Some(Bytes::from_static(b"old"));
        for family in [Family::Meta, Family::Names] {
            memory.keep(family, b"k", &old);
            memory.keep(family, b"gone", &old);
            memory.keep(family, b"absent", &None);
            assert_eq!(memory.get(family, b"absent"), Some(None));
        }
        let mut overlay = Overlay::default();
        for family in [Family::Meta, Family::Names] {
            overlay.put(family, b"k".to_vec(), Bytes::from_static(b"new"));
            overlay.put(family, b"absent".to_vec(), Bytes::from_static(b"there"));
            overlay.remove(family, b"gone".to_vec());
        }
        memory.written(&overlay);
        assert_eq!(memory.get(Family::Meta, b"k"), Some(Some(Bytes::from_static(b"new"))));
        assert_eq!(memory.get(Family::Meta, b"absent"), Some(Some(Bytes::from_static(b"there"))));
        assert_eq!(memory.get(Family::Meta, b"gone"), Some(None));
        assert_eq!(memory.get(Family::Names, b"k"), None, "asked for once");
        memory.forget();
        assert_eq!(memory.get(Family::Meta, b"k"), None);
    }

    #[test]
    fn it_is_bounded_and_keeps_no_content() {
        let memory = Memory::default();
        for n in 0..2 * ROWS_MAX {
            memory.keep(Family::Dirs, &n.to_be_bytes(), &None);
        }
        assert!(memory.families.borrow()[Family::Dirs as usize].len() <= ROWS_MAX);
        memory.keep(Family::Inline, b"k", &Some(Bytes::from_static(b"content")));
        assert_eq!(memory.get(Family::Inline, b"k"), None);
    }
}
