//! The catalog laid open: every index row by row, as it is stored, for those who check that it holds together.
//!
//! What lives here: the rows ([`Row`]), how they are read ([`Audit`]), and which were changed during a move ([`Change`]); [`crate::Tx::put_row`] and
//! [`crate::Tx::remove_row`] change one row and nothing else. What does not: what must be true of them (operations), and
//! any rule of [`crate::Tx`]: these are the doors behind its back, for repairs and for tests of what finds damage.
//!
//! Memory: a scan holds one row.

use bytes::Bytes;
use model::{
    Account, AccountId, BlobId, Callback, CallbackId, Digest, DirId, Directory, Event, File,
    FileAttrs, InlineId, Job, JobId, KeyPair, Lease, Moving, Multipart, Piece, Result, Scrub,
    Session, Time, TokenHash, UploadId, Usage, User, UserId,
};

use crate::rows::keys::Family;
use crate::rows::stored;

/// An index: rows of one or a few kinds, in an order of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Index {
    /// Accounts, users, key pairs, callbacks, counters, leases.
    Meta,
    /// What stands under a name: by account, directory, name.
    Names,
    /// Rows of listings: by account, directory, directories before files, number.
    Numbers,
    /// Directories' records: by account, id.
    Directories,
    /// Small content: by account, id.
    Inline,
    /// Sessions by hash, then by user, then used signatures.
    Sessions,
    /// Counts of references, by blob.
    Blobs,
    /// Blobs to be removed, by blob.
    Doomed,
    /// Uploads by id, then those to be put together, then by user and number.
    Uploads,
    /// Pieces: by upload; of one, by arrival, then by number.
    Pieces,
    /// Events: by account, callback, id.
    Events,
    /// Counters of jobs, then queued jobs by time, then jobs by account and number.
    Jobs,
}

impl Index {
    /// All of them.
    pub const ALL: [Index; 12] = [
        Index::Meta,
        Index::Names,
        Index::Numbers,
        Index::Directories,
        Index::Inline,
        Index::Sessions,
        Index::Blobs,
        Index::Doomed,
        Index::Uploads,
        Index::Pieces,
        Index::Events,
        Index::Jobs,
    ];

    /// What operators are told.
    pub const fn name(self) -> &'static str {
        match self {
            Index::Meta => "accounts and counters",
            Index::Names => "names",
            Index::Numbers => "listings",
            Index::Directories => "directories",
            Index::Inline => "small contents",
            Index::Sessions => "sessions",
            Index::Blobs => "blob references",
            Index::Doomed => "doomed blobs",
            Index::Uploads => "uploads",
            Index::Pieces => "pieces",
            Index::Events => "events",
            Index::Jobs => "jobs",
        }
    }
}

/// One stored row: what its key and its value say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// The catalog's format.
    Format(u64),
    /// The last fresh id.
    LastId(u64),
    /// How far scrubbing is.
    Scrub(Scrub),
    /// What tells the key that secrets are sealed under from others.
    KeyCheck(Vec<u8>),
    /// Up to when no blob is left that nothing refers to.
    OrphansSwept(Time),
    /// A lease, by its name.
    Lease(String, Lease),
    /// An account, by its id.
    Account(Account),
    /// Which account has a name.
    AccountName(String, AccountId),
    /// What an account holds.
    Usage(AccountId, Usage),
    /// A user, by its id.
    User(User),
    /// Which user has a name.
    UserName(String, UserId),
    /// A key pair, by its account.
    KeyPair(KeyPair),
    /// Whose key pair has an access key.
    AccessKey(String, AccountId),
    /// How many uploads of an account are unfinished.
    UnfinishedUploads(AccountId, u64),
    /// The last number given to an upload of a user.
    LastUpload(UserId, u64),
    /// Callbacks of an account.
    Callbacks(AccountId, Vec<Callback>),
    /// How many events wait for a callback.
    WaitingEvents(CallbackId, u64),
    /// A file under a name.
    File(AccountId, DirId, String, File),
    /// A directory under a name: its id and number.
    DirectoryName(AccountId, DirId, String, DirId, u64),
    /// A file in a listing, by its number.
    FileRow(AccountId, DirId, u64, String, FileAttrs),
    /// A directory in a listing, by its number.
    DirectoryRow(AccountId, DirId, u64, String, DirId),
    /// A directory's record, by its id.
    Directory(AccountId, Directory),
    /// Small content.
    Inline(AccountId, InlineId, Bytes),
    /// A session, by its token's hash.
    Session(TokenHash, Session),
    /// A session among its user's.
    SessionOf(UserId, TokenHash),
    /// A used signature and when it expires.
    Signature(AccountId, Digest, Time),
    /// How many files and pieces refer to a blob.
    References(BlobId, u32),
    /// A blob to be removed, since when.
    Doomed(BlobId, Time),
    /// An upload, by its id.
    Upload(Multipart),
    /// An upload among its user's, by its number.
    UploadOf(UserId, u64, UploadId),
    /// An upload to be put together.
    Joining(UploadId),
    /// A piece, by its arrival.
    Piece(UploadId, Piece),
    /// Which arrival counts under a piece's number.
    PieceNumber(UploadId, u32, u64),
    /// An event, by its id.
    Event(AccountId, CallbackId, Event),
    /// A job, by its id.
    Job(Job),
    /// A job that may be begun at a time.
    JobDue(Time, JobId),
    /// How many jobs of an account are unfinished.
    UnfinishedJobs(AccountId, u64),
    /// A row that says nothing that could be: where it stands, and why it cannot be read.
    Unread(Index, String, String),
}

impl Row {
    /// The place of a row in the order of its index; `None` for one that could not be read.
    pub fn place(&self) -> Option<Vec<u8>> {
        stored::stored(self).map(|(_, key, _)| key)
    }

    /// Whether it says something of the place where a catalog is, or of a process, and nothing of the store that it holds.
    pub fn stays(&self) -> bool {
        matches!(
            self,
            Row::Format(_) | Row::LastId(_) | Row::Scrub(_) | Row::OrphansSwept(_) | Row::Lease(..)
        )
    }
}

/// Where a row stands that was changed during a move, and the number under which that was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub(crate) epoch: u64,
    pub(crate) family: Family,
    pub(crate) key: Vec<u8>,
}

impl Change {
    /// Whether the row stands in an index.
    pub fn is_in(&self, index: Index) -> bool {
        self.family == stored::family(index)
    }
}

/// Rows in the order of their index. An error is a fault of storage: there are no more rows, and there may have been.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<Row>> + 'a>;

/// The catalog as it is at one moment, whatever is written meanwhile.
pub trait Audit {
    /// The rows of an index, those after the place of `after` only. Rows that cannot be read come as [`Row::Unread`].
    fn rows(&self, index: Index, after: Option<&Row>) -> Rows<'_>;
    /// What is stored where `like` would stand; what `like` says beyond its place counts for nothing.
    ///
    /// # Errors
    /// [`model::Error::Damaged`], [`model::Error::Storage`].
    fn stored(&self, like: &Row) -> Result<Option<Row>>;
    /// What is said of a move.
    ///
    /// # Errors
    /// [`model::Error::Damaged`], [`model::Error::Storage`].
    fn moving(&self) -> Result<Option<Moving>>;
    /// Up to `limit` changes that were noted under numbers up to `up_to`, after `after`.
    ///
    /// # Errors
    /// [`model::Error::Damaged`], [`model::Error::Storage`].
    fn changes(&self, up_to: u64, after: Option<&Change>, limit: usize) -> Result<Vec<Change>>;
    /// What stands where these changes were made, here: one answer for each.
    ///
    /// # Errors
    /// [`model::Error::Damaged`], [`model::Error::Storage`].
    fn rows_at(&self, changes: &[Change]) -> Result<Vec<Option<Row>>>;
    /// Which of these rows were changed here and noted under a number.
    ///
    /// # Errors
    /// [`model::Error::Damaged`], [`model::Error::Storage`].
    fn are_noted(&self, rows: &[Row], epoch: u64) -> Result<Vec<bool>>;
}

/// Work over an [`Audit`].
pub trait AuditJob: Send {
    /// Does the work and answers whoever waits, unless `snapshot` is the reason why there is none.
    fn run(self: Box<Self>, snapshot: Result<&dyn Audit>);
}
