//! SHA-256 of a stage's bytes, on a thread of its own beside the one that writes them.
//!
//! What lives here: what waits to be hashed, and who hashes it. What does not: the way of the same bytes to disk (`writer`),
//! and how much may wait (`stage` asks for room before it hands more over). The invariants: bytes are hashed in the order in
//! which they were handed over, by one thread at a time; that thread goes on while there is something to hash, and never
//! waits for more.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use model::{Error, Result};
use tokio::sync::Notify;

use crate::ContentHash;

/// How much may wait before its stage has to. With what is being hashed, enough that the thread never runs dry while the
/// next batch is on its way through the runtime.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The hash of a stage so far, and what waits for it.
#[derive(Default)]
pub(crate) struct Hasher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Something was hashed. Only the stage waits for it.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    hash: Hash,
}

/// Where the state is.
enum Hash {
    Here(ContentHash),
    /// A thread goes on with it.
    Away,
    /// The thread ended before its time.
    Lost,
}

impl Default for Hash {
    fn default() -> Self {
        Hash::Here(ContentHash::new())
    }
}

impl Hasher {
    /// Waits until more may be handed over. May be dropped and called again.
    pub(crate) async fn room(&self) -> Result<()> {
        self.until(|inner| (inner.bytes <= WAITING_BYTES_MAX).then_some(())).await
    }

    /// Hands bytes over, in the order of the content.
    pub(crate) fn push(&self, frames: &[Bytes]) {
        let mut inner = self.0.lock();
        inner.waiting.extend(frames.iter().cloned());
        inner.bytes += frames.iter().map(Bytes::len).sum::<usize>();
        if let Hash::Here(hash) = &mut inner.hash {
            let hash = std::mem::take(hash);
            inner.hash = Hash::Away;
            drop(inner);
            let turn = Turn { shared: Arc::clone(&self.0), over: false };
            drop(tokio::task::spawn_blocking(move || turn.run(hash)));
        }
    }

    /// Waits until everything is hashed; the state is then the caller's. May be dropped and called again before.
    pub(crate) async fn end(&self) -> Result<ContentHash> {
        self.until(|inner| match &mut inner.hash {
            Hash::Here(hash) => Some(std::mem::take(hash)),
            Hash::Away | Hash::Lost => None,
        })
        .await
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut Inner) -> Option<T>) -> Result<T> {
        loop {
            {
                let mut inner = self.0.lock();
                if matches!(inner.hash, Hash::Lost) {
                    return Err(Error::Storage("hashing ended early".into()));
                }
                if let Some(seen) = look(&mut inner) {
                    return Ok(seen);
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Drop for Hasher {
    /// Nobody will ask: what waits need not be hashed.
    fn drop(&mut self) {
        self.0.lock().waiting.clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's turn: until nothing waits. If it ends in any other way, the hash is lost.
struct Turn {
    shared: Arc<Shared>,
    over: bool,
}

impl Turn {
    fn run(mut self, mut hash: ContentHash) {
        let mut hashed = 0;
        loop {
            let mut inner = self.shared.lock();
            inner.bytes -= hashed;
            let Some(next) = inner.waiting.pop_front() else {
                inner.hash = Hash::Here(hash);
                self.over = true;
                drop(inner);
                break;
            };
            drop(inner);
            if hashed > 0 {
                self.shared.changed.notify_one();
            }
            hash.update(&next);
            hashed = next.len();
        }
        self.shared.changed.notify_one();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            self.shared.lock().hash = Hash::Lost;
            self.shared.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_handed_over_is_hashed_in_order() {
        let hasher = Hasher::default();
        let mut whole = ContentHash::new();
        for n in 0..200_u8 {
            hasher.room().await.unwrap();
            let len = |f: u8| 40_000 * usize::from(f) + usize::from(n);
            let frames: Vec<Bytes> = (0..n % 4).map(|f| vec![n; len(f)].into()).collect();
            frames.iter().for_each(|frame| whole.update(frame));
            hasher.push(&frames);
            let waiting = hasher.0.lock().bytes;
            assert!(waiting <= WAITING_BYTES_MAX + 300_000, "{waiting} bytes wait");
        }
        assert_eq!(hasher.end().await.unwrap().finish(), whole.finish());
    }

    #[tokio::test]
    async fn a_thread_that_ends_early_is_an_error() {
        let hasher = Hasher::default();
        hasher.0.lock().hash = Hash::Away;
        drop(Turn { shared: Arc::clone(&hasher.0), over: false });
        assert!(hasher.room().await.is_err());
        assert!(hasher.end().await.is_err());
    }
}
