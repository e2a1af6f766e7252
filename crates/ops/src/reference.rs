//! Following a file's content: what it means to share it and to let go of it.
//!
//! Blobs are counted by reference; the last one to go dooms the blob in the same transaction, and the sweeper removes the
//! bytes afterwards, so that no crash can lose or leak.

use catalog::Tx;
use model::{AccountId, Content, Error, InlineId, Result, Time};

/// Another reference to the same content. Inline content, which is small, is repeated instead of counted.
pub(crate) fn share(tx: &mut dyn Tx, account: AccountId, content: &Content) -> Result<Content> {
    match content {
        Content::Empty => {}
        Content::Inline(id) => {
            let bytes = tx
                .inline(account, *id)?
                .ok_or_else(|| Error::Damaged(format!("inline content {} is missing", id.0)))?;
            let copy = InlineId(tx.fresh_id()?);
            tx.put_inline(account, copy, bytes)?;
            return Ok(Content::Inline(copy));
        }
        Content::Blobs(_) => hold(tx, content)?,
    }
    Ok(content.clone())
}

/// Counts one more reference to every blob of `content`.
pub(crate) fn hold(tx: &mut dyn Tx, content: &Content) -> Result<()> {
    for blob in content.blobs() {
        let refs = tx.blob_refs(blob)?;
        tx.put_blob_refs(blob, refs + 1)?;
    }
    Ok(())
}

/// Lets go of content that a file referred to.
pub(crate) fn release(
    tx: &mut dyn Tx,
    account: AccountId,
    content: &Content,
    now: Time,
) -> Result<()> {
    if let Content::Inline(id) = content {
        tx.remove_inline(account, *id)?;
    }
    for blob in content.blobs() {
        let refs = tx.blob_refs(blob)?.saturating_sub(1);
        tx.put_blob_refs(blob, refs)?;
        if refs == 0 {
            tx.doom(blob, now)?;
        }
    }
    Ok(())
}
