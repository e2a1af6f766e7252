//! The hash of the whole, taken through a piece while it arrives.
//!
//! What lives here: following one piece, from when the state before it is known until its end. What does not: the states
//! themselves (`prefix`), and reading back what came another way (`join`). Where pieces come in order the bytes are still
//! in memory when they are hashed for the second time; where they come at the same time the hash goes from one to the
//! next and catches up. A piece waits for it while it is close, and not while it is far behind.

use std::sync::Arc;

use blobs::{ContentHash, Follow, Hasher};
use model::{Digest, PieceContent, Result, UploadId};
use tokio::sync::watch;

use super::join::READ_BYTES;
use crate::Store;

/// How far the hash of the whole may be behind a piece, in bytes: so much is in memory anyhow.
const LAG_MAX: u64 = 1024 * 1024;
/// A hash that is further behind than this, in bytes, is not waited for.
const NEAR: u64 = 16 * 1024 * 1024;

/// A piece that arrives, as the hash of the whole sees it.
pub(super) struct Ahead {
    of: Of,
    came: watch::Sender<Came>,
    /// How far the hash is; `None`: it does not follow.
    reached: watch::Receiver<Option<u64>>,
}

/// Which piece.
#[derive(Clone)]
struct Of {
    store: Store,
    upload: UploadId,
    number: u32,
    serial: u64,
}

#[derive(Clone, Copy, Default)]
struct Came {
    bytes: u64,
    all: bool,
}

impl Ahead {
    /// Of a piece behind the first of which nothing came yet; `follow` shows its bytes as they come.
    pub(super) fn new(
        store: &Store,
        upload: UploadId,
        number: u32,
        follow: Arc<dyn Follow>,
    ) -> Self {
        let serial = store.0.prefixes.arrives(upload, number);
        let of = Of { store: store.clone(), upload, number, serial };
        let came = watch::Sender::new(Came::default());
        let known = of.begin();
        let (mut reaches, reached) = watch::channel(known.as_ref().map(|_| 0));
        let (task, mut comes) = (of.clone(), came.subscribe());
        tokio::spawn(async move {
            let passed = task.pass(known, &*follow, &mut comes, &mut reaches).await;
            task.store.0.prefixes.passed(upload, number, serial, passed);
        });
        Self { of, came, reached }
    }

    /// So many bytes are taken over. Waits for the hash of the whole if it is not far behind: otherwise it would have to
    /// read back what is in memory now, and would fall behind further.
    pub(super) async fn came(&mut self, bytes: u64) {
        self.came.send_replace(Came { bytes, all: false });
        let is_close = |reached: &Option<u64>| {
            let lag = reached.map_or(0, |reached| bytes - reached);
            lag <= LAG_MAX || lag > NEAR
        };
        // Closed: the hash did not get through.
        drop(self.reached.wait_for(is_close).await);
    }

    /// Nothing comes any more.
    pub(super) fn all_came(&self) {
        self.came.send_modify(|came| came.all = true);
    }

    /// Waits until the hash of the whole is past the piece, unless it is far behind or has not begun: then the piece that
    /// comes next can go on from there at once.
    pub(super) async fn is_past(&mut self) {
        let bytes = self.came.borrow().bytes;
        if self.reached.borrow().is_some_and(|reached| bytes - reached <= NEAR) {
            while self.reached.changed().await.is_ok() {}
        }
    }

    /// The piece counts. The hash of the whole goes on to its end if it has begun with it.
    pub(super) fn landed(self, content: PieceContent) {
        let Of { store, upload, number, serial } = self.of;
        store.0.prefixes.landed(upload, number, serial, content);
    }
}

impl Of {
    /// The state before the piece, if it is known; then the hash of the whole counts as one that follows the piece.
    fn begin(&self) -> Option<(Digest, ContentHash)> {
        let prefixes = &self.store.0.prefixes;
        let state = prefixes.before(self.upload, self.number)?;
        let before = state.clone().finish();
        prefixes.follows(self.upload, self.number, self.serial, before);
        Some((before, state))
    }

    /// Takes the hash of the whole through the piece, from when the state before it is known. `None`: it does not get there.
    async fn pass(
        &self,
        known: Option<(Digest, ContentHash)>,
        follow: &dyn Follow,
        came: &mut watch::Receiver<Came>,
        reached: &mut watch::Sender<Option<u64>>,
    ) -> Option<(Digest, ContentHash)> {
        let (before, state) = match known {
            Some(known) => known,
            None => self.begun(came).await?,
        };
        let after = through(Hasher::from(state), follow, came, reached).await.ok().flatten()?;
        Some((before, after))
    }

    /// Waits for the state before the piece. `None`: the piece is over.
    async fn begun(&self, came: &mut watch::Receiver<Came>) -> Option<(Digest, ContentHash)> {
        let mut changes = self.store.0.prefixes.changes(self.upload);
        loop {
            if let Some(known) = self.begin() {
                return Some(known);
            }
            tokio::select! {
                biased;
                changed = changes.changed() => changed.ok()?,
                over = ended(came) => return over,
            }
        }
    }
}

/// Waits until nobody is at work on the piece any more.
async fn ended<T>(came: &mut watch::Receiver<Came>) -> Option<T> {
    while came.changed().await.is_ok() {}
    None
}

/// Takes a hash through a piece, as far as it comes. `None`: it does not come to its end.
async fn through(
    hasher: Hasher,
    follow: &dyn Follow,
    came: &mut watch::Receiver<Came>,
    reached: &mut watch::Sender<Option<u64>>,
) -> Result<Option<ContentHash>> {
    let mut offset = 0;
    loop {
        let Came { bytes, all } = *came.borrow_and_update();
        while offset < bytes {
            hasher.room().await?;
            let left = usize::try_from(bytes - offset).unwrap_or(usize::MAX);
            let part = follow.read(offset, left.min(READ_BYTES)).await?;
            if part.is_empty() {
                return Ok(None);
            }
            offset += part.len() as u64;
            hasher.push(part);
            reached.send_replace(Some(offset));
        }
        if all {
            return hasher.end().await.map(Some);
        }
        if came.changed().await.is_err() {
            return Ok(None);
        }
    }
}
