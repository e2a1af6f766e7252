//! Clean-up of uploads: those that nobody completes expire, those that are over are forgotten after a while.

use model::{Multipart, PieceState, Result, Time, UploadId, UploadState};

use super::{Limits, rules};
use crate::Store;

/// Uploads looked at in one call.
const BATCH: usize = 256;

impl Store {
    /// Looks at some uploads, going on after `after`; returns where to go on, `None` at the end.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    pub async fn sweep_multiparts(&self, after: Option<UploadId>) -> Result<Option<UploadId>> {
        let (now, limits) = (self.now(), self.0.limits.multipart);
        let page = self.0.catalog.scan(move |tx| tx.uploads(after, BATCH)).await?;
        let next = (page.len() == BATCH).then(|| page.last().map(|last| last.id)).flatten();
        for upload in page {
            let id = upload.id;
            match fate(&upload, limits, now) {
                Fate::Stay => continue,
                Fate::Expire => self.0.catalog.write(move |tx| expire(tx, id, limits, now)).await?,
                Fate::Go => self.0.catalog.write(move |tx| remove(tx, id, limits, now)).await?,
            }
            self.0.prefixes.forget(id);
        }
        Ok(next)
    }
}

#[derive(PartialEq, Eq)]
enum Fate {
    Stay,
    Expire,
    Go,
}

fn fate(upload: &Multipart, limits: Limits, now: Time) -> Fate {
    let older_than = |since: Time, secs: u64| now.since(since) > secs.saturating_mul(1000);
    match upload.state {
        UploadState::New | UploadState::Failed => match limits.expire_secs {
            Some(secs) if older_than(upload.changed, secs) => Fate::Expire,
            Some(_) | None => Fate::Stay,
        },
        UploadState::Ready | UploadState::Complete | UploadState::Join => Fate::Stay,
        UploadState::Success
        | UploadState::Abort
        | UploadState::Expired
        | UploadState::Error
        | UploadState::Deleted => {
            if older_than(upload.changed, limits.keep_secs) {
                Fate::Go
            } else {
                Fate::Stay
            }
        }
    }
}

fn expire(tx: &mut dyn catalog::Tx, id: UploadId, limits: Limits, now: Time) -> Result<()> {
    let Some(mut upload) = tx.upload(id)?.filter(|u| fate(u, limits, now) == Fate::Expire) else {
        return Ok(());
    };
    // Pieces of an upload that failed are in JOIN, from where they can only fail.
    rules::drop_pieces(tx, &upload, PieceState::Expired, now)?;
    rules::drop_pieces(tx, &upload, PieceState::Failed, now)?;
    rules::step(&mut upload, UploadState::Expired, now)?;
    tx.put_upload(&upload).map(drop)
}

fn remove(tx: &mut dyn catalog::Tx, id: UploadId, limits: Limits, now: Time) -> Result<()> {
    match tx.upload(id)? {
        // What its pieces held went to the file, or was let go of when it ended.
        Some(upload) if fate(&upload, limits, now) == Fate::Go => tx.remove_upload(id),
        Some(_) | None => Ok(()),
    }
}
