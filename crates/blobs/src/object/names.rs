//! What objects are called.
//!
//! ```text
//! <prefix>/blobs/xx/yy/<32 hex digits of the id>   a sealed blob: bytes, then trailer (`crate::layout`)
//! <prefix>/stage/<id>.<8 hex digits>               an upload in parts that is running: its number at the store
//! ```
//!
//! `xx` and `yy` are the last two bytes of the id, which are random: stores spread load by the beginning of names. What does
//! not live here: any request. The invariant: no name holds anything a user chose.

use model::{BlobId, Error, Result};
use object_store::path::Path;

use crate::layout::{fan, fan_name, id_of};

const BLOBS: &str = "blobs";
const STAGE: &str = "stage";

/// The names below one prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: Path,
}

/// What an object is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A sealed blob, where it belongs.
    Blob(BlobId),
    /// The mark of an upload in parts of this blob.
    Mark(BlobId),
    /// Not one of ours.
    Stray,
}

impl Names {
    /// Below `prefix`, which may be empty.
    pub(super) fn new(prefix: &str) -> Result<Self> {
        let prefix = Path::parse(prefix.trim_matches('/'))
            .map_err(|e| Error::Storage(format!("prefix of the object store: {e}")))?;
        Ok(Self { prefix })
    }

    /// Where everything lies.
    pub(super) fn root(&self) -> &Path {
        &self.prefix
    }

    /// Where the sealed blobs lie.
    pub(super) fn blobs(&self) -> Path {
        self.prefix.clone().join(BLOBS)
    }

    /// Where the marks lie.
    pub(super) fn stage(&self) -> Path {
        self.prefix.clone().join(STAGE)
    }

    /// The object of a blob.
    pub(super) fn blob(&self, id: BlobId) -> Path {
        let [first, second] = fan(id);
        self.blobs().join(fan_name(first)).join(fan_name(second)).join(id.to_hex())
    }

    /// A mark for an upload of a blob; two of the same blob have two.
    pub(super) fn mark(&self, id: BlobId) -> Result<Path> {
        let random =
            getrandom::u32().map_err(|e| Error::Storage(format!("no random numbers: {e}")))?;
        Ok(self.stage().join(format!("{}.{random:08x}", id.to_hex())))
    }

    /// What the object of this name is.
    pub(super) fn read(&self, path: &Path) -> Named {
        self.known(path).unwrap_or(Named::Stray)
    }

    fn known(&self, path: &Path) -> Option<Named> {
        let mut parts = path.prefix_match(&self.prefix)?;
        let room = parts.next()?;
        if room.as_ref() == STAGE {
            let name = parts.next()?;
            let (id, random) = name.as_ref().split_once('.')?;
            let hex = random.len() == 8 && random.bytes().all(|b| b.is_ascii_hexdigit());
            return id_of(id).filter(|_| hex && parts.next().is_none()).map(Named::Mark);
        }
        let id = id_of(path.filename()?)?;
        (self.blob(id) == *path).then_some(Named::Blob(id))
    }
}

#[cfg(test)]
mod tests {
    use model::AccountId;

    use super::*;

    #[test]
    fn names_read_back_and_others_are_strays() {
        let id = BlobId::new(AccountId(7), 1_764_000_000_123, [1, 2, 3, 4, 0xa5, 6]);
        for prefix in ["", "a/b"] {
            let names = Names::new(prefix).unwrap();
            let blob = names.blob(id);
            assert_eq!(names.read(&blob), Named::Blob(id));
            assert_eq!(names.read(&names.mark(id).unwrap()), Named::Mark(id));
            assert_ne!(names.mark(id).unwrap(), names.mark(id).unwrap());
            let root = names.root().clone();
            for stray in [
                root.clone().join("blobs").join("a5").join("07").join(id.to_hex()),
                root.clone().join("blobs").join(id.to_hex()),
                root.clone().join("stage").join(id.to_hex()),
                root.clone().join("stage").join(format!("{}.0000000x", id.to_hex())),
                root.join("notes.txt"),
                blob.clone().join("more"),
            ] {
                assert_eq!(names.read(&stray), Named::Stray, "{stray}");
            }
        }
        let blob = Names::new("a/b/").unwrap().blob(id);
        assert_eq!(blob.as_ref(), format!("a/b/blobs/a5/06/{}", id.to_hex()));
        assert!(Names::new("a//b").is_err());
        assert_eq!(Names::new("other").unwrap().read(&blob), Named::Stray);
    }
}
