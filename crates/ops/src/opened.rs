//! A file that is being served: reading its bytes, verified, from wherever they are.
//!
//! What does not live here: finding it by what a request may mean and may read (`get`).

use std::sync::Arc;

use blobs::{Blob, FileSpan, InFile};
use bytes::Bytes;
use model::{Error, Extent, FileAttrs, Result};

use crate::get::Manner;

/// A file that is being served. What was opened stays readable, whatever happens to the name meanwhile.
pub struct Opened {
    pub(crate) attrs: Arc<FileAttrs>,
    pub(crate) bytes: Source,
    pub(crate) manner: Manner,
}

/// Where its bytes are.
pub(crate) enum Source {
    /// Only the attributes were asked for.
    Unopened,
    /// All of them.
    Memory(Bytes),
    /// Each blob with the offset it begins at.
    Blobs(Vec<(u64, Box<dyn Blob>)>),
}

impl Opened {
    /// What is known of the file.
    pub fn attrs(&self) -> &FileAttrs {
        &self.attrs
    }

    /// How it is to be sent.
    pub fn manner(&self) -> &Manner {
        &self.manner
    }

    /// The whole content, where it is in memory.
    pub fn inline(&self) -> Option<&Bytes> {
        match &self.bytes {
            Source::Memory(bytes) => Some(bytes),
            Source::Unopened | Source::Blobs(_) => None,
        }
    }

    /// Verified bytes from `offset`, `len` at most: fewer where a blob ends, none only at the end of the file.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Storage`].
    pub async fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        match &self.bytes {
            Source::Unopened => Err(Error::Storage("the content was not opened".to_owned())),
            Source::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(from..from.saturating_add(len).min(bytes.len())))
            }
            Source::Blobs(_) => match self.blob_at(offset, len) {
                Some((blob, within, len)) => blob.read(within, len).await,
                None => Ok(Bytes::new()),
            },
        }
    }

    /// Whether its bytes lie in files, so that [`Opened::span_now`] and [`Opened::span`] find them.
    pub fn in_files(&self) -> bool {
        match &self.bytes {
            Source::Blobs(blobs) => blobs.iter().all(|(_, blob)| blob.in_file().is_some()),
            Source::Unopened | Source::Memory(_) => false,
        }
    }

    /// Where verified bytes from `offset` lie, `len` at most, 1 at least; `None` where finding out takes waiting.
    ///
    /// # Errors
    /// As [`Opened::read`]; [`Error::Damaged`] at the end of the file, too.
    pub fn span_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan>> {
        match self.file_at(offset, len) {
            Ok((blob, within, len)) => blob.verified_now(within, len),
            Err(fault) => Some(Err(fault)),
        }
    }

    /// The same, waiting.
    ///
    /// # Errors
    /// The same.
    pub async fn span(&self, offset: u64, len: usize) -> Result<FileSpan> {
        let (blob, within, len) = self.file_at(offset, len)?;
        blob.verified(within, len).await
    }

    fn file_at(&self, offset: u64, len: usize) -> Result<(&dyn InFile, u64, usize)> {
        let (blob, within, len) = self
            .blob_at(offset, len)
            .ok_or_else(|| Error::Damaged("content ended early".to_owned()))?;
        let no_file = || Error::Storage("the content is in no file".to_owned());
        Ok((blob.in_file().ok_or_else(no_file)?, within, len))
    }

    /// The blob that has the byte at `offset`, where in it that is, and how many of `len` bytes it has from there, 1 at
    /// least.
    fn blob_at(&self, offset: u64, len: usize) -> Option<(&dyn Blob, u64, usize)> {
        let Source::Blobs(blobs) = &self.bytes else { return None };
        let at = blobs.partition_point(|(begin, _)| *begin <= offset).saturating_sub(1);
        let (begin, blob) = blobs.get(at)?;
        let within = offset - begin;
        let left = usize::try_from(blob.len().saturating_sub(within)).unwrap_or(usize::MAX);
        (left.min(len) > 0).then(|| (&**blob, within, len.min(left)))
    }
}

/// Each of a file's blobs with the offset it begins at, if they are as long as the record of the file says.
pub(crate) fn laid_out(
    extents: &[Extent],
    blobs: impl IntoIterator<Item = Box<dyn Blob>>,
) -> Result<Vec<(u64, Box<dyn Blob>)>> {
    let mut offset = 0;
    let place = |(extent, blob): (&Extent, Box<dyn Blob>)| {
        if blob.len() != extent.len {
            let id = extent.blob.to_hex();
            return Err(Error::Damaged(format!("blob {id} has another length")));
        }
        let begin = offset;
        offset += extent.len;
        Ok((begin, blob))
    };
    extents.iter().zip(blobs).map(place).collect()
}
