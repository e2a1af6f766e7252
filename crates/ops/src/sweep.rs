//! Clean-up: the bytes of doomed blobs, sessions that ended, blobs that nothing refers to.
//!
//! Each call does a bounded piece of work; when and how often is the business of whoever runs them (`server::jobs`).

use std::sync::{Arc, Mutex, PoisonError};

use model::{BlobId, Result, Time, TokenHash};

use crate::Store;

/// Doomed blobs removed, or sessions looked at, in one call.
const BATCH: usize = 256;
/// Nothing is written to for so long, in seconds, that somebody goes on with.
const STAGES_LEFT_SECS: u64 = 86_400;

impl Store {
    /// Removes the bytes of some doomed blobs; returns how many. 0: none is left, or none may be removed now.
    ///
    /// # Errors
    /// [`model::Error::Storage`]; what was not removed stays on the list.
    pub async fn sweep_doomed(&self) -> Result<usize> {
        let Ok(_removing) = self.0.removals.try_write() else { return Ok(0) };
        let doomed = self.0.catalog.read(|tx| tx.doomed(None, BATCH)).await?;
        let gone: Vec<BlobId> = doomed.into_iter().map(|(blob, _)| blob).collect();
        let count = gone.len();
        if count > 0 {
            // For good: a removal that a loss of power undid after this list forgot it would be found by nobody.
            self.0.blobs.remove_all(gone.clone()).await?;
            self.0
                .catalog
                .write(move |tx| gone.iter().try_for_each(|blob| tx.forget_doomed(*blob)))
                .await?;
        }
        Ok(count)
    }

    /// Gives up what processes that died left half-written in a store that other processes write to. Returns how many.
    ///
    /// # Errors
    /// [`model::Error::Storage`], [`model::Error::Unavailable`].
    pub async fn sweep_stages(&self) -> Result<usize> {
        let before = self.now().secs().saturating_sub(STAGES_LEFT_SECS);
        self.0.blobs.give_up_stages(Time::from_secs(before)).await
    }

    /// Removes some sessions that ended, going on after `after`; returns where to go on, `None` at the end.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    pub async fn sweep_sessions(&self, after: Option<TokenHash>) -> Result<Option<TokenHash>> {
        let now = self.now();
        let page = self.0.catalog.read(move |tx| tx.sessions(after, BATCH)).await?;
        let next = (page.len() == BATCH).then(|| page.last().map(|(hash, _)| *hash)).flatten();
        let ended: Vec<TokenHash> = page
            .into_iter()
            .filter(|(_, session)| session.expires.is_some_and(|end| end <= now))
            .map(|(hash, _)| hash)
            .collect();
        if !ended.is_empty() {
            self.0
                .catalog
                .write(move |tx| ended.iter().try_for_each(|hash| tx.remove_session(hash)))
                .await?;
        }
        Ok(next)
    }

    /// Removes blobs that nothing refers to, among those staged before `before` and changed on disk since `since`:
    /// what a crash between the sealing of a blob and its catalog record left behind. `before` must be a time from
    /// before this process took uploads, since a blob is sealed before it is referred to. Returns how many.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    pub async fn sweep_orphans(&self, since: Time, before: Time) -> Result<usize> {
        let found: Arc<Mutex<Vec<BlobId>>> = Arc::default();
        let list = found.clone();
        let visit = Box::new(move |ids: Vec<BlobId>| {
            list.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        });
        self.0.blobs.sealed_between(since, before, visit).await?;
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        let mut removed = 0;
        for some in found.chunks(BATCH) {
            let some = some.to_vec();
            let orphans = self
                .0
                .catalog
                .read(move |tx| {
                    let mut orphans = Vec::new();
                    for blob in some {
                        if tx.blob_refs(blob)? == 0 {
                            orphans.push(blob);
                        }
                    }
                    Ok(orphans)
                })
                .await?;
            removed += orphans.len();
            let _removing = self.0.removals.write().await;
            self.0.blobs.remove_all(orphans).await?;
        }
        Ok(removed)
    }
}
