//! SHA-256 of bytes that arrive, beside whoever writes them.
//!
//! What lives here: hashing as a work, and how much may wait for it. What does not: the thread (`relay`), and the way of the
//! same bytes to disk (`local::writer`).

use bytes::Bytes;
use model::Result;

use crate::{
    ContentHash,
    relay::{Relay, Work},
};

/// How much may wait before its stage has to. With what is being hashed, enough that the thread never runs dry while the
/// next batch is on its way through the runtime.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A hash as it goes on, and the bytes that wait for it. Needs the threads of a runtime.
pub struct Hasher(Relay<ContentHash>);

impl Work for ContentHash {
    type Job = Bytes;

    fn weight(bytes: &Bytes) -> usize {
        bytes.len()
    }

    fn take(&mut self, bytes: Bytes) -> Result<()> {
        self.update(&bytes);
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
    fn from(hash: ContentHash) -> Self {
        Self(Relay::new(hash, WAITING_BYTES_MAX))
    }
}

impl Hasher {
    /// Waits until more may be handed over. May be dropped and called again.
    ///
    /// # Errors
    /// [`model::Error::Storage`]: the hash is lost.
    pub async fn room(&self) -> Result<()> {
        self.0.room().await
    }

    /// Hands bytes over, in the order of the content.
    pub fn push(&self, bytes: Bytes) {
        self.0.push(bytes);
    }

    /// Waits until everything is hashed; the state is then the caller's. May be dropped and called again before.
    ///
    /// # Errors
    /// [`model::Error::Storage`]: the hash is lost.
    pub async fn end(&self) -> Result<ContentHash> {
        self.0.end().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(hasher.end().await.unwrap().finish(), whole.finish());
    }

    #[tokio::test]
    async fn it_goes_on_from_a_state() {
        let mut before = ContentHash::new();
        before.update(b"abc");
        let hasher = Hasher::from(before.clone());
        hasher.push(Bytes::from_static(b"d"));
        hasher.push(Bytes::from_static(b"ef"));
        assert_eq!(hasher.end().await.unwrap().finish(), ContentHash::of(b"abcdef"));
        let none = Hasher::from(before).end().await.unwrap();
        assert_eq!(none.finish(), ContentHash::of(b"abc"));
    }
}
