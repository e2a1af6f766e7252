//! Uploading a file: refusing early, taking bytes, and putting the file in its place.
//!
//! Small content goes into the catalog with its record: one transaction, one sync. Larger content is sealed (bytes and
//! name durable) before the catalog refers to it. How bytes arrive is `landing`.

use bytes::Bytes;
use catalog::{Place, Read, Tx};
use model::{
    AccountId, Caller, Content, Digest, Directory, Error, EventKind, File, FileAttrs, Resolved,
    Result, Time, TreePath, limits,
};

use crate::{
    Room, Store, TypeRule,
    content_type::detect,
    event::{self, News},
    landing::Landing,
    live::{Exposed, Following},
    namespace::Parents,
    quota, reference,
    slots::Slot,
    tree::{count, locate, may_add, may_change, may_write, parent_directory},
};

/// What a client says of a file it uploads.
#[derive(Debug, Clone)]
pub struct PutSpec {
    /// Where, relative to the caller's root.
    pub path: TreePath,
    /// What happens where the directory is missing.
    pub parents: Parents,
    /// Seconds since the epoch; `None`: now.
    pub mtime: Option<u64>,
    /// What the content must hash to.
    pub checksum: Option<Digest>,
    /// The type it will be served with.
    pub content_type: TypeRule,
    /// From when on it can be read.
    pub expose: Expose,
}

/// From when on a file can be read (section 9, Expose-Egress).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expose {
    /// When it has arrived and is durable. On one node a storage policy is met by then, too.
    #[default]
    Complete,
    /// While it arrives.
    Partial,
}

/// A stored file, as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// `/{account}/…`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub checksum: Digest,
}

/// A file that is being uploaded. Nothing is visible before [`Upload::commit`]; dropping it discards everything.
pub struct Upload {
    store: Store,
    caller: Caller,
    landing: Landing,
    room: Room,
    slot: Slot,
    occasion: Occasion,
    /// Nobody has looked yet whether it will be refused.
    unjudged: bool,
}

/// Why a file is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// A client uploads it.
    Upload,
    /// A GET made us fetch it: it replaces nothing.
    Miss,
}

impl Store {
    /// Whether an upload would be refused for what is known before its first byte: `len` bytes, if it was said how many.
    /// Returns how large the file may be.
    ///
    /// # Errors
    /// [`Error::ParentMissing`], [`Error::IsDirectory`], [`Error::NotDirectory`], [`Error::Denied`],
    /// [`Error::InvalidPath`] (the root), [`Error::InvalidMtime`], [`Error::OverQuota`], [`Error::Full`],
    /// [`Error::Storage`] (nothing is written any more).
    pub async fn check_put(
        &self,
        caller: &Caller,
        spec: &PutSpec,
        len: Option<u64>,
    ) -> Result<Room> {
        if spec.mtime.is_some_and(|mtime| mtime > limits::MTIME_MAX) {
            return Err(Error::InvalidMtime);
        }
        let bytes = quota::at_least(len);
        let (caller, path, parents) = (caller.clone(), spec.path.clone(), spec.parents);
        let may = move |tx: &mut dyn Read| {
            let room = may_put(tx, &caller, &path, parents)?.room(tx, caller.account)?;
            room.takes(bytes)?;
            Ok(room)
        };
        let room = self.0.catalog.read(may).await?;
        self.may_grow(bytes)?;
        Ok(room)
    }

    /// Whether the store takes so many more bytes now. What makes nothing larger does not ask.
    pub(crate) fn may_grow(&self, bytes: u64) -> Result<()> {
        self.0.catalog.check_writable()?;
        self.0.blobs.takes(bytes)
    }

    /// Begins an upload of `len` bytes, if it was said how many, after everything was looked at that can refuse it before
    /// its first byte. So few bytes that they are on their way already are looked at when they have come, unless the
    /// client waits to be told (`waits`): what is refused, and why, is the same.
    ///
    /// # Errors
    /// Those of [`Store::check_put`] and of [`Store::upload`], in this order.
    pub async fn open_put(
        &self,
        caller: &Caller,
        spec: &PutSpec,
        len: Option<u64>,
        waits: bool,
    ) -> Result<Upload> {
        let few = len.is_some_and(|len| len <= limits::INLINE_BYTES_MAX as u64);
        // What can be read while it arrives must be right from the first byte.
        if few && !waits && spec.expose == Expose::Complete && !spec.path.is_root() {
            // Whether the catalog takes it the commit is told.
            let room = self.0.blobs.takes(quota::at_least(len));
            let begun = room.and_then(|()| self.upload(caller));
            return match begun {
                Ok(upload) => Ok(Upload { unjudged: true, ..upload }),
                Err(fault) => self.check_put(caller, spec, len).await.and(Err(fault)),
            };
        }
        let room = self.check_put(caller, spec, len).await?;
        let mut upload = self.upload(caller)?;
        upload.bound(room);
        Ok(upload)
    }

    /// Begins an upload. It counts among the account's until it is dropped or done.
    ///
    /// # Errors
    /// [`Error::RateLimited`]: the account has as many as it may have at once.
    pub fn upload(&self, caller: &Caller) -> Result<Upload> {
        Ok(self.begin(caller, self.0.slots.take(caller.account)?, Occasion::Upload))
    }

    /// Begins to store what the operator imports: it counts among nobody's uploads.
    pub fn import(&self, caller: &Caller) -> Upload {
        self.begin(caller, Slot::none(), Occasion::Upload)
    }

    /// Begins to store what a GET made us fetch: it counts among nobody's uploads, and replaces nothing.
    pub(crate) fn pulled(&self, caller: &Caller) -> Upload {
        self.begin(caller, Slot::none(), Occasion::Miss)
    }

    fn begin(&self, caller: &Caller, slot: Slot, occasion: Occasion) -> Upload {
        let landing = Landing::inline(self, caller.account);
        let (store, caller, room) = (self.clone(), caller.clone(), Room::ANY);
        Upload { store, caller, landing, room, slot, occasion, unjudged: false }
    }
}

impl Upload {
    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.landing.size()
    }

    /// Says how large the file may be: bytes past that are refused as they come.
    pub fn bound(&mut self, room: Room) {
        self.room = room;
    }

    /// Lets the file be read while it arrives, if `spec` says so and nothing came yet. Readers are cut off where the upload
    /// is committed with another path. `size`: how many bytes will come, where that is known.
    pub fn expose(&mut self, spec: &PutSpec, size: Option<u64>) {
        if spec.expose == Expose::Partial && self.size() == 0 && !spec.path.is_root() {
            let key = (self.caller.account, self.caller.full(&spec.path));
            let rule = spec.content_type.clone();
            self.landing.expose(Exposed::new(&self.store, key, rule, size));
        }
    }

    /// A reader of what arrives, where that is exposed.
    pub(crate) fn follow(&self) -> Option<Following> {
        self.landing.follow()
    }

    /// Takes the next bytes. What is taken and not yet on disk is bounded.
    ///
    /// # Errors
    /// [`Error::OverQuota`], [`Error::Full`], [`Error::Storage`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.room.takes(self.landing.size() + bytes.len() as u64)?;
        self.landing.write(bytes).await
    }

    /// Verifies the checksum, makes the bytes durable, then puts the file in its place. Goes on to its end when the
    /// future is dropped: a client that leaves now has uploaded the file.
    ///
    /// # Errors
    /// [`Error::ChecksumMismatch`], those of [`Store::check_put`], [`Error::Full`], [`Error::Storage`].
    pub async fn commit(self, spec: PutSpec) -> Result<Stored> {
        // The one step that small content waits for goes on by itself; more steps need somebody to take them.
        if self.landing.is_small() && !self.store.0.bell.is_heard() {
            return self.commit_now(spec).await;
        }
        let work = tokio::spawn(self.commit_now(spec));
        work.await.unwrap_or_else(|e| Err(Error::Storage(format!("upload failed: {e}"))))
    }

    async fn commit_now(self, spec: PutSpec) -> Result<Stored> {
        let (store, caller, _slot) = (self.store, self.caller, self.slot);
        if spec.mtime.is_some_and(|mtime| mtime > limits::MTIME_MAX) {
            return Err(Error::InvalidMtime);
        }
        let mut landing = self.landing;
        // Kept to the end of this: readers that followed learn how it ended.
        let path = caller.full(&spec.path);
        let exposed = landing.hide().filter(|e| spec.expose == Expose::Partial && e.is_at(&path));
        let len = landing.size();
        let landed = match landing.end(spec.checksum).await {
            Ok(landed) => landed,
            // What would have refused it before its bytes came is what it is told.
            Err(fault) if self.unjudged => {
                return store.check_put(&caller, &spec, Some(len)).await.and(Err(fault));
            }
            Err(fault) => return Err(fault),
        };
        let now = store.now();
        let (kind, replaces) = match self.occasion {
            Occasion::Upload => (EventKind::Upload, true),
            Occasion::Miss => (EventKind::Pull, false),
        };
        let name = spec.path.name().unwrap_or("");
        let attrs = FileAttrs {
            owner: caller.owner,
            size: landed.size(),
            checksum: landed.digest(),
            content_type: detect(&spec.content_type, name, landed.head()),
            ctime: now.secs(),
            mtime: spec.mtime.unwrap_or(now.secs()),
        };
        let path = caller.absolute(&spec.path);
        let stored = Stored { path, size: attrs.size, checksum: attrs.checksum };
        landed
            .place(&store, move |tx, content| {
                let spot = may_put(tx, &caller, &spec.path, spec.parents)?;
                if !replaces && spot.at.file.is_some() {
                    return Err(Error::Exists);
                }
                place(tx, &caller, &spot, kind, attrs.clone(), content, now)
            })
            .await?;
        store.0.bell.ring();
        if let Some(exposed) = exposed {
            exposed.whole();
        }
        Ok(stored)
    }
}

/// A place where a caller may put a file: the path is walked once, to decide and to put.
pub(crate) struct Spot {
    at: Resolved,
    /// From the account's top directory; not the root.
    full: TreePath,
    parents: Parents,
}

impl Spot {
    /// The directory the file goes into, made where it is missing and may be made.
    pub(crate) fn directory(
        &self,
        tx: &mut dyn Tx,
        caller: &Caller,
        now: Time,
    ) -> Result<Directory> {
        parent_directory(tx, caller, &self.at, &self.full, self.parents, now.secs())
    }

    /// How large the file may be.
    pub(crate) fn room<R: Read + ?Sized>(&self, tx: &mut R, account: AccountId) -> Result<Room> {
        quota::room(tx, account, |_| Ok(self.at.file.as_ref().map(|file| file.attrs.size)))
    }
}

/// Whether the caller may put a file at `path`, and where that is.
pub(crate) fn may_put<R: Read + ?Sized>(
    tx: &mut R,
    caller: &Caller,
    path: &TreePath,
    parents: Parents,
) -> Result<Spot> {
    may_write(caller)?;
    if path.is_root() {
        return Err(Error::IsDirectory);
    }
    let at = locate(tx, caller, path)?;
    if at.depth == at.len {
        return Err(Error::IsDirectory);
    }
    match (&at.file, parents) {
        (Some(file), _) if at.has_parent() => may_change(caller, file.attrs.owner)?,
        (_, Parents::Required) if !at.has_parent() => return Err(Error::ParentMissing),
        (Some(_), _) => return Err(Error::NotDirectory),
        (None, _) => may_add(caller, &at.dir)?,
    }
    Ok(Spot { at, full: caller.full(path), parents })
}

/// Puts a file where [`may_put`], in the same transaction, allowed it: replaces what is there and lets go of its
/// content, makes missing directories, touches the directory, counts, and tells whom it concerns. Refuses what the
/// account has no room for.
pub(crate) fn place(
    tx: &mut dyn Tx,
    caller: &Caller,
    spot: &Spot,
    kind: EventKind,
    attrs: FileAttrs,
    content: Content,
    now: Time,
) -> Result<()> {
    spot.room(tx, caller.account)?.takes(attrs.size)?;
    let dir = spot.directory(tx, caller, now)?;
    let name = spot.full.name().ok_or(Error::IsDirectory)?;
    let (replaced, size) = (spot.at.file.as_ref(), attrs.size);
    let place = Place { account: caller.account, dir: dir.id, name };
    let news = News { kind, path: &spot.full, old_path: None, attrs: Some(&attrs) };
    event::tell(tx, caller.account, &news, now)?;
    tx.put_file(place, &File { number: 0, attrs, content })?;
    tx.touch_directory(caller.account, dir.id, now.secs())?;
    if let Some(old) = replaced {
        reference::release(tx, caller.account, &old.content, now)?;
    }
    count(tx, caller.account, |usage| {
        usage.files += u64::from(replaced.is_none());
        usage.bytes = usage.bytes.saturating_sub(replaced.map_or(0, |f| f.attrs.size)) + size;
    })
}
