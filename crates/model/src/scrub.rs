//! Scrubbing: how far the reading of everything that is stored has come, and what was found damaged.

use crate::{AccountId, BlobId, DirId, InlineId, Time};

/// How far scrubbing is, as stored: one record for the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrub {
    /// Which pass this is, from 1; 0: none was begun yet.
    pub pass: u64,
    /// When it was begun.
    pub begun: Time,
    /// When it ended; `None`: it goes on.
    pub ended: Option<Time>,
    /// Bytes it has read.
    pub bytes: u64,
    /// Blobs and small contents it has read.
    pub objects: u64,
    /// Bytes a second that were asked for, for this pass alone.
    pub rate: Option<u64>,
    /// Where it goes on.
    pub at: ScrubAt,
    /// The pass before it.
    pub before: Option<ScrubPass>,
    /// What did not read well when it was read last.
    pub damaged: Vec<Damage>,
    /// How many more there were than `damaged` may hold.
    pub more: u64,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            pass: 0,
            begun: Time(0),
            ended: None,
            bytes: 0,
            objects: 0,
            rate: None,
            at: ScrubAt::Start,
            before: None,
            damaged: Vec::new(),
            more: 0,
        }
    }
}

/// A pass that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubPass {
    /// When it was begun.
    pub begun: Time,
    /// When it ended.
    pub ended: Time,
    /// Bytes it read.
    pub bytes: u64,
    /// Blobs and small contents it read.
    pub objects: u64,
}

/// Where a pass goes on: blobs come first, then files, for what only their records say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrubAt {
    /// At the first blob.
    Start,
    /// After this blob.
    Blob(BlobId),
    /// After this file.
    File(AccountId, DirId, String),
}

/// What is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A blob.
    Blob(BlobId),
    /// Small content, in the catalog.
    Inline(AccountId, InlineId),
    /// A part of the catalog.
    Catalog(String),
}

/// Something that does not read as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What.
    pub subject: Subject,
    /// When it was found.
    pub found: Time,
    /// The last pass that saw it so.
    pub pass: u64,
    /// What is wrong with it.
    pub why: String,
    /// Some of the paths it belongs to, as they were when it was found.
    pub paths: Vec<String>,
}
