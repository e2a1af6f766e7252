//! Uploading a file: refusing early, taking bytes, and putting the file in its place.
//!
//! Small content stays in memory and goes into the catalog with its record: one transaction, one sync. Larger content is
//! staged as it arrives and sealed (bytes and name durable) before the catalog refers to it.

use blobs::{Stage, Staged};
use bytes::{Bytes, BytesMut};
use catalog::{Place, Read, Tx};
use model::{
    Caller, Content, ContentType, Digest, Error, Extent, File, FileAttrs, InlineId, Result, Time,
    TreePath, limits,
};
use sha2::{Digest as _, Sha256};

use crate::{
    Store, TypeRule,
    content_type::detect,
    namespace::Parents,
    reference,
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
    size: u64,
    /// The beginning, for telling the type; the whole, while it is small.
    head: BytesMut,
    stage: Option<Box<dyn Stage>>,
}

impl Store {
    /// Whether an upload would be refused for what is known before its first byte.
    ///
    /// # Errors
    /// [`Error::ParentMissing`], [`Error::IsDirectory`], [`Error::NotDirectory`], [`Error::Denied`],
    /// [`Error::InvalidPath`] (the root), [`Error::InvalidMtime`].
    pub async fn check_put(&self, caller: &Caller, spec: &PutSpec) -> Result<()> {
        if spec.mtime.is_some_and(|mtime| mtime > limits::MTIME_MAX) {
            return Err(Error::InvalidMtime);
        }
        let (caller, path, parents) = (caller.clone(), spec.path.clone(), spec.parents);
        self.0.catalog.read(move |tx| may_put(tx, &caller, &path, parents)).await
    }

    /// Begins an upload.
    pub fn upload(&self, caller: &Caller) -> Upload {
        Upload {
            store: self.clone(),
            caller: caller.clone(),
            size: 0,
            head: BytesMut::new(),
            stage: None,
        }
    }
}

impl Upload {
    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes. What is taken and not yet on disk is bounded.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Storage`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        if let Some(stage) = &mut self.stage {
            return stage.write(bytes).await;
        }
        if self.head.len() + bytes.len() <= limits::INLINE_BYTES_MAX {
            self.head.extend_from_slice(&bytes);
            return Ok(());
        }
        let mut stage = self.store.0.blobs.stage(self.caller.account, self.store.now()).await?;
        if !self.head.is_empty() {
            stage.write(self.head.clone().freeze()).await?;
        }
        let missing = limits::SNIFF_BYTES_MAX.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        stage.write(bytes).await?;
        self.stage = Some(stage);
        Ok(())
    }

    /// Verifies the checksum, makes the bytes durable, then puts the file in its place. Goes on to its end when the
    /// future is dropped: a client that leaves now has uploaded the file.
    ///
    /// # Errors
    /// [`Error::ChecksumMismatch`], those of [`Store::check_put`], [`Error::Full`], [`Error::Storage`].
    pub async fn commit(self, spec: PutSpec) -> Result<Stored> {
        let work = tokio::spawn(self.commit_now(spec));
        work.await.unwrap_or_else(|e| Err(Error::Storage(format!("upload failed: {e}"))))
    }

    async fn commit_now(self, spec: PutSpec) -> Result<Stored> {
        let content_type = detect(&spec.content_type, spec.path.name().unwrap_or(""), &self.head);
        match self.stage {
            None => {
                let digest = Digest(Sha256::digest(&self.head).into());
                verify(&spec, digest)?;
                let bytes = self.head.freeze();
                let put =
                    Put { store: &self.store, caller: self.caller, spec, content_type, digest };
                put.inline(bytes).await
            }
            Some(stage) => {
                let staged = stage.finish().await?;
                let digest = staged.digest();
                verify(&spec, digest)?;
                let put =
                    Put { store: &self.store, caller: self.caller, spec, content_type, digest };
                put.staged(staged).await
            }
        }
    }
}

/// The bytes that came are those the client meant.
fn verify(spec: &PutSpec, digest: Digest) -> Result<()> {
    match spec.checksum {
        Some(expected) if expected != digest => Err(Error::ChecksumMismatch),
        _ => Ok(()),
    }
}

/// Everything known of a file but where its bytes are.
struct Put<'a> {
    store: &'a Store,
    caller: Caller,
    spec: PutSpec,
    content_type: ContentType,
    digest: Digest,
}

impl Put<'_> {
    async fn inline(self, bytes: Bytes) -> Result<Stored> {
        let size = bytes.len() as u64;
        self.place(size, move |tx, caller| {
            if bytes.is_empty() {
                return Ok(Content::Empty);
            }
            let id = InlineId(tx.fresh_id()?);
            tx.put_inline(caller.account, id, bytes.clone())?;
            Ok(Content::Inline(id))
        })
        .await
    }

    async fn staged(self, staged: Box<dyn Staged>) -> Result<Stored> {
        let len = staged.len();
        let blob = staged.seal().await?;
        let blobs = self.store.0.blobs.clone();
        let placed = self
            .place(len, move |tx, _| {
                let content = Content::Blobs(vec![Extent { blob, len }]);
                reference::hold(tx, &content)?;
                Ok(content)
            })
            .await;
        // Refused by the rules: nothing refers to the blob. After a fault of storage nobody knows whether something
        // does; then it is the sweeper's to find out.
        if placed.as_ref().is_err_and(|e| !e.is_ours()) {
            drop(blobs.remove(blob).await);
        }
        placed
    }

    async fn place<F>(self, size: u64, content: F) -> Result<Stored>
    where
        F: Fn(&mut dyn Tx, &Caller) -> Result<Content> + Send + 'static,
    {
        let now = self.store.now();
        let attrs = FileAttrs {
            owner: self.caller.owner,
            size,
            checksum: self.digest,
            content_type: self.content_type,
            ctime: now.secs(),
            mtime: self.spec.mtime.unwrap_or(now.secs()),
        };
        let path = self.caller.absolute(&self.spec.path);
        let (caller, spec) = (self.caller, self.spec);
        self.store
            .0
            .catalog
            .write(move |tx| {
                may_put(tx, &caller, &spec.path, spec.parents)?;
                let content = content(tx, &caller)?;
                place(tx, &caller, &spec.path, spec.parents, attrs.clone(), content, now)
            })
            .await?;
        Ok(Stored { path, size, checksum: self.digest })
    }
}

/// Whether the caller may put a file at `path`.
pub(crate) fn may_put<R: Read + ?Sized>(
    tx: &mut R,
    caller: &Caller,
    path: &TreePath,
    parents: Parents,
) -> Result<()> {
    may_write(caller)?;
    if path.is_root() {
        return Err(Error::IsDirectory);
    }
    let at = locate(tx, caller, path)?;
    if at.depth == at.len {
        return Err(Error::IsDirectory);
    }
    match (&at.file, parents) {
        (Some(file), _) if at.has_parent() => may_change(caller, file.attrs.owner),
        (_, Parents::Required) if !at.has_parent() => Err(Error::ParentMissing),
        (Some(_), _) => Err(Error::NotDirectory),
        (None, _) => may_add(caller, &at.dir),
    }
}

/// Puts a file at a place where [`may_put`] allows it: replaces what is there and lets go of its content, makes missing
/// directories, touches the directory, counts.
pub(crate) fn place(
    tx: &mut dyn Tx,
    caller: &Caller,
    path: &TreePath,
    parents: Parents,
    attrs: FileAttrs,
    content: Content,
    now: Time,
) -> Result<()> {
    let full = caller.full(path);
    let at = locate(tx, caller, path)?;
    let dir = parent_directory(tx, caller, &at, &full, parents, now.secs())?;
    let name = path.name().ok_or(Error::IsDirectory)?;
    let (replaced, size) = (at.file.as_ref(), attrs.size);
    let place = Place { account: caller.account, dir: dir.id, name };
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
