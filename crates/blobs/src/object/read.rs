//! A blob that is open for reading: ranges made of chunks, and the chunks after them on their way.
//!
//! What does not live here: where chunks come from and that they are verified (`chunks`). The invariants: a reader holds
//! the chunk it is in and [`AHEAD_MAX`] more at most, and all readers together no more ahead than the store allows;
//! a reader that jumps fetches nothing it was not asked for.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use model::{Digest, Result};
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};

use super::{
    Shared,
    chunks::{About, index},
    readers::Reading,
};
use crate::{Blob, Task, blocks::outside, threads::joined};

/// Chunks fetched before they are asked for, by a reader that has gone on from read to read for a while.
const AHEAD_MAX: u64 = 4;

/// An open blob.
pub(super) struct ObjectBlob {
    shared: Arc<Shared>,
    about: Arc<About>,
    ahead: Mutex<Ahead>,
    /// Its removal waits for this, on this node.
    _reading: Reading,
}

/// What a reader that goes on will want next.
#[derive(Default)]
struct Ahead {
    /// Where the last read ended.
    next: u64,
    /// How many reads went on where the one before ended.
    run: u32,
    /// The chunk that the last read ended in.
    current: Option<(u64, Bytes)>,
    coming: VecDeque<Coming>,
}

/// A chunk on its way. Dropping it ends that.
struct Coming {
    chunk: u64,
    task: JoinHandle<Result<(Bytes, OwnedSemaphorePermit)>>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ObjectBlob {
    pub(super) fn new(shared: Arc<Shared>, about: Arc<About>, reading: Reading) -> Self {
        Self { shared, about, ahead: Mutex::default(), _reading: reading }
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        let footer = &self.about.footer;
        let end = match offset.checked_add(len as u64) {
            Some(end) if end <= footer.len => end,
            _ => return Err(outside(footer, offset, len)),
        };
        if len == 0 {
            return Ok(Bytes::new());
        }
        let chunk_bytes = self.about.chunk_bytes();
        let (first, last) = (offset / chunk_bytes, (end - 1) / chunk_bytes);
        self.look_ahead(offset, end, last);
        let part = |chunk: u64, bytes: &Bytes| {
            let begin = chunk * chunk_bytes;
            let from = offset.saturating_sub(begin);
            bytes.slice(index(from)..index(end - begin).min(bytes.len()))
        };
        if first == last {
            let bytes = self.chunk(first).await?;
            return Ok(part(first, &bytes));
        }
        let mut joined = BytesMut::with_capacity(len);
        for chunk in first..=last {
            joined.extend_from_slice(&part(chunk, &self.chunk(chunk).await?));
        }
        Ok(joined.freeze())
    }

    /// One chunk, which stays at hand.
    async fn chunk(&self, chunk: u64) -> Result<Bytes> {
        let coming = {
            let mut ahead = self.ahead();
            if let Some((current, bytes)) = &ahead.current
                && *current == chunk
            {
                return Ok(bytes.clone());
            }
            let at = ahead.coming.iter().position(|coming| coming.chunk == chunk);
            at.and_then(|at| ahead.coming.remove(at))
        };
        let came = match coming {
            Some(mut coming) => joined((&mut coming.task).await).ok(),
            None => None,
        };
        let bytes = match came {
            Some((bytes, _permit)) => bytes,
            // What went wrong a while ago need not go wrong now.
            None => self.shared.chunk(&self.about, chunk).await?,
        };
        self.ahead().current = Some((chunk, bytes.clone()));
        Ok(bytes)
    }

    /// Begins to fetch what will be asked for after a read of `offset` to `end`, which lies in chunk `last`.
    fn look_ahead(&self, offset: u64, end: u64, last: u64) {
        let mut ahead = self.ahead();
        ahead.run = if offset == ahead.next { ahead.run.saturating_add(1) } else { 0 };
        let went_on = ahead.run > 0 && offset > 0;
        ahead.next = end;
        if !went_on {
            ahead.coming.clear();
            return;
        }
        let wanted = u64::from(ahead.run).min(AHEAD_MAX);
        let chunks = self.about.footer.len.div_ceil(self.about.chunk_bytes());
        // Those behind are not asked for any more.
        let first = offset / self.about.chunk_bytes();
        ahead.coming.retain(|coming| coming.chunk >= first);
        for chunk in (last + 1..chunks).take(index(wanted)) {
            if ahead.coming.iter().any(|coming| coming.chunk == chunk) {
                continue;
            }
            // All readers are far enough ahead together: this one fetches when it is there.
            let Ok(permit) = Arc::clone(&self.shared.ahead).try_acquire_owned() else { return };
            let (shared, about) = (Arc::clone(&self.shared), Arc::clone(&self.about));
            let task =
                tokio::spawn(async move { Ok((shared.chunk(&about, chunk).await?, permit)) });
            ahead.coming.push_back(Coming { chunk, task });
        }
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blob for ObjectBlob {
    fn len(&self) -> u64 {
        self.about.footer.len
    }

    fn digest(&self) -> Digest {
        self.about.footer.digest
    }

    fn read(&self, offset: u64, len: usize) -> Task<'_, Result<Bytes>> {
        Box::pin(self.read(offset, len))
    }
}
