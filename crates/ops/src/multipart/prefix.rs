//! The checksum of a whole file, ahead of its completion: SHA-256 over the longest contiguous run of pieces from the
//! first, advanced while later pieces arrive.
//!
//! The first piece is hashed as it arrives: what its own checksum was made of is the state after it. Where a piece arrives
//! right after the one before it, the hash of the whole goes through its bytes with the piece's own (`ahead`), and is noted here
//! for whoever puts the upload together; what was not hashed so is read back by `join`.
//!
//! Kept in memory: it is a cache, and a restart begins again. The state after every piece is kept, so that a piece that is
//! sent again costs only what follows it. Bounded in uploads; what does not fit is hashed when it is needed. No state is
//! believed for where it stands, only for what it was made of: a piece's goes on from the hash of all bytes before it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use blobs::{Chained, ContentHash};
use model::{Digest, Piece, PieceContent, UploadId};
use tokio::sync::watch;

/// States kept over all uploads; one is some 112 bytes.
const STATES_MAX: usize = 200_000;

/// How far an upload is hashed.
#[derive(Default, Clone)]
pub(crate) struct Prefix {
    /// After each piece: which content that was, and the state.
    after: Vec<(PieceContent, ContentHash)>,
}

/// What is known of an upload.
#[derive(Default)]
struct Known {
    prefix: Prefix,
    /// By number: pieces that arrive or arrived here and that the prefix has not passed.
    later: BTreeMap<u32, Later>,
    /// Something became known.
    changed: watch::Sender<()>,
}

/// A piece that was hashed as it came, or is.
struct Later {
    /// Which of those that were sent under this number: the one that began last.
    serial: u64,
    /// Once it counts.
    content: Option<PieceContent>,
    hash: Hash,
}

/// The hash of the whole, on its way through a piece. Before each state stands the hash of all bytes before the piece.
enum Hash {
    /// What is before the piece is not known yet.
    Awaiting,
    /// `is_ending`: with the piece's own, of which nothing comes any more.
    Following {
        before: Digest,
        is_ending: bool,
    },
    Passed(Digest, ContentHash),
    Lost,
}

/// How the hash of the whole gets past a piece.
pub(super) enum Way {
    /// It is past it.
    Passed(ContentHash),
    /// It goes through it as it comes, and will be past it soon.
    Soon,
    /// The piece is to be read.
    Read,
}

impl Prefix {
    /// How many of `pieces`, in the order of their numbers, are hashed as they are now.
    pub(crate) fn matches(&mut self, pieces: &[Piece]) -> usize {
        let same = self
            .after
            .iter()
            .zip(pieces)
            .take_while(|((content, _), piece)| *content == piece.content)
            .count();
        self.after.truncate(same);
        same
    }

    /// The state after the last piece that is hashed.
    pub(crate) fn state(&self) -> ContentHash {
        self.after.last().map_or_else(ContentHash::default, |(_, state)| state.clone())
    }

    /// Takes the state after one more piece.
    pub(crate) fn push(&mut self, content: PieceContent, state: ContentHash) {
        self.after.push((content, state));
    }
}

impl Known {
    /// What it counts: its states, and itself.
    fn states(&self) -> usize {
        1 + self.prefix.after.len() + self.later.len()
    }
}

/// Of all uploads.
#[derive(Default)]
pub(crate) struct Prefixes(Mutex<All>);

#[derive(Default)]
struct All {
    uploads: HashMap<UploadId, Known>,
    /// Over all of them.
    states: usize,
    serials: u64,
}

impl All {
    /// Changes what is known of an upload. When there are too many states, other uploads are forgotten.
    fn change<T>(&mut self, id: UploadId, change: impl FnOnce(&mut Known) -> T) -> T {
        let before = self.uploads.get(&id).map_or(0, Known::states);
        let known = self.uploads.entry(id).or_default();
        let changed = change(known);
        self.states = self.states + known.states() - before;
        while self.states > STATES_MAX
            && let Some(other) = self.uploads.keys().find(|other| **other != id).copied()
        {
            self.forget(other);
        }
        changed
    }

    fn forget(&mut self, id: UploadId) {
        self.states -= self.uploads.remove(&id).map_or(0, |known| known.states());
    }
}

impl Prefixes {
    /// Takes an upload's out; whoever does puts it back.
    pub(crate) fn take(&self, id: UploadId) -> Prefix {
        self.all().change(id, |known| std::mem::take(&mut known.prefix))
    }

    /// Whether anything is known of an upload's beginning.
    pub(crate) fn knows(&self, id: UploadId) -> bool {
        self.all().uploads.get(&id).is_some_and(|known| !known.prefix.after.is_empty())
    }

    /// The state after the first piece of an upload, which has arrived. Whatever was known of the upload began with what
    /// was the first piece before.
    pub(crate) fn begin(&self, id: UploadId, content: PieceContent, state: ContentHash) {
        self.all().change(id, |known| known.prefix = Prefix { after: vec![(content, state)] });
    }

    /// Puts an upload's back, unless more is known by now.
    pub(crate) fn put(&self, id: UploadId, prefix: Prefix) {
        self.all().change(id, |known| {
            if known.prefix.after.len() <= prefix.after.len() {
                known.prefix = prefix;
            }
            let passed = u32::try_from(known.prefix.after.len()).unwrap_or(u32::MAX);
            // The last one stays: whoever comes next looks there while the prefix is out.
            known.later = known.later.split_off(&passed);
            known.changed.send_replace(());
        });
    }

    /// A piece begins to arrive here. Returns what it is called below.
    pub(super) fn arrives(&self, id: UploadId, number: u32) -> u64 {
        let mut all = self.all();
        all.serials += 1;
        let serial = all.serials;
        let later = Later { serial, content: None, hash: Hash::Awaiting };
        all.change(id, |known| {
            known.later.insert(number, later);
            // Whoever waits for one that was sent under this number before waits for nothing now.
            known.changed.send_replace(());
        });
        serial
    }

    /// Is told when something becomes known of an upload; closed when it is forgotten.
    pub(super) fn changes(&self, id: UploadId) -> watch::Receiver<()> {
        self.all().change(id, |known| known.changed.subscribe())
    }

    /// The state before a piece, if it is known: perhaps of pieces of which it is not known yet whether they count.
    pub(super) fn before(&self, id: UploadId, number: u32) -> Option<ContentHash> {
        let all = self.all();
        let (known, before) = (all.uploads.get(&id)?, number.checked_sub(1)?);
        let place = usize::try_from(before).ok()?.checked_sub(1)?;
        if let Some((_, state)) = known.prefix.after.get(place) {
            return Some(state.clone());
        }
        match &known.later.get(&before)?.hash {
            Hash::Passed(_, state) => Some(state.clone()),
            Hash::Awaiting | Hash::Following { .. } | Hash::Lost => None,
        }
    }

    /// Whether the state before a piece is known, or will be as soon as what has come is hashed.
    pub(super) fn is_near(&self, id: UploadId, number: u32) -> bool {
        self.is_ending(id, number.saturating_sub(1)) || self.before(id, number).is_some()
    }

    fn is_ending(&self, id: UploadId, number: u32) -> bool {
        let all = self.all();
        let later = all.uploads.get(&id).and_then(|known| known.later.get(&number));
        later.is_some_and(|later| matches!(later.hash, Hash::Following { is_ending: true, .. }))
    }

    /// The hash of the whole goes through a piece that arrives, after bytes whose hash is `before`.
    pub(super) fn follows(&self, id: UploadId, number: u32, serial: u64, before: Digest) {
        self.note(id, number, serial, |later| {
            later.hash = Hash::Following { before, is_ending: false };
        });
    }

    /// Nothing comes any more of a piece that the hash of the whole goes through with the piece's own.
    pub(super) fn ends(&self, id: UploadId, number: u32, serial: u64) {
        self.note(id, number, serial, |later| {
            if let Hash::Following { is_ending, .. } = &mut later.hash {
                *is_ending = true;
            }
        });
    }

    /// The hash of the whole is past a piece that arrived.
    pub(super) fn passed(&self, id: UploadId, number: u32, serial: u64, after: Chained) {
        let Chained { before, hash } = after;
        self.note(id, number, serial, |later| later.hash = Hash::Passed(before, hash));
    }

    /// Nobody is at work on a piece any more: if the hash of the whole is not past it, it does not get there.
    pub(super) fn left(&self, id: UploadId, number: u32, serial: u64) {
        self.note(id, number, serial, |later| {
            if let Hash::Following { .. } = later.hash {
                later.hash = Hash::Lost;
            }
        });
    }

    /// A piece that arrived counts.
    pub(super) fn landed(&self, id: UploadId, number: u32, serial: u64, content: PieceContent) {
        self.note(id, number, serial, |later| later.content = Some(content));
    }

    /// The state after a piece that was read.
    pub(super) fn reached(
        &self,
        id: UploadId,
        number: u32,
        content: PieceContent,
        (before, after): (Digest, ContentHash),
    ) {
        let mut all = self.all();
        all.serials += 1;
        let later = Later {
            serial: all.serials,
            content: Some(content),
            hash: Hash::Passed(before, after),
        };
        all.change(id, |known| {
            known.later.insert(number, later);
            known.changed.send_replace(());
        });
    }

    /// How the hash of the whole, which is `before` before a piece, gets past it.
    pub(super) fn way(&self, id: UploadId, piece: &Piece, before: Digest) -> Way {
        let all = self.all();
        let later = all.uploads.get(&id).and_then(|known| known.later.get(&piece.number));
        match later {
            Some(Later { content, hash, .. }) if *content == Some(piece.content) => match hash {
                Hash::Passed(begun, state) if *begun == before => Way::Passed(state.clone()),
                Hash::Following { before: begun, .. } if *begun == before => Way::Soon,
                Hash::Passed(..) | Hash::Following { .. } | Hash::Awaiting | Hash::Lost => {
                    Way::Read
                }
            },
            Some(_) | None => Way::Read,
        }
    }

    fn note(&self, id: UploadId, number: u32, serial: u64, note: impl FnOnce(&mut Later)) {
        let mut all = self.all();
        let Some(known) = all.uploads.get_mut(&id) else { return };
        if let Some(later) = known.later.get_mut(&number)
            && later.serial == serial
        {
            note(later);
            known.changed.send_replace(());
        }
    }

    /// Forgets an upload that is over.
    pub(crate) fn forget(&self, id: UploadId) {
        self.all().forget(id);
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::{AccountId, BlobId, Extent, PieceState};

    use super::*;

    const ID: UploadId = UploadId([1; 16]);

    fn content(n: u8) -> PieceContent {
        PieceContent::Blob(Extent { blob: BlobId::new(AccountId(1), 2, [n; 6]), len: 3 })
    }

    fn of(bytes: &[u8]) -> ContentHash {
        let mut hash = ContentHash::new();
        hash.update(bytes);
        hash
    }

    fn piece(number: u32, n: u8) -> Piece {
        let (arrival, checksum, content) = (number.into(), Digest([n; 32]), content(n));
        let (size, state, error) = (3, PieceState::Deleted, 0);
        Piece { number, arrival, size, checksum, content, state, error }
    }

    #[test]
    fn what_is_known_of_an_upload_is_not_forgotten_for_less() {
        let all = Prefixes::default();
        let taken = all.take(ID);
        let first = of(b"abc");
        all.begin(ID, content(1), first.clone());
        all.put(ID, taken);
        let mut prefix = all.take(ID);
        assert_eq!(prefix.after.len(), 1, "the first piece arrived meanwhile");
        assert_eq!(prefix.state().finish(), first.clone().finish());
        prefix.push(content(2), first.clone());
        all.put(ID, prefix);
        all.begin(ID, content(3), first);
        assert_eq!(all.take(ID).after.len(), 1, "another first piece makes the rest worthless");
    }

    #[test]
    fn a_piece_that_arrives_is_told_of_the_state_before_it() {
        let all = Prefixes::default();
        let second = all.arrives(ID, 2);
        let mut changes = all.changes(ID);
        assert!(all.before(ID, 2).is_none() && all.before(ID, 3).is_none());
        all.reached(ID, 1, content(1), (ContentHash::of(b""), of(b"abc")));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(all.before(ID, 2).unwrap().finish(), ContentHash::of(b"abc"));
        all.begin(ID, content(1), of(b"abc"));
        let mut prefix = all.take(ID);
        assert_eq!(
            all.before(ID, 2).unwrap().finish(),
            ContentHash::of(b"abc"),
            "it came this way"
        );
        all.follows(ID, 2, second, ContentHash::of(b"abc"));
        assert!(all.before(ID, 3).is_none());
        let state = of(b"abcdef");
        all.reached(ID, 2, content(2), (ContentHash::of(b"abc"), state.clone()));
        assert!(changes.has_changed().unwrap());
        assert_eq!(all.before(ID, 3).unwrap().finish(), ContentHash::of(b"abcdef"));
        prefix.push(content(2), state);
        all.put(ID, prefix);
        assert_eq!(all.before(ID, 3).unwrap().finish(), ContentHash::of(b"abcdef"));
        assert!(all.all().uploads[&ID].later.keys().eq([&2]), "the prefix is past the others");
        let taken = all.take(ID);
        assert_eq!(all.before(ID, 3).unwrap().finish(), ContentHash::of(b"abcdef"));
        all.put(ID, taken);
        all.forget(ID);
        assert!(changes.has_changed().is_err() && all.before(ID, 2).is_none());
    }

    #[test]
    fn a_state_is_believed_for_the_same_bytes_only() {
        let all = Prefixes::default();
        let (abc, other) = (ContentHash::of(b"abc"), ContentHash::of(b"xyz"));
        let serial = all.arrives(ID, 2);
        all.follows(ID, 2, serial, abc);
        assert!(
            matches!(all.way(ID, &piece(2, 2), abc), Way::Read),
            "whether it counts is unknown"
        );
        all.landed(ID, 2, serial, content(2));
        assert!(matches!(all.way(ID, &piece(2, 2), abc), Way::Soon));
        assert!(matches!(all.way(ID, &piece(2, 2), other), Way::Read));
        assert!(!all.is_near(ID, 3));
        all.ends(ID, 2, serial);
        assert!(all.is_near(ID, 3) && all.before(ID, 3).is_none() && !all.is_near(ID, 4));
        assert!(matches!(all.way(ID, &piece(2, 2), abc), Way::Soon));
        let after = || Chained { before: abc, hash: of(b"abcdef") };
        all.passed(ID, 2, serial, after());
        all.left(ID, 2, serial);
        assert!(all.is_near(ID, 3));
        let Way::Passed(state) = all.way(ID, &piece(2, 2), abc) else { panic!("it is past it") };
        assert_eq!(state.finish(), ContentHash::of(b"abcdef"));
        assert!(matches!(all.way(ID, &piece(2, 3), abc), Way::Read), "sent again");
        assert!(matches!(all.way(ID, &piece(2, 2), other), Way::Read), "the first was sent again");
        assert!(matches!(all.way(ID, &piece(3, 2), abc), Way::Read));
        let changes = all.changes(ID);
        let again = all.arrives(ID, 2);
        assert!(changes.has_changed().unwrap() && !all.is_near(ID, 3), "who waits is told");
        all.landed(ID, 2, serial, content(2));
        all.passed(ID, 2, serial, after());
        assert!(matches!(all.way(ID, &piece(2, 2), abc), Way::Read), "another is on its way");
        all.follows(ID, 2, again, abc);
        all.landed(ID, 2, again, content(3));
        all.ends(ID, 2, again);
        all.left(ID, 2, again);
        assert!(!all.is_near(ID, 3));
        assert!(matches!(all.way(ID, &piece(2, 3), abc), Way::Read), "it did not get there");
    }

    #[test]
    fn uploads_of_which_nothing_is_known_are_bounded_too() {
        let all = Prefixes::default();
        for n in 0..u32::try_from(STATES_MAX + 10).unwrap() {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_le_bytes());
            drop(all.take(UploadId(id)));
        }
        assert!(all.all().uploads.len() <= STATES_MAX);
    }

    #[test]
    fn states_are_bounded_and_counted() {
        let all = Prefixes::default();
        for n in 0..2 * u32::try_from(STATES_MAX).unwrap() {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&(n / 8).to_le_bytes());
            all.arrives(UploadId(id), n % 8 + 1);
        }
        let all = all.all();
        assert_eq!(all.states, all.uploads.values().map(Known::states).sum::<usize>());
        assert!((STATES_MAX - 8..=STATES_MAX).contains(&all.states), "{}", all.states);
    }
}
