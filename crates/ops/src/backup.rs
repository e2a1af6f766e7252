//! A copy of a whole store in another one, consistent, while others write: what an export and its way back are made of.
//!
//! The copy is the catalog as it is at one moment and all blobs it refers to. Blobs never change, and none is removed while
//! they are copied (where several nodes do, a lease tells them not to), so nothing has to stand still. What does not live here: where stores lie, and whether the copy may be
//! used before it is whole.

use catalog::audit::{Audit, Index, Row};
use futures_util::{StreamExt, stream};
use model::{BlobId, Error, Result, Time};
use tokio::sync::mpsc;

use crate::{
    Store, backoff,
    lease::{self, Held},
};

/// Rows written in one transaction, unless their content is longer than [`ROWS_BYTES`].
pub(crate) const ROWS_AT_ONCE: usize = 1000;
/// Bytes of small content written in one transaction.
pub(crate) const ROWS_BYTES: usize = 4 << 20;
/// Blobs handed over at a time.
pub(crate) const BLOBS_IN_PART: usize = 64;
/// Blobs copied at the same time.
const BLOBS_AT_ONCE: usize = 8;
/// Bytes of a blob read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// What was copied so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Rows of the catalog.
    pub rows: u64,
    /// Blobs, those that were there already included.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub blob_bytes: u64,
    /// Blobs that were there already.
    pub kept: u64,
    /// Blobs that could not be read, and why: they are not in the copy.
    pub damaged: Vec<(BlobId, String)>,
}

/// A part of a store on its way.
enum Part {
    Blobs(Vec<BlobId>),
    Rows(Vec<Row>),
}

/// What became of a blob.
enum Fate {
    Copied(u64),
    Kept(u64),
    Damaged(String),
}

impl Store {
    /// Copies everything into `to`, which has no account yet; blobs that it has already, whole, stay as they are, and those
    /// that nothing refers to go. `tell` hears how far it is. Blobs come before the rows that refer to them.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the catalog cannot be read; [`Error::Full`], [`Error::Storage`].
    pub async fn copy_into(&self, to: &Store, tell: impl FnMut(&Copied) + Send) -> Result<Copied> {
        // What the copy refers to stays until it is copied, even if it is deleted meanwhile.
        let _held = self.0.removals.read().await;
        let held = self.hold_blobs().await?;
        held.run(Box::pin(self.copy_held(to, tell))).await?
    }

    /// Tells other nodes to remove no blobs, until the guard is dropped.
    pub(crate) async fn hold_blobs(&self) -> Result<Held> {
        let name = format!("{}{}-{:016x}", lease::KEEP, self.node(), backoff::random());
        let held = self.hold(&name).await?;
        held.ok_or_else(|| Error::Unavailable("another copy begins".to_owned()))
    }

    /// The copy, while no blob is removed. The snapshot is taken after that was so.
    async fn copy_held(&self, to: &Store, tell: impl FnMut(&Copied) + Send) -> Result<Copied> {
        let (parts, coming) = mpsc::channel(4);
        let reading = self.0.catalog.audit(move |audit| lay_out(audit, &parts));
        let (read, stored) = tokio::join!(reading, self.store_parts(to, coming, tell));
        let copied = stored?;
        read?;
        to.sweep_orphans(Time(0), Time(u64::MAX)).await?;
        if !to.is_right_key().await? {
            return Err(Error::Storage(
                "the copy has another key than what it was made of".to_owned(),
            ));
        }
        Ok(copied)
    }

    async fn store_parts(
        &self,
        to: &Store,
        mut coming: mpsc::Receiver<Part>,
        mut tell: impl FnMut(&Copied) + Send,
    ) -> Result<Copied> {
        let mut copied = Copied::default();
        while let Some(part) = coming.recv().await {
            match part {
                Part::Blobs(ids) => self.copy_blobs(to, ids, false, &mut copied).await?,
                Part::Rows(rows) => {
                    copied.rows += rows.len() as u64;
                    let put = move |tx: &mut dyn catalog::Tx| {
                        rows.iter().try_for_each(|row| tx.put_row(row))
                    };
                    to.0.catalog.write(put).await?;
                }
            }
            tell(&copied);
        }
        Ok(copied)
    }

    /// Copies some blobs, and counts them; with `deep`, what lies at the other place then is read.
    pub(crate) async fn copy_blobs(
        &self,
        to: &Store,
        ids: Vec<BlobId>,
        deep: bool,
        copied: &mut Copied,
    ) -> Result<()> {
        let copies = ids.into_iter().map(|id| async move {
            let fate = match self.copy_blob(to, id).await? {
                Fate::Damaged(why) => Fate::Damaged(why),
                fate if deep => to.read_whole(id).await.map_or_else(damaged, |()| Ok(fate))?,
                fate => fate,
            };
            Ok::<_, Error>((id, fate))
        });
        let mut copies = stream::iter(copies).buffer_unordered(BLOBS_AT_ONCE);
        while let Some(done) = copies.next().await {
            let (id, fate) = done?;
            let (bytes, kept) = match fate {
                Fate::Copied(bytes) => (bytes, 0),
                Fate::Kept(bytes) => (bytes, 1),
                Fate::Damaged(why) => {
                    copied.damaged.push((id, why));
                    continue;
                }
            };
            copied.blobs += 1;
            copied.blob_bytes += bytes;
            copied.kept += kept;
        }
        Ok(())
    }

    /// Reads every byte of a blob, each compared with its checksum.
    async fn read_whole(&self, id: BlobId) -> Result<()> {
        let blob = self.0.blobs.open(id).await?;
        let mut at = 0;
        while at < blob.len() {
            let len = usize::try_from(blob.len() - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            blob.read(at, len).await?;
            at += len as u64;
        }
        Ok(())
    }

    /// Copies one blob, verified as it is read and compared as it is sealed.
    async fn copy_blob(&self, to: &Store, id: BlobId) -> Result<Fate> {
        let source = match self.0.blobs.open(id).await {
            Ok(source) => source,
            Err(Error::Damaged(why)) => return Ok(Fate::Damaged(why)),
            Err(e) => return Err(e),
        };
        if let Ok(there) = to.0.blobs.open(id).await
            && (there.len(), there.digest()) == (source.len(), source.digest())
        {
            return Ok(Fate::Kept(there.len()));
        }
        let mut stage = to.0.blobs.stage_as(id).await?;
        let mut at = 0;
        while at < source.len() {
            let len = usize::try_from(source.len() - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            match source.read(at, len).await {
                Ok(bytes) => stage.write(bytes).await?,
                Err(Error::Damaged(why)) => return Ok(Fate::Damaged(why)),
                Err(e) => return Err(e),
            }
            at += len as u64;
        }
        let staged = stage.finish().await?;
        if staged.digest() != source.digest() {
            return Ok(Fate::Damaged(format!("blob {id:?}: hashes to something else")));
        }
        staged.seal().await?;
        Ok(Fate::Copied(source.len()))
    }
}

fn damaged(e: Error) -> Result<Fate> {
    match e {
        Error::Damaged(why) => Ok(Fate::Damaged(why)),
        e => Err(e),
    }
}

/// Sends all there is, blobs first.
fn lay_out(audit: &dyn Audit, parts: &mpsc::Sender<Part>) -> Result<()> {
    let mut blobs = Vec::new();
    for row in audit.rows(Index::Blobs, None) {
        if let Row::References(id, _) = row? {
            blobs.push(id);
        }
        if blobs.len() == BLOBS_IN_PART {
            send(parts, Part::Blobs(std::mem::take(&mut blobs)))?;
        }
    }
    send(parts, Part::Blobs(blobs))?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for index in Index::ALL {
        for row in audit.rows(index, None) {
            let row = readable(row?)?;
            // How far reading and sweeping this store is, and who does it, says nothing of the copy.
            if let Row::Scrub(_) | Row::OrphansSwept(_) | Row::Lease(..) = &row {
                continue;
            }
            if let Row::Inline(_, _, content) = &row {
                bytes += content.len();
            }
            rows.push(row);
            if rows.len() == ROWS_AT_ONCE || bytes >= ROWS_BYTES {
                bytes = 0;
                send(parts, Part::Rows(std::mem::take(&mut rows)))?;
            }
        }
    }
    send(parts, Part::Rows(rows))
}

/// The row, unless it could not be read.
pub(crate) fn readable(row: Row) -> Result<Row> {
    match row {
        Row::Unread(index, at, why) => {
            Err(Error::Damaged(format!("{} at {at}: {why}", index.name())))
        }
        row => Ok(row),
    }
}

fn send(parts: &mpsc::Sender<Part>, part: Part) -> Result<()> {
    // The other end says why it takes no more.
    parts.blocking_send(part).map_err(|_| Error::Unavailable("the copy was given up".to_owned()))
}
