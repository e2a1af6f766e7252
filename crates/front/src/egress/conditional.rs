//! Conditional requests (RFC 9110, section 13): whether a file is served, in the order of section 13.2.2.
//!
//! Pure: headers and the file's own validators in, a verdict out. A date or a list that cannot be read counts as the RFC
//! says: a date is ignored, an entity tag that cannot be read matches nothing.

use http::{
    HeaderMap,
    header::{
        HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    },
};

/// What identifies the version of a file at hand.
#[derive(Debug)]
pub(super) struct Validators {
    /// The strong entity tag, with its quotes.
    pub(super) etag: String,
    /// Last modification, in seconds since the epoch.
    pub(super) mtime_secs: u64,
}

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Serve the file.
    Serve,
    /// The client has it: 304.
    NotModified,
    /// A precondition failed: 412.
    Failed,
}

/// Judges every condition but `If-Range`.
pub(super) fn judge(headers: &HeaderMap, own: &Validators) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !any_matches(headers, IF_MATCH, own, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if date(headers, IF_UNMODIFIED_SINCE).is_some_and(|then| own.mtime_secs > then) {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if any_matches(headers, IF_NONE_MATCH, own, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if date(headers, IF_MODIFIED_SINCE).is_some_and(|then| own.mtime_secs <= then) {
        return Verdict::NotModified;
    }
    Verdict::Serve
}

/// Whether a `Range` header applies: no `If-Range`, or one that names exactly this version.
pub(super) fn range_applies(headers: &HeaderMap, own: &Validators) -> bool {
    match single(headers, IF_RANGE) {
        Found::None => true,
        Found::Many => false,
        Found::One(value) if value.starts_with(b"\"") => value == own.etag.as_bytes(),
        Found::One(_) => date(headers, IF_RANGE) == Some(own.mtime_secs),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag matches nothing.
    Strong,
    /// `W/` makes no difference.
    Weak,
}

enum Found<'a> {
    None,
    One(&'a [u8]),
    Many,
}

fn single(headers: &HeaderMap, name: HeaderName) -> Found<'_> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Found::None,
        (Some(value), None) => Found::One(value.as_bytes()),
        (Some(_), Some(_)) => Found::Many,
    }
}

/// A header that holds one HTTP date, in seconds since the epoch.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let Found::One(value) = single(headers, name) else { return None };
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    date.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn any_matches(headers: &HeaderMap, name: HeaderName, own: &Validators, how: Comparison) -> bool {
    headers.get_all(name).iter().any(|value| list_matches(value.as_bytes(), own, how))
}

/// Whether a list of entity tags, or `*`, matches. Reading stops at the first thing that is no entity tag.
fn list_matches(mut list: &[u8], own: &Validators, how: Comparison) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    loop {
        while let [b' ' | b'\t' | b',', rest @ ..] = list {
            list = rest;
        }
        let (weak, tag) = match list {
            [b'W', b'/', rest @ ..] => (true, rest),
            _ => (false, list),
        };
        let [b'"', after @ ..] = tag else { return false };
        let Some(end) = after.iter().position(|&b| b == b'"' || b <= b' ' || b == 0x7f) else {
            return false;
        };
        if after[end] != b'"' {
            return false;
        }
        let comparable = !weak || how == Comparison::Weak;
        if comparable && &tag[..end + 2] == own.etag.as_bytes() {
            return true;
        }
        list = &after[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::RANGE};
    use proptest::prelude::*;

    use super::*;

    const MTIME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn own() -> Validators {
        Validators { etag: "\"abc\"".to_owned(), mtime_secs: 1_700_000_000 }
    }

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn judged(list: &[(HeaderName, &str)]) -> Verdict {
        judge(&headers(list), &own())
    }

    #[test]
    fn entity_tags() {
        use Verdict::{Failed, NotModified, Serve};
        for (value, none_match, if_match) in [
            ("\"abc\"", NotModified, Serve),
            ("W/\"abc\"", NotModified, Failed),
            ("*", NotModified, Serve),
            ("\"x\", \"abc\"", NotModified, Serve),
            ("\"x\",,W/\"y\" ,\t\"abc\"", NotModified, Serve),
            ("\"a,b\", \"abc\"", NotModified, Serve),
            ("\"x\"", Serve, Failed),
            ("abc", Serve, Failed),
            ("\"abc", Serve, Failed),
            ("", Serve, Failed),
            ("\"\"", Serve, Failed),
            ("w/\"abc\"", Serve, Failed),
        ] {
            assert_eq!(judged(&[(IF_NONE_MATCH, value)]), none_match, "If-None-Match: {value}");
            assert_eq!(judged(&[(IF_MATCH, value)]), if_match, "If-Match: {value}");
        }
        let two = [(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")];
        assert_eq!(judged(&two), NotModified);
    }

    #[test]
    fn dates() {
        use Verdict::{Failed, NotModified, Serve};
        for (value, since, unmodified) in [
            (MTIME, NotModified, Serve),
            (AFTER, NotModified, Serve),
            (BEFORE, Serve, Failed),
            ("yesterday", Serve, Serve),
            ("", Serve, Serve),
        ] {
            assert_eq!(judged(&[(IF_MODIFIED_SINCE, value)]), since, "{value}");
            assert_eq!(judged(&[(IF_UNMODIFIED_SINCE, value)]), unmodified, "{value}");
        }
        assert_eq!(judged(&[(IF_MODIFIED_SINCE, MTIME), (IF_MODIFIED_SINCE, MTIME)]), Serve);
    }

    #[test]
    fn precedence() {
        // A tag takes the place of the date beside it; a failed match comes before "not modified".
        assert_eq!(judged(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)]), Verdict::Serve);
        assert_eq!(judged(&[(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, BEFORE)]), Verdict::Serve);
        assert_eq!(judged(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")]), Verdict::Failed);
        assert_eq!(judged(&[(IF_MATCH, "\"abc\""), (IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(judged(&[(RANGE, "bytes=0-1")]), Verdict::Serve);
    }

    #[test]
    fn if_range() {
        for (value, applies) in [
            ("\"abc\"", true),
            ("W/\"abc\"", false),
            ("\"x\"", false),
            (MTIME, true),
            (BEFORE, false),
            (AFTER, false),
            ("nonsense", false),
        ] {
            assert_eq!(range_applies(&headers(&[(IF_RANGE, value)]), &own()), applies, "{value}");
        }
        assert!(range_applies(&HeaderMap::new(), &own()));
        assert!(!range_applies(&headers(&[(IF_RANGE, MTIME), (IF_RANGE, MTIME)]), &own()));
    }

    proptest! {
        #[test]
        fn never_panics(value in prop::collection::vec(0x20u8..=0xff, 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut map = HeaderMap::new();
                for name in [IF_MATCH, IF_NONE_MATCH, IF_RANGE, IF_MODIFIED_SINCE] {
                    map.insert(name, value.clone());
                }
                let _ = (judge(&map, &own()), range_applies(&map, &own()));
                map.remove(IF_MATCH);
                let _ = judge(&map, &own());
            }
        }

        #[test]
        fn finds_the_tag_wherever_it_stands(before in prop::collection::vec("[!#-+.-~]{0,5}", 0..4)) {
            let mut list: Vec<String> = before.iter().map(|t| format!("\"{t}\"")).collect();
            list.push("\"abc\"".to_owned());
            prop_assert_eq!(judged(&[(IF_NONE_MATCH, &list.join(", "))]), Verdict::NotModified);
        }
    }
}
