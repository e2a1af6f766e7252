//! SHA-256 of bytes that arrive, beside whoever writes them: of a blob, and of more than the blob where somebody has a hash of
//! the bytes before it.
//!
//! What lives here: hashing as a work, how much may wait for it, and how another hash joins. What does not: the thread (`relay`),
//! the way of the same bytes to disk (`local::writer`), and what the other hash is good for (whoever lets it join).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use model::{Digest, Result};

use crate::{
    ContentHash,
    relay::{Relay, Work},
};

/// How much may wait before its stage has to. With what is being hashed, enough that the thread never runs dry while the
/// next batch is on its way through the runtime.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How much a stage keeps to itself while another hash is expected to join: what comes while the blob before is hashed to its end.
const EXPECTING_BYTES_MAX: usize = 3 * 1024 * 1024;

/// A hash of more than a blob: of bytes before it, then of the blob's.
#[derive(Clone)]
pub struct Chained {
    /// SHA-256 of the bytes before the blob.
    pub before: Digest,
    /// As it is now.
    pub hash: ContentHash,
}

/// What bytes are taken through.
pub struct Hashes {
    /// The blob's.
    pub own: ContentHash,
    /// One that joined.
    pub chained: Option<Chained>,
}

/// A hash as it goes on, and the bytes that wait for it. Needs the threads of a runtime.
pub struct Hasher {
    line: Arc<Line>,
    expects: bool,
}

/// Lets another hash join the one of a stage.
pub struct Chain(Weak<Line>);

struct Line {
    relay: Relay<Hashes>,
    taken: Mutex<Taken>,
}

/// What was handed over.
#[derive(Clone, Copy)]
struct Taken {
    bytes: u64,
    /// Whether another hash may join: none did yet, and the end was not asked for.
    is_open: bool,
}

/// What is done in order.
pub(crate) enum Job {
    Hash(Bytes),
    Join(Chained),
}

impl Hashes {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.chained {
            Some(chained) => ContentHash::update_both(&mut self.own, &mut chained.hash, bytes),
            None => self.own.update(bytes),
        }
    }
}

impl Work for Hashes {
    type Job = Job;

    fn weight(job: &Job) -> usize {
        match job {
            Job::Hash(bytes) => bytes.len(),
            Job::Join(_) => 0,
        }
    }

    fn take(&mut self, job: Job) -> Result<()> {
        match job {
            Job::Hash(bytes) => self.update(&bytes),
            Job::Join(chained) => self.chained = Some(chained),
        }
        Ok(())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::from(ContentHash::new())
    }
}

impl From<ContentHash> for Hasher {
    /// Goes on from a state.
    fn from(own: ContentHash) -> Self {
        let relay = Relay::new(Hashes { own, chained: None }, WAITING_BYTES_MAX);
        let taken = Mutex::new(Taken { bytes: 0, is_open: true });
        let line = Arc::new(Line { relay, taken });
        Self { line, expects: false }
    }
}

impl Hasher {
    /// Waits until more may be handed over. May be dropped and called again.
    ///
    /// # Errors
    /// [`model::Error::Storage`]: the hash is lost.
    pub async fn room(&self) -> Result<()> {
        self.line.relay.room().await
    }

    /// Hands bytes over, in the order of the content.
    pub fn push(&self, bytes: Bytes) {
        let mut taken = self.line.taken();
        taken.bytes += bytes.len() as u64;
        self.line.relay.push(Job::Hash(bytes));
    }

    /// Waits until everything is hashed; the states are then the caller's. May be dropped and called again before.
    ///
    /// # Errors
    /// [`model::Error::Storage`]: the hash is lost.
    pub async fn end(&self) -> Result<Hashes> {
        self.line.taken().is_open = false;
        self.line.relay.end().await
    }

    /// Lets another hash join. From now on one is expected.
    pub(crate) fn chain(&mut self) -> Chain {
        self.expects = true;
        Chain(Arc::downgrade(&self.line))
    }

    /// Whether so many bytes, of which none was handed over, had better wait, because another hash may join in time.
    pub(crate) fn expects(&mut self, bytes: usize) -> bool {
        let Taken { bytes: taken, is_open } = *self.line.taken();
        self.expects = self.expects && is_open && taken == 0 && bytes < EXPECTING_BYTES_MAX;
        self.expects
    }
}

impl Line {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chain {
    /// How many bytes were handed over to the hash of the stage; `None`: no other hash can join any more.
    pub fn taken(&self) -> Option<u64> {
        let Taken { bytes, is_open } = *self.0.upgrade()?.taken();
        is_open.then_some(bytes)
    }

    /// From now on the bytes are taken through this hash, too. It must have come as far as the stage's: to the byte `at` of the
    /// blob.
    ///
    /// # Errors
    /// It is given back when the stage's is somewhere else by now.
    pub fn join(&self, at: u64, chained: Chained) -> Result<(), Chained> {
        let Some(line) = self.0.upgrade() else { return Err(chained) };
        let mut taken = line.taken();
        if !taken.is_open || taken.bytes != at {
            return Err(chained);
        }
        taken.is_open = false;
        line.relay.push(Job::Join(chained));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> ContentHash {
        let mut hash = ContentHash::new();
        hash.update(bytes);
        hash
    }

    fn chained(bytes: &[u8]) -> Chained {
        Chained { before: ContentHash::of(bytes), hash: of(bytes) }
    }

    #[tokio::test]
    async fn what_is_handed_over_is_hashed_in_order() {
        let (hasher, mut whole) = (Hasher::default(), ContentHash::new());
        for n in 0..200_u8 {
            for f in 0..n % 4 {
                let frame = Bytes::from(vec![n; 40_000 * usize::from(f) + usize::from(n)]);
                whole.update(&frame);
                hasher.room().await.unwrap();
                hasher.push(frame);
            }
        }
        assert_eq!(hasher.end().await.unwrap().own.finish(), whole.finish());
    }

    #[tokio::test]
    async fn it_goes_on_from_a_state() {
        let before = of(b"abc");
        let hasher = Hasher::from(before.clone());
        hasher.push(Bytes::from_static(b"d"));
        hasher.push(Bytes::from_static(b"ef"));
        assert_eq!(hasher.end().await.unwrap().own.finish(), ContentHash::of(b"abcdef"));
        let none = Hasher::from(before).end().await.unwrap();
        assert_eq!(none.own.finish(), ContentHash::of(b"abc"));
    }

    #[tokio::test]
    async fn another_hash_joins_where_the_first_one_is() {
        let mut hasher = Hasher::default();
        let chain = hasher.chain();
        hasher.push(Bytes::from_static(b"de"));
        assert_eq!(chain.taken(), Some(2));
        let early = chain.join(0, chained(b"abc")).err().expect("it is elsewhere");
        assert_eq!(early.hash.finish(), ContentHash::of(b"abc"), "it is given back");
        let joined = Chained { before: ContentHash::of(b"abc"), hash: of(b"abcde") };
        assert!(chain.join(2, joined).is_ok());
        assert!(chain.taken().is_none() && chain.join(2, chained(b"x")).is_err(), "one joined");
        hasher.push(Bytes::from_static(b"f"));
        let Hashes { own, chained } = hasher.end().await.unwrap();
        let Chained { before, hash } = chained.unwrap();
        assert_eq!(own.finish(), ContentHash::of(b"def"));
        assert_eq!(before, ContentHash::of(b"abc"));
        assert_eq!(hash.finish(), ContentHash::of(b"abcdef"));
    }

    #[tokio::test]
    async fn none_joins_what_is_over() {
        let mut hasher = Hasher::default();
        let chain = hasher.chain();
        assert!(hasher.end().await.unwrap().chained.is_none());
        assert!(chain.taken().is_none() && chain.join(0, chained(b"abc")).is_err());
        let mut dropped = Hasher::default();
        let chain = dropped.chain();
        drop(dropped);
        assert!(chain.taken().is_none() && chain.join(0, chained(b"abc")).is_err());
    }

    #[tokio::test]
    async fn it_is_waited_for_a_while() {
        let mut hasher = Hasher::default();
        assert!(!hasher.expects(0), "nobody asked");
        let chain = hasher.chain();
        assert!(hasher.expects(EXPECTING_BYTES_MAX - 1));
        chain.join(0, chained(b"abc")).ok().unwrap();
        assert!(!hasher.expects(1), "it is here");
        let mut late = Hasher::default();
        let _chain = late.chain();
        assert!(!late.expects(EXPECTING_BYTES_MAX) && !late.expects(1), "it was waited for");
    }
}
