//! A request's head, judged before hyper gets to see it: whether it is whole, whether it may come in, and what body it
//! announces.
//!
//! The parser is hyper's own (`httparse`), so that there are no two opinions about what stands where. What is added is
//! what hyper lets through and two servers in a row may read differently (RFC 9112, sections 2.2, 5.2, 6.1 and 6.3): a
//! length beside chunks, lines that end without a carriage return, codings that are not `chunked` alone. What does not
//! live here: where heads begin (`framing`); `Host` (`route`, which can answer with the room's own words).

use std::mem::MaybeUninit;

use http::{StatusCode, Uri};
use httparse::{Header, ParserConfig, Status};

use super::refusal::Refusal;

/// What a head may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Request line and headers, in bytes.
    pub(super) bytes: usize,
    /// Headers.
    pub(super) headers: usize,
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunks,
}

/// Headers that are kept on the stack; what hyper takes unless it is told otherwise.
const FEW: usize = 100;
/// Longest target that hyper takes, in bytes.
const TARGET_BYTES_MAX: usize = 65_534;

/// Judges a head that begins with the first of `bytes`: how long it is and what follows it, or `None` when it is not
/// whole yet.
pub(super) fn judge(bytes: &[u8], limits: Limits) -> Result<Option<(usize, Announced)>, Refusal> {
    let judged = judge_with(bytes, limits, |_, _, _| ())?;
    Ok(judged.map(|(len, announced, ())| (len, announced)))
}

/// The same, with what `look` makes of a head that may come in, given how long it is and what follows it.
pub(super) fn judge_with<T>(
    bytes: &[u8],
    limits: Limits,
    look: impl FnOnce(&httparse::Request<'_, '_>, usize, Announced) -> T,
) -> Result<Option<(usize, Announced, T)>, Refusal> {
    let mut few = [const { MaybeUninit::uninit() }; FEW];
    let mut many: Vec<MaybeUninit<Header<'_>>>;
    let room = match few.get_mut(..limits.headers) {
        Some(room) => room,
        None => {
            many = (0..limits.headers).map(|_| MaybeUninit::uninit()).collect();
            &mut many[..]
        }
    };
    let mut request = httparse::Request::new(&mut []);
    let parsed =
        ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, room);
    match parsed {
        Ok(Status::Complete(len)) if len > limits.bytes => Err(TOO_LARGE),
        Ok(Status::Complete(len)) => {
            if has_bare_line_feed(&bytes[..len]) {
                return Err(bad("a line that ends without a carriage return"));
            }
            check_target(request.path.unwrap_or_default())?;
            let announced = announced(&request)?;
            Ok(Some((len, announced, look(&request, len, announced))))
        }
        Ok(Status::Partial) if bytes.len() >= limits.bytes => Err(TOO_LARGE),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(TOO_LARGE),
        Err(_) => Err(bad("no head of a request")),
    }
}

const TOO_LARGE: Refusal =
    Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "a head that is too large");

const fn bad(why: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, why)
}

/// A head is some ten lines: looking at the byte before each line feed costs next to nothing.
fn has_bare_line_feed(head: &[u8]) -> bool {
    // Empty lines before a request are no part of it.
    let begin = head.iter().position(|b| !b"\r\n".contains(b)).unwrap_or(head.len());
    memchr::memchr_iter(b'\n', &head[begin..]).any(|at| at == 0 || head[begin + at - 1] != b'\r')
}

/// Refuses what hyper would refuse by itself.
fn check_target(target: &str) -> Result<(), Refusal> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "a target that is too long"));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-~%?=&+".contains(&b);
    if target.starts_with('/') && target.bytes().all(plain) {
        return Ok(());
    }
    target.parse::<Uri>().map(drop).map_err(|_| bad("no target of a request"))
}

/// The body that a head announces, where it can be told beyond doubt.
fn announced(request: &httparse::Request<'_, '_>) -> Result<Announced, Refusal> {
    let (mut length, mut codings, mut coding) = (None, 0_usize, &b""[..]);
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let value = decimal(header.value).ok_or(bad("a length that is no number"))?;
            if length.is_some_and(|before| before != value) {
                return Err(bad("two lengths"));
            }
            length = Some(value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            codings += 1;
            coding = header.value;
        }
    }
    match (length, codings) {
        (None, 0) => Ok(Announced::Length(0)),
        (Some(length), 0) => Ok(Announced::Length(length)),
        (Some(_), _) => Err(bad("a length beside a transfer coding")),
        (None, 1) if request.version == Some(0) => Err(bad("a transfer coding in HTTP/1.0")),
        (None, 1) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Announced::Chunks),
        (None, _) => Err(bad("a transfer coding that is not chunked alone")),
    }
}

/// A number of decimal digits and nothing else. The two largest mean something else to hyper.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()?;
    (number < u64::MAX - 1).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 1000, headers: 10 };

    fn whole(lines: &str) -> Result<Option<Announced>, u16> {
        let head = format!("POST /post/raw?x=y HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let found = judge(head.as_bytes(), LIMITS).map_err(|refusal| refusal.status().as_u16())?;
        if let Some((len, _)) = found {
            assert_eq!(len, head.len());
        }
        Ok(found.map(|(_, announced)| announced))
    }

    #[test]
    fn bodies() {
        for (lines, announced) in [
            ("", Announced::Length(0)),
            ("Content-Length: 5\r\n", Announced::Length(5)),
            ("content-length:\t 05 \r\n", Announced::Length(5)),
            ("Content-Length: 5\r\nCONTENT-LENGTH: 5\r\n", Announced::Length(5)),
            ("Content-Length: 18446744073709551613\r\n", Announced::Length(u64::MAX - 2)),
            ("Transfer-Encoding: Chunked\r\n", Announced::Chunks),
        ] {
            assert_eq!(whole(lines), Ok(Some(announced)), "{lines:?}");
        }
    }

    #[test]
    fn doubtful_heads() {
        for lines in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 5,5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 18446744073709551614\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \r\n",
            "Transfer-Encoding : chunked\r\n",
            "X: a\r\n folded\r\n",
            "X: a\nY: b\r\n",
            "X: a\n",
            "X: a\rY: b\r\n",
            "X: a\0\r\n",
            "X Y: a\r\n",
            ": a\r\n",
        ] {
            assert_eq!(whole(lines), Err(400), "{lines:?}");
        }
        let judged = |head: &str| {
            judge(head.as_bytes(), LIMITS)
                .map(|found| found.map(|(len, _)| len))
                .map_err(|refusal| refusal.status().as_u16())
        };
        assert_eq!(judged("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(400));
        assert_eq!(judged("GET / HTTP/1.1\nHost: a\n\n"), Err(400));
        assert_eq!(judged("GET / HTTP/1.1\r\nHost: a\r\n\n"), Err(400));
        assert_eq!(judged("GET /a b HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(judged("GET http://[/ HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(judged("\n\r\nGET / HTTP/1.0\r\n\r\n"), Ok(Some(21)));
        assert_eq!(judged("OPTIONS * HTTP/1.1\r\n\r\n"), Ok(Some(22)));
        assert_eq!(judged("CONNECT a:443 HTTP/1.1\r\n\r\n"), Ok(Some(26)));
        assert_eq!(judged("GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(judged(""), Ok(None));
    }

    #[test]
    fn sizes() {
        let long = |n: usize| format!("X: {}\r\n", "x".repeat(n));
        assert!(whole(&long(800)).is_ok());
        assert_eq!(whole(&long(1000)), Err(431));
        let unended = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(1000));
        assert_eq!(judge(unended.as_bytes(), LIMITS).map_err(|r| r.status().as_u16()), Err(431));
        assert!(whole(&"X: y\r\n".repeat(9)).is_ok());
        assert_eq!(whole(&"X: y\r\n".repeat(10)), Err(431));
        let many = Limits { bytes: 100_000, headers: 5000 };
        let head = |n: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(n));
        assert!(matches!(judge(head(5000).as_bytes(), many), Ok(Some(_))));
        assert!(judge(head(5001).as_bytes(), many).is_err());
        let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(65_534));
        let refused = judge(target.as_bytes(), Limits { bytes: 262_144, headers: 10 });
        assert_eq!(refused.map_err(|r| r.status().as_u16()), Err(414));
    }
}
