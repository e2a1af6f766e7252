//! For `fuzz/` alone: the parsers of this room, and what has to be true of what they read.

use ops::model::{TreePath, limits};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    candidates,
    range::{self, Span, Wanted},
};
use crate::fuzzing::line;

/// `Range`: eight bytes of size, least first; the rest is the header's value.
pub fn range(bytes: &[u8]) {
    let Some((size, value)) = bytes.split_first_chunk() else { return };
    let size = u64::from_le_bytes(*size);
    let Wanted::Parts(spans) = range::wanted(value, size) else { return };
    assert!((1..=100).contains(&spans.len()));
    assert!(spans.iter().all(|span| span.start < span.end && span.end <= size));
    let meets = |a: &Span, b: &Span| a.start < b.end && b.start < a.end;
    let overlaps = |at: &usize| {
        let mut others = spans.iter().enumerate().filter(|(other, _)| other != at);
        others.any(|(_, other)| meets(&spans[*at], other))
    };
    assert!((0..spans.len()).filter(overlaps).count() <= 2, "more is not worth answering");
}

/// Paths: the first line is a `Host`, the rest a path, read as calls read theirs and as GETs do.
pub fn paths(bytes: &[u8]) {
    let (host, path) = line(bytes);
    if let Ok(path) = TreePath::parse_bytes(path) {
        let wire: usize = path.as_str().bytes().map(|b| if b.is_ascii() { 1 } else { 3 }).sum();
        assert!(wire <= limits::PATH_BYTES_MAX);
        assert_eq!(TreePath::parse(path.as_str()).as_ref(), Ok(&path));
        check(&path);
    }
    let (Ok(host), Ok(path)) = (std::str::from_utf8(host), std::str::from_utf8(path)) else {
        return;
    };
    let Ok(path) = candidates::decode(path) else { return };
    check(&path);
    let coded = utf8_percent_encode(path.as_str(), NON_ALPHANUMERIC).to_string();
    assert_eq!(candidates::decode(&coded).as_ref(), Ok(&path));
    let list = candidates::candidates(Some(host), &path);
    assert!(list.len() <= 6);
    for candidate in list {
        assert!(!candidate.path.is_root());
        assert!(path.as_str().ends_with(candidate.path.as_str()), "it names something else");
        check(&candidate.path);
    }
}

/// What is true of every path.
fn check(path: &TreePath) {
    let text = path.as_str();
    assert!(!text.contains('\0'));
    assert!(text.is_empty() || text.split('/').all(|part| !matches!(part, "" | "." | "..")));
    assert_eq!(path.segments().collect::<Vec<_>>().join("/"), text);
    match path.split_last() {
        None => assert!(path.is_root()),
        Some((parent, name)) => {
            assert_eq!(path.name(), Some(name));
            assert!(parent.holds(path) && !path.holds(&parent));
            let name = TreePath::parse(name).expect("a segment is a path");
            assert_eq!(&parent.join(&name), path);
        }
    }
}
