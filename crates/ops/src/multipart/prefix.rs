//! The checksum of a whole file, ahead of its completion: SHA-256 over the longest contiguous run of pieces from the
//! first, advanced while later pieces arrive.
//!
//! The first piece is hashed as it arrives: what its own checksum was made of is the state after it.
//!
//! Kept in memory: it is a cache, and a restart begins again. The state after every piece is kept, so that a piece that is
//! sent again costs only what follows it. Bounded in uploads; what does not fit is hashed when it is needed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use blobs::ContentHash;
use model::{Piece, PieceContent, UploadId};

/// States kept over all uploads; one is some 112 bytes.
const STATES_MAX: usize = 200_000;

/// How far an upload is hashed.
#[derive(Default, Clone)]
pub(crate) struct Prefix {
    /// After each piece: which content that was, and the state.
    after: Vec<(PieceContent, ContentHash)>,
}

impl Prefix {
    /// How many of `pieces`, in the order of their numbers, are hashed as they are now.
    pub(crate) fn matches(&mut self, pieces: &[Piece]) -> usize {
        let same = self
            .after
            .iter()
            .zip(pieces)
            .take_while(|((content, _), piece)| *content == piece.content)
            .count();
        self.after.truncate(same);
        same
    }

    /// The state after the last piece that is hashed.
    pub(crate) fn state(&self) -> ContentHash {
        self.after.last().map_or_else(ContentHash::default, |(_, state)| state.clone())
    }

    /// Takes the state after one more piece.
    pub(crate) fn push(&mut self, content: PieceContent, state: ContentHash) {
        self.after.push((content, state));
    }
}

/// Of all uploads.
#[derive(Default)]
pub(crate) struct Prefixes(Mutex<HashMap<UploadId, Prefix>>);

impl Prefixes {
    /// Takes an upload's out; whoever does puts it back.
    pub(crate) fn take(&self, id: UploadId) -> Prefix {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).unwrap_or_default()
    }

    /// Whether anything is known of an upload.
    pub(crate) fn knows(&self, id: UploadId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// The state after the first piece of an upload, which has arrived. Whatever was known of the upload began with what
    /// was the first piece before.
    pub(crate) fn begin(&self, id: UploadId, content: PieceContent, state: ContentHash) {
        self.keep(id, Prefix { after: vec![(content, state)] });
    }

    /// Puts an upload's back, unless more is known by now. When there are too many, others are forgotten.
    pub(crate) fn put(&self, id: UploadId, prefix: Prefix) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&id).map_or(0, |known| known.after.len());
        drop(all);
        if known <= prefix.after.len() {
            self.keep(id, prefix);
        }
    }

    fn keep(&self, id: UploadId, prefix: Prefix) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, prefix);
        let mut states: usize = all.values().map(|prefix| prefix.after.len()).sum();
        while states > STATES_MAX {
            let Some(other) = all.keys().find(|other| **other != id).copied() else { return };
            states -= all.remove(&other).map_or(0, |prefix| prefix.after.len());
        }
    }

    /// Forgets an upload that is over.
    pub(crate) fn forget(&self, id: UploadId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use model::{AccountId, BlobId, Extent};

    use super::*;

    const ID: UploadId = UploadId([1; 16]);

    fn content(n: u8) -> PieceContent {
        PieceContent::Blob(Extent { blob: BlobId::new(AccountId(1), 2, [n; 6]), len: 3 })
    }

    #[test]
    fn what_is_known_of_an_upload_is_not_forgotten_for_less() {
        let all = Prefixes::default();
        let taken = all.take(ID);
        let mut first = ContentHash::new();
        first.update(b"abc");
        all.begin(ID, content(1), first.clone());
        all.put(ID, taken);
        let mut prefix = all.take(ID);
        assert_eq!(prefix.after.len(), 1, "the first piece arrived meanwhile");
        assert_eq!(prefix.state().finish(), first.clone().finish());
        prefix.push(content(2), first.clone());
        all.put(ID, prefix);
        all.begin(ID, content(3), first);
        assert_eq!(all.take(ID).after.len(), 1, "another first piece makes the rest worthless");
    }
}
