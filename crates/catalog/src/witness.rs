//! Whether what a read saw is still so: the ground under every cache above the catalog.
//!
//! A read that watches keeps in mind which rows it looked at, those that were not there included. Its [`Witness`] holds as
//! long as none of them was written since. What does not live here: which rows a lookup reads (the engines), and what is
//! kept (operations).
//!
//! **How.** Rows are hashed to places in a table of stamps. A group of changes has a number; it stamps the places of all
//! its rows before anybody can see it, and becomes the last finished group when everybody can. A read takes the number of
//! the last finished group, then its snapshot. So a stamp above that number means: changed since, or about to be; a
//! stamp at most as high means: what was read is what anybody reads now. Two rows with one place are told to have changed
//! when one did: that costs a lookup and is never wrong.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Places in the table, a power of two: half a megabyte.
const PLACES: usize = 1 << 16;
/// Rows a witness keeps in mind; a read that looks at more has none.
const ROWS_MAX: usize = 64;

/// When rows were changed last.
pub(crate) struct Stamps {
    places: Box<[AtomicU64]>,
    /// The last group that everybody sees.
    finished: AtomicU64,
}

impl Stamps {
    /// Nothing has been changed.
    pub(crate) fn new() -> Arc<Self> {
        let places = std::iter::repeat_with(AtomicU64::default).take(PLACES).collect();
        Arc::new(Self { places, finished: AtomicU64::default() })
    }

    /// Marks rows, and what was watched as a whole and has a row changed ([`Watch::rows`]), as about to be changed. One caller at a time; what it returns goes to [`Stamps::end`].
    pub(crate) fn begin<'a>(&self, rows: impl Iterator<Item = (u8, &'a [u8])>) -> u64 {
        let group = self.finished.load(Ordering::Relaxed) + 1;
        for (family, key) in rows {
            self.places[place(family, key)].store(group, Ordering::SeqCst);
        }
        group
    }

    /// Everybody sees the group, or it never came to be.
    pub(crate) fn end(&self, group: u64) {
        self.finished.store(group, Ordering::SeqCst);
    }

    /// The last group that everybody sees.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::SeqCst)
    }

    /// The last group, seen or not, that changed a row of this place.
    pub(crate) fn at(&self, place: usize) -> u64 {
        self.places.get(place).map_or(u64::MAX, |stamp| stamp.load(Ordering::SeqCst))
    }

    /// Whether rows of these places were last changed by group `since` or before.
    fn hold(&self, rows: &[u32], since: u64) -> bool {
        rows.iter().all(|&row| self.at(row as usize) <= since)
    }

    /// Begins to keep rows in mind. To be called before the snapshot is taken.
    pub(crate) fn watch(self: &Arc<Self>) -> Watch {
        let since = self.finished();
        Watch { stamps: Arc::clone(self), since, rows: Some(Vec::with_capacity(12)) }
    }
}

/// What a read has looked at so far.
pub(crate) struct Watch {
    stamps: Arc<Stamps>,
    since: u64,
    /// `None`: more than can be kept in mind.
    rows: Option<Vec<u32>>,
}

impl Watch {
    /// A row was looked up.
    pub(crate) fn row(&mut self, family: u8, key: &[u8]) {
        match &mut self.rows {
            // A place fits: there are far fewer.
            Some(rows) if rows.len() < ROWS_MAX => {
                rows.push(u32::try_from(place(family, key)).unwrap_or(u32::MAX));
            }
            _ => self.rows = None,
        }
    }

    /// All rows of a family were looked at whose keys begin with this byte; it is stamped as a row of that one byte.
    pub(crate) fn rows(&mut self, family: u8, first: u8) {
        self.row(family, &[first]);
    }

    /// More was looked at than can be kept in mind.
    pub(crate) fn give_up(&mut self) {
        self.rows = None;
    }

    /// Whether one row more is too much.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.as_ref().is_none_or(|rows| rows.len() >= ROWS_MAX)
    }

    /// The last group that everybody saw when it began.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// Whether nothing that was looked at has been written since; if that was too much to keep in mind, nobody knows.
    pub(crate) fn holds(&self) -> bool {
        self.rows.as_deref().is_some_and(|rows| self.stamps.hold(rows, self.since))
    }

    /// What was kept in mind.
    pub(crate) fn witness(&self) -> Option<Witness> {
        let rows = Box::from(self.rows.as_deref()?);
        Some(Witness { stamps: Arc::clone(&self.stamps), since: self.since, rows })
    }
}

/// Tells whether what a read saw is still so.
pub struct Witness {
    stamps: Arc<Stamps>,
    since: u64,
    rows: Box<[u32]>,
}

impl Witness {
    /// Whether the same read would see the same now. Takes some nanoseconds a row.
    pub fn holds(&self) -> bool {
        self.stamps.hold(&self.rows, self.since)
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Witness({} rows since {})", self.rows.len(), self.since)
    }
}

/// Where the stamp of a row is.
pub(crate) fn place(family: u8, key: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    (family, key).hash(&mut hasher);
    // The remainder fits.
    usize::try_from(hasher.finish() % PLACES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(stamps: &Arc<Stamps>, key: &[u8]) -> Witness {
        let mut watch = stamps.watch();
        watch.row(1, key);
        watch.witness().unwrap()
    }

    #[test]
    fn a_row_that_is_written_is_no_longer_so() {
        let stamps = Stamps::new();
        let (one, other) = (seen(&stamps, b"one"), seen(&stamps, b"other"));
        assert!(one.holds() && other.holds());
        let group = stamps.begin([(1, &b"one"[..])].into_iter());
        assert!(!one.holds(), "not even while it is being written");
        assert!(other.holds());
        // A read that began before the group was seen by all may have seen either.
        let between = seen(&stamps, b"one");
        assert!(!between.holds());
        stamps.end(group);
        assert!(!one.holds() && !between.holds());
        assert!(seen(&stamps, b"one").holds());
    }

    #[test]
    fn what_begins_alike_and_what_is_too_much() {
        let stamps = Stamps::new();
        let mut watch = stamps.watch();
        watch.rows(0, b'a');
        let all = watch.witness().unwrap();
        stamps.end(stamps.begin([(0, &b"b1"[..]), (0, b"b")].into_iter()));
        assert!(all.holds());
        stamps.end(stamps.begin([(0, &b"a1"[..]), (0, b"a")].into_iter()));
        assert!(!all.holds());
        let mut watch = stamps.watch();
        (0..=ROWS_MAX).for_each(|_| watch.row(0, b"x"));
        assert!(watch.witness().is_none());
        let mut watch = stamps.watch();
        watch.give_up();
        watch.row(0, b"x");
        assert!(watch.witness().is_none());
    }
}
