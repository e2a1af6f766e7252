//! Attributes of files, read row after row: a listing has thousands of rows and few content types.
//!
//! What lives here: [`Recent`], in which a content type that was seen a moment ago is neither checked nor copied again.
//! What does not: how attributes are stored (`record`).

use model::{ContentType, Digest, FileAttrs, Owner, Result};

use super::record::{Attrs, read_content_type};

/// Content types that are remembered; they are compared one by one.
const TYPES_MAX: usize = 16;

/// The row that was read last, and content types of rows before it.
pub(crate) struct Recent {
    attrs: FileAttrs,
    types: Vec<ContentType>,
}

impl Default for Recent {
    fn default() -> Self {
        let attrs = FileAttrs {
            owner: Owner { uid: 0, gid: 0 },
            size: 0,
            checksum: Digest([0; 32]),
            content_type: ContentType::octet_stream(),
            ctime: 0,
            mtime: 0,
        };
        Self { attrs, types: Vec::new() }
    }
}

impl Recent {
    /// The same as [`Attrs::owned`].
    pub(crate) fn read(&mut self, row: &Attrs<'_>) -> Result<&FileAttrs> {
        let &Attrs { owner, size, checksum, content_type, ctime, mtime } = row;
        if self.attrs.content_type.as_str() != content_type {
            self.turn_to(content_type)?;
        }
        let attrs = &mut self.attrs;
        (attrs.owner, attrs.size, attrs.checksum) = (owner, size, checksum);
        (attrs.ctime, attrs.mtime) = (ctime, mtime);
        Ok(attrs)
    }

    fn turn_to(&mut self, content_type: &str) -> Result<()> {
        let current = &mut self.attrs.content_type;
        if let Some(known) = self.types.iter_mut().find(|known| known.as_str() == content_type) {
            std::mem::swap(known, current);
            return Ok(());
        }
        let before = std::mem::replace(current, read_content_type(content_type)?);
        if self.types.len() == TYPES_MAX {
            self.types.remove(0);
        }
        self.types.push(before);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_they_are_by_themselves() {
        let mut recent = Recent::default();
        // More types than are remembered, in an order that comes back to old ones.
        let types: Vec<String> = (0..TYPES_MAX + 3).map(|n| format!("image/x-{n}")).collect();
        for n in 0..400_u64 {
            let pick = usize::try_from(n * n % 23 + n / 50).unwrap() % types.len();
            let row = Attrs {
                owner: Owner { uid: 7, gid: 8 },
                size: n,
                checksum: Digest([n.to_le_bytes()[0]; 32]),
                content_type: &types[pick],
                ctime: n + 1,
                mtime: n + 2,
            };
            assert_eq!(recent.read(&row), Ok(&row.owned().unwrap()));
            assert!(recent.types.len() <= TYPES_MAX);
            let damaged = Attrs { content_type: "no type", ..row };
            assert_eq!(recent.read(&damaged), Err(damaged.owned().unwrap_err()));
        }
    }
}
