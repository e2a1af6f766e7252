//! What has come from a client and is not with hyper yet: beginnings of heads, until they are whole.
//!
//! Where a head comes in one piece, as nearly all do, it is judged where hyper has its bytes read to, and nothing is
//! copied. What does not live here: the judging (`framing`, `head`), sockets (`wire`).

use tokio::io::ReadBuf;

use super::{framing::Framing, head::Limits, refusal::Refusal};

/// The bytes between the socket and hyper.
pub(super) struct Intake {
    framing: Framing,
    held: Vec<u8>,
    /// How many of the held bytes may go on.
    cleared: usize,
}

impl Intake {
    pub(super) fn new(limits: Limits) -> Self {
        Self { framing: Framing::new(limits), held: Vec::new(), cleared: 0 }
    }

    /// Heads that hyper gets or has got.
    pub(super) fn heads(&self) -> u64 {
        self.framing.heads()
    }

    /// Whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether hyper gets nothing more.
    pub(super) fn is_over(&self) -> bool {
        self.cleared == 0 && self.framing.is_over()
    }

    /// Hands on held bytes that may go on; whether there were any.
    pub(super) fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let len = self.cleared.min(buffer.remaining());
        if len == 0 {
            return false;
        }
        buffer.put_slice(&self.held[..len]);
        self.held.drain(..len);
        self.cleared -= len;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        true
    }

    /// Takes what came into `buffer` after its first `before` bytes, and leaves there what may go on.
    pub(super) fn take(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> Option<Refusal> {
        let fresh = &buffer.filled()[before..];
        if self.held.is_empty() {
            let (passed, refusal) = self.framing.pass(fresh);
            if !self.framing.is_over() {
                // Empty lines before a request mean nothing, and are not kept.
                let rest = &fresh[passed..];
                let begin = rest.iter().position(|b| !b"\r\n".contains(b)).unwrap_or(rest.len());
                self.held.extend_from_slice(&rest[begin..]);
            }
            buffer.set_filled(before + passed);
            return refusal;
        }
        let known = self.held.len();
        self.held.extend_from_slice(fresh);
        buffer.set_filled(before);
        // Looked at when it may be whole, and not for every byte that comes.
        if !ends_in(&self.held, known) && self.held.len() < self.framing.head_bytes_max() {
            return None;
        }
        let (passed, refusal) = self.framing.pass(&self.held);
        self.cleared = passed;
        if self.framing.is_over() {
            self.held.truncate(passed);
        }
        refusal
    }
}

/// Whether the empty line that ends a head stands in `bytes`, and not wholly in the first `known` of them.
fn ends_in(bytes: &[u8], known: usize) -> bool {
    let tail = &bytes[known.saturating_sub(3)..];
    memchr::memchr_iter(b'\n', tail).any(|at| {
        let after = &tail[at + 1..];
        after.starts_with(b"\n") || after.starts_with(b"\r\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What hyper gets of `bytes` that come in pieces of `size`, and the refusal.
    fn got(bytes: &[u8], size: usize, limits: Limits) -> (Vec<u8>, Option<u16>) {
        let (mut intake, mut all, mut status) = (Intake::new(limits), Vec::new(), None);
        for piece in bytes.chunks(size) {
            let mut storage = vec![0; size];
            let mut buffer = ReadBuf::new(&mut storage);
            buffer.put_slice(piece);
            if let Some(refusal) = intake.take(&mut buffer, 0) {
                status = Some(refusal.status().as_u16());
            }
            all.extend_from_slice(buffer.filled());
            loop {
                let mut storage = [0; 5];
                let mut buffer = ReadBuf::new(&mut storage);
                if !intake.hand_on(&mut buffer) {
                    break;
                }
                all.extend_from_slice(buffer.filled());
            }
            if intake.is_over() {
                break;
            }
        }
        (all, status)
    }

    #[test]
    fn everything_goes_on_in_its_order_and_nothing_after_a_refusal() {
        let limits = Limits { bytes: 200, headers: 10 };
        let good =
            b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
        let chunks = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let good = [&good[..], chunks, good].concat();
        let bad = [&good[..], b"GET / HTTP/1.1\nHost: a\r\n\r\n", &good].concat();
        let long = [&good[..], b"GET / HTTP/1.1\r\nX: ", &[b'x'; 300]].concat();
        for size in [1, 2, 3, 5, 8, 13, 100, 10_000] {
            assert_eq!(got(&good, size, limits), (good.clone(), None), "by {size}");
            assert_eq!(got(&bad, size, limits), (good.clone(), Some(400)), "by {size}");
            assert_eq!(got(&long, size, limits), (good.clone(), Some(431)), "by {size}");
        }
    }

    #[test]
    fn empty_lines_are_not_kept() {
        let mut intake = Intake::new(Limits { bytes: 200, headers: 10 });
        for _ in 0..1000 {
            let mut storage = [0; 2];
            let mut buffer = ReadBuf::new(&mut storage);
            buffer.put_slice(b"\r\n");
            assert_eq!(intake.take(&mut buffer, 0), None);
            assert!(buffer.filled().is_empty() && intake.held.is_empty());
        }
    }

    /// What a head costs: printed, not judged (`--no-capture`; in a release build it is the true figure).
    #[test]
    fn cost() {
        const ROUNDS: u32 = 20_000;
        let head = b"POST /post/raw HTTP/1.1\r\nHost: origin.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
            X-Agile-Authorization: 0f6a7d6e-2b1d-4a3a-9a8e-6a0f4f5c2b11\r\nX-Agile-Directory: /films/2026\r\n\
            X-Agile-Basename: trailer.mp4\r\nX-Agile-Recursive: true\r\nContent-Type: video/mp4\r\n\
            Content-Length: 0\r\n\r\n";
        let mut intake = Intake::new(Limits { bytes: 65_536, headers: 100 });
        let mut storage = [0; 8192];
        let begun = std::time::Instant::now();
        for _ in 0..ROUNDS {
            let mut buffer = ReadBuf::new(&mut storage);
            buffer.put_slice(head);
            assert!(intake.take(&mut buffer, 0).is_none());
            assert_eq!(buffer.filled().len(), head.len());
        }
        println!("{:?} a head of {} bytes", begun.elapsed() / ROUNDS, head.len());
    }
}
