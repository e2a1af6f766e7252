//! Where requests begin and end in the bytes of a connection.
//!
//! Bodies are followed, not read: a length is counted down, of chunks the size lines are looked at. Only heads are judged
//! (`head`), each once. What is handed on to hyper is therefore whole heads and bodies that hyper and this file frame
//! alike; where they would differ, nothing more is handed on. What does not live here: bytes that wait (`intake`).

use super::{
    head::{self, Announced, Limits},
    refusal::Refusal,
};

/// How far a connection's bytes have come.
pub(super) struct Framing {
    limits: Limits,
    state: State,
    heads: u64,
}

enum State {
    /// A head comes next.
    Head,
    /// So many bytes of a body are left.
    Body(u64),
    /// A body in chunks.
    Chunks(Chunks),
    /// Nothing more is taken.
    Over,
}

impl Framing {
    /// A new connection.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: State::Head, heads: 0 }
    }

    /// Whether nothing more is taken of this connection.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Heads that were passed.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Largest head, in bytes.
    pub(super) fn head_bytes_max(&self) -> usize {
        self.limits.bytes
    }

    /// Looks at the next bytes: how many of them may be handed on, and the refusal that ends the connection after them.
    /// What may not be handed on, and is not refused, is the beginning of a head: it is to be shown again with more.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (usize, Option<Refusal>) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Head => match head::judge(rest, self.limits) {
                    Ok(Some((len, announced))) => {
                        at += len;
                        self.heads += 1;
                        self.state = match announced {
                            Announced::Length(0) => State::Head,
                            Announced::Length(len) => State::Body(len),
                            Announced::Chunks => State::Chunks(Chunks::default()),
                        };
                    }
                    Ok(None) => return (at, None),
                    Err(refusal) => {
                        self.state = State::Over;
                        return (at, Some(refusal));
                    }
                },
                State::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    at += here;
                    *left -= here as u64;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Chunks(chunks) => {
                    let (here, end) = chunks.follow(rest);
                    at += here;
                    match end {
                        None => {}
                        Some(Ok(())) => self.state = State::Head,
                        // The room that reads the body learns that it was cut, and answers.
                        Some(Err(Broken)) => self.state = State::Over,
                    }
                }
                State::Over => return (at, None),
            }
        }
        (at, None)
    }
}

/// Chunks that are none.
#[derive(Debug, PartialEq, Eq)]
struct Broken;

/// A body in chunks, followed (RFC 9112, section 7.1).
#[derive(Debug, Default)]
struct Chunks {
    step: Step,
    /// Bytes of the chunk that are left, or its size as far as it is known.
    left: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Before the first digit of a size.
    #[default]
    Begin,
    /// In the digits.
    Size,
    /// After the digits: white space, extensions.
    Extension,
    /// The line feed after a size.
    SizeEnd,
    /// The chunk's bytes.
    Data,
    /// The carriage return after them.
    DataEnd,
    /// The line feed after them.
    DataLineEnd,
    /// Before the first byte of a trailer, or of the empty line that ends the body.
    Line,
    /// In a trailer.
    Trailer,
    /// The line feed after a trailer.
    TrailerEnd,
    /// The line feed that ends the body.
    End,
}

impl Chunks {
    /// Follows bytes; how many belong to this body, and its end where it is among them.
    fn follow(&mut self, bytes: &[u8]) -> (usize, Option<Result<(), Broken>>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.step == Step::Data {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.step = Step::DataEnd;
                }
                continue;
            }
            let byte = bytes[at];
            let Some(next) = self.next(byte) else { return (at, Some(Err(Broken))) };
            at += 1;
            if self.step == Step::End && byte == b'\n' {
                return (at, Some(Ok(())));
            }
            self.step = next;
        }
        (at, None)
    }

    /// The step after a byte outside the chunks' data.
    fn next(&mut self, byte: u8) -> Option<Step> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        Some(match (self.step, byte) {
            (Step::Begin, _) => {
                self.left = digit?;
                Step::Size
            }
            (Step::Size | Step::Extension, b'\r') => Step::SizeEnd,
            (Step::Size, b';' | b' ' | b'\t') => Step::Extension,
            (Step::Size, _) => {
                self.left = self.left.checked_mul(16)?.checked_add(digit?)?;
                Step::Size
            }
            (Step::Extension | Step::Line | Step::Trailer, b'\n') => return None,
            (Step::Extension, _) => Step::Extension,
            (Step::SizeEnd, b'\n') if self.left == 0 => Step::Line,
            (Step::SizeEnd, b'\n') => Step::Data,
            (Step::DataEnd, b'\r') => Step::DataLineEnd,
            (Step::DataLineEnd, b'\n') => Step::Begin,
            (Step::Line, b'\r') => Step::End,
            (Step::Trailer, b'\r') => Step::TrailerEnd,
            (Step::Line | Step::Trailer, _) => Step::Trailer,
            (Step::TrailerEnd, b'\n') => Step::Line,
            (Step::End, b'\n') => Step::End,
            (
                Step::SizeEnd
                | Step::Data
                | Step::DataEnd
                | Step::DataLineEnd
                | Step::TrailerEnd
                | Step::End,
                _,
            ) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { bytes: 1000, headers: 10 };
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
    const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    const BAD: &[u8] = b"GET / HTTP/1.1\nHost: a\n\n";

    /// Shows bytes in pieces of `size`, as a connection does: what was handed on, and whether there was a refusal.
    fn pass(bytes: &[u8], size: usize) -> (usize, bool, bool) {
        let mut framing = Framing::new(LIMITS);
        let (mut begin, mut refused) = (0, false);
        let mut end = 0;
        while end < bytes.len() && !framing.is_over() {
            end = (end + size).min(bytes.len());
            let (passed, refusal) = framing.pass(&bytes[begin..end]);
            begin += passed;
            refused |= refusal.is_some();
        }
        (begin, refused, framing.is_over())
    }

    #[test]
    fn good_requests_pass_whole() {
        for parts in [
            &[GET, GET, GET][..],
            &[POST, b"abcde", GET],
            &[POST, b"GET /", b"\r\n", GET],
            &[CHUNKED, b"5\r\nabcde\r\n0\r\n\r\n", GET],
            &[CHUNKED, b"00a;x=\"y\"\r\n0123\r\n5678\r\n1 \r\nx\r\n0\r\nX: y\r\nZ: w\r\n\r\n", GET],
            &[CHUNKED, b"0\r\n\r\n", POST, b"\n\n\n\n\n", GET],
        ] {
            let bytes = parts.concat();
            for size in [1, 2, 3, 7, 50, 1000] {
                assert_eq!(pass(&bytes, size), (bytes.len(), false, false), "{parts:?} by {size}");
            }
        }
    }

    #[test]
    fn a_bad_head_is_found_wherever_it_stands() {
        for parts in [
            &[][..],
            &[GET],
            &[POST, b"abcde"],
            &[CHUNKED, b"5\r\nabcde\r\n0\r\n\r\n"],
            &[CHUNKED, b"0\r\nX: y\r\n\r\n"],
        ] {
            let before: usize = parts.iter().map(|part| part.len()).sum();
            let bytes = [&parts.concat()[..], BAD, GET].concat();
            for size in [1, 2, 3, 7, 50, 1000] {
                assert_eq!(pass(&bytes, size), (before, true, true), "{parts:?} by {size}");
            }
        }
    }

    #[test]
    fn broken_chunks_end_it() {
        for (chunks, good) in [
            (&b"FFFFFFFFFFFFFFFFF\r\n"[..], 16),
            (b"-5\r\n", 0),
            (b"+5\r\n", 0),
            (b"0x5\r\n", 1),
            (b"\r\n", 0),
            (b"5\nabcde", 1),
            (b"5;x\nabcde", 3),
            (b"5\r\nabcdeX", 8),
            (b"5\r\nabcde\n", 8),
            (b"0\r\n\n", 3),
            (b"0\r\nX: y\n\r\n", 7),
        ] {
            let bytes = [CHUNKED, chunks].concat();
            for size in [1, 3, 1000] {
                let expected = (CHUNKED.len() + good, false, true);
                assert_eq!(pass(&bytes, size), expected, "{chunks:?} by {size}");
            }
        }
    }

    proptest! {
        /// However the bytes come, the same ones pass.
        #[test]
        fn pieces_change_nothing(
            parts in prop::collection::vec(prop::sample::select(vec![
                GET, POST, b"abcde", CHUNKED, b"5\r\nabcde\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", BAD,
            ]), 1..8),
            size in 1_usize..60,
        ) {
            let bytes = parts.concat();
            prop_assert_eq!(pass(&bytes, size), pass(&bytes, bytes.len()));
        }
    }
}
