//! Answers given beneath hyper: a request that asks for a file, a range of it or its headers, and shows nothing, is read
//! and answered where its bytes come in, and hyper never sees it. That is half of what such a request costs.
//!
//! What lives here: which requests those are, and writing the answer. What does not: the parser (hyper's own, as for every
//! head, `head`), what the answer is, and whether one that is kept still counts (`egress`), and when hyper has nothing in
//! hand (`wire`: only then a request may be taken). The invariant: whatever is not understood here to the last header, or
//! takes waiting, is left to hyper.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderValue,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE},
};
use ops::clock::{Clock, SystemClock};
use tokio::io::AsyncWrite;

use super::head::{self, Announced};
use crate::{
    Front, Peer,
    access::{Line, Ticket},
    outlet::{AsFile, Leaving, MARK_BYTES_MAX, Outlet},
    reply::{self, KeptBody},
    request::Plain,
    route,
};

/// The way past hyper, of one connection.
pub(super) struct Shortcut {
    front: Front,
    peer: Peer,
    heads: head::Limits,
    /// Where files leave, if they can.
    outlet: Option<Outlet>,
    out: Option<Out>,
}

/// An answer that is being written.
struct Out {
    head: Vec<u8>,
    /// What of the body comes next: bytes, or a mark.
    next: Bytes,
    /// What of it comes after that.
    rest: Option<Rest>,
    /// Of the head, then of all.
    written: usize,
    line: Line,
}

/// A part of a file that has no mark yet.
struct Rest {
    file: Arc<dyn AsFile>,
    range: Range<u64>,
    outlet: Outlet,
}

impl Rest {
    /// The mark of what comes first of it, and what is left then.
    fn place(self, ticket: Ticket) -> (Bytes, Option<Self>) {
        let Range { start, end } = self.range;
        let len = usize::try_from(end - start).unwrap_or(MARK_BYTES_MAX).min(MARK_BYTES_MAX);
        let file = Arc::clone(&self.file);
        let mark = self.outlet.place(Leaving { file, from: start, len, end, ticket });
        let range = start + len as u64..end;
        (mark, (!range.is_empty()).then_some(Self { range, ..self }))
    }
}

impl Shortcut {
    pub(super) fn new(
        front: Front,
        peer: Peer,
        heads: head::Limits,
        outlet: Option<Outlet>,
    ) -> Self {
        Self { front, peer, heads, outlet, out: None }
    }

    /// Takes bytes that are one whole request that can be answered here; otherwise they are left alone.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        if !bytes.starts_with(b"GET ") && !bytes.starts_with(b"HEAD ") {
            return false;
        }
        let answer = head::judge_with(bytes, self.heads, |request, len, announced| {
            let alone = len == bytes.len() && announced == Announced::Length(0);
            alone.then(|| self.answer(request)).flatten()
        });
        // What is refused is refused by who judges every head.
        let Ok(Some((_, _, Some(answer)))) = answer else { return false };
        self.out = Some(answer);
        true
    }

    fn answer(&self, request: &httparse::Request<'_, '_>) -> Option<Out> {
        let asked = plain(request, self.outlet.is_some())?;
        let kept = route::kept(&self.front, self.peer, &asked)?;
        let mut line = Line::of(&self.front, self.peer, asked.method, asked.path)?;
        line.answered(kept.status);
        let common = reply::common();
        let len = kept.head.len() + common.len() + kept.own.len() + DATE.len() + 37;
        let mut head = Vec::with_capacity(len);
        head.extend_from_slice(&kept.head);
        head.extend_from_slice(common);
        head.extend_from_slice(&kept.own);
        head.extend_from_slice(DATE);
        head.extend_from_slice(&date());
        head.extend_from_slice(b"\r\n\r\n");
        let (next, rest) = match kept.body {
            KeptBody::Bytes(bytes) => (bytes, None),
            KeptBody::File(file, range) => {
                Rest { file, range, outlet: self.outlet.clone()? }.place(line.ticket())
            }
        };
        Some(Out { head, next, rest, written: 0, line })
    }

    /// Whether an answer is being written.
    pub(super) fn is_writing(&self) -> bool {
        self.out.is_some()
    }

    /// How much of the answer was written, in bytes; 0 when there is none.
    pub(super) fn written(&self) -> usize {
        self.out.as_ref().map_or(0, |out| out.written)
    }

    /// Ready when nothing is being written.
    pub(super) fn poll_out<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(out) = &mut self.out {
            let head = out.head.get(out.written..).unwrap_or_default();
            if head.is_empty() && out.next.is_empty() {
                let Some(rest) = out.rest.take() else {
                    ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                    self.out = None;
                    break;
                };
                (out.next, out.rest) = rest.place(out.line.ticket());
            }
            let slices = [IoSlice::new(head), IoSlice::new(&out.next)];
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_body = written.saturating_sub(head.len());
            out.written += written;
            out.next.advance(of_body);
            out.line.sent(out.written.saturating_sub(out.head.len()));
        }
        Poll::Ready(Ok(()))
    }
}

/// The request, if every header that could change the answer is known here.
fn plain<'a>(request: &httparse::Request<'_, 'a>, files: bool) -> Option<Plain<'a>> {
    let (method, path) = (request.method?, request.path?);
    let plain = request.version == Some(1) && path.starts_with('/') && !path.contains(['?', '#']);
    if !plain {
        return None;
    }
    let (mut host, mut asked) = (None, HeaderMap::new());
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // By length: most headers are none of these, and are told by their length alone.
        match header.name.len() {
            4 if is("host") && host.is_some() => return None,
            4 if is("host") => host = Some(header.value),
            5 if is("range") => {
                asked.append(RANGE, HeaderValue::from_bytes(header.value).ok()?);
            }
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            8 if is("if-match") || is("if-range") => return None,
            10 if is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") => {
                return None;
            }
            13 if is("if-none-match") => {
                asked.append(IF_NONE_MATCH, HeaderValue::from_bytes(header.value).ok()?);
            }
            17 if is("if-modified-since") => {
                asked.append(IF_MODIFIED_SINCE, HeaderValue::from_bytes(header.value).ok()?);
            }
            19 if is("if-unmodified-since") => return None,
            21 if is("x-agile-authorization") => return None,
            _ => {}
        }
    }
    Some(Plain { method, host: host?, path, asked, files })
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
        plain(&request, true).is_some()
    }

    #[test]
    fn only_what_changes_nothing() {
        assert!(is_plain(""));
        assert!(is_plain("Accept: */*\r\nUser-Agent: x\r\nconnection: Keep-Alive\r\n"));
        assert!(is_plain("If-None-Match: \"x\"\r\nIf-Modified-Since: y\r\nRANGE: bytes=0-1\r\n"));
        for line in [
            "Host: y",
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
            assert!(plain(&request, true).is_none(), "{first}");
        }
    }

    #[test]
    fn the_date_is_a_date() {
        let date = date();
        let text = std::str::from_utf8(&date).unwrap();
        assert!(httpdate::parse_http_date(text).is_ok(), "{text}");
    }
}
