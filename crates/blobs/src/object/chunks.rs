//! Verified chunks of blobs: what a blob says about itself, and its bytes, from memory, from the files of the cache, or from
//! the store.
//!
//! What lives here: opening (the trailer in one request), fetching a chunk, comparing it. What does not: which chunks a
//! reader will want next (`read`), and what is kept (`cache`). The invariants: a chunk is in memory only after every block
//! of it was compared with the checksum in its blob's trailer; what the cache's disk returns is compared like what the
//! store returns, and when it is wrong it is dropped and fetched again; one task at a time fetches a chunk, whoever else
//! wants it waits for that one.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use model::{BlobId, Error, Result};
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectStoreExt as _, path::Path};
use quick_cache::sync::Cache;

use super::{
    Shared,
    cache::{ByBytes, Key},
    fault::{fault, is, short},
    http::NoSuchRange,
};
use crate::{
    blocks::compared,
    layout::{FOOTER_BYTES, Footer, SUM_BYTES},
};

/// Bytes of a chunk: what is fetched and kept at a time. Where blocks are larger than this, a block.
pub(super) const CHUNK_BYTES: u64 = 1024 * 1024;
/// Bytes asked for at the end of an object when it is opened: the checksums of 1 GiB, or a whole blob of up to some 64 KiB.
const TAIL_BYTES: u64 = 64 * 1024 + FOOTER_BYTES as u64;
/// Checksums are fetched by so many bytes, where the tail does not have them.
const SUMS_PAGE_BYTES: u64 = 64 * 1024;

/// What a sealed blob says about itself.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub footer: Footer,
    /// The checksums of the last blocks, as they stand before the footer; of all blocks, unless there are very many.
    sums: Bytes,
}

impl About {
    /// Bytes of a chunk of this blob.
    pub(super) fn chunk_bytes(&self) -> u64 {
        CHUNK_BYTES.max(self.footer.block_bytes())
    }

    /// The bytes of the blob that a chunk has.
    fn range(&self, chunk: u64) -> Range<u64> {
        let begin = chunk * self.chunk_bytes();
        begin..(begin + self.chunk_bytes()).min(self.footer.len)
    }

    /// The same with the checksums of the last `blocks` blocks alone, as a very long blob has it.
    #[cfg(test)]
    pub(super) fn with_last_sums(&self, blocks: usize) -> Self {
        let sums = self.sums.slice(self.sums.len() - blocks * SUM_BYTES..);
        Self { footer: self.footer, sums }
    }

    /// What this takes of the memory for such things, in bytes.
    pub(super) fn weight(&self) -> u64 {
        (self.sums.len() + 256) as u64
    }
}

impl Shared {
    /// What the blob says about itself: from memory, or from the end of its object.
    pub(super) async fn about(&self, id: BlobId) -> Result<Arc<About>> {
        self.abouts.get_or_insert_async(&id, self.described(id)).await
    }

    async fn described(&self, id: BlobId) -> Result<Arc<About>> {
        let path = self.names.blob(id);
        let (tail_at, tail) = self.tail(id, &path).await?;
        let whole = tail_at + tail.len() as u64;
        let Some(footer) = tail.last_chunk::<FOOTER_BYTES>() else {
            return Err(Error::Damaged(format!("blob {id:?}: too short for a footer")));
        };
        let footer = Footer::decode(footer, id, whole)?;
        let sums_at = index(footer.len.saturating_sub(tail_at)).min(tail.len() - FOOTER_BYTES);
        // A copy: the tail may be mostly content.
        let sums = Bytes::copy_from_slice(&tail[sums_at..tail.len() - FOOTER_BYTES]);
        let partial = sums.len() % SUM_BYTES;
        let about = Arc::new(About { footer, sums: sums.slice(partial..) });
        if tail_at == 0 && footer.len > 0 && footer.len <= about.chunk_bytes() {
            // The blob came with its trailer. Not as it should be: then it is fetched, and judged, when it is read.
            let content = tail.slice(..index(footer.len));
            if compared(id, 1 << footer.block_log2, 0, &content, &about.sums).is_ok() {
                self.hot.insert(Key::new(&footer, 0), content);
            }
        }
        Ok(about)
    }

    /// The last bytes of an object, and where in it they begin.
    async fn tail(&self, id: BlobId, path: &Path) -> Result<(u64, Bytes)> {
        let ranged = async {
            if self.suffixes {
                let wanted = self.ranged(path, GetRange::Suffix(TAIL_BYTES)).await?;
                return Ok(wanted);
            }
            let size = self.store.head(path).await?.size;
            if size == 0 {
                return Ok((0, Bytes::new()));
            }
            self.ranged(path, GetRange::Offset(size.saturating_sub(TAIL_BYTES))).await
        };
        match short(ranged).await {
            Ok(tail) => Ok(tail),
            Err(StoreError::NotFound { .. }) => {
                Err(Error::Damaged(format!("blob {id:?}: is missing")))
            }
            // An object without a byte has no last ones.
            Err(e) if is::<NoSuchRange>(&e) => Ok((0, Bytes::new())),
            Err(e) => Err(fault(&format!("opening blob {id:?}"), &e)),
        }
    }

    /// Bytes of an object, and where in it they begin.
    async fn ranged(&self, path: &Path, range: GetRange) -> object_store::Result<(u64, Bytes)> {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let got = self.store.get_opts(path, options).await?;
        let begin = got.range.start;
        let bytes = got.bytes().await?;
        Ok((begin, bytes))
    }

    /// A chunk of a blob, compared with its checksums.
    pub(super) async fn chunk(self: &Arc<Self>, about: &About, chunk: u64) -> Result<Bytes> {
        let key = Key::new(&about.footer, chunk);
        self.hot.get_or_insert_async(&key, self.fetched(about, chunk, key)).await
    }

    async fn fetched(self: &Arc<Self>, about: &About, chunk: u64, key: Key) -> Result<Bytes> {
        let Footer { id, block_log2, .. } = about.footer;
        let range = about.range(chunk);
        let sums = self.sums(about, &range).await?;
        let first = range.start >> block_log2;
        let judged = |bytes: &Bytes| compared(id, 1 << block_log2, first, bytes, &sums);
        if let Some(bytes) = self.cached(key, index(range.end - range.start)).await {
            match judged(&bytes) {
                Ok(()) => return Ok(bytes),
                Err(error) => {
                    tracing::warn!(%error, chunk, "damaged in the cache on this node's disk; read again from the store");
                    self.forget_cached(key).await;
                }
            }
        }
        let mut bytes = self.exactly(id, range.clone()).await?;
        if judged(&bytes).is_err() {
            // Once more: it may have been the way and not the store.
            bytes = self.exactly(id, range).await?;
            judged(&bytes)?;
        }
        self.keep_cached(key, &bytes);
        Ok(bytes)
    }

    /// The checksums of the blocks in a range of a blob.
    async fn sums(&self, about: &About, range: &Range<u64>) -> Result<Bytes> {
        let footer = &about.footer;
        let (first, last) =
            (range.start >> footer.block_log2, range.end.div_ceil(footer.block_bytes()));
        let (begin, end) = (footer.sum_at(first), footer.sum_at(last));
        let all_end = footer.sum_at(footer.len.div_ceil(footer.block_bytes()));
        let here = all_end - about.sums.len() as u64;
        if begin >= here {
            return Ok(about.sums.slice(index(begin - here)..index(end - here)));
        }
        // Very many: by pages, which the chunks after this one will want as well. What a page has is as good as what the
        // blocks say: they are compared with it.
        let page_at = begin - (begin - footer.len) % SUMS_PAGE_BYTES;
        let page_end = (page_at + SUMS_PAGE_BYTES).max(end).min(all_end);
        let page = self
            .pages
            .get_or_insert_async(&(footer.id, page_at), self.exactly(footer.id, page_at..page_end))
            .await?;
        let slice = index(begin - page_at)..index(end - page_at);
        if page.len() < slice.end {
            return Err(Error::Damaged(format!("blob {:?}: checksums cut short", footer.id)));
        }
        Ok(page.slice(slice))
    }

    /// Exactly these bytes of a blob's object.
    async fn exactly(&self, id: BlobId, range: Range<u64>) -> Result<Bytes> {
        let path = self.names.blob(id);
        match self.ranged(&path, GetRange::Bounded(range.clone())).await {
            Ok((begin, bytes))
                if (begin, bytes.len() as u64) == (range.start, range.end - range.start) =>
            {
                Ok(bytes)
            }
            Ok(_) => Err(Error::Damaged(format!("blob {id:?}: was cut short"))),
            Err(StoreError::NotFound { .. }) => {
                Err(Error::Damaged(format!("blob {id:?}: is missing")))
            }
            Err(e) if is::<NoSuchRange>(&e) => {
                Err(Error::Damaged(format!("blob {id:?}: was cut short")))
            }
            Err(e) => Err(fault(&format!("reading blob {id:?}"), &e)),
        }
    }
}

/// Weighs descriptions by their bytes.
#[derive(Debug, Clone)]
pub(super) struct ByWeight;

impl quick_cache::Weighter<BlobId, Arc<About>> for ByWeight {
    fn weight(&self, _id: &BlobId, about: &Arc<About>) -> u64 {
        about.weight()
    }
}

/// Descriptions of blobs.
pub(super) type Abouts = Cache<BlobId, Arc<About>, ByWeight>;
/// Chunks in memory.
pub(super) type Hot = Cache<Key, Bytes, ByBytes>;
/// Pages of checksums of very long blobs, by where in the object they begin.
pub(super) type Pages = Cache<(BlobId, u64), Bytes>;

/// A number that is known to fit into memory.
pub(super) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
