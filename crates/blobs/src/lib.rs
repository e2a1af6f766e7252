//! Blobs: bytes written once, never changed, named by an id.
//!
//! What lives here: the trait [`Blobs`] with staging ([`Stage`], [`Staged`]) and verified reading ([`Blob`]), and its
//! engines. What does not: names, references, counting, and who may read what. The local engine holds the only fsync
//! and the only rename in the tree.
//!
//! The order that makes a crash harmless: stage, compare the checksum, seal (bytes and name are durable), and only
//! then the catalog. A blob nobody refers to is garbage that the sweeper finds with [`Blobs::sealed_between`].

mod blocks;
pub mod faulty;
mod hash;
mod hasher;
mod layout;
mod local;
pub mod object;
pub mod suite;
mod threads;
mod trail;

use std::{fs::File, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use model::{AccountId, BlobId, Digest, Result, Time};

pub use hash::ContentHash;
pub use hasher::{Chain, Chained, EXPECTING_BYTES_MAX, Hasher, Hashes};
pub use local::{Local, LocalOptions};
pub use object::Object;

/// A boxed future: these traits are used as objects.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store of blobs.
pub trait Blobs: Send + Sync {
    /// Whether so many more bytes would be taken now. Quick: asked before each upload. A stage asks by itself as its
    /// bytes come.
    ///
    /// # Errors
    /// [`model::Error::Full`] while they would not, [`model::Error::Storage`].
    fn takes(&self, bytes: u64) -> Result<()>;
    /// Begins a blob. Nothing has a durable name before [`Staged::seal`].
    ///
    /// # Errors
    /// [`model::Error::Full`], [`model::Error::Storage`].
    fn stage(&self, account: AccountId, now: Time) -> Task<'_, Result<Box<dyn Stage>>>;
    /// Begins a blob under the id it has in another store; one that is there under this id is replaced.
    ///
    /// # Errors
    /// [`model::Error::Full`], [`model::Error::Storage`].
    fn stage_as(&self, id: BlobId) -> Task<'_, Result<Box<dyn Stage>>>;
    /// Opens a sealed blob for reading; checks that it is whole (its length and its own description of itself).
    ///
    /// # Errors
    /// [`model::Error::Damaged`] when it is missing or is not what was sealed, [`model::Error::Storage`].
    fn open(&self, id: BlobId) -> Task<'_, Result<Box<dyn Blob>>>;
    /// Removes a sealed blob; one that is not there is a success. After a loss of power it may be there again.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    fn remove(&self, id: BlobId) -> Task<'_, Result<()>>;
    /// Removes sealed blobs for good: when this returns they do not come back, whatever happens. After an error some
    /// may be gone and some not.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    fn remove_all(&self, ids: Vec<BlobId>) -> Task<'_, Result<()>>;
    /// Everything that lies in the store, handed over in batches to `visit` (called on a thread that may block).
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    fn survey(&self, visit: Box<dyn FnMut(Vec<Lying>) + Send>) -> Task<'_, Result<()>>;
    /// The sealed blobs staged before `before` and changed on disk since `since`, handed over in batches to `visit`
    /// (called on a thread that may block): what the sweeper compares with the catalog.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    fn sealed_between(
        &self,
        since: Time,
        before: Time,
        visit: Box<dyn FnMut(Vec<BlobId>) + Send>,
    ) -> Task<'_, Result<()>>;
    /// Gives up what nobody wrote to since `before` and nobody will: what processes that died left half-written where a new
    /// one does not find it by itself. Returns how many. `before` must lie a day back at least.
    ///
    /// # Errors
    /// [`model::Error::Storage`], [`model::Error::Unavailable`].
    fn give_up_stages(&self, before: Time) -> Task<'_, Result<usize>> {
        let _ = before;
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// Something that lies in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lying {
    /// A sealed blob, where it belongs.
    Sealed(BlobId),
    /// A blob that was never sealed: it is being written, or was left behind.
    Staged(String),
    /// What the store would not have put there: where it lies.
    Stray(String),
}

/// A blob that is being written. Dropping it discards it.
pub trait Stage: Send {
    /// Appends bytes. Returns when they are taken over, which may be before they are on disk; what is taken over and
    /// not yet written is bounded, so a slow disk holds the writer back.
    ///
    /// # Errors
    /// [`model::Error::Full`], [`model::Error::Storage`]; the stage is then of no more use.
    fn write(&mut self, bytes: Bytes) -> Task<'_, Result<()>>;
    /// A reader of what is taken over, beside the writing; it stays readable to its end until dropped, whatever becomes
    /// of the stage. `None` unless it is asked for before the first byte.
    fn follow(&mut self) -> Option<Arc<dyn Follow>>;
    /// The same, where it takes no more than the stage does anyhow; `None` where the bytes would need another place.
    fn follow_in_place(&mut self) -> Option<Arc<dyn Follow>> {
        None
    }
    /// Lets a hash of more than the blob join its own. From now on one is expected: the first bytes wait for it a little.
    fn chain(&mut self) -> Chain;
    /// Ends the content: all bytes are hashed and handed to the file system, none is durable yet.
    ///
    /// # Errors
    /// As [`Stage::write`].
    fn finish(self: Box<Self>) -> Task<'static, Result<Box<dyn Staged>>>;
}

/// Reads a stage while it is being written. It does not know how much there will be, nor when more has come: whoever
/// writes the stage tells the readers.
pub trait Follow: Send + Sync {
    /// Bytes from `offset`, `len` at most; none when nothing after `offset` was taken over yet. What comes from disk was
    /// compared with its checksum.
    ///
    /// # Errors
    /// [`model::Error::Damaged`], [`model::Error::Storage`].
    fn read(&self, offset: u64, len: usize) -> Task<'_, Result<Bytes>>;
}

/// A whole blob without a name. Dropping it discards it.
pub trait Staged: Send {
    /// Its length in bytes.
    fn len(&self) -> u64;
    /// Whether it holds no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// SHA-256 of its bytes.
    fn digest(&self) -> Digest;
    /// SHA-256 as it is after its bytes, if the engine has it: a hash of these bytes and more can go on from there.
    fn hash(&self) -> Option<ContentHash> {
        None
    }
    /// Makes bytes and name durable. Afterwards it is the catalog's to refer to; an error leaves nothing behind but,
    /// at worst, garbage for the sweeper.
    ///
    /// # Errors
    /// [`model::Error::Full`], [`model::Error::Storage`]. A failed sync is never tried again.
    fn seal(self: Box<Self>) -> Task<'static, Result<BlobId>>;
}

/// A sealed blob, open for reading. Stays readable after its removal until dropped.
pub trait Blob: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;
    /// Whether it holds no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// SHA-256 of its bytes, as it was noted when they were written.
    fn digest(&self) -> Digest;
    /// Reads `len` bytes from `offset`, each block they lie in compared with its checksum first.
    ///
    /// # Errors
    /// [`model::Error::Damaged`] when a block is not what was written, or the range is not inside the blob;
    /// [`model::Error::Storage`].
    fn read(&self, offset: u64, len: usize) -> Task<'_, Result<Bytes>>;
    /// The same bytes where they lie, for whoever can send a file without reading it; `None` where they lie in none.
    fn in_file(&self) -> Option<&dyn InFile> {
        None
    }
}

/// A blob that is a file.
///
/// What these calls return was compared with its checksums at most 10 seconds ago, and the file has not changed since, as
/// far as the file system says. It is to be sent at once.
pub trait InFile: Send + Sync {
    /// Verified bytes from `offset`, `len` (1 at least) at most, if that takes no waiting for a disk. May take some 50 µs.
    ///
    /// # Errors
    /// As [`Blob::read`], for the bytes returned; what lies behind them may be damaged.
    fn verified_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan>>;
    /// The same, waiting for the disk.
    ///
    /// # Errors
    /// The same.
    fn verified(&self, offset: u64, len: usize) -> Task<'_, Result<FileSpan>>;
}

/// Bytes of an open file.
#[derive(Debug, Clone)]
pub struct FileSpan {
    /// The file.
    pub file: Arc<File>,
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub len: usize,
}

/// A new id for a blob of an account that is begun now.
fn fresh_id(account: AccountId, now: Time) -> Result<BlobId> {
    let mut random = [0; 6];
    getrandom::fill(&mut random)
        .map_err(|e| model::Error::Storage(format!("no random numbers: {e}")))?;
    Ok(BlobId::new(account, now.0, random))
}
