//! Reading a stage while it is written.
//!
//! What lives here: the bytes that a stage has taken over and not yet written, and the checksums of the blocks that are in
//! its file. What does not: when more comes, and whether the stage comes to a good end (whoever writes it knows). The
//! invariants: a byte can be read as soon as it is taken over; what is read back from the file was compared with its
//! block's checksum; what is held in memory is what the stage itself holds, and one block; when the last reader has gone, nothing.

use std::{
    collections::VecDeque,
    fs::File,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use model::{BlobId, Result};

use crate::{
    Follow, Task,
    blocks::verified,
    layout::{BLOCK_BYTES, SUM_BYTES},
    threads::blocking,
};

/// Frames shorter than this are copied together, so that a client's one-byte frames cost no handle each.
const JOIN_BELOW_BYTES: usize = 64 * 1024;

/// How far a reader may be behind to count as one that reads what is in memory.
const CLOSE_BYTES: u64 = 4 * 1024 * 1024;

/// What a stage has taken over so far.
pub(crate) struct Trail {
    id: BlobId,
    inner: Mutex<Inner>,
}

/// Somebody who reads.
struct Reader(Arc<Trail>);

#[derive(Default)]
struct Inner {
    /// There are more only before the first byte.
    readers: usize,
    /// The stage's file, once there is one.
    file: Option<Arc<File>>,
    /// Checksums of the whole blocks in it, as the trailer will have them.
    sums: Vec<u8>,
    /// Where the bytes in memory begin: always where a block begins.
    memory_at: u64,
    /// How far somebody has read.
    read: u64,
    frames: VecDeque<Frame>,
}

/// Bytes in memory.
enum Frame {
    Whole(Bytes),
    /// Short frames, joined; may grow while it is the last.
    Joined(BytesMut),
}

impl Frame {
    fn len(&self) -> usize {
        match self {
            Frame::Whole(bytes) => bytes.len(),
            Frame::Joined(bytes) => bytes.len(),
        }
    }

    fn slice(&self, from: usize, to: usize) -> Bytes {
        match self {
            Frame::Whole(bytes) => bytes.slice(from..to),
            Frame::Joined(bytes) => Bytes::copy_from_slice(&bytes[from..to]),
        }
    }
}

impl Trail {
    pub(crate) fn new(id: BlobId) -> Self {
        Self { id, inner: Mutex::default() }
    }

    /// For one reader, or for all who share it. Before the first byte.
    pub(crate) fn reader(self: &Arc<Self>) -> Arc<dyn Follow> {
        self.inner().readers += 1;
        Arc::new(Reader(Arc::clone(self)))
    }

    /// The stage has taken these bytes over.
    pub(crate) fn taken(&self, bytes: &Bytes) {
        let mut inner = self.inner();
        if inner.readers == 0 {
            return;
        }
        if bytes.len() >= JOIN_BELOW_BYTES {
            inner.frames.push_back(Frame::Whole(bytes.clone()));
            return;
        }
        match inner.frames.back_mut() {
            Some(Frame::Joined(last)) if last.len() + bytes.len() <= 2 * JOIN_BELOW_BYTES => {
                last.extend_from_slice(bytes);
            }
            Some(_) | None => inner.frames.push_back(Frame::Joined(BytesMut::from(&bytes[..]))),
        }
    }

    /// The file holds its first `len` bytes; `sums` are the checksums of all whole blocks among them.
    pub(crate) fn written(&self, file: &Arc<File>, len: u64, sums: &[u8]) {
        let mut inner = self.inner();
        if inner.readers == 0 {
            return;
        }
        inner.file.get_or_insert_with(|| Arc::clone(file));
        let known = inner.sums.len();
        inner.sums.extend_from_slice(sums.get(known..).unwrap_or_default());
        let whole = len - len % BLOCK_BYTES as u64;
        let mut gone = usize::try_from(whole - inner.memory_at).unwrap_or(usize::MAX);
        inner.memory_at = whole;
        while let Some(front) = inner.frames.pop_front() {
            if front.len() > gone {
                let rest = front.slice(gone, front.len());
                inner.frames.push_front(if rest.len() < JOIN_BELOW_BYTES {
                    Frame::Joined(BytesMut::from(&rest[..]))
                } else {
                    Frame::Whole(rest)
                });
                return;
            }
            gone -= front.len();
        }
    }

    /// Whether nobody who reads is far from the byte `len`.
    pub(crate) fn is_read_up_to(&self, len: u64) -> bool {
        let inner = self.inner();
        inner.readers == 0 || inner.read.saturating_add(CLOSE_BYTES) >= len
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Bytes in memory from `offset`; none when that many were not taken over yet.
    fn remembered(&self, offset: u64, len: usize) -> Bytes {
        let mut skip = usize::try_from(offset - self.memory_at).unwrap_or(usize::MAX);
        for frame in &self.frames {
            if skip < frame.len() {
                return frame.slice(skip, skip.saturating_add(len).min(frame.len()));
            }
            skip -= frame.len();
        }
        Bytes::new()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        inner.readers -= 1;
        if inner.readers == 0 {
            let gone = mem::take(&mut *inner);
            drop(inner);
            drop(gone);
        }
    }
}

impl Follow for Reader {
    fn read(&self, offset: u64, len: usize) -> Task<'_, Result<Bytes>> {
        let Self(trail) = self;
        let mut inner = trail.inner();
        let file = match &inner.file {
            Some(file) if offset < inner.memory_at => Arc::clone(file),
            Some(_) | None => {
                let bytes = inner.remembered(offset, len);
                inner.read = inner.read.max(offset + bytes.len() as u64);
                return Box::pin(std::future::ready(Ok(bytes)));
            }
        };
        let block = BLOCK_BYTES as u64;
        let first = offset / block;
        let end = offset.saturating_add(len as u64).min(inner.memory_at);
        let blocks = end.div_ceil(block) - first;
        let at = |block: u64| usize::try_from(block).unwrap_or(usize::MAX) * SUM_BYTES;
        let sums = inner.sums[at(first)..at(first + blocks)].to_vec();
        drop(inner);
        let id = trail.id;
        Box::pin(blocking(move || {
            let bytes = verified(&file, id, BLOCK_BYTES, first, blocks * block, &sums)?;
            let from = usize::try_from(offset - first * block).unwrap_or(usize::MAX);
            let to = usize::try_from(end - first * block).unwrap_or(usize::MAX);
            Ok(Bytes::from(bytes).slice(from..to))
        }))
    }
}
