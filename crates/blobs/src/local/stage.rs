//! Staging: takes frames over from an upload and keeps one batch of them being written while the next comes in.
//!
//! What does not live here: how a batch is written (`writer`) and hashed (`hasher`), what makes it durable (`durable`). The
//! invariants: what is hashed and what is written are the same batches in the same order; at most one batch is being
//! written, a few wait to be hashed and one is coming in, so that memory is bounded and a slow disk holds the client back; no thread waits for a client; whoever stops waiting, at whatever point, leaves a stage that can go on or be
//! dropped, and dropping removes the file.

use std::{io, mem, sync::Arc};

use bytes::Bytes;
use model::{BlobId, Digest, Error, Result};
use tokio::{runtime::Handle, task::JoinHandle};

use super::{
    Store, durable,
    writer::{Batch, StageFile, Whole, Writer},
};
use crate::{
    ContentHash, Follow, Stage, Staged, Task,
    hasher::Hasher,
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

type Writing = JoinHandle<Result<Box<Writer>>>;

/// A blob being written.
pub(super) struct LocalStage {
    store: Arc<Store>,
    id: BlobId,
    batch: Batch,
    writer: State,
    hasher: Hasher,
    write_back: WriteBack,
    /// For those who read along.
    trail: Option<Arc<Trail>>,
}

/// Where the writer is.
enum State {
    /// There is none yet: the file is made with the first batch.
    New,
    Idle(Box<Writer>),
    Busy(Writing),
    Failed(Error),
}

impl LocalStage {
    pub(super) fn new(store: Arc<Store>, id: BlobId) -> Self {
        let (batch, hasher, write_back) = Default::default();
        Self { store, id, batch, writer: State::New, hasher, write_back, trail: None }
    }

    /// Hands a full batch to a thread, once the one before is written.
    async fn advance(&mut self) -> Result<()> {
        self.settle().await?;
        if self.batch.bytes() < BATCH_BYTES {
            return Ok(());
        }
        self.hasher.room().await?;
        let (begun, store) = (self.begun(), Arc::clone(&self.store));
        let batch = mem::take(&mut self.batch);
        let (bytes, frames) = (batch.bytes() as u64, batch.into_frames());
        self.hasher.push(&frames);
        self.writer = State::Busy(tokio::task::spawn_blocking(move || {
            store.room.takes(bytes)?;
            let mut writer = begun()?;
            writer.write(&frames)?;
            Ok(writer)
        }));
        Ok(())
    }

    /// Waits for the batch that is being written. May be dropped at any await and called again.
    async fn settle(&mut self) -> Result<()> {
        if let State::Busy(writing) = &mut self.writer {
            let written = joined(writing.await);
            self.writer = written.map_or_else(State::Failed, State::Idle);
        }
        if let State::Idle(writer) = &self.writer
            && let Err(e) = self.write_back.advance(writer).await
        {
            self.writer = State::Failed(e);
        }
        match &self.writer {
            State::Failed(e) => Err(e.clone()),
            State::New | State::Idle(_) | State::Busy(_) => Ok(()),
        }
    }

    /// Takes the settled writer, or how to make one.
    fn begun(&mut self) -> impl FnOnce() -> Result<Box<Writer>> + Send + 'static {
        let taken = mem::replace(&mut self.writer, State::Failed(spent()));
        let (store, id, trail) = (Arc::clone(&self.store), self.id, self.trail.clone());
        move || match taken {
            State::New => Ok(Box::new(Writer::create(store.stage.join(id.to_hex()), id, trail)?)),
            State::Idle(writer) => Ok(writer),
            State::Busy(_) => Err(spent()),
            State::Failed(e) => Err(e),
        }
    }

    async fn finished(mut self) -> Result<Box<dyn Staged>> {
        self.settle().await?;
        // Waited for, because a write-back that fails after this would be the only one to be told.
        self.write_back.end().await?;
        let hash = self.hasher.end().await?;
        let (begun, store) = (self.begun(), Arc::clone(&self.store));
        let batch = mem::take(&mut self.batch);
        let Whole { file, footer, hash } = blocking(move || {
            store.room.takes(batch.bytes() as u64)?;
            begun()?.finish(batch, hash)
        })
        .await?;
        let (store, file) = (Arc::clone(&self.store), Some(file));
        Ok(Box::new(LocalStaged { store, footer, hash, file }))
    }
}

impl Stage for LocalStage {
    fn write(&mut self, bytes: Bytes) -> Task<'_, Result<()>> {
        if let State::Failed(e) = &self.writer {
            return Box::pin(std::future::ready(Err(e.clone())));
        }
        if let Some(trail) = &self.trail {
            trail.taken(&bytes);
        }
        self.batch.push(bytes);
        // A batch that is done is looked at even when there is no other to write yet: if it failed, the client should
        // not have to send another batch to learn it.
        let done = matches!(&self.writer, State::Busy(writing) if writing.is_finished());
        if self.batch.bytes() < BATCH_BYTES && !done {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(self.advance())
    }

    fn follow(&mut self) -> Option<Arc<dyn Follow>> {
        if !matches!(self.writer, State::New) || self.batch.bytes() > 0 {
            return None;
        }
        let id = self.id;
        Some(Arc::clone(self.trail.get_or_insert_with(|| Arc::new(Trail::new(id)))) as _)
    }

    fn finish(self: Box<Self>) -> Task<'static, Result<Box<dyn Staged>>> {
        Box::pin((*self).finished())
    }
}

impl Drop for LocalStage {
    fn drop(&mut self) {
        // A writer that is busy is dropped by its thread when the batch is done.
        if let State::Idle(writer) = mem::replace(&mut self.writer, State::Failed(spent())) {
            drop_elsewhere(writer);
        }
    }
}

/// Write-back of a long stage while it is still coming in: bounds what the sync of its seal has to wait for, and what
/// other syncs of the same file system have to wait for.
#[derive(Default)]
struct WriteBack {
    begun_at: u64,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl WriteBack {
    /// Begins write-back when enough was written since the last one, so that the disk is never idle for long. When much
    /// was written, the last one is waited for: a disk slower than the client holds the client back.
    async fn advance(&mut self, writer: &Writer) -> Result<()> {
        let written = writer.len() - self.begun_at;
        let idle = self.task.as_ref().is_none_or(JoinHandle::is_finished);
        if written >= if idle { WRITE_BACK_BYTES } else { WRITE_BACK_BYTES_MAX } {
            self.end().await?;
            self.begun_at = writer.len();
            let file = Arc::clone(writer.file());
            self.task = Some(tokio::task::spawn_blocking(move || durable::write_back(&file)));
        }
        Ok(())
    }

    /// Waits for the one that is running. May be dropped and called again.
    async fn end(&mut self) -> Result<()> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let ended = joined(task.await.map(|synced| synced.map_err(Error::from)));
        self.task = None;
        ended
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
