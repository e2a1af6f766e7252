//! Bytes on their way in: kept in memory while they are few, staged as a blob when they are many, and put into the
//! catalog's hands when they are durable. Uploads and pieces of uploads land here.
//!
//! What is not here: what becomes of them (`put`, `multipart`).

use std::sync::Arc;

use blobs::{Chain, ContentHash, Follow, Stage, Staged};
use bytes::{Bytes, BytesMut};
use catalog::Tx;
use model::{AccountId, Content, Digest, Error, Extent, InlineId, Result, limits};

use crate::{
    Store,
    live::{Exposed, Following},
    reference,
    sweep::Seal,
};

/// Bytes that are arriving. Dropping it discards them.
pub(crate) struct Landing {
    store: Store,
    account: AccountId,
    size: u64,
    /// Up to how many bytes stay in memory and go into the catalog.
    inline_max: usize,
    /// The beginning, for telling the type; the whole, while it is small.
    head: BytesMut,
    stage: Option<Box<dyn Stage>>,
    /// Those who read along.
    exposed: Option<Exposed>,
    /// Whether somebody here will take a hash of more through the bytes as they come.
    is_followed: bool,
    followed: Option<Followed>,
}

/// How a hash of more gets through bytes that arrive: it joins their own, and gets to where that is by itself.
pub(crate) struct Followed {
    pub chain: Chain,
    /// `None` where the bytes would need another place for it.
    pub follow: Option<Arc<dyn Follow>>,
}

/// Bytes that have all arrived, hashed and compared. Dropping it discards them.
pub(crate) struct Landed {
    account: AccountId,
    size: u64,
    digest: Digest,
    head: Bytes,
    /// `None`: `head` is all of it.
    staged: Option<Box<dyn Staged>>,
}

impl Landing {
    /// Nothing yet; what stays small will be kept inline.
    pub(crate) fn inline(store: &Store, account: AccountId) -> Self {
        Self::new(store, account, limits::INLINE_BYTES_MAX)
    }

    /// Nothing yet; whatever comes becomes a blob.
    pub(crate) fn blob(store: &Store, account: AccountId) -> Self {
        Self::new(store, account, 0)
    }

    /// The same; whoever asks takes a hash of more through what arrives.
    pub(crate) fn followed_blob(store: &Store, account: AccountId) -> Self {
        Self { is_followed: true, ..Self::blob(store, account) }
    }

    /// How a hash of more gets through the bytes as they come. Once, after the first of them.
    pub(crate) fn followed(&mut self) -> Option<Followed> {
        self.followed.take()
    }

    fn new(store: &Store, account: AccountId, inline_max: usize) -> Self {
        let (store, head) = (store.clone(), BytesMut::new());
        let (stage, exposed, is_followed, followed) = Default::default();
        Self { store, account, size: 0, inline_max, head, stage, exposed, is_followed, followed }
    }

    /// Lets readers follow what arrives from now on.
    pub(crate) fn expose(&mut self, exposed: Exposed) {
        self.exposed = Some(exposed);
    }

    /// Another reader.
    pub(crate) fn follow(&self) -> Option<Following> {
        self.exposed.as_ref().map(Exposed::follow)
    }

    /// Takes the readers off: what becomes of them is the caller's to say.
    pub(crate) fn hide(&mut self) -> Option<Exposed> {
        self.exposed.take()
    }

    /// Bytes that arrived so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether all of it is in memory and nobody reads along.
    pub(crate) fn is_small(&self) -> bool {
        self.stage.is_none() && self.exposed.is_none()
    }

    /// Takes the next bytes. What is taken and not yet on disk is bounded.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        if let Some(stage) = &mut self.stage {
            stage.write(bytes).await?;
            if let Some(exposed) = &self.exposed {
                exposed.advance(self.size);
            }
            return Ok(());
        }
        if self.head.len() + bytes.len() <= self.inline_max {
            self.head.extend_from_slice(&bytes);
            if let Some(exposed) = &self.exposed {
                exposed.remembered(&self.head);
            }
            return Ok(());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut stage = self.store.0.blobs.stage(self.account, self.store.now()).await?;
        let follow = if self.exposed.is_some() { stage.follow() } else { None };
        if self.is_followed {
            let (follow, chain) = (stage.follow_in_place(), stage.chain());
            self.followed = Some(Followed { chain, follow });
        }
        if !self.head.is_empty() {
            stage.write(self.head.clone().freeze()).await?;
        }
        let missing = limits::SNIFF_BYTES_MAX.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        stage.write(bytes).await?;
        self.stage = Some(stage);
        if let (Some(exposed), Some(follow)) = (&self.exposed, follow) {
            exposed.staged(&self.head, follow);
            exposed.advance(self.size);
        }
        Ok(())
    }

    /// All bytes have arrived: hashes them and compares them with what the client says they are.
    pub(crate) async fn end(self, expected: Option<Digest>) -> Result<Landed> {
        let (staged, digest) = match self.stage {
            None => (None, ContentHash::of(&self.head)),
            Some(stage) => {
                let staged = stage.finish().await?;
                let digest = staged.digest();
                (Some(staged), digest)
            }
        };
        if expected.is_some_and(|expected| expected != digest) {
            return Err(Error::ChecksumMismatch);
        }
        let (account, size, head) = (self.account, self.size, self.head.freeze());
        Ok(Landed { account, size, digest, head, staged })
    }
}

impl Landed {
    /// How many bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Their SHA-256.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// SHA-256 as it is after them, where the store has it.
    pub(crate) fn hash(&self) -> Option<ContentHash> {
        self.staged.as_ref().and_then(|staged| staged.hash())
    }

    /// The beginning of them.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Makes the bytes durable, then runs `place` in a transaction that gives it the content to refer to.
    pub(crate) async fn place<T, F>(self, store: &Store, place: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut dyn Tx, Content) -> Result<T> + Send + 'static,
    {
        let (account, bytes) = (self.account, self.head);
        let Some(staged) = self.staged else {
            let inline = move |tx: &mut dyn Tx| {
                if bytes.is_empty() {
                    return place(tx, Content::Empty);
                }
                let id = InlineId(tx.fresh_id()?);
                tx.put_inline(account, id, bytes.clone())?;
                place(tx, Content::Inline(id))
            };
            return store.0.catalog.write(inline).await;
        };
        let (len, seal) = (staged.len(), Seal::now(store));
        let blob = staged.seal().await?;
        let placed = store
            .0
            .catalog
            .write(move |tx| {
                seal.check(tx, blob)?;
                let content = Content::Blobs(vec![Extent { blob, len }]);
                reference::hold(tx, &content)?;
                place(tx, content)
            })
            .await;
        // Refused by the rules: nothing refers to the blob. After a fault of storage nobody knows whether something
        // does; then it is the sweeper's to find out.
        if placed.as_ref().is_err_and(|e| !e.is_ours()) {
            drop(store.0.blobs.remove(blob).await);
        }
        placed
    }
}
