//! What operations may ask of a catalog, inside one transaction.
//!
//! Everything is synchronous: a closure over these traits cannot be cancelled half-way and cannot wait for a blob.
//! Errors are faults of storage only ([`model::Error::is_ours`]); that something is not there is `None`.

use bytes::Bytes;
use model::{
    Account, AccountId, BlobId, Callback, CallbackId, Digest, DirId, Directory, Error, Event, File,
    FileAttrs, InlineId, Job, JobId, KeyPair, Lease, Moving, Multipart, Node, Piece, Resolved,
    Result, Scrub, Session, Time, TokenHash, TreePath, UploadId, Usage, User, UserId,
};

use crate::{
    Witness,
    audit::{Change, Row},
};

/// A name in a directory: where an entry stands or will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The account.
    pub account: AccountId,
    /// The directory that holds the name.
    pub dir: DirId,
    /// One path segment.
    pub name: &'a str,
}

/// Lookups and scans over one snapshot (or, inside a [`Tx`], over the transaction's own view).
pub trait Read {
    /// Whether what this snapshot was asked so far is still so, for as long as somebody wants to know; `None` where the
    /// engine cannot tell, in a transaction, and in a read that was not begun with [`crate::Catalog::witnessed`].
    fn witness(&mut self) -> Option<Witness>;
    /// An account by id.
    fn account(&mut self, id: AccountId) -> Result<Option<Account>>;
    /// An account by name, exact case.
    fn account_by_name(&mut self, name: &str) -> Result<Option<Account>>;
    /// All accounts, by id.
    fn accounts(&mut self) -> Result<Vec<Account>>;
    /// The first accounts, by id, `limit` at most: whether there is one, and whether it is the only one.
    fn first_accounts(&mut self, limit: usize) -> Result<Vec<Account>>;
    /// What an account holds.
    fn usage(&mut self, account: AccountId) -> Result<Usage>;
    /// A user by id.
    fn user(&mut self, id: UserId) -> Result<Option<User>>;
    /// A user by name, exact case.
    fn user_by_name(&mut self, name: &str) -> Result<Option<User>>;
    /// All users, by id.
    fn users(&mut self) -> Result<Vec<User>>;
    /// A session by its token's hash, expired or not.
    fn session(&mut self, token: &TokenHash) -> Result<Option<Session>>;
    /// All sessions of a user, expired or not.
    fn sessions_of(&mut self, user: UserId) -> Result<Vec<(TokenHash, Session)>>;
    /// Up to `limit` sessions in the order of their hashes, after `after`.
    fn sessions(
        &mut self,
        after: Option<TokenHash>,
        limit: usize,
    ) -> Result<Vec<(TokenHash, Session)>>;
    /// The key pair with this access key.
    fn key_pair(&mut self, access_key: &str) -> Result<Option<KeyPair>>;
    /// The key pair of an account.
    fn key_pair_of(&mut self, account: AccountId) -> Result<Option<KeyPair>>;

    /// Walks a path from the account's top directory `root`. `None` when `root` itself is not there.
    fn resolve(
        &mut self,
        account: AccountId,
        root: DirId,
        path: &TreePath,
    ) -> Result<Option<Resolved>>;
    /// The file at a path from the account's top directory `root`, and nothing of the directory it is in.
    fn file(&mut self, account: AccountId, root: DirId, path: &TreePath) -> Result<Option<File>>;
    /// Is told that the account of this name, the file at this path and, with `content`, its small content are looked up
    /// next: an engine that is far away reads them together.
    fn expect_file(&mut self, account: &str, path: &TreePath, content: bool) -> Result<()>;
    /// A directory's record by id.
    fn directory(&mut self, account: AccountId, id: DirId) -> Result<Option<Directory>>;
    /// What stands at a place.
    fn node(&mut self, place: Place<'_>) -> Result<Option<Node>>;
    /// The files of a directory with numbers above `after`, in the order of their numbers, `limit` at most: each is
    /// handed to `visit` as (number, name, attributes). One scan of one index: no lookup per row.
    fn list_files(
        &mut self,
        account: AccountId,
        dir: DirId,
        after: u64,
        limit: usize,
        visit: &mut dyn FnMut(u64, &str, &FileAttrs),
    ) -> Result<()>;
    /// The directories of a directory, likewise, as (number, name, record). With `details` false the record is not
    /// looked up and `visit` gets `None`.
    fn list_directories(
        &mut self,
        account: AccountId,
        dir: DirId,
        after: u64,
        limit: usize,
        details: bool,
        visit: &mut dyn FnMut(u64, &str, Option<&Directory>),
    ) -> Result<()>;

    /// Content kept inline.
    fn inline(&mut self, account: AccountId, id: InlineId) -> Result<Option<Bytes>>;
    /// How many files refer to a blob; 0 for a blob nobody refers to.
    fn blob_refs(&mut self, blob: BlobId) -> Result<u32>;
    /// A multipart upload.
    fn upload(&mut self, id: UploadId) -> Result<Option<Multipart>>;
    /// Up to `limit` uploads of a user with numbers above `after`, in the order of their numbers.
    fn uploads_of(&mut self, user: UserId, after: u64, limit: usize) -> Result<Vec<Multipart>>;
    /// Up to `limit` uploads of all users, in the order of their ids, after `after`: what the sweeper walks through.
    fn uploads(&mut self, after: Option<UploadId>, limit: usize) -> Result<Vec<Multipart>>;
    /// The uploads in state COMPLETE or JOIN: what must go on after a restart.
    fn uploads_joining(&mut self) -> Result<Vec<UploadId>>;
    /// How many uploads of an account are unfinished ([`model::UploadState::is_unfinished`]).
    fn unfinished_uploads(&mut self, account: AccountId) -> Result<u64>;
    /// Up to `limit` pieces of an upload that arrived after `after`, in the order of arrival, those replaced included.
    fn pieces(&mut self, upload: UploadId, after: u64, limit: usize) -> Result<Vec<Piece>>;
    /// The piece that counts under a number: the last that arrived.
    fn piece(&mut self, upload: UploadId, number: u32) -> Result<Option<Piece>>;
    /// Whether a signed request with this digest of its signature was accepted before.
    fn is_signature_used(&mut self, account: AccountId, signature: Digest) -> Result<bool>;
    /// Up to `limit` used signatures with the time each expires, in the order of account and digest, after `after`.
    fn used_signatures(
        &mut self,
        after: Option<(AccountId, Digest)>,
        limit: usize,
    ) -> Result<Vec<(AccountId, Digest, Time)>>;
    /// The callbacks of an account, those that are being deleted included.
    fn callbacks(&mut self, account: AccountId) -> Result<Vec<Callback>>;
    /// The callbacks of all accounts.
    fn all_callbacks(&mut self) -> Result<Vec<Callback>>;
    /// Up to `limit` events that wait for a callback, in the order of their ids, after `after`.
    fn events(
        &mut self,
        account: AccountId,
        callback: CallbackId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>>;
    /// How many events wait for a callback.
    fn waiting_events(&mut self, callback: CallbackId) -> Result<u64>;
    /// A job.
    fn job(&mut self, id: JobId) -> Result<Option<Job>>;
    /// Up to `limit` jobs of all accounts, in the order of their ids, after `after`: what the sweeper walks through.
    fn jobs(&mut self, after: Option<JobId>, limit: usize) -> Result<Vec<Job>>;
    /// Up to `limit` jobs of an account with numbers above `after`, in the order of their numbers.
    fn jobs_of(&mut self, account: AccountId, after: u64, limit: usize) -> Result<Vec<Job>>;
    /// Up to `limit` jobs that somebody may begin at some time ([`Job::due_at`]), in the order of these times.
    fn jobs_due(&mut self, limit: usize) -> Result<Vec<(Time, JobId)>>;
    /// How many jobs of an account are unfinished ([`model::JobState::is_unfinished`]).
    fn unfinished_jobs(&mut self, account: AccountId) -> Result<u64>;
    /// Up to `limit` blobs that wait for their bytes to be removed, in the order of their ids, after `after`, with the
    /// time each was doomed.
    fn doomed(&mut self, after: Option<BlobId>, limit: usize) -> Result<Vec<(BlobId, Time)>>;
    /// When a blob was doomed; `None`: it was not.
    fn doomed_at(&mut self, blob: BlobId) -> Result<Option<Time>>;

    /// Whose a lease is, or was.
    fn lease(&mut self, name: &str) -> Result<Option<Lease>>;
    /// The leases whose names begin with `prefix`, in the order of their names, those that ran out included.
    fn leases(&mut self, prefix: &str) -> Result<Vec<(String, Lease)>>;
    /// What tells the key that secrets are sealed under from others; `None` before it was put.
    fn key_check(&mut self) -> Result<Option<Vec<u8>>>;
    /// Up to when no blob is left that nothing refers to; `None`: nobody has looked.
    fn orphans_swept(&mut self) -> Result<Option<Time>>;
    /// How far scrubbing is.
    fn scrub(&mut self) -> Result<Option<Scrub>>;
    /// What is said of a move of the whole.
    fn moving(&mut self) -> Result<Option<Moving>>;
}

/// Changes, all or none of which become durable. The catalog keeps indices, numbers and counters right:
///
/// - every entry stands in the index by name and in the index by number, and both agree;
/// - a directory's counters count what the index by name holds, and its `last_*` never fall;
/// - an entry's number is given when its name enters a directory and kept until it leaves it.
///
/// It does not set times, touch a parent's mtime, count usage, or follow references: operations do.
pub trait Tx: Read {
    /// A number never given before, from 1.
    fn fresh_id(&mut self) -> Result<u64>;
    /// Adds an account, or replaces the one with the same id.
    fn put_account(&mut self, account: &Account) -> Result<()>;
    /// Sets what an account holds.
    fn put_usage(&mut self, account: AccountId, usage: Usage) -> Result<()>;
    /// Adds a user, or replaces the one with the same id (its name does not change).
    fn put_user(&mut self, user: &User) -> Result<()>;
    /// Adds a session, or replaces the one with the same hash (its user does not change).
    fn put_session(&mut self, token: &TokenHash, session: &Session) -> Result<()>;
    /// Removes a session; nothing happens when there is none.
    fn remove_session(&mut self, token: &TokenHash) -> Result<()>;
    /// Sets an account's key pair; an earlier one is gone.
    fn put_key_pair(&mut self, pair: &KeyPair) -> Result<()>;

    /// Adds an account's top directory, which stands at no place.
    fn put_root(&mut self, account: AccountId, directory: &Directory) -> Result<()>;
    /// Adds a directory under a free name; its `number` is set by this call. Returns the record as stored.
    ///
    /// # Errors
    /// [`model::Error::Storage`] when the name is taken or the directory that should hold it is missing: operations
    /// look before they call.
    fn add_directory(&mut self, place: Place<'_>, directory: Directory) -> Result<Directory>;
    /// Sets a directory's mtime (seconds since the epoch).
    fn touch_directory(&mut self, account: AccountId, id: DirId, mtime: u64) -> Result<()>;
    /// Removes an empty directory from its place, record and all.
    fn remove_directory(&mut self, place: Place<'_>) -> Result<()>;
    /// Puts a file at a place: a new one gets the next number (its `number` field is ignored), one that is there is
    /// replaced and keeps its number.
    fn put_file(&mut self, place: Place<'_>, file: &File) -> Result<()>;
    /// Removes a file's record from its place. Its content is not followed.
    fn remove_file(&mut self, place: Place<'_>) -> Result<()>;
    /// Moves what stands at `from` to the free place `to` of the same account, content and all. Within one directory it
    /// keeps its number, in another it gets the next.
    fn move_entry(&mut self, from: Place<'_>, to: Place<'_>) -> Result<()>;

    /// Keeps content inline under a fresh id.
    fn put_inline(&mut self, account: AccountId, id: InlineId, bytes: Bytes) -> Result<()>;
    /// Removes inline content.
    fn remove_inline(&mut self, account: AccountId, id: InlineId) -> Result<()>;
    /// Sets how many files refer to a blob; 0 removes the count.
    fn put_blob_refs(&mut self, blob: BlobId, refs: u32) -> Result<()>;
    /// Adds an upload under a fresh id, or replaces the one that is there. A new one gets the next number among its
    /// user's and has received nothing; one that is there keeps its number, user, account and `received`, whatever
    /// `upload` says. Keeps [`Read::uploads_joining`] and [`Read::unfinished_uploads`] right. Returns the record as
    /// stored.
    fn put_upload(&mut self, upload: &Multipart) -> Result<Multipart>;
    /// Removes an upload and the records of all its pieces. Their content is not followed.
    ///
    /// # Errors
    /// [`model::Error::Storage`] when it is not there.
    fn remove_upload(&mut self, id: UploadId) -> Result<()>;
    /// Adds a piece: it gets the next arrival (`piece.arrival` is ignored) and counts under its number from now on.
    /// Returns the record as stored. The upload's `received` is set, its other counters are the operation's business.
    ///
    /// # Errors
    /// [`model::Error::Storage`] when the upload is not there.
    fn add_piece(&mut self, upload: UploadId, piece: &Piece) -> Result<Piece>;
    /// Replaces the record of a piece that is there, found by its arrival; it keeps its number, whatever `piece` says.
    ///
    /// # Errors
    /// [`model::Error::Storage`] when it is not there.
    fn put_piece(&mut self, upload: UploadId, piece: &Piece) -> Result<()>;
    /// Remembers that a signature was used; it expires at `until`.
    fn put_used_signature(
        &mut self,
        account: AccountId,
        signature: Digest,
        until: Time,
    ) -> Result<()>;
    /// Forgets a used signature.
    fn forget_used_signature(&mut self, account: AccountId, signature: Digest) -> Result<()>;
    /// Sets an account's callbacks; events that wait for one that is left out stay, and are in nobody's way.
    fn put_callbacks(&mut self, account: AccountId, callbacks: &[Callback]) -> Result<()>;
    /// Adds an event that waits for a callback, or replaces the one with the same id. Keeps [`Read::waiting_events`]
    /// right.
    fn put_event(&mut self, account: AccountId, callback: CallbackId, event: &Event) -> Result<()>;
    /// Removes an event.
    ///
    /// # Errors
    /// [`model::Error::Storage`] when it is not there.
    fn remove_event(&mut self, account: AccountId, callback: CallbackId, id: u64) -> Result<()>;
    /// Adds a job, or replaces the one with the same id. Keeps [`Read::jobs_due`] and [`Read::unfinished_jobs`] right.
    fn put_job(&mut self, job: &Job) -> Result<()>;
    /// Begins the job that is due first, under `lease` ([`Job::begin`]), and returns it as it is now; `None`: none is due at
    /// `now`, or those that are are being claimed by others at this moment.
    fn claim_job(&mut self, lease: Lease, now: Time) -> Result<Option<Job>> {
        let due = self.jobs_due(1)?;
        let Some((at, id)) = due.first().filter(|(at, _)| *at <= now) else { return Ok(None) };
        let lost = || Error::Damaged(format!("job {id} is due at {} and not there", at.0));
        let mut job = self.job(*id)?.ok_or_else(lost)?;
        job.begin(lease, now);
        self.put_job(&job)?;
        Ok(Some(job))
    }
    /// Removes a job; nothing happens when there is none.
    fn remove_job(&mut self, id: JobId) -> Result<()>;
    /// Puts a blob on the list of those whose bytes are to be removed.
    fn doom(&mut self, blob: BlobId, now: Time) -> Result<()>;
    /// Takes a blob off that list: its bytes are gone.
    fn forget_doomed(&mut self, blob: BlobId) -> Result<()>;
    /// Sets whose a lease is, whosever it was: whether it may be taken is for operations to say.
    fn put_lease(&mut self, name: &str, lease: &Lease) -> Result<()>;
    /// Removes a lease; nothing happens when there is none.
    fn remove_lease(&mut self, name: &str) -> Result<()>;
    /// Sets what tells the key apart.
    fn put_key_check(&mut self, check: &[u8]) -> Result<()>;
    /// Sets up to when no blob is left that nothing refers to.
    fn put_orphans_swept(&mut self, up_to: Time) -> Result<()>;

    /// Stores one row as it is, and keeps nothing else right: a repair, not an operation.
    ///
    /// # Errors
    /// [`model::Error::Storage`] for a row that cannot be written.
    fn put_row(&mut self, row: &Row) -> Result<()>;
    /// Removes what stands where `row` would, likewise.
    ///
    /// # Errors
    /// [`model::Error::Storage`] for a row that cannot be written.
    fn remove_row(&mut self, row: &Row) -> Result<()>;
    /// Removes what stands where a change was made elsewhere, likewise.
    fn remove_at(&mut self, change: &Change) -> Result<()>;
    /// Sets what is said of a move. It counts for everybody who writes from this transaction on: those that see what was
    /// said before are durable before it is.
    fn put_moving(&mut self, moving: Option<&Moving>) -> Result<()>;
    /// Forgets that changes were noted.
    fn forget_changes(&mut self, changes: &[Change]) -> Result<()>;
}
