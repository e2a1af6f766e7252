//! Walks over what lies in the store, and the clean-up of uploads that nobody goes on with.
//!
//! What does not live here: the decision what is garbage. The invariants: every blob that was sealed before the walk began,
//! is still there, and fits the times asked for, is visited; a name that is not ours is left alone; an upload is given up
//! only when its mark is old, and whoever uploads for long writes its mark anew.
//!
//! Times of objects are the store's, those asked for are this node's. Both clocks are taken to be within [`SKEW`] of each
//! other: with more, S3 refuses every request.

use futures_util::StreamExt as _;
use model::{BlobId, Result, Time};
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt as _};

use super::{
    Shared,
    fault::{fault, short},
    names::Named,
};
use crate::{Lying, threads::blocking};

/// How far the store's clock and ours may be apart, in milliseconds: what signatures of S3 allow.
const SKEW: u64 = 15 * 60 * 1000;
/// How many are handed over at a time.
const BATCH: usize = 1000;

/// Who is told, and what was found for them since.
struct Batch<T> {
    visit: Option<Box<dyn FnMut(Vec<T>) + Send>>,
    found: Vec<T>,
}

impl<T: Send + 'static> Batch<T> {
    fn new(visit: Box<dyn FnMut(Vec<T>) + Send>) -> Self {
        Self { visit: Some(visit), found: Vec::new() }
    }

    async fn push(&mut self, one: T) -> Result<()> {
        self.found.push(one);
        if self.found.len() < BATCH { Ok(()) } else { self.tell().await }
    }

    async fn tell(&mut self) -> Result<()> {
        let found = std::mem::take(&mut self.found);
        if found.is_empty() {
            return Ok(());
        }
        let Some(mut visit) = self.visit.take() else { return Ok(()) };
        let visit = blocking(move || {
            visit(found);
            Ok(visit)
        });
        self.visit = Some(visit.await?);
        Ok(())
    }
}

impl Shared {
    pub(super) async fn survey(&self, visit: Box<dyn FnMut(Vec<Lying>) + Send>) -> Result<()> {
        let mut batch = Batch::new(visit);
        let mut objects = self.store.list(Some(self.names.root()));
        while let Some(object) = objects.next().await {
            let object = object.map_err(|e| fault("listing", &e))?;
            batch
                .push(match self.names.read(&object.location) {
                    Named::Blob(id) => Lying::Sealed(id),
                    Named::Mark(_) => {
                        Lying::Staged(object.location.filename().unwrap_or_default().to_owned())
                    }
                    Named::Stray => Lying::Stray(object.location.to_string()),
                })
                .await?;
        }
        batch.tell().await
    }

    pub(super) async fn sealed_between(
        &self,
        since: Time,
        before: Time,
        visit: Box<dyn FnMut(Vec<BlobId>) + Send>,
    ) -> Result<()> {
        let since = since.0.saturating_sub(SKEW);
        let mut batch = Batch::new(visit);
        let mut objects = self.store.list(Some(&self.names.blobs()));
        while let Some(object) = objects.next().await {
            let object = object.map_err(|e| fault("listing", &e))?;
            match self.names.read(&object.location) {
                Named::Blob(id) if id.staged_ms() < before.0 && changed(&object) >= since => {
                    batch.push(id).await?;
                }
                Named::Blob(_) => {}
                Named::Mark(_) | Named::Stray => {
                    tracing::warn!(name = %object.location, "not a blob of ours; left alone");
                }
            }
        }
        batch.tell().await
    }

    pub(super) async fn give_up_stages(&self, before: Time) -> Result<usize> {
        // With the skew an upload may look older than it is by that much.
        let before = before.0.saturating_sub(SKEW);
        let mut marks = self.store.list(Some(&self.names.stage()));
        let mut given_up = 0;
        while let Some(mark) = marks.next().await {
            let mark = mark.map_err(|e| fault("listing uploads", &e))?;
            let Named::Mark(id) = self.names.read(&mark.location) else { continue };
            if changed(&mark) >= before {
                continue;
            }
            let read = short(async { self.store.get(&mark.location).await?.bytes().await }).await;
            let number = match read {
                Ok(number) => String::from_utf8_lossy(&number).into_owned(),
                // Its upload ended meanwhile.
                Err(StoreError::NotFound { .. }) => continue,
                Err(e) => return Err(fault("reading the mark of an upload", &e)),
            };
            if self.give_up(&self.names.blob(id), &number, &mark.location).await {
                given_up += 1;
            }
        }
        Ok(given_up)
    }
}

/// When an object was written, in milliseconds since the epoch.
fn changed(object: &ObjectMeta) -> u64 {
    u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0)
}
