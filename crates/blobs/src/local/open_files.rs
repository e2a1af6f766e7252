//! Sealed files that are kept open for the next reader: without it each GET opens its file and reads its footer anew.
//!
//! What does not live here: what is known of an open file (`known`). The invariants: a file that was removed, replaced or
//! changed is not handed out again, and one that was removed through the store is let go at once, so that its room on the
//! disk is free.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use model::BlobId;
use rustix::process::Resource;

use super::known::{Known, Stamp, VERIFIED_FOR};

/// Files kept open, at most.
const FILES_MAX: usize = 256;
/// The part of the process's descriptors that they may be, where it has few.
const DESCRIPTORS_SHARE: u64 = 32;

/// The files, with when they were opened.
pub(super) struct OpenFiles {
    files: Mutex<HashMap<BlobId, (Instant, Arc<Known>)>>,
    max: usize,
}

impl OpenFiles {
    /// None yet.
    pub(super) fn new() -> Self {
        let descriptors = rustix::process::getrlimit(Resource::Nofile).current;
        let share = descriptors.map_or(FILES_MAX as u64, |all| all / DESCRIPTORS_SHARE);
        let max = usize::try_from(share).unwrap_or(FILES_MAX).min(FILES_MAX);
        Self { files: Mutex::default(), max }
    }

    /// The file of a blob, if it is open and as it was when it was opened, which was not long ago.
    pub(super) fn get(&self, id: BlobId) -> Option<Arc<Known>> {
        let found = self.lock().get(&id).map(|(opened, known)| (*opened, Arc::clone(known)));
        let (opened, known) = found?;
        let now = Instant::now();
        if now.duration_since(opened) < VERIFIED_FOR
            && let Ok(stamp) = Stamp::of(&known.file)
            && stamp == known.stamp
            && stamp.is_named()
        {
            known.looked(stamp, now);
            return Some(known);
        }
        self.forget(id);
        None
    }

    /// Keeps the file of a blob. One that was changed a moment ago is not kept: a further change might not show.
    pub(super) fn keep(&self, id: BlobId, known: &Arc<Known>) {
        if self.max == 0 || !known.settled {
            return;
        }
        let mut dropped = None;
        {
            let mut files = self.lock();
            if files.len() >= self.max && !files.contains_key(&id) {
                let oldest = files.iter().min_by_key(|(_, (opened, _))| *opened);
                dropped = oldest.map(|(id, _)| *id).and_then(|id| files.remove(&id));
            }
            let new = (Instant::now(), Arc::clone(known));
            dropped = files.insert(id, new).or(dropped);
        }
        drop(dropped);
        // Removed between its opening and now: whoever removed it found nothing to forget.
        if !Stamp::of(&known.file).is_ok_and(|now| now.is_named()) {
            self.forget(id);
        }
    }

    /// Lets the file of a blob go.
    pub(super) fn forget(&self, id: BlobId) {
        let known = self.lock().remove(&id);
        // Closing a file that has no name any more frees its blocks, which takes a while: not under the lock.
        drop(known);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, (Instant, Arc<Known>)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
