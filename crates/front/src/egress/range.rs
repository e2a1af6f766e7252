//! Reading `Range` (RFC 9110, section 14): which bytes of a representation a request asks for.
//!
//! Pure: a header value and a size in, spans out. What does not live here: whether the header applies at all
//! (`conditional`) and how the answer is written (`body`).

/// More ranges than this in one request are not worth answering one by one: the header is ignored.
const RANGES_MAX: usize = 100;
/// More ranges than this that overlap another one are an attack or a mistake: the header is ignored.
const OVERLAPPING_MAX: usize = 2;

/// Bytes from `start` up to, not including, `end`; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    pub(super) fn len(self) -> u64 {
        self.end - self.start
    }
}

/// What a `Range` header comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole representation: the header is to be ignored.
    Whole,
    /// These parts, in the order asked for; at least one.
    Parts(Vec<Span>),
    /// Nothing of what was asked for exists (416).
    Nothing,
}

/// Reads a `Range` header for a representation of `size` bytes.
pub(super) fn wanted(value: &[u8], size: u64) -> Wanted {
    let Some(specs) = parse(value) else { return Wanted::Whole };
    if size == 0 && specs.iter().any(|s| matches!(s, Spec::Suffix(1..))) {
        // The last bytes of nothing: satisfiable, and no Content-Range could say so.
        return Wanted::Whole;
    }
    let spans: Vec<Span> = specs.into_iter().filter_map(|s| s.within(size)).collect();
    if spans.is_empty() {
        Wanted::Nothing
    } else if overlapping(&spans) > OVERLAPPING_MAX {
        Wanted::Whole
    } else {
        Wanted::Parts(spans)
    }
}

/// One member of the header's list. Numbers past the largest `u64` count as that: no file is so long.
#[derive(Clone, Copy)]
enum Spec {
    /// From a position to the end.
    From(u64),
    /// Between two positions, both included.
    Between(u64, u64),
    /// So many last bytes.
    Suffix(u64),
}

impl Spec {
    fn within(self, size: u64) -> Option<Span> {
        let (start, end) = match self {
            Spec::From(first) => (first, size),
            Spec::Between(first, last) => (first, last.saturating_add(1).min(size)),
            Spec::Suffix(len) => (size.saturating_sub(len), size),
        };
        (start < end).then_some(Span { start, end })
    }
}

/// `None` where the syntax is broken or the list too long.
fn parse(value: &[u8]) -> Option<Vec<Spec>> {
    let value = std::str::from_utf8(value).ok()?;
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for member in set.split(',') {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        if specs.len() == RANGES_MAX {
            return None;
        }
        specs.push(spec(member)?);
    }
    (!specs.is_empty()).then_some(specs)
}

fn spec(member: &str) -> Option<Spec> {
    match member.split_once('-')? {
        ("", suffix) => Some(Spec::Suffix(number(suffix)?)),
        (first, "") => Some(Spec::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::Between(first, last))
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// How many spans share a byte with another one.
fn overlapping(spans: &[Span]) -> usize {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable_by_key(|s| s.start);
    let (mut count, mut reached) = (0, 0);
    for (i, span) in sorted.iter().enumerate() {
        let earlier = span.start < reached;
        let later = sorted.get(i + 1).is_some_and(|next| next.start < span.end);
        count += usize::from(earlier || later);
        reached = reached.max(span.end);
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(value: &str, size: u64) -> Vec<(u64, u64)> {
        match wanted(value.as_bytes(), size) {
            Wanted::Parts(spans) => spans.iter().map(|s| (s.start, s.end)).collect(),
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn satisfiable() {
        assert_eq!(parts("bytes=0-0", 10), [(0, 1)]);
        assert_eq!(parts("bytes=0-", 10), [(0, 10)]);
        assert_eq!(parts("bytes=-3", 10), [(7, 10)]);
        assert_eq!(parts("bytes=-30", 10), [(0, 10)]);
        assert_eq!(parts("Bytes=5-99999999999999999999999", 10), [(5, 10)]);
        assert_eq!(parts("bytes= 1-2 ,, 4-5\t,-1", 10), [(1, 3), (4, 6), (9, 10)]);
        assert_eq!(parts("bytes=0-18446744073709551615", 10), [(0, 10)]);
        assert_eq!(parts("bytes=20-30,1-2", 10), [(1, 3)]);
        assert_eq!(parts("bytes=0-5,3-8", 10), [(0, 6), (3, 9)]);
    }

    #[test]
    fn unsatisfiable() {
        for value in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=9223372036854775808-",
            "bytes=11-,12-13",
        ] {
            assert_eq!(wanted(value.as_bytes(), 10), Wanted::Nothing, "{value}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted(b"bytes=-5", 0), Wanted::Whole);
    }

    #[test]
    fn ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=5-1",
            "bytes=a-b",
            "bytes=1",
            "bytes=-",
            "bytes=+1-2",
            "bytes=1-2-3",
            "lines=1-2",
            "bytes=1 -2",
            "bytes=0-1,x",
            "bytes=--1",
            "bytes=0x1-2",
        ] {
            assert_eq!(wanted(value.as_bytes(), 10), Wanted::Whole, "{value}");
        }
        assert_eq!(wanted(b"bytes=\xff", 10), Wanted::Whole);
        assert_eq!(wanted(b"bytes=0-9,0-9,0-9", 10), Wanted::Whole);
        let many = |n: u64| (0..n).map(|i| format!("{0}-{0}", 2 * i)).collect::<Vec<_>>().join(",");
        assert_eq!(parts(&format!("bytes={}", many(100)), 1000).len(), 100);
        assert_eq!(wanted(format!("bytes={}", many(101)).as_bytes(), 1000), Wanted::Whole);
    }

    /// The naive model: which of `size` bytes a list of well-formed members covers, member by member.
    fn model(members: &[(Option<u64>, Option<u64>)], size: u64) -> Vec<Vec<u64>> {
        let covers = |(first, last): &(Option<u64>, Option<u64>)| -> Vec<u64> {
            (0..size)
                .filter(|at| match (first, last) {
                    (Some(f), Some(l)) => f <= at && at <= l,
                    (Some(f), None) => f <= at,
                    (None, Some(n)) => size - at <= *n,
                    (None, None) => false,
                })
                .collect()
        };
        members.iter().map(covers).filter(|bytes| !bytes.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn never_panics(value in prop::collection::vec(any::<u8>(), 0..80), size: u64) {
            let _ = wanted(&value, size);
        }

        #[test]
        fn never_panics_near_syntax(value in "bytes=[-0-9, ]{0,40}", size: u64) {
            if let Wanted::Parts(spans) = wanted(value.as_bytes(), size) {
                prop_assert!(!spans.is_empty());
                prop_assert!(spans.iter().all(|s| s.start < s.end && s.end <= size));
            }
        }

        #[test]
        fn agrees_with_the_model(
            members in prop::collection::vec((prop::option::of(0u64..30), prop::option::of(0u64..30)), 1..6),
            size in 1u64..25,
        ) {
            let usable = |(f, l): &(Option<u64>, Option<u64>)| match (f, l) {
                (Some(f), Some(l)) => f <= l,
                (None, None) => false,
                _ => true,
            };
            prop_assume!(members.iter().all(usable));
            let text = |n: &Option<u64>| n.map_or(String::new(), |n| n.to_string());
            let list: Vec<String> = members.iter().map(|(f, l)| format!("{}-{}", text(f), text(l))).collect();
            let expected = model(&members, size);
            let shares = |i: usize| (0..expected.len())
                .any(|j| j != i && expected[i].iter().any(|at| expected[j].contains(at)));
            let overlapping = (0..expected.len()).filter(|&i| shares(i)).count();
            let got = wanted(format!("bytes={}", list.join(",")).as_bytes(), size);
            if expected.is_empty() {
                prop_assert_eq!(got, Wanted::Nothing);
            } else if overlapping > OVERLAPPING_MAX {
                prop_assert_eq!(got, Wanted::Whole);
            } else {
                let Wanted::Parts(spans) = got else { panic!("{got:?}") };
                let bytes: Vec<Vec<u64>> = spans.iter().map(|s| (s.start..s.end).collect()).collect();
                prop_assert_eq!(bytes, expected);
            }
        }
    }
}
