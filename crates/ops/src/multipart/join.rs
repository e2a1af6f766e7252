//! Putting completed uploads together, in the background: hash what is not hashed yet, then one transaction in which the
//! file appears. Also runs ahead: every piece that arrives wakes it, and it hashes as far as the pieces reach.
//!
//! Nothing here is needed to find work again: after a restart the catalog says which uploads are COMPLETE or JOIN. Where
//! several nodes have the catalog, any of them finishes an upload, one at a time by a lease: the one that was told that it
//! is complete, and when that has died whichever looks next. Only the node that received the first piece runs ahead, so
//! that pieces are not read once a node. That an upload is put together once is what its state says, not the lease.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use blobs::ContentHash;
use model::{
    Caller, ContentType, Error, Multipart, Piece, PieceContent, Result, Time, TreePath, UploadId,
    UploadState, limits, multipart as codes,
};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    prefix::{Prefix, Way},
    rules,
};
use crate::{Store, content_type, lease};

/// Bytes read and verified while as many are hashed. Below what is mapped and unmapped for itself (1 MiB, by glibc): with 2 MiB
/// the kernel's clearing of fresh pages took a tenth of all CPU time of an upload in pieces.
pub(super) const READ_BYTES: usize = 512 * 1024;
/// Before an upload that could not go on for a passing reason is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Uploads that something happened to. Bounded by the uploads that there are: each stands in it once.
#[derive(Default)]
pub struct Joiner {
    waiting: Mutex<Waiting>,
    notify: Notify,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<UploadId>,
    queued: HashSet<UploadId>,
    /// Uploads that someone is at work on, and whether something happened to them since.
    busy: HashMap<UploadId, bool>,
}

impl Waiting {
    /// Whether it has to be told that there is work.
    fn wake(&mut self, id: UploadId) -> bool {
        if let Some(again) = self.busy.get_mut(&id) {
            *again = true;
            return false;
        }
        let new = self.queued.insert(id);
        if new {
            self.queue.push_back(id);
        }
        new
    }
}

impl Joiner {
    /// Something happened to an upload.
    pub(crate) fn wake(&self, id: UploadId) {
        if self.waiting().wake(id) {
            self.notify.notify_one();
        }
    }

    /// Nobody is at work on an upload any more. Until then nobody else is given it: two would hash it twice.
    fn done(&self, id: UploadId) {
        let mut waiting = self.waiting();
        if waiting.busy.remove(&id).unwrap_or_default() && waiting.wake(id) {
            self.notify.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> UploadId {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(id) = waiting.queue.pop_front() {
                    waiting.queued.remove(&id);
                    waiting.busy.insert(id, false);
                    if !waiting.queue.is_empty() {
                        self.notify.notify_one();
                    }
                    return id;
                }
            }
            self.notify.notified().await;
        }
    }
}

impl Store {
    /// Finds the uploads that a server before this one, or another node, left half-way, so that they go on.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn resume_multiparts(&self) -> Result<usize> {
        let joining = self.0.catalog.scan(|tx| tx.uploads_joining()).await?;
        for id in &joining {
            self.0.joiner.wake(*id);
        }
        Ok(joining.len())
    }

    /// Puts uploads together, one after the other, for ever. May run several times beside itself.
    pub async fn join_multiparts(&self) {
        loop {
            let id = self.0.joiner.next().await;
            let advanced = self.advance(id).await;
            self.0.joiner.done(id);
            if let Err(error) = advanced {
                tracing::error!(%error, upload = %id.to_hex(), "putting an upload together");
                tokio::time::sleep(PAUSE).await;
                self.0.joiner.wake(id);
            }
        }
    }

    /// Takes an upload as far as it goes now, unless another node does.
    async fn advance(&self, id: UploadId) -> Result<()> {
        if !self.is_shared() {
            return self.advance_here(id, true).await;
        }
        let upload = self.0.catalog.read(move |tx| tx.upload(id)).await?;
        if !upload.is_some_and(|upload| is_complete(upload.state)) {
            if self.0.prefixes.knows(id) {
                self.advance_here(id, false).await?;
            }
            return Ok(());
        }
        let name = format!("{}{}", lease::JOIN, id.to_hex());
        match self.hold(&name).await? {
            Some(held) => held.run(Box::pin(self.advance_here(id, true))).await?,
            // Whoever has it may die: the uploads to be put together are looked through again and again.
            None => Ok(()),
        }
    }

    /// Takes an upload as far as it goes now; `may_join`: to its end, if it is complete.
    async fn advance_here(&self, id: UploadId, may_join: bool) -> Result<()> {
        let mut prefix = self.0.prefixes.take(id);
        let advanced = self.hash_prefix(id, &mut prefix).await;
        let hashed = match advanced {
            Ok(hashed) => hashed,
            Err(Error::Damaged(why)) => return self.damaged(id, &why).await,
            Err(e) => return Err(e),
        };
        let Some((upload, pieces)) = hashed else {
            self.0.prefixes.forget(id);
            return Ok(());
        };
        if !is_complete(upload.state) || !may_join {
            self.0.prefixes.put(id, prefix);
            if is_complete(upload.state) {
                // It was completed meanwhile.
                self.0.joiner.wake(id);
            }
            return Ok(());
        }
        self.join(upload, &pieces, prefix).await
    }

    /// Hashes as far as the pieces reach. `None`: there is no such upload, or it is over.
    async fn hash_prefix(
        &self,
        id: UploadId,
        prefix: &mut Prefix,
    ) -> Result<Option<(Multipart, Vec<Piece>)>> {
        loop {
            let found = self.0.catalog.scan(move |tx| reach(tx, id)).await?;
            let Some((upload, pieces)) = found else { return Ok(None) };
            let hashed = prefix.matches(&pieces);
            if hashed == pieces.len() {
                return Ok(Some((upload, pieces)));
            }
            // Then look again: others may have arrived, or these may have been sent again, meanwhile.
            for piece in &pieces[hashed..] {
                let Some(state) = self.past(id, piece, prefix.state()).await? else { break };
                prefix.push(piece.content, state);
            }
        }
    }

    /// The state after a piece. `None`: it no longer counts.
    async fn past(
        &self,
        id: UploadId,
        piece: &Piece,
        mut state: ContentHash,
    ) -> Result<Option<ContentHash>> {
        let before = state.clone().finish();
        let mut changes = self.0.prefixes.changes(id);
        loop {
            match self.0.prefixes.way(id, piece, before) {
                Way::Passed(state) => return Ok(Some(state)),
                // Who follows the piece comes to its end or says that it does not.
                Way::Soon if changes.changed().await.is_ok() => {}
                Way::Soon | Way::Read => break,
            }
        }
        if let PieceContent::Blob(extent) = piece.content {
            match self.hash_blob(&mut state, extent).await {
                Err(Error::Damaged(_)) if self.is_replaced(id, piece).await? => return Ok(None),
                hashed => hashed?,
            }
        }
        let passed = (before, state.clone());
        self.0.prefixes.reached(id, piece.number, piece.content, passed);
        Ok(Some(state))
    }

    /// Whether a piece no longer counts: then its bytes may be gone by right.
    async fn is_replaced(&self, id: UploadId, piece: &Piece) -> Result<bool> {
        let (number, content) = (piece.number, piece.content);
        let now = self.0.catalog.read(move |tx| tx.piece(id, number)).await?;
        Ok(now.is_none_or(|piece| piece.content != content))
    }

    async fn hash_blob(&self, state: &mut ContentHash, extent: model::Extent) -> Result<()> {
        let blob = self.0.blobs.open(extent.blob).await?;
        let mut offset = 0;
        // One part is hashed while the next is read.
        let mut hashing: Option<JoinHandle<ContentHash>> = None;
        while offset < extent.len {
            let left = usize::try_from(extent.len - offset).unwrap_or(usize::MAX);
            let bytes = blob.read(offset, left.min(READ_BYTES)).await?;
            offset += bytes.len() as u64;
            let mut taken = hashed(hashing.take(), state).await?;
            hashing = Some(tokio::task::spawn_blocking(move || {
                taken.update(&bytes);
                taken
            }));
        }
        *state = hashed(hashing, state).await?;
        Ok(())
    }

    async fn join(&self, upload: Multipart, pieces: &[Piece], prefix: Prefix) -> Result<()> {
        let (id, now) = (upload.id, self.now());
        let checksum = prefix.state().finish();
        let content_type = self.type_of(&upload, pieces).await?;
        match self.0.catalog.write(move |tx| rules::begin_join(tx, id, now).map(drop)).await {
            // Another node was faster.
            Err(Error::UploadClosed | Error::NoSuchUpload) => return Ok(()),
            begun => begun?,
        }
        let end = move |tx: &mut dyn catalog::Tx| {
            let caller = caller_of(tx, &upload, now)?;
            rules::end_join(tx, &caller, id, checksum, &content_type, now)
        };
        match self.0.catalog.write(end).await {
            Err(e) if e.is_ours() => {
                self.0.prefixes.put(id, prefix);
                return Err(e);
            }
            // Another node was faster.
            Err(Error::UploadClosed | Error::NoSuchUpload) => {}
            Err(e) => {
                let error = match e {
                    Error::ParentMissing => codes::FAILED_PARENT_MISSING,
                    Error::ChecksumMismatch => codes::FAILED_CHECKSUM,
                    Error::OverQuota => codes::FAILED_QUOTA,
                    _ => codes::FAILED_PATH,
                };
                tracing::warn!(error = %e, upload = %id.to_hex(), "an upload could not be put together");
                self.0.catalog.write(move |tx| rules::fail(tx, id, error, now)).await?;
            }
            Ok(()) => self.0.bell.ring(),
        }
        self.0.prefixes.forget(id);
        Ok(())
    }

    /// A piece is not what was written: the upload fails, if it was completed; else the piece may be sent again.
    async fn damaged(&self, id: UploadId, why: &str) -> Result<()> {
        tracing::error!(why, upload = %id.to_hex(), "a piece of an upload is damaged");
        let now = self.now();
        self.0
            .catalog
            .write(move |tx| {
                let Some(upload) = tx.upload(id)? else { return Ok(()) };
                if is_complete(upload.state) {
                    rules::begin_join(tx, id, now)?;
                    rules::fail(tx, id, codes::FAILED_INTERNAL, now)?;
                }
                Ok(())
            })
            .await
    }

    /// The type of the file: given, by the name, or by the beginning of the content.
    async fn type_of(&self, upload: &Multipart, pieces: &[Piece]) -> Result<ContentType> {
        if let Some(given) = &upload.content_type {
            return Ok(given.clone());
        }
        let mut head = Vec::new();
        for piece in pieces {
            let PieceContent::Blob(extent) = piece.content else { continue };
            let missing = limits::SNIFF_BYTES_MAX - head.len();
            if missing == 0 {
                break;
            }
            let len = usize::try_from(extent.len).unwrap_or(usize::MAX).min(missing);
            head.extend_from_slice(&self.0.blobs.open(extent.blob).await?.read(0, len).await?);
        }
        let rule = crate::TypeRule::Detect(crate::Detect::Content);
        Ok(content_type::detect(&rule, "", &head))
    }
}

/// Whether it is to be put together.
fn is_complete(state: UploadState) -> bool {
    matches!(state, UploadState::Complete | UploadState::Join)
}

/// The state that a thread goes on with, or the one that was not given to a thread yet.
async fn hashed(
    hashing: Option<JoinHandle<ContentHash>>,
    state: &mut ContentHash,
) -> Result<ContentHash> {
    match hashing {
        None => Ok(std::mem::take(state)),
        Some(hashing) => hashing.await.map_err(|e| Error::Storage(format!("hashing ended: {e}"))),
    }
}

/// The pieces from the first to the last before a gap. `None`: the upload is over or gone.
fn reach(tx: &mut dyn catalog::Read, id: UploadId) -> Result<Option<(Multipart, Vec<Piece>)>> {
    let Some(upload) = tx.upload(id)? else { return Ok(None) };
    if !matches!(
        upload.state,
        UploadState::New | UploadState::Ready | UploadState::Complete | UploadState::Join
    ) {
        return Ok(None);
    }
    let mut pieces = Vec::new();
    for number in 1..=upload.highest {
        match tx.piece(id, number)? {
            Some(piece) => pieces.push(piece),
            None => break,
        }
    }
    Ok(Some((upload, pieces)))
}

/// Who an upload's file is made for: its user, from the account's top, as they are now.
fn caller_of(tx: &mut dyn catalog::Tx, upload: &Multipart, now: Time) -> Result<Caller> {
    let user = tx.user(upload.user)?.ok_or(Error::NoSuchUser)?;
    let account = tx.account(upload.account)?.ok_or(Error::NoSuchAccount)?;
    let caller = crate::session::caller_of(user, account, None, now, &TreePath::root());
    Ok(Caller { root: TreePath::root(), owner: upload.owner, ..caller })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_is_in_one_hand_at_a_time() {
        let (joiner, ids) = (Joiner::default(), [UploadId([1; 16]), UploadId([2; 16])]);
        joiner.wake(ids[0]);
        joiner.wake(ids[0]);
        assert_eq!(joiner.next().await, ids[0]);
        joiner.wake(ids[0]);
        joiner.wake(ids[1]);
        assert_eq!(joiner.next().await, ids[1], "the first is being worked on");
        assert!(joiner.waiting().queue.is_empty());
        joiner.done(ids[0]);
        assert_eq!(joiner.next().await, ids[0], "something happened to it meanwhile");
        joiner.done(ids[0]);
        joiner.done(ids[1]);
        let waiting = joiner.waiting();
        assert!(waiting.queue.is_empty() && waiting.queued.is_empty() && waiting.busy.is_empty());
    }
}
