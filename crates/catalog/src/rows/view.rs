//! Lookups and scans: [`Read`] over a [`Source`] of bytes.
//!
//! What lives here: which keys each lookup reads, and what it makes of them. What does not: where bytes come from
//! (`source`), changes (`tx`), and the lookups of multipart uploads (`uploads`).
//!
//! Invariant: a row of one index that leads to a record that is not there is reported as damage, never skipped.

use bytes::Bytes;
use model::{
    Account, AccountId, BlobId, Callback, CallbackId, Digest, DirId, Directory, Error, Event, File,
    FileAttrs, InlineId, Job, JobId, KeyPair, Kind, Lease, Moving, Multipart, Node, Piece,
    Resolved, Result, Scrub, Session, Time, TokenHash, TreePath, UploadId, Usage, User, UserId,
};

use super::codec::{Record, decode};
use super::inlined::Inlined;
use super::keys::{self, Family};
use super::recent::Recent;
use super::record::{DirectoryRow, Entry, FileRow, Number, Payload};
use super::source::{Ahead, Follow, Lead, Scan, Source, Visit};
use crate::{Place, Read, Witness};

/// A view of the catalog.
pub(crate) struct View<S>(pub(crate) S);

impl<S: Source> View<S> {
    /// A record that borrows nothing.
    pub(crate) fn record<R: for<'a> Record<'a>>(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<R>> {
        self.0.get(family, key, |bytes| decode(bytes))
    }

    /// What the index by name has at a place.
    pub(crate) fn entry(&self, place: Place<'_>) -> Result<Option<Entry>> {
        self.record(Family::Names, &keys::name(place))
    }

    /// A directory's record.
    pub(crate) fn dir(&self, account: AccountId, id: DirId) -> Result<Option<Directory>> {
        self.record(Family::Dirs, &keys::dir(account, id))
    }

    /// The record of a directory that an index leads to.
    pub(crate) fn dir_of_entry(&self, account: AccountId, id: DirId) -> Result<Directory> {
        self.dir(account, id)?
            .ok_or_else(|| Error::Damaged(format!("directory {} has a name and no record", id.0)))
    }

    /// A record that is one integer.
    pub(crate) fn number(&self, family: Family, key: &[u8]) -> Result<Option<Number>> {
        self.record(family, key)
    }

    /// Hands up to `limit` keys from `from` on and below `below`, with their values, to `visit`.
    pub(crate) fn page(
        &self,
        family: Family,
        (from, below): (&[u8], &[u8]),
        limit: usize,
        visit: &mut Visit<'_, ()>,
    ) -> Result<()> {
        self.page_of(Scan { family, from, below, limit, follow: Follow::Nothing }, visit)
    }

    /// The same, for rows that lead to others.
    pub(crate) fn page_of(&self, scan: Scan<'_>, visit: &mut Visit<'_, ()>) -> Result<()> {
        let mut left = scan.limit;
        if left == 0 {
            return Ok(());
        }
        self.0.scan(scan, &mut |key, value| {
            visit(key, value)?;
            left -= 1;
            Ok(left > 0)
        })
    }

    /// The first `limit` records whose keys begin with `prefix`.
    fn first<R: for<'a> Record<'a>>(
        &self,
        family: Family,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<R>> {
        let mut records = Vec::new();
        self.page(family, (prefix, &keys::end_of(prefix)), limit, &mut |_, value| {
            records.push(decode(value)?);
            Ok(())
        })?;
        Ok(records)
    }

    /// Rows of a listing: `visit` gets the number in the key, and the value.
    fn rows(
        &self,
        (account, dir, kind): (AccountId, DirId, Kind),
        after: u64,
        limit: usize,
        follow: Follow,
        visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(first) = after.checked_add(1) else { return Ok(()) };
        let prefix = keys::rows(account, dir, kind);
        let from = keys::number(account, dir, kind, first);
        let (family, below) = (Family::Numbers, &keys::end_of(&prefix));
        let scan = Scan { family, from: &from, below, limit, follow };
        self.page_of(scan, &mut |key, value| {
            visit(keys::number_of(key).ok_or_else(bad_key)?, value)
        })
    }
}

pub(crate) fn bad_key() -> Error {
    Error::Damaged("a key of an index is cut short".to_owned())
}

impl<S: Source> Read for View<S> {
    fn witness(&mut self) -> Option<Witness> {
        self.0.witness()
    }

    fn account(&mut self, id: AccountId) -> Result<Option<Account>> {
        let account: Option<Account> = self.record(Family::Meta, &keys::account(id))?;
        if let Some(Account { root, .. }) = &account {
            self.0.led(|| (Family::Meta, keys::account(id)), || Lead::Top(id, *root));
        }
        Ok(account)
    }

    fn account_by_name(&mut self, name: &str) -> Result<Option<Account>> {
        let Some(id) = self.number(Family::Meta, &keys::account_name(name))? else {
            return Ok(None);
        };
        let id = AccountId(id.to_u32()?);
        let name = || (Family::Meta, keys::account_name(name));
        self.0.led(name, || Lead::Row(Family::Meta, keys::account(id)));
        self.account(id)
    }

    fn accounts(&mut self) -> Result<Vec<Account>> {
        self.first_accounts(usize::MAX)
    }

    fn first_accounts(&mut self, limit: usize) -> Result<Vec<Account>> {
        self.first(Family::Meta, keys::ACCOUNTS, limit)
    }

    fn usage(&mut self, account: AccountId) -> Result<Usage> {
        Ok(self.record(Family::Meta, &keys::usage(account))?.unwrap_or_default())
    }

    fn user(&mut self, id: UserId) -> Result<Option<User>> {
        let user: Option<User> = self.record(Family::Meta, &keys::user(id))?;
        if let Some(User { account, .. }) = &user {
            let account = || Lead::Row(Family::Meta, keys::account(*account));
            self.0.led(|| (Family::Meta, keys::user(id)), account);
        }
        Ok(user)
    }

    fn user_by_name(&mut self, name: &str) -> Result<Option<User>> {
        match self.number(Family::Meta, &keys::user_name(name))? {
            Some(id) => self.user(UserId(id.to_u32()?)),
            None => Ok(None),
        }
    }

    fn users(&mut self) -> Result<Vec<User>> {
        self.first(Family::Meta, keys::USERS, usize::MAX)
    }

    fn session(&mut self, token: &TokenHash) -> Result<Option<Session>> {
        let session: Option<Session> = self.record(Family::Sessions, &keys::session(token))?;
        if let Some(Session { user, .. }) = &session {
            let user = || Lead::Row(Family::Meta, keys::user(*user));
            self.0.led(|| (Family::Sessions, keys::session(token)), user);
        }
        Ok(session)
    }

    fn sessions_of(&mut self, user: UserId) -> Result<Vec<(TokenHash, Session)>> {
        let prefix = keys::sessions_of(user);
        let mut sessions = Vec::new();
        let follow = |key: &[u8], _: &[u8]| {
            keys::token(key).map(|token| (Family::Sessions, keys::session(&token)))
        };
        let scan = Scan {
            family: Family::Sessions,
            from: &prefix,
            below: &keys::end_of(&prefix),
            limit: usize::MAX,
            follow: Follow::Rows(follow),
        };
        self.page_of(scan, &mut |key, _| {
            let token = keys::token(key).ok_or_else(bad_key)?;
            let session = self.record(Family::Sessions, &keys::session(&token))?;
            let lost = || Error::Damaged("a user's session has no record".to_owned());
            sessions.push((token, session.ok_or_else(lost)?));
            Ok(())
        })?;
        Ok(sessions)
    }

    fn sessions(
        &mut self,
        after: Option<TokenHash>,
        limit: usize,
    ) -> Result<Vec<(TokenHash, Session)>> {
        let from = match after {
            Some(token) => keys::after(keys::session(&token)),
            None => keys::SESSIONS.to_vec(),
        };
        let mut sessions = Vec::new();
        let below = keys::end_of(keys::SESSIONS);
        self.page(Family::Sessions, (&from, &below), limit, &mut |key, value| {
            sessions.push((keys::token(key).ok_or_else(bad_key)?, decode(value)?));
            Ok(())
        })?;
        Ok(sessions)
    }

    fn key_pair(&mut self, access_key: &str) -> Result<Option<KeyPair>> {
        match self.number(Family::Meta, &keys::access_key(access_key))? {
            Some(account) => self.key_pair_of(AccountId(account.to_u32()?)),
            None => Ok(None),
        }
    }

    fn key_pair_of(&mut self, account: AccountId) -> Result<Option<KeyPair>> {
        self.record(Family::Meta, &keys::key_pair(account))
    }

    fn resolve(
        &mut self,
        account: AccountId,
        root: DirId,
        path: &TreePath,
    ) -> Result<Option<Resolved>> {
        self.0.look_ahead(Ahead::Path { account, root, path, record: true })?;
        let (mut id, mut depth, mut file) = (root, 0, None);
        for name in path.segments() {
            match self.entry(Place { account, dir: id, name })? {
                Some(Entry::Directory { id: below, .. }) => (id, depth) = (below, depth + 1),
                Some(Entry::File(found)) => {
                    file = Some(found);
                    break;
                }
                None => break,
            }
        }
        let dir = if depth == 0 {
            self.dir(account, root)?
        } else {
            Some(self.dir_of_entry(account, id)?)
        };
        let len = path.segments().count();
        Ok(dir.map(|dir| Resolved { dir, depth, len, file }))
    }

    fn file(&mut self, account: AccountId, root: DirId, path: &TreePath) -> Result<Option<File>> {
        self.0.look_ahead(Ahead::Path { account, root, path, record: false })?;
        let (mut dir, mut names) = (root, path.segments().peekable());
        while let Some(name) = names.next() {
            match self.entry(Place { account, dir, name })? {
                Some(Entry::Directory { id, .. }) => dir = id,
                Some(Entry::File(file)) if names.peek().is_none() => return Ok(Some(file)),
                Some(Entry::File(_)) | None => break,
            }
        }
        Ok(None)
    }

    fn expect_file(&mut self, account: &str, path: &TreePath, content: bool) -> Result<()> {
        self.0.look_ahead(Ahead::File { account, path, content })
    }

    fn directory(&mut self, account: AccountId, id: DirId) -> Result<Option<Directory>> {
        self.dir(account, id)
    }

    fn node(&mut self, place: Place<'_>) -> Result<Option<Node>> {
        self.0.look_ahead(Ahead::Node(place))?;
        Ok(match self.entry(place)? {
            Some(Entry::Directory { id, .. }) => {
                Some(Node::Directory(self.dir_of_entry(place.account, id)?))
            }
            Some(Entry::File(file)) => Some(Node::File(file)),
            None => None,
        })
    }

    fn list_files(
        &mut self,
        account: AccountId,
        dir: DirId,
        after: u64,
        limit: usize,
        visit: &mut dyn FnMut(u64, &str, &FileAttrs),
    ) -> Result<()> {
        let mut recent = Recent::default();
        self.rows(
            (account, dir, Kind::File),
            after,
            limit,
            Follow::Nothing,
            &mut |number, value| {
                let row: FileRow<'_> = decode(value)?;
                visit(number, row.name, recent.read(&row.attrs)?);
                Ok(())
            },
        )
    }

    fn list_directories(
        &mut self,
        account: AccountId,
        dir: DirId,
        after: u64,
        limit: usize,
        details: bool,
        visit: &mut dyn FnMut(u64, &str, Option<&Directory>),
    ) -> Result<()> {
        let follow = if details { Follow::Directories } else { Follow::Nothing };
        self.rows((account, dir, Kind::Directory), after, limit, follow, &mut |number, value| {
            let row: DirectoryRow<'_> = decode(value)?;
            let record = if details { Some(self.dir_of_entry(account, row.id)?) } else { None };
            visit(number, row.name, record.as_ref());
            Ok(())
        })
    }

    fn inline(&mut self, account: AccountId, id: InlineId) -> Result<Option<Bytes>> {
        let key = keys::inline(account, id);
        self.0.get(Family::Inline, &key, |bytes| {
            Ok(Bytes::copy_from_slice(decode::<Inlined<'_>>(bytes)?.content(&key)?))
        })
    }

    fn blob_refs(&mut self, blob: BlobId) -> Result<u32> {
        self.number(Family::Blobs, &keys::blob(blob))?.map_or(Ok(0), |refs| refs.to_u32())
    }

    fn upload(&mut self, id: UploadId) -> Result<Option<Multipart>> {
        self.find_upload(id)
    }

    fn uploads_of(&mut self, user: UserId, after: u64, limit: usize) -> Result<Vec<Multipart>> {
        self.list_uploads_of(user, after, limit)
    }

    fn uploads(&mut self, after: Option<UploadId>, limit: usize) -> Result<Vec<Multipart>> {
        self.list_uploads(after, limit)
    }

    fn uploads_joining(&mut self) -> Result<Vec<UploadId>> {
        self.list_joining()
    }

    fn unfinished_uploads(&mut self, account: AccountId) -> Result<u64> {
        self.count_unfinished(account)
    }

    fn pieces(&mut self, upload: UploadId, after: u64, limit: usize) -> Result<Vec<Piece>> {
        self.list_pieces(upload, after, limit)
    }

    fn piece(&mut self, upload: UploadId, number: u32) -> Result<Option<Piece>> {
        self.find_piece(upload, number)
    }

    fn is_signature_used(&mut self, account: AccountId, signature: Digest) -> Result<bool> {
        Ok(self.number(Family::Sessions, &keys::signature(account, signature))?.is_some())
    }

    fn used_signatures(
        &mut self,
        after: Option<(AccountId, Digest)>,
        limit: usize,
    ) -> Result<Vec<(AccountId, Digest, Time)>> {
        let from = match after {
            Some((account, signature)) => keys::after(keys::signature(account, signature)),
            None => keys::SIGNATURES.to_vec(),
        };
        let (mut used, below) = (Vec::new(), keys::end_of(keys::SIGNATURES));
        self.page(Family::Sessions, (&from, &below), limit, &mut |key, value| {
            let Number(until) = decode(value)?;
            let (account, signature) = keys::signature_of(key).ok_or_else(bad_key)?;
            used.push((account, signature, Time(until)));
            Ok(())
        })?;
        Ok(used)
    }

    fn callbacks(&mut self, account: AccountId) -> Result<Vec<Callback>> {
        self.find_callbacks(account)
    }

    fn all_callbacks(&mut self) -> Result<Vec<Callback>> {
        self.list_callbacks()
    }

    fn events(
        &mut self,
        account: AccountId,
        callback: CallbackId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.list_events(account, callback, after, limit)
    }

    fn waiting_events(&mut self, callback: CallbackId) -> Result<u64> {
        self.count_events(callback)
    }

    fn job(&mut self, id: JobId) -> Result<Option<Job>> {
        self.find_job(id)
    }

    fn jobs(&mut self, after: Option<JobId>, limit: usize) -> Result<Vec<Job>> {
        self.list_jobs(after, limit)
    }

    fn jobs_of(&mut self, account: AccountId, after: u64, limit: usize) -> Result<Vec<Job>> {
        self.list_jobs_of(account, after, limit)
    }

    fn jobs_due(&mut self, limit: usize) -> Result<Vec<(Time, JobId)>> {
        self.list_due(limit)
    }

    fn unfinished_jobs(&mut self, account: AccountId) -> Result<u64> {
        self.count_jobs(account)
    }

    fn doomed(&mut self, after: Option<BlobId>, limit: usize) -> Result<Vec<(BlobId, Time)>> {
        let from = after.map_or_else(Vec::new, |blob| keys::after(keys::blob(blob)));
        let mut doomed = Vec::new();
        self.page(Family::Doomed, (&from, keys::AFTER_BLOBS), limit, &mut |key, value| {
            let Number(time) = decode(value)?;
            doomed.push((keys::blob_of(key).ok_or_else(bad_key)?, Time(time)));
            Ok(())
        })?;
        Ok(doomed)
    }

    fn doomed_at(&mut self, blob: BlobId) -> Result<Option<Time>> {
        Ok(self.number(Family::Doomed, &keys::blob(blob))?.map(|Number(time)| Time(time)))
    }

    fn lease(&mut self, name: &str) -> Result<Option<Lease>> {
        self.record(Family::Meta, &keys::lease(name))
    }

    fn leases(&mut self, prefix: &str) -> Result<Vec<(String, Lease)>> {
        let from = keys::lease(prefix);
        let (mut leases, below) = (Vec::new(), keys::end_of(&from));
        self.page(Family::Meta, (&from, &below), usize::MAX, &mut |key, value| {
            let name = keys::lease_name(key).ok_or_else(bad_key)?;
            leases.push((name.to_owned(), decode(value)?));
            Ok(())
        })?;
        Ok(leases)
    }

    fn key_check(&mut self) -> Result<Option<Vec<u8>>> {
        let bytes = |bytes: &[u8]| Ok(decode::<Payload<'_>>(bytes)?.0.to_vec());
        self.0.get(Family::Meta, keys::KEY_CHECK, bytes)
    }

    fn orphans_swept(&mut self) -> Result<Option<Time>> {
        let up_to = self.number(Family::Meta, keys::ORPHANS_SWEPT)?;
        Ok(up_to.map(|Number(time)| Time(time)))
    }

    fn scrub(&mut self) -> Result<Option<Scrub>> {
        self.record(Family::Meta, keys::SCRUB)
    }

    fn moving(&mut self) -> Result<Option<Moving>> {
        super::moving::door(&self.0)
    }
}
