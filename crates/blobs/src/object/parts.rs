//! The way of an object to the store: whole in one request, or in parts while its bytes still come.
//!
//! What lives here: cutting parts, how many are on their way, completing, and giving up. What does not: what the bytes are
//! (`stage`). The invariants: at most [`IN_FLIGHT_MAX`] parts are on their way and one is being filled; nothing has a name
//! at the store before [`Parts::complete`]; an upload whose parts are not completed is aborted when this is dropped, and
//! has a mark from before its first part, by which any node's clean-up finds it when this process dies.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{BlobId, Error, Result};
use object_store::{
    Error as StoreError, ObjectStoreExt as _, PutPayload, multipart::PartId, path::Path,
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
    task::JoinHandle,
};

use super::{
    Shared,
    fault::{fault, short},
};
use crate::{layout::Footer, threads::joined};

/// Bytes of a part. Stores want 5 MiB at least, and all but the last of one size.
pub(super) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts on their way at a time. With the one that is being filled: 24 MiB an upload.
const IN_FLIGHT_MAX: usize = 2;
/// Parts a store takes for one object: after so many of them parts double, so that the 10,000 there may be hold some
/// 500 GB. A store that insists on one size takes 16 GB.
const PARTS_OF_A_SIZE: usize = 2000;
/// Parts may double so often.
const DOUBLINGS_MAX: usize = 4;
/// Parts an object may have.
const PARTS_MAX: usize = 10_000;
/// How often the mark of an upload that goes on is written anew, so that no clean-up takes it for abandoned.
const MARK_EVERY: Duration = Duration::from_secs(3600);

/// Bodies longer than this are hashed aside: shorter ones take less time than that does.
const ASIDE_BYTES: usize = 256 * 1024;

/// The number of an upload at the store, once it is begun there.
type Begun = watch::Receiver<Option<Result<String>>>;

/// An upload in parts.
struct Upload {
    begun: Begun,
    mark: Path,
    marked: Instant,
    flying: VecDeque<(usize, JoinHandle<Result<PartId>>)>,
    done: Vec<PartId>,
    cut: usize,
}

/// Bytes on their way to an object.
pub(super) struct Parts {
    shared: Arc<Shared>,
    id: BlobId,
    path: Path,
    /// Not on their way yet.
    pending: Vec<Bytes>,
    pending_bytes: usize,
    upload: Option<Upload>,
}

impl Parts {
    pub(super) fn new(shared: Arc<Shared>, id: BlobId) -> Self {
        let path = shared.names.blob(id);
        Self { shared, id, path, pending: Vec::new(), pending_bytes: 0, upload: None }
    }

    /// Waits until `more` bytes can be pushed. May be dropped and called again.
    pub(super) async fn room(&mut self, more: usize) -> Result<()> {
        let full = self.pending_bytes + more >= self.part_bytes();
        let Some(upload) = &mut self.upload else { return Ok(()) };
        loop {
            // One that is done is looked at in any case: if it failed, the client should not have to send more to learn it.
            let looked = match upload.flying.front() {
                None => return Ok(()),
                Some((_, task)) => task.is_finished(),
            };
            if !looked && (!full || upload.flying.len() < IN_FLIGHT_MAX) {
                return Ok(());
            }
            upload.settle_one().await?;
        }
    }

    /// Takes bytes over, for which there is room. Parts that are full go on their way.
    pub(super) fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        // One that fills a part exactly may be the last: it waits for more.
        while self.pending_bytes > self.part_bytes() {
            self.cut(self.part_bytes())?;
        }
        Ok(())
    }

    fn part_bytes(&self) -> usize {
        let cut = self.upload.as_ref().map_or(0, |upload| upload.cut);
        PART_BYTES << (cut / PARTS_OF_A_SIZE).min(DOUBLINGS_MAX)
    }

    /// Sends the first `len` pending bytes on their way as a part.
    fn cut(&mut self, len: usize) -> Result<()> {
        if self.upload.is_none() {
            self.upload = Some(Upload::begin(&self.shared, self.id, &self.path)?);
        }
        let payload = self.taken(len);
        let Some(upload) = &mut self.upload else { return Err(spent()) };
        if upload.cut == PARTS_MAX {
            return Err(Error::Full);
        }
        upload.keep_marked(&self.shared);
        let (index, mut begun) = (upload.cut, upload.begun.clone());
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        let task = tokio::spawn(async move {
            let number = number(&mut begun).await?;
            let sent =
                hashing_aside(len, shared.store.put_part(&path, &number, index, payload)).await;
            sent.map_err(|e| fault("uploading a part", &e))
        });
        upload.flying.push_back((index, task));
        upload.cut += 1;
        Ok(())
    }

    fn taken(&mut self, mut len: usize) -> PutPayload {
        self.pending_bytes -= len;
        let mut parts = Vec::new();
        let mut rest = std::mem::take(&mut self.pending).into_iter();
        while let Some(mut bytes) = rest.by_ref().next() {
            if bytes.len() > len {
                parts.push(bytes.split_to(len));
                self.pending.push(bytes);
                break;
            }
            len -= bytes.len();
            parts.push(bytes);
        }
        self.pending.extend(rest);
        parts.retain(|part| !part.is_empty());
        PutPayload::from_iter(parts)
    }

    /// Makes the object: when this returns it is there, whole, under its name, and the store keeps it.
    pub(super) async fn complete(mut self, footer: &Footer) -> Result<()> {
        if self.upload.is_none() {
            let len = self.pending_bytes;
            let payload = self.taken(len);
            let put = self.shared.store.put(&self.path, payload);
            return match hashing_aside(len, put).await {
                Ok(_) => Ok(()),
                Err(e) => Err(fault("uploading a blob", &e)),
            };
        }
        self.cut(self.pending_bytes)?;
        let Some(upload) = &mut self.upload else { return Err(spent()) };
        while !upload.flying.is_empty() {
            upload.settle_one().await?;
        }
        let number = number(&mut upload.begun).await?;
        let parts = std::mem::take(&mut upload.done);
        let completed = self.shared.store.complete_multipart(&self.path, &number, parts).await;
        if let Err(e) = completed {
            // An answer that was lost: the next try is told that there is no such upload, because it is an object by now.
            if !self.shared.is_there(footer).await {
                return Err(fault("completing an upload", &e));
            }
        }
        // Its mark is of no more use; a clean-up that finds it finds no upload.
        if let Some(upload) = self.upload.take() {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move { shared.unmark(&upload.mark).await });
        }
        Ok(())
    }
}

impl Upload {
    /// Begins an upload at the store, and marks it, in a task that goes on whatever becomes of this.
    fn begin(shared: &Arc<Shared>, id: BlobId, path: &Path) -> Result<Self> {
        let mark = shared.names.mark(id)?;
        let (told, begun) = watch::channel(None);
        let (shared, path, at) = (Arc::clone(shared), path.clone(), mark.clone());
        tokio::spawn(async move {
            let number = match short(shared.store.create_multipart(&path)).await {
                Ok(number) => match shared.mark(&at, &number).await {
                    Ok(()) => Ok(number),
                    Err(e) => {
                        // Nothing was uploaded, and no clean-up would find it.
                        drop(short(shared.store.abort_multipart(&path, &number)).await);
                        Err(e)
                    }
                },
                Err(e) => Err(fault("beginning an upload", &e)),
            };
            told.send_replace(Some(number));
        });
        let (flying, done) = Default::default();
        Ok(Self { begun, mark, marked: Instant::now(), flying, done, cut: 0 })
    }

    /// Waits for the part that was sent first. May be dropped and called again.
    async fn settle_one(&mut self) -> Result<()> {
        let Some((index, task)) = self.flying.front_mut() else { return Ok(()) };
        let (index, settled) = (*index, joined(task.await));
        self.flying.pop_front();
        let part = settled?;
        debug_assert_eq!(index, self.done.len());
        self.done.push(part);
        Ok(())
    }

    fn keep_marked(&mut self, shared: &Arc<Shared>) {
        if self.marked.elapsed() < MARK_EVERY {
            return;
        }
        self.marked = Instant::now();
        let known = self.begun.borrow().clone();
        if let Some(Ok(number)) = known {
            let (shared, mark) = (Arc::clone(shared), self.mark.clone());
            tokio::spawn(async move { drop(shared.mark(&mark, &number).await) });
        }
    }
}

/// The number of the upload, once it is begun.
async fn number(begun: &mut Begun) -> Result<String> {
    match begun.wait_for(Option::is_some).await {
        Ok(number) => number.clone().unwrap_or_else(|| Err(spent())),
        Err(_) => Err(spent()),
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.upload.take(), Handle::try_current()) else {
            return;
        };
        let Ok(turn) = Arc::clone(&self.shared.givings_up).try_acquire_owned() else {
            // Very many at once: the clean-up finds this one by its mark.
            upload.flying.iter().for_each(|(_, task)| task.abort());
            return;
        };
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        runtime.spawn(async move {
            for (_, task) in &mut upload.flying {
                task.abort();
                drop(task.await);
            }
            if let Ok(number) = number(&mut upload.begun).await {
                shared.give_up(&path, &number, &upload.mark).await;
            }
            drop(turn);
        });
    }
}

impl Shared {
    /// Notes an upload that is running.
    async fn mark(&self, mark: &Path, number: &str) -> Result<()> {
        let payload = PutPayload::from(number.to_owned());
        match short(self.store.put(mark, payload)).await {
            Ok(_) => Ok(()),
            Err(e) => Err(fault("marking an upload", &e)),
        }
    }

    async fn unmark(&self, mark: &Path) {
        match short(self.store.delete(mark)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(e) => {
                tracing::debug!(error = %fault("removing a mark", &e), "left to the clean-up")
            }
        }
    }

    /// Aborts an upload and takes its mark away; `true` if nothing of it is left. One that is not there is a success.
    pub(super) async fn give_up(&self, path: &Path, number: &str, mark: &Path) -> bool {
        let number = number.to_owned();
        match short(self.store.abort_multipart(path, &number)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(e) => {
                tracing::debug!(error = %fault("aborting an upload", &e), "left to the clean-up");
                return false;
            }
        }
        self.unmark(mark).await;
        true
    }

    /// Whether the object of this blob is there, with this footer.
    async fn is_there(&self, footer: &Footer) -> bool {
        self.abouts.remove(&footer.id);
        self.about(footer.id).await.is_ok_and(|about| about.footer == *footer)
    }
}

/// Signing hashes the whole body before the first byte goes out, some milliseconds: meanwhile other tasks of this thread
/// go on elsewhere.
async fn hashing_aside<T>(bytes: usize, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut first = true;
    std::future::poll_fn(move |cx| {
        let threads = bytes > ASIDE_BYTES
            && Handle::try_current()
                .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
        if std::mem::take(&mut first) && threads {
            return tokio::task::block_in_place(|| work.as_mut().poll(cx));
        }
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn spent() -> Error {
    Error::Storage("the upload was given up".into())
}
