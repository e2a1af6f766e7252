//! Who reads which blob on this node, so that a removal takes the bytes from under nobody here.
//!
//! What does not live here: the removal itself. What the store cannot give: a reader on another node finds the rest of a
//! removed blob missing, unless whoever removes leaves time in between. The invariant: a blob whose removal was begun is
//! opened by nobody any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::BlobId;
use tokio::sync::Notify;

/// The readers of this node.
#[derive(Default)]
pub(super) struct Readers {
    blobs: Mutex<HashMap<BlobId, State>>,
    /// A blob that is leaving has no readers any more.
    left: Notify,
}

#[derive(Default)]
struct State {
    readers: usize,
    leaving: bool,
}

/// One reader of one blob.
pub(super) struct Reading {
    readers: Arc<Readers>,
    id: BlobId,
    /// Called by the last reader of a blob that is leaving.
    last: Option<Box<dyn FnOnce(BlobId) + Send + Sync>>,
}

impl Readers {
    /// One more reader; `None` when the blob is leaving. `last` removes the object if its removal had to wait.
    pub(super) fn enter(
        self: &Arc<Self>,
        id: BlobId,
        last: Box<dyn FnOnce(BlobId) + Send + Sync>,
    ) -> Option<Reading> {
        let mut blobs = self.lock();
        let state = blobs.entry(id).or_default();
        if state.leaving {
            return None;
        }
        state.readers += 1;
        drop(blobs);
        Some(Reading { readers: Arc::clone(self), id, last: Some(last) })
    }

    /// The blob is to leave; whether nobody reads it now.
    pub(super) fn leave(&self, id: BlobId) -> bool {
        let mut blobs = self.lock();
        let state = blobs.entry(id).or_default();
        state.leaving = true;
        state.readers == 0
    }

    /// It is gone, or its going failed: the next one who asks the store will see.
    pub(super) fn gone(&self, id: BlobId) {
        let mut blobs = self.lock();
        if let Some(state) = blobs.get_mut(&id) {
            state.leaving = false;
            if state.readers == 0 {
                blobs.remove(&id);
            }
        }
    }

    /// Whether nobody reads any of these.
    fn idle(&self, ids: &[BlobId]) -> bool {
        let blobs = self.lock();
        ids.iter().all(|id| blobs.get(id).is_none_or(|state| state.readers == 0))
    }

    /// Waits until nobody reads any of these.
    pub(super) async fn idle_all(&self, ids: &[BlobId]) {
        loop {
            let left = self.left.notified();
            if self.idle(ids) {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, State>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut blobs = self.readers.lock();
        let Some(state) = blobs.get_mut(&self.id) else { return };
        state.readers -= 1;
        if state.readers > 0 {
            return;
        }
        let leaving = state.leaving;
        if !leaving {
            blobs.remove(&self.id);
        }
        drop(blobs);
        if leaving {
            self.readers.left.notify_waiters();
            if let Some(last) = self.last.take() {
                last(self.id);
            }
        }
    }
}
