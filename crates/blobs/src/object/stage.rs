//! Staging: takes frames over from an upload, hashes them, and sends them on in parts.
//!
//! What does not live here: the parts (`parts`), hashing (`crate::hasher`), the file for those who read along (`spool`). The
//! invariants: what is hashed, summed, spooled and sent are the same segments in the same order; memory is the parts on
//! their way, the one being filled and what waits to be hashed or for another hash, whatever the frames are (they are copied, because a short
//! frame can hold a long buffer); whoever stops waiting, at whatever point, leaves a stage that can go on or be dropped.

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use model::{BlobId, Digest, Error, Result};

use super::{Shared, parts::Parts, spool::Spool};
use crate::{
    Chain, ContentHash, Follow, Stage, Staged, Task,
    hasher::Hasher,
    layout::{BLOCK_LOG2, Footer, Sums},
    threads::joined,
};

/// How much is copied together before it is hashed and sent on.
const SEGMENT_BYTES: usize = 1024 * 1024;
/// What a segment begins with: most blobs are small.
const SEGMENT_FIRST_BYTES: usize = 64 * 1024;

/// A blob being written.
pub(super) struct ObjectStage {
    shared: Arc<Shared>,
    id: BlobId,
    len: u64,
    /// The segment that is coming in, and full ones that wait for room.
    segment: BytesMut,
    full: VecDeque<Bytes>,
    sums: Sums,
    hasher: Hasher,
    parts: Parts,
    spool: Option<Spool>,
    failed: Option<Error>,
}

impl ObjectStage {
    pub(super) fn new(shared: Arc<Shared>, id: BlobId) -> Self {
        let parts = Parts::new(Arc::clone(&shared), id);
        let (segment, full, sums, hasher) = Default::default();
        Self { shared, id, len: 0, segment, full, sums, hasher, parts, spool: None, failed: None }
    }

    fn take(&mut self, mut bytes: Bytes) {
        if let Some(spool) = &self.spool {
            spool.taken(&bytes);
        }
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.segment.capacity() == 0 {
                self.segment.reserve(SEGMENT_FIRST_BYTES);
            }
            let room = SEGMENT_BYTES - self.segment.len();
            self.segment.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.segment.len() == SEGMENT_BYTES {
                self.full.push_back(mem::take(&mut self.segment).freeze());
            }
        }
    }

    /// Sends full segments on their ways, as there is room for them.
    async fn advance(&mut self) -> Result<()> {
        if let Some(e) = &self.failed {
            return Err(e.clone());
        }
        let advanced = self.advanced().await;
        if let Err(e) = &advanced {
            self.failed = Some(e.clone());
        }
        advanced
    }

    async fn advanced(&mut self) -> Result<()> {
        while let Some(next) = self.full.front() {
            let len = next.len();
            self.hasher.room().await?;
            if let Some(spool) = &mut self.spool {
                spool.settle().await?;
            }
            self.parts.room(len).await?;
            // From here on nothing waits.
            let Some(segment) = self.full.pop_front() else { break };
            self.sums.update(&segment);
            self.hasher.push(segment.clone());
            if let Some(spool) = &mut self.spool {
                spool.begin(segment.clone(), self.sums.of_whole_blocks());
            }
            self.parts.push(segment)?;
        }
        Ok(())
    }

    async fn finished(mut self) -> Result<Box<dyn Staged>> {
        if !self.segment.is_empty() {
            self.full.push_back(mem::take(&mut self.segment).freeze());
        }
        self.advance().await?;
        let hashes = self.hasher.end().await?;
        self.hasher.tell(&hashes);
        if let Some(spool) = &mut self.spool {
            spool.settle().await?;
        }
        let digest = hashes.own.clone().finish();
        let footer = Footer { id: self.id, len: self.len, digest, block_log2: BLOCK_LOG2 };
        // The checksums of a very long blob are longer than a part.
        let mut trailer = Bytes::from(mem::take(&mut self.sums).into_trailer(&footer));
        while !trailer.is_empty() {
            let some = trailer.split_to(SEGMENT_BYTES.min(trailer.len()));
            self.parts.room(some.len()).await?;
            self.parts.push(some)?;
        }
        let (shared, parts) = (self.shared, Some(self.parts));
        Ok(Box::new(ObjectStaged { shared, footer, hash: hashes.own, parts }))
    }
}

impl Stage for ObjectStage {
    fn write(&mut self, bytes: Bytes) -> Task<'_, Result<()>> {
        if let Some(e) = &self.failed {
            return Box::pin(std::future::ready(Err(e.clone())));
        }
        self.take(bytes);
        if self.full.is_empty() || self.hasher.expects(self.full.len() * SEGMENT_BYTES) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(self.advance())
    }

    fn follow(&mut self) -> Option<Arc<dyn Follow>> {
        if self.len > 0 {
            return None;
        }
        let (id, scratch) = (self.id, &self.shared.scratch);
        Some(self.spool.get_or_insert_with(|| Spool::new(id, Arc::clone(scratch))).trail())
    }

    fn chain(&mut self) -> Chain {
        self.hasher.chain()
    }

    fn finish(self: Box<Self>) -> Task<'static, Result<Box<dyn Staged>>> {
        Box::pin((*self).finished())
    }
}

/// A whole blob without a name.
struct ObjectStaged {
    shared: Arc<Shared>,
    footer: Footer,
    hash: ContentHash,
    /// `None` once it is being sealed.
    parts: Option<Parts>,
}

impl Staged for ObjectStaged {
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
        let (shared, footer, parts) = (Arc::clone(&self.shared), self.footer, self.parts.take());
        // One task that is begun at once: a caller who stops waiting finds it done or cleaned up, never half.
        let sealing = tokio::spawn(async move {
            let Some(parts) = parts else {
                return Err(Error::Storage("the stage was given up".into()));
            };
            parts.complete(&footer).await?;
            // Under the same id there may have been another one.
            shared.abouts.remove(&footer.id);
            Ok(footer.id)
        });
        Box::pin(async move { joined(sealing.await) })
    }
}
