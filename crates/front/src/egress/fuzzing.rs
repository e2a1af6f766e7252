//! For `fuzz/` alone: the parsers of this room, and what has to be true of what they read.

use http::{HeaderMap, HeaderValue, header::REFERER};
use ops::{
    link::{Given, Referer},
    model::{TreePath, limits},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    candidates, link,
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

/// Signed URLs: the first line is a `Referer`, the rest a query.
pub fn signed_url(bytes: &[u8]) {
    let (page, query) = line(bytes);
    if let Ok(page) = HeaderValue::from_bytes(page)
        && let Referer::Host(host) = link::referer(&HeaderMap::from_iter([(REFERER, page)]))
    {
        assert!(!host.is_empty() && !host.contains(['/', '@', '?', '#', '\\']));
        assert_eq!(host, host.to_ascii_lowercase());
    }
    let Ok(query) = std::str::from_utf8(query) else { return };
    let is_hash = |term: &str| term == "h" || term.starts_with("h=");
    let link = match link::read(query) {
        Given::Nothing => return assert!(!query.split('&').any(is_hash), "a hash is not seen"),
        Given::Unreadable => return assert!(query.split('&').any(is_hash)),
        Given::Link(link) => link,
    };
    let rest = query.strip_prefix(&link.signed).expect("what is signed begins the query");
    let rest = rest.strip_prefix('&').unwrap_or(rest);
    assert!(!link.signed.split('&').any(is_hash), "the first hash counts");
    let hash = rest.strip_prefix("h=").and_then(|rest| rest.split('&').next());
    let hex: String = link.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash.map(str::to_ascii_lowercase), Some(hex));
    if let Some(rate) = link.terms.rate {
        assert!((1..=limits::LINK_KB_PER_SEC_MAX).contains(&rate.kb_per_sec));
        assert!(rate.free_kb <= limits::LINK_FREE_KB_MAX);
    }
    let clean = |domain: &String| !domain.is_empty() && !domain.contains([',', '/', '&', '%']);
    assert!(link.terms.referers.iter().all(clean));
    // What stands behind the hash says nothing; a term that stands twice before it does.
    let more = format!("{query}&dl=1&h=00&e=1");
    assert!(matches!(link::read(&more), Given::Link(same) if same.terms == link.terms));
    let twice = format!("e=1&e=1&{query}");
    assert!(matches!(link::read(&twice), Given::Unreadable));
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
