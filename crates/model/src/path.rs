//! The one path type: parsed once at the edge, used for the permission check and for the catalog.
//!
//! protocol.md, section 1 "Paths". A `TreePath` is always valid and canonical, so nothing behind the edge can read the
//! same path in two ways. What is not here: percent-decoding (a room's business, done before parsing).

use std::fmt;

use crate::{Error, Result, limits};

/// A canonical path relative to some directory: segments joined by `/`, no leading, trailing or repeated slash, no
/// `.` or `..` segment, no NUL, at most [`limits::PATH_BYTES_MAX`] wire bytes. The empty path is the directory itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TreePath(String);

impl TreePath {
    /// The directory itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path as a client gave it.
    ///
    /// # Errors
    /// [`Error::InvalidPath`]: a NUL byte, a segment `.` or `..`, or longer than the limit. The length is that of the
    /// canonical form; every byte of a character beyond ASCII counts three times (its percent-encoded length).
    pub fn parse(text: &str) -> Result<Self> {
        // A bound on the work before the canonical length is known; slashes may repeat, so it is generous.
        if text.len() > limits::PATH_BYTES_MAX * 4 || text.contains('\0') {
            return Err(Error::InvalidPath);
        }
        let mut canonical = String::with_capacity(text.len());
        for segment in text.split('/').filter(|s| !s.is_empty()) {
            if segment == "." || segment == ".." {
                return Err(Error::InvalidPath);
            }
            if !canonical.is_empty() {
                canonical.push('/');
            }
            canonical.push_str(segment);
        }
        if wire_len(&canonical) > limits::PATH_BYTES_MAX {
            return Err(Error::InvalidPath);
        }
        Ok(Self(canonical))
    }

    /// Reads a path from raw bytes, as [`TreePath::parse`]; bytes that are not UTF-8 are an invalid path.
    ///
    /// # Errors
    /// [`Error::InvalidPath`].
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(std::str::from_utf8(bytes).map_err(|_| Error::InvalidPath)?)
    }

    /// This path, then `below`. The limit holds for what a client passes, so a join is never refused: a session's root
    /// in front of a longest path is still a path.
    #[must_use]
    pub fn join(&self, below: &TreePath) -> Self {
        match (self.0.is_empty(), below.0.is_empty()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{}/{}", self.0, below.0)),
        }
    }

    /// The path of the directory that holds this one and the last segment; `None` for the root.
    pub fn split_last(&self) -> Option<(TreePath, &str)> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.rsplit_once('/') {
            Some((parent, name)) => (Self(parent.to_owned()), name),
            None => (Self::root(), self.0.as_str()),
        })
    }

    /// The last segment; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|s| !s.is_empty())
    }

    /// The segments, from the top.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|s| !s.is_empty())
    }

    /// Whether this is the directory itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is this path or lies below it, by segment (`a` does not hold `ab`).
    pub fn holds(&self, other: &TreePath) -> bool {
        self.0.is_empty()
            || (other.0.starts_with(&self.0)
                && matches!(other.0.as_bytes().get(self.0.len()), None | Some(b'/')))
    }

    /// The canonical text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as answers show it: `/{account}` or `/{account}/{path}`.
    pub fn absolute(&self, account: &str) -> String {
        if self.0.is_empty() { format!("/{account}") } else { format!("/{account}/{}", self.0) }
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// The length of `text` on the wire: an ASCII byte counts 1, every byte of another character 3.
fn wire_len(text: &str) -> usize {
    text.bytes().map(|b| if b.is_ascii() { 1 } else { 3 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_mean_nothing() {
        for text in ["a/b", "/a/b", "a//b/", "//a//b//"] {
            assert_eq!(TreePath::parse(text).unwrap().as_str(), "a/b");
        }
        for text in ["", "/", "///"] {
            assert!(TreePath::parse(text).unwrap().is_root());
        }
    }

    #[test]
    fn refused() {
        for text in ["a\0", "..", ".", "a/../b", "/a/./b", "a/.."] {
            assert_eq!(TreePath::parse(text), Err(Error::InvalidPath), "{text:?}");
        }
        assert_eq!(TreePath::parse_bytes(b"\xff"), Err(Error::InvalidPath));
        assert_eq!(TreePath::parse_bytes(b"\xc0\xaf"), Err(Error::InvalidPath));
        assert_eq!(TreePath::parse_bytes(b"\xed\xa0\x80"), Err(Error::InvalidPath));
    }

    #[test]
    fn taken_as_they_are() {
        for text in ["a..b", "...", "C:\\a\\..\\b", "a\nb", " ", "%2e%2e", "*"] {
            assert_eq!(TreePath::parse(text).unwrap().as_str(), text);
        }
        // No normalization: composed and decomposed forms are two names.
        assert_ne!(TreePath::parse("e\u{301}").unwrap(), TreePath::parse("\u{e9}").unwrap());
    }

    #[test]
    fn the_limit_counts_wire_bytes() {
        assert_eq!(wire_len("今日は.txt"), 31);
        assert!(TreePath::parse(&"a".repeat(4096)).is_ok());
        assert!(TreePath::parse(&format!("/{}/", "a".repeat(4096))).is_ok());
        assert!(TreePath::parse(&"a".repeat(4097)).is_err());
        // Under the limit raw, over it encoded: 456 * 9 = 4104.
        assert!(TreePath::parse(&"今".repeat(456)).is_err());
        assert!(TreePath::parse(&"今".repeat(455)).is_ok());
    }

    #[test]
    fn joins_splits_and_holds() {
        let a = TreePath::parse("a").unwrap();
        let bc = TreePath::parse("b/c").unwrap();
        let abc = a.join(&bc);
        assert_eq!(abc.as_str(), "a/b/c");
        assert_eq!(abc.split_last(), Some((TreePath::parse("a/b").unwrap(), "c")));
        assert_eq!(a.split_last(), Some((TreePath::root(), "a")));
        assert_eq!(TreePath::root().split_last(), None);
        assert!(a.holds(&abc) && a.holds(&a) && TreePath::root().holds(&a));
        assert!(!a.holds(&TreePath::parse("ab").unwrap()) && !abc.holds(&a));
        assert_eq!(abc.absolute("acme"), "/acme/a/b/c");
        assert_eq!(TreePath::root().absolute("acme"), "/acme");
    }
}
