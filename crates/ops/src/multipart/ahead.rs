//! The hash of the whole, taken through a piece while it arrives.
//!
//! What lives here: following one piece, from when the state before it is known until its end. What does not: the states
//! themselves (`prefix`), hashing (`blobs`), and reading back what came another way (`join`).
//!
//! Where the state is known before anything of the piece is hashed, as it is when pieces come in order, both hashes go through it
//! together. Otherwise the hash of the whole goes by itself until it is where the piece's own is: a piece waits for that while it
//! is close, and not while it is far behind.

use blobs::{Chained, ContentHash, Hasher, Hashes};
use bytes::Bytes;
use model::{PieceContent, Result, UploadId};
use tokio::sync::watch;

use super::join::READ_BYTES;
use crate::{Store, landing::Followed};

/// How far the hash of the whole may be behind a piece, in bytes: so much is in memory anyhow.
const LAG_MAX: u64 = 1024 * 1024;
/// How much of a piece is taken over while the piece before is hashed to its end: enough to go on with while more comes, and no
/// more than its stage keeps to itself meanwhile, with a frame on top.
const HELD_BYTES: u64 = blobs::EXPECTING_BYTES_MAX as u64 * 2 / 3;
/// A hash that is further behind than this, in bytes, is not waited for.
const NEAR: u64 = 32 * 1024 * 1024;

/// A piece that arrives, as the hash of the whole sees it.
pub(super) struct Ahead {
    of: Of,
    came: watch::Sender<Came>,
    at: watch::Receiver<At>,
}

/// Which piece.
#[derive(Clone)]
struct Of {
    store: Store,
    upload: UploadId,
    number: u32,
    serial: u64,
}

#[derive(Clone, Copy, Default)]
struct Came {
    bytes: u64,
    all: bool,
}

/// Where the hash of the whole is.
#[derive(Clone, Copy)]
enum At {
    /// Before the piece: what is before that is not known.
    Awaiting,
    /// In it, by itself, after so many bytes.
    Alone(u64),
    /// Where the piece's own was a moment ago.
    Joining,
    /// With the piece's own.
    Joined,
}

/// How far the hash of the whole came by itself.
enum Way {
    Joined,
    Past(Chained),
    Lost,
}

impl Ahead {
    /// Of a piece of which hardly anything came yet.
    pub(super) fn new(store: &Store, upload: UploadId, number: u32, followed: Followed) -> Self {
        let serial = store.0.prefixes.arrives(upload, number);
        let of = Of { store: store.clone(), upload, number, serial };
        let came = watch::Sender::new(Came::default());
        let known = of.begin();
        let (mut goes, at) = watch::channel(At::Awaiting);
        if known.is_some() {
            goes.send_replace(At::Alone(0));
        }
        let (task, mut comes) = (of.clone(), came.subscribe());
        tokio::spawn(async move {
            let after = match task.pass(known, &followed, &mut comes, &mut goes).await {
                Way::Joined => task.joined(followed).await,
                Way::Past(after) => Some(after),
                Way::Lost => None,
            };
            if let Some(after) = after {
                task.store.0.prefixes.passed(upload, number, serial, after);
            }
            task.store.0.prefixes.left(upload, number, serial);
        });
        Self { of, came, at }
    }

    /// So many bytes are taken over. Waits for the hash of the whole if it is not far behind: otherwise it would have to
    /// read back what is in memory now, and would fall behind further.
    pub(super) async fn came(&mut self, bytes: u64) {
        self.came.send_replace(Came { bytes, all: false });
        if bytes >= HELD_BYTES {
            self.hold().await;
        }
        let is_close = |at: &At| match *at {
            At::Awaiting | At::Joined => true,
            At::Joining => false,
            At::Alone(at) => {
                let lag = bytes - at;
                lag <= LAG_MAX || lag > NEAR
            }
        };
        // Closed: the hash did not get through.
        drop(self.at.wait_for(is_close).await);
    }

    /// Waits for the hash of the whole to begin with the piece, if it is about to: while the piece before is hashed to its end,
    /// and joins then.
    pub(super) async fn hold(&mut self) {
        let mut changes = None;
        loop {
            let at = *self.at.borrow_and_update();
            let changed = match at {
                At::Awaiting => {
                    let Of { store, upload, number, .. } = &self.of;
                    let prefixes = &store.0.prefixes;
                    // Before the question: what changes after it is not missed.
                    let changes = changes.get_or_insert_with(|| prefixes.changes(*upload));
                    if !prefixes.is_near(*upload, *number) {
                        return;
                    }
                    tokio::select! {
                        changed = self.at.changed() => changed,
                        changed = changes.changed() => changed,
                    }
                }
                At::Alone(0) | At::Joining => self.at.changed().await,
                At::Alone(_) | At::Joined => return,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Nothing comes any more. Waits while the hash of the whole joins the piece's own: from then on, whoever comes next waits for
    /// the end of both.
    pub(super) async fn all_came(&mut self) {
        self.came.send_modify(|came| came.all = true);
        drop(self.at.wait_for(|at| !matches!(at, At::Joining)).await);
        if let At::Joined = *self.at.borrow() {
            let Of { store, upload, number, serial } = &self.of;
            store.0.prefixes.ends(*upload, *number, *serial);
        }
    }

    /// Waits until the hash of the whole is past the piece, unless it is far behind or has not begun: then the piece that
    /// comes next can go on from there at once.
    pub(super) async fn is_past(&mut self) {
        let bytes = self.came.borrow().bytes;
        let is_near = |at: At| match at {
            At::Awaiting => false,
            At::Joining | At::Joined => true,
            At::Alone(at) => bytes - at <= NEAR,
        };
        loop {
            let at = *self.at.borrow_and_update();
            if !is_near(at) || self.at.changed().await.is_err() {
                return;
            }
        }
    }

    /// The piece counts. The hash of the whole goes on to its end if it has begun with it.
    pub(super) fn landed(self, content: PieceContent) {
        let Of { store, upload, number, serial } = self.of;
        store.0.prefixes.landed(upload, number, serial, content);
    }
}

impl Of {
    /// The state before the piece, if it is known; then the hash of the whole counts as one that follows the piece.
    fn begin(&self) -> Option<Chained> {
        let prefixes = &self.store.0.prefixes;
        let hash = match self.number {
            1 => ContentHash::new(),
            number => prefixes.before(self.upload, number)?,
        };
        let before = hash.clone().finish();
        prefixes.follows(self.upload, self.number, self.serial, before);
        Some(Chained { before, hash })
    }

    /// The state after the piece, from its own hash on.
    async fn joined(&self, Followed { chain, follow }: Followed) -> Option<Chained> {
        // What arrives is not read any more.
        drop(follow);
        let Hashes { own, chained } = chain.end().await?;
        match self.number {
            1 => Some(Chained { before: ContentHash::new().finish(), hash: own }),
            _ => chained,
        }
    }

    /// Takes the hash of the whole through the piece, from when the state before it is known.
    async fn pass(
        &self,
        known: Option<Chained>,
        followed: &Followed,
        came: &mut watch::Receiver<Came>,
        at: &mut watch::Sender<At>,
    ) -> Way {
        let known = match known {
            Some(known) => Some(known),
            None => self.begun(came).await,
        };
        let Some(known) = known else { return Way::Lost };
        if self.number == 1 {
            // They are the same.
            at.send_replace(At::Joined);
            return Way::Joined;
        }
        through(known, followed, came, at).await.unwrap_or(Way::Lost)
    }

    /// Waits for the state before the piece. `None`: the piece is over.
    async fn begun(&self, came: &mut watch::Receiver<Came>) -> Option<Chained> {
        let mut changes = self.store.0.prefixes.changes(self.upload);
        loop {
            if let Some(known) = self.begin() {
                return Some(known);
            }
            tokio::select! {
                biased;
                changed = changes.changed() => changed.ok()?,
                over = ended(came) => return over,
            }
        }
    }
}

/// Waits until nobody is at work on the piece any more.
async fn ended<T>(came: &mut watch::Receiver<Came>) -> Option<T> {
    while came.changed().await.is_ok() {}
    None
}

/// Takes a hash through a piece, as far as it comes, until it is where the piece's own is.
async fn through(
    known: Chained,
    followed: &Followed,
    came: &mut watch::Receiver<Came>,
    at: &mut watch::Sender<At>,
) -> Result<Way> {
    let Chained { before, hash } = known;
    let (mut hasher, mut offset) = (Hasher::from(hash), 0);
    at.send_replace(At::Alone(offset));
    loop {
        let Came { bytes, all } = *came.borrow_and_update();
        let own = followed.chain.taken();
        if own == Some(offset) {
            at.send_replace(At::Joining);
            let hash = hasher.end().await?.own;
            let chained = Chained { before, hash };
            if followed.chain.join(offset, &chained) {
                at.send_replace(At::Joined);
                return Ok(Way::Joined);
            }
            // The piece's own went on meanwhile; from now on it waits.
            hasher = Hasher::from(chained.hash);
        } else if offset < own.unwrap_or(bytes) {
            let left = own.unwrap_or(bytes) - offset;
            let part = part(followed, offset, left).await?;
            if part.is_empty() {
                return Ok(Way::Lost);
            }
            offset += part.len() as u64;
            hasher.room().await?;
            hasher.push(part);
            at.send_modify(|at| {
                if let At::Alone(at) = at {
                    *at = offset;
                }
            });
        } else if all {
            let hash = hasher.end().await?.own;
            return Ok(Way::Past(Chained { before, hash }));
        } else if came.changed().await.is_err() {
            return Ok(Way::Lost);
        }
    }
}

/// What follows in the piece, `left` bytes at most; none where it cannot be read yet.
async fn part(followed: &Followed, offset: u64, left: u64) -> Result<Bytes> {
    let Some(follow) = &followed.follow else { return Ok(Bytes::new()) };
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    follow.read(offset, left.min(READ_BYTES)).await
}
