//! Answers that are kept, given beneath hyper: a request that asks for nothing but a file that was asked for lately is read
//! and answered where its bytes come in, and hyper never sees it. That is half of what such a request costs.
//!
//! What lives here: which requests those are, and writing the answer. What does not: the parser (hyper's own, as for every
//! head, `head`), what is kept and whether it counts (`egress`), and when hyper has nothing in hand (`wire`: only then a
//! request may be taken). The invariant: whatever is not understood here to the last header is left to hyper.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH},
};
use ops::clock::{Clock, SystemClock};
use tokio::io::AsyncWrite;

use super::head::{self, Announced};
use crate::{Front, Peer, access::Line, route};

/// The way past hyper, of one connection.
pub(super) struct Shortcut {
    front: Front,
    peer: Peer,
    heads: head::Limits,
    out: Option<Out>,
}

/// An answer that is being written.
struct Out {
    head: Vec<u8>,
    body: Bytes,
    written: usize,
    line: Line,
}

/// A request that asks for a file and nothing else.
struct Plain<'a> {
    method: &'a str,
    host: &'a [u8],
    path: &'a str,
    conditions: HeaderMap,
}

impl Shortcut {
    pub(super) fn new(front: Front, peer: Peer, heads: head::Limits) -> Self {
        Self { front, peer, heads, out: None }
    }

    /// Takes bytes that are one whole request whose answer is kept; otherwise they are left alone.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        if !bytes.starts_with(b"GET ") && !bytes.starts_with(b"HEAD ") {
            return false;
        }
        // What is refused is refused by who judges every head.
        let Ok(Some((len, Announced::Length(0), answer))) =
            head::judge_with(bytes, self.heads, |request| self.answer(request))
        else {
            return false;
        };
        if len != bytes.len() || answer.is_none() {
            return false;
        }
        self.out = answer;
        true
    }

    fn answer(&self, request: &httparse::Request<'_, '_>) -> Option<Out> {
        let asked = plain(request)?;
        let Plain { method, host, path, conditions } = asked;
        let kept = route::kept(&self.front, self.peer, method, host, path, &conditions)?;
        let mut line = Line::of(&self.front, self.peer, method, path)?;
        line.answered(kept.status);
        let mut head = Vec::with_capacity(kept.head.len() + DATE.len() + 37);
        head.extend_from_slice(&kept.head);
        head.extend_from_slice(DATE);
        head.extend_from_slice(&date());
        head.extend_from_slice(b"\r\n\r\n");
        Some(Out { head, body: kept.body, written: 0, line })
    }

    /// Whether an answer is being written.
    pub(super) fn is_writing(&self) -> bool {
        self.out.is_some()
    }

    /// Ready when nothing is being written.
    pub(super) fn poll_out<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(out) = &mut self.out {
            let head = out.head.get(out.written..).unwrap_or_default();
            let body = &out.body[out.written.saturating_sub(out.head.len()).min(out.body.len())..];
            if head.is_empty() && body.is_empty() {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                self.out = None;
                break;
            }
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.written += written;
            out.line.sent(out.written.saturating_sub(out.head.len()));
        }
        Poll::Ready(Ok(()))
    }
}

/// The request, if every header that could change the answer is known here.
fn plain<'a>(request: &httparse::Request<'_, 'a>) -> Option<Plain<'a>> {
    let (method, path) = (request.method?, request.path?);
    let plain = request.version == Some(1) && path.starts_with('/') && !path.contains(['?', '#']);
    if !plain {
        return None;
    }
    let (mut host, mut conditions) = (None, HeaderMap::new());
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // By length: most headers are none of these, and are told by their length alone.
        match header.name.len() {
            4 if is("host") && host.is_some() => return None,
            4 if is("host") => host = Some(header.value),
            5 if is("range") => return None,
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            8 if is("if-match") || is("if-range") => return None,
            10 if is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") => {
                return None;
            }
            13 if is("if-none-match") => {
                conditions.append(IF_NONE_MATCH, HeaderValue::from_bytes(header.value).ok()?);
            }
            17 if is("if-modified-since") => {
                conditions.append(IF_MODIFIED_SINCE, HeaderValue::from_bytes(header.value).ok()?);
            }
            19 if is("if-unmodified-since") => return None,
            21 if is("x-agile-authorization") => return None,
            _ => {}
        }
    }
    Some(Plain { method, host: host?, path, conditions })
}

const DATE: &[u8] = b"Date: ";

/// The time as a header has it; put into words once a second and thread.
fn date() -> [u8; 29] {
    thread_local! {
        static LAST: Cell<(u64, [u8; 29])> = const { Cell::new((0, [0; 29])) };
    }
    let now = SystemClock.now().secs();
    let (last, words) = LAST.get();
    if last == now {
        return words;
    }
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
    let words = text.as_bytes().try_into().unwrap_or(words);
    LAST.set((now, words));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(lines: &str) -> bool {
        let head = format!("GET /a/b HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let mut headers = [httparse::EMPTY_HEADER; 20];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head.as_bytes()).unwrap();
        plain(&request).is_some()
    }

    #[test]
    fn only_what_changes_nothing() {
        assert!(is_plain(""));
        assert!(is_plain("Accept: */*\r\nUser-Agent: x\r\nconnection: Keep-Alive\r\n"));
        assert!(is_plain("If-None-Match: \"x\"\r\nIf-Modified-Since: y\r\n"));
        for line in [
            "Host: y",
            "RANGE: bytes=0-1",
            "Expect: 100-continue",
            "Upgrade: h2c",
            "If-Match: *",
            "If-Range: \"x\"",
            "Connection: close",
            "Connection: keep-alive, upgrade",
            "If-Unmodified-Since: x",
            "X-Agile-Authorization: x",
        ] {
            assert!(!is_plain(&format!("{line}\r\n")), "{line}");
        }
        for first in ["GET /a?h=1 HTTP/1.1", "GET /a HTTP/1.0", "GET http://x/a HTTP/1.1"] {
            let head = format!("{first}\r\nHost: x\r\n\r\n");
            let mut headers = [httparse::EMPTY_HEADER; 20];
            let mut request = httparse::Request::new(&mut headers);
            request.parse(head.as_bytes()).unwrap();
            assert!(plain(&request).is_none(), "{first}");
        }
    }

    #[test]
    fn the_date_is_a_date() {
        let date = date();
        let text = std::str::from_utf8(&date).unwrap();
        assert!(httpdate::parse_http_date(text).is_ok(), "{text}");
    }
}
