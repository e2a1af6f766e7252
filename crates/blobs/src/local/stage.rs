//! Staging: takes frames over from an upload and keeps them being written and hashed while the next come in.
//!
//! What does not live here: how a batch is written (`writer`), by which thread (`relay`), and hashed (`hasher`), what makes it durable (`durable`). The
//! invariants: what is hashed and what is written are the same batches in the same order; at most two batches are being
//! written, a few wait to be hashed and one is coming in (a long one while another hash is expected), so that memory is bounded and a slow disk holds the client back;
//! no thread waits for a client; whoever stops waiting, at whatever point, leaves a stage that can go on or be dropped, and
//! dropping removes the file.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use model::{BlobId, Digest, Error, Result};
use tokio::{runtime::Handle, task::JoinHandle};

use super::{
    Store, durable,
    relay::{Relay, Work},
    writer::{Batch, Progress, StageFile, Whole, Writer},
};
use crate::{
    Chain, ContentHash, Follow, Stage, Staged, Task,
    hasher::{Hasher, Hashes},
    layout::Footer,
    threads::{blocking, joined},
    trail::Trail,
};

/// How much is taken over before it is written. Large enough that handing it to a thread costs nothing beside
/// hashing it, small enough for thousands of uploads.
const BATCH_BYTES: usize = 1024 * 1024;

/// How much is written before write-back is started, when none is running.
const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;
/// How much is written before the write-back that is running is waited for.
const WRITE_BACK_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A blob being written.
pub(super) struct LocalStage {
    store: Arc<Store>,
    id: BlobId,
    batch: Batch,
    /// `None` before the first batch.
    writing: Option<Relay<Writing>>,
    hasher: Hasher,
    write_back: WriteBack,
    /// For those who read along.
    trail: Option<Arc<Trail>>,
    /// From which byte on it is written past the page cache.
    direct_from: u64,
}

/// Writing as a work: makes the file, and asks for room on the disk.
struct Writing {
    store: Arc<Store>,
    id: BlobId,
    trail: Option<Arc<Trail>>,
    direct_from: u64,
    progress: Arc<Progress>,
    writer: Option<Writer>,
}

impl Writing {
    /// The writer, if the disk takes so many bytes more.
    fn writer(&mut self, bytes: usize) -> Result<&mut Writer> {
        self.store.room.takes(bytes as u64)?;
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let (path, trail) = (self.store.stage.join(self.id.to_hex()), self.trail.take());
                let progress = Arc::clone(&self.progress);
                Writer::create(path, self.id, trail, self.direct_from, progress)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    fn finish(mut self, frames: &[Bytes], hashes: Hashes) -> Result<Whole> {
        self.writer(frames.iter().map(Bytes::len).sum())?;
        self.writer.take().ok_or_else(spent)?.finish(frames, hashes)
    }
}

impl Work for Writing {
    type Job = Vec<Bytes>;

    fn weight(frames: &Vec<Bytes>) -> usize {
        frames.iter().map(Bytes::len).sum()
    }

    fn take(&mut self, frames: Vec<Bytes>) -> Result<()> {
        self.writer(Self::weight(&frames))?.write(&frames)
    }
}

impl LocalStage {
    pub(super) fn new(store: Arc<Store>, id: BlobId) -> Self {
        let (batch, hasher, write_back) = Default::default();
        let (direct_from, writing, trail) = (store.direct_from, None, None);
        Self { store, id, batch, writing, hasher, write_back, trail, direct_from }
    }

    fn new_writing(&self) -> Writing {
        let (store, id, trail) = (Arc::clone(&self.store), self.id, self.trail.clone());
        let (direct_from, progress) = (self.direct_from, Arc::clone(&self.write_back.progress));
        Writing { store, id, trail, direct_from, progress, writer: None }
    }

    fn failed(&self) -> Option<Error> {
        let written = self.writing.as_ref().and_then(Relay::failed);
        written.or_else(|| self.write_back.failed.clone())
    }

    /// Hands a full batch to the threads, once they have room for it. May be dropped at any await and called again.
    async fn advance(&mut self) -> Result<()> {
        self.hasher.room().await?;
        let writing = match self.writing.take() {
            Some(writing) => writing,
            None => Relay::new(self.new_writing(), BATCH_BYTES),
        };
        let writing = self.writing.insert(writing);
        writing.room().await?;
        self.write_back.advance().await?;
        let frames = mem::take(&mut self.batch).into_frames();
        frames.iter().for_each(|frame| self.hasher.push(frame.clone()));
        writing.push(frames);
        Ok(())
    }

    async fn finished(mut self) -> Result<Box<dyn Staged>> {
        let frames = mem::take(&mut self.batch).into_frames();
        let is_long = self.writing.is_some();
        if is_long {
            frames.iter().for_each(|frame| self.hasher.push(frame.clone()));
        }
        let mut hashes = self.hasher.end().await?;
        // Before what is left to be written: the piece that comes next waits for it. What is short is hashed and written at once.
        if is_long {
            self.hasher.tell(&hashes);
        }
        if let Some(writing) = &self.writing {
            writing.idle().await?;
        }
        // Waited for, because a write-back that fails after this would be the only one to be told.
        self.write_back.end().await?;
        let writing = match &self.writing {
            // From here on nothing waits that could be dropped with it.
            Some(writing) => writing.end().await?,
            None => self.new_writing(),
        };
        let whole = move || {
            if !is_long {
                frames.iter().for_each(|frame| hashes.update(frame));
            }
            writing.finish(&frames, hashes)
        };
        let Whole { file, footer, hashes } = blocking(whole).await?;
        self.hasher.tell(&hashes);
        let (store, file) = (Arc::clone(&self.store), Some(file));
        Ok(Box::new(LocalStaged { store, footer, hash: hashes.own, file }))
    }
}

impl Stage for LocalStage {
    fn write(&mut self, bytes: Bytes) -> Task<'_, Result<()>> {
        // Looked at even when there is no batch to write yet: the client should not have to send another batch to
        // learn that the one before failed.
        if let Some(e) = self.failed() {
            return Box::pin(std::future::ready(Err(e)));
        }
        if let Some(trail) = &self.trail {
            trail.taken(&bytes);
        }
        self.batch.push(bytes);
        let bytes = self.batch.bytes();
        if bytes < BATCH_BYTES || self.hasher.expects(bytes) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(self.advance())
    }

    fn follow(&mut self) -> Option<Arc<dyn Follow>> {
        // Whoever reads along now, others will read it soon.
        self.direct_from = u64::MAX;
        self.follow_in_place()
    }

    fn follow_in_place(&mut self) -> Option<Arc<dyn Follow>> {
        if self.writing.is_some() || self.batch.bytes() > 0 {
            return None;
        }
        let id = self.id;
        Some(self.trail.get_or_insert_with(|| Arc::new(Trail::new(id))).reader())
    }

    fn chain(&mut self) -> Chain {
        self.hasher.chain()
    }

    fn finish(self: Box<Self>) -> Task<'static, Result<Box<dyn Staged>>> {
        Box::pin((*self).finished())
    }
}

impl Drop for LocalStage {
    fn drop(&mut self) {
        // One that is busy is dropped by its thread when the batch is done.
        if let Some(writing) = self.writing.as_ref().and_then(Relay::take) {
            drop_elsewhere(writing);
        }
    }
}

/// Write-back of a long stage while it is still coming in: bounds what the sync of its seal has to wait for, and what
/// other syncs of the same file system have to wait for.
#[derive(Default)]
struct WriteBack {
    progress: Arc<Progress>,
    begun_at: u64,
    task: Option<JoinHandle<Result<()>>>,
    failed: Option<Error>,
}

impl WriteBack {
    /// Begins write-back when enough was written since the last one, so that the disk is never idle for long. When much
    /// was written, the last one is waited for: a disk slower than the client holds the client back.
    async fn advance(&mut self) -> Result<()> {
        let (written, file) =
            (self.progress.written.load(Ordering::Relaxed), self.progress.file.get());
        let Some(file) = file.cloned() else { return Ok(()) };
        let idle = self.task.as_ref().is_none_or(JoinHandle::is_finished);
        if written - self.begun_at >= if idle { WRITE_BACK_BYTES } else { WRITE_BACK_BYTES_MAX } {
            self.end().await?;
            self.begun_at = written;
            let sync = move || durable::write_back(&file).map_err(Error::from);
            self.task = Some(tokio::task::spawn_blocking(sync));
        }
        Ok(())
    }

    /// Waits for the one that is running. May be dropped and called again.
    async fn end(&mut self) -> Result<()> {
        if let Some(task) = &mut self.task {
            let ended = joined(task.await);
            self.task = None;
            self.failed = ended.err();
        }
        self.failed.clone().map_or(Ok(()), Err)
    }
}

/// A whole blob without a name.
struct LocalStaged {
    store: Arc<Store>,
    footer: Footer,
    hash: ContentHash,
    /// `None` once it is being sealed.
    file: Option<StageFile>,
}

impl Staged for LocalStaged {
    fn len(&self) -> u64 {
        self.footer.len
    }

    fn digest(&self) -> Digest {
        self.footer.digest
    }

    fn hash(&self) -> Option<ContentHash> {
        Some(self.hash.clone())
    }

    fn seal(mut self: Box<Self>) -> Task<'static, Result<BlobId>> {
        let (store, id, file) = (Arc::clone(&self.store), self.footer.id, self.file.take());
        // One task that is begun at once: a caller who stops waiting finds it done or cleaned up, never half.
        let sealing = tokio::task::spawn_blocking(move || {
            store.fan.seal(file.ok_or_else(spent)?, id)?;
            Ok(id)
        });
        Box::pin(async move { joined(sealing.await) })
    }
}

impl Drop for LocalStaged {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            drop_elsewhere(file);
        }
    }
}

/// Drops on a thread that may block: removing a long file takes the file system a while.
fn drop_elsewhere(droppable: impl Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(droppable))),
        Err(_) => drop(droppable),
    }
}

fn spent() -> Error {
    Error::Storage("the stage was given up".into())
}
