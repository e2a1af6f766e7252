//! A file of this node for those who read an upload while it is written: the store shows nothing of it before it is complete.
//!
//! What lives here: writing the file. What does not: reading it, compared with its checksums, and what is in memory
//! (`crate::trail`). The invariants: the file has no name once it is open, so that it goes with the last who reads it, or
//! with the process; one segment is being written at a time, so a slow disk holds the upload back.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    sync::Arc,
};

use bytes::Bytes;
use model::{BlobId, Result};
use tokio::task::JoinHandle;

use super::cache::Scratch;
use crate::{Follow, threads::joined, trail::Trail};

/// The file of one upload.
pub(super) struct Spool {
    id: BlobId,
    scratch: Arc<Scratch>,
    trail: Arc<Trail>,
    file: Option<Arc<File>>,
    len: u64,
    writing: Option<JoinHandle<Result<Arc<File>>>>,
}

impl Spool {
    pub(super) fn new(id: BlobId, scratch: Arc<Scratch>) -> Self {
        let trail = Arc::new(Trail::new(id));
        Self { id, scratch, trail, file: None, len: 0, writing: None }
    }

    /// For readers.
    pub(super) fn trail(&self) -> Arc<dyn Follow> {
        self.trail.reader()
    }

    /// The stage has taken these bytes over.
    pub(super) fn taken(&self, bytes: &Bytes) {
        self.trail.taken(bytes);
    }

    /// Waits for the segment that is being written. May be dropped and called again.
    pub(super) async fn settle(&mut self) -> Result<()> {
        if let Some(writing) = &mut self.writing {
            let written = joined(writing.await);
            self.writing = None;
            self.file = Some(written?);
        }
        Ok(())
    }

    /// Begins to write a segment, when the one before is settled; `sums` are the checksums of all whole blocks up to its
    /// end.
    pub(super) fn begin(&mut self, segment: Bytes, sums: &[u8]) {
        let (at, sums, file) = (self.len, sums.to_vec(), self.file.take());
        self.len += segment.len() as u64;
        let (id, scratch, trail) = (self.id, Arc::clone(&self.scratch), Arc::clone(&self.trail));
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(nameless(id, &scratch)?),
            };
            file.write_all_at(&segment, at)?;
            trail.written(&file, at + segment.len() as u64, &sums);
            Ok(file)
        }));
    }
}

fn nameless(id: BlobId, scratch: &Scratch) -> std::io::Result<File> {
    let path = scratch.path().join(format!("spool-{}", id.to_hex()));
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
