//! What readers looked up, remembered: small rows that are asked for again and again (accounts, directories, sessions, names
//! of files in demand) cost a table lookup once.
//!
//! Only a cache, and no way around the snapshot: a remembered row counts for a read when it has not been written since
//! it was remembered, and when it was remembered no later than the read began. Then the row is in the read's snapshot as
//! it is here: between the two nobody wrote it, and after both nobody did either (`witness` says how that is known). What
//! does not live here: content, which is large; the writer's own memory (`memory`).

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::{Equivalent, Weighter, sync::Cache};

use crate::rows::keys::Family;
use crate::witness::Stamps;

/// Bytes of a row beside its key and its value.
const ROW_BYTES: usize = 160;
/// Bytes of a row, more or less: of a file's name.
const ROW_BYTES_TYPICAL: u64 = 280;
/// Longest value that is remembered.
const VALUE_BYTES_MAX: usize = 1024;

/// The rows.
pub(super) struct Recall {
    rows: Cache<Key, Row, Weight>,
    stamps: Arc<Stamps>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    family: u8,
    key: Box<[u8]>,
}

#[derive(Debug, Hash)]
struct Asked<'a> {
    family: u8,
    key: &'a [u8],
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, other: &Key) -> bool {
        self.family == other.family && self.key == &*other.key
    }
}

/// A row as it was; `None`: it was not there.
#[derive(Debug, Clone)]
struct Row {
    value: Option<Bytes>,
    /// The last group of changes that was finished before it was looked up.
    since: u64,
    place: usize,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Row> for Weight {
    fn weight(&self, key: &Key, row: &Row) -> u64 {
        (ROW_BYTES + key.key.len() + row.value.as_ref().map_or(0, Bytes::len)) as u64
    }
}

impl Recall {
    /// Nothing yet; `bytes` of memory at most.
    pub(super) fn new(bytes: usize, stamps: Arc<Stamps>) -> Self {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let rows = usize::try_from(bytes / ROW_BYTES_TYPICAL).unwrap_or(usize::MAX);
        Self { rows: Cache::with_weighter(rows, bytes, Weight), stamps }
    }

    /// A row as a read finds it that began when group of changes `since` was the last that was finished.
    pub(super) fn get(&self, family: Family, key: &[u8], since: u64) -> Option<Option<Bytes>> {
        let row = self.rows.get(&Asked { family: family as u8, key })?;
        let same = row.since <= since && self.stamps.at(row.place) <= row.since;
        same.then_some(row.value)
    }

    /// Remembers a row that such a read has found. Not content; and not that there is no such name: every upload of a new one
    /// asks for that once, just before it is written, and where somebody asks again a filter knows it nearly as soon.
    pub(super) fn keep(&self, family: Family, key: &[u8], value: Option<&[u8]>, since: u64) {
        let is_worth = match (family, value) {
            (Family::Inline, _) | (Family::Names, None) => false,
            (_, value) => value.is_none_or(|value| value.len() <= VALUE_BYTES_MAX),
        };
        if !is_worth {
            return;
        }
        let place = crate::witness::place(family as u8, key);
        // Written meanwhile: this may be old already.
        if self.stamps.at(place) <= since {
            let value = value.map(Bytes::copy_from_slice);
            let key = Key { family: family as u8, key: Box::from(key) };
            self.rows.insert(key, Row { value, since, place });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Family = Family::Names;

    fn write(stamps: &Stamps, key: &'static [u8]) {
        stamps.end(stamps.begin([(NAMES as u8, key)].into_iter()));
    }

    #[test]
    fn a_row_counts_until_it_is_written() {
        let stamps = Stamps::new();
        let recall = Recall::new(8 << 20, Arc::clone(&stamps));
        recall.keep(NAMES, b"k", Some(b"v"), stamps.finished());
        recall.keep(Family::Meta, b"absent", None, stamps.finished());
        assert_eq!(
            recall.get(NAMES, b"k", stamps.finished()),
            Some(Some(Bytes::from_static(b"v")))
        );
        assert_eq!(recall.get(Family::Meta, b"absent", stamps.finished()), Some(None));
        write(&stamps, b"other");
        assert!(recall.get(NAMES, b"k", stamps.finished()).is_some());
        let group = stamps.begin([(NAMES as u8, &b"k"[..])].into_iter());
        assert!(recall.get(NAMES, b"k", stamps.finished()).is_none(), "it is being written");
        stamps.end(group);
        assert!(recall.get(NAMES, b"k", stamps.finished()).is_none());
    }

    #[test]
    fn names_that_are_not_there_are_not_remembered() {
        let stamps = Stamps::new();
        let recall = Recall::new(8 << 20, Arc::clone(&stamps));
        recall.keep(NAMES, b"new", None, stamps.finished());
        assert!(recall.rows.is_empty() && recall.get(NAMES, b"new", stamps.finished()).is_none());
    }

    #[test]
    fn an_older_snapshot_gets_nothing_newer() {
        let stamps = Stamps::new();
        let recall = Recall::new(8 << 20, Arc::clone(&stamps));
        let old = stamps.finished();
        write(&stamps, b"k");
        recall.keep(NAMES, b"k", Some(b"new"), stamps.finished());
        assert!(recall.get(NAMES, b"k", stamps.finished()).is_some());
        assert!(recall.get(NAMES, b"k", old).is_none(), "its snapshot may have the row before");
        recall.keep(NAMES, b"k", Some(b"old"), old);
        let now = recall.get(NAMES, b"k", stamps.finished());
        assert_eq!(
            now,
            Some(Some(Bytes::from_static(b"new"))),
            "an old reader brings nothing back"
        );
    }
}
