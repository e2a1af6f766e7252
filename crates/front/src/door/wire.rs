//! The byte stream under hyper: lets no head in that is refused, bounds a client that takes nothing, and closes so that
//! the client gets to read the last answer.
//!
//! **Refused heads.** What comes is shown to `intake` before hyper gets it. At a head that is refused, the stream ends as
//! far as hyper can see: it answers what came before and shuts down, and then the refusal is written.
//!
//! **Lingering close.** Closing a socket while bytes of the client are unread makes the system send a reset, and a reset
//! throws away the answer that is on its way. So when a connection ends with bytes possibly unread (an upload refused
//! before its body, a head that is too long), the write half is shut down, and what still comes is read and discarded
//! until the client closes, falls silent, or has had time enough.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{head, intake::Intake, shortcut::Shortcut};
use crate::{Peer, access::Access};

/// How long a client may be silent in a lingering close.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// How long a lingering close may take in all.
const LINGER_TOTAL: Duration = Duration::from_secs(30);
/// Bytes discarded at a time.
const DISCARD_BYTES: usize = 64 * 1024;

/// What a stream is bounded by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// What the head of a request may be.
    pub(super) heads: head::Limits,
    /// How long the head of a request may take, and how long there may be none.
    pub(super) head: Duration,
    /// How long the client may take nothing.
    pub(super) stall: Duration,
}

/// How many answers of hyper's have been given.
pub(super) type Ended = Arc<AtomicU64>;

/// What is told from above hyper.
#[derive(Clone, Default)]
pub(super) struct Ways {
    pub(super) unread: Unread,
    pub(super) ended: Ended,
}

/// Whether bytes of the client may be left unread: set by every read, cleared when a request was read to its end.
pub(super) type Unread = Arc<AtomicBool>;

/// A stream with bounds.
pub(super) struct Wire<S> {
    stream: S,
    peer: Peer,
    access: Access,
    intake: Intake,
    shortcut: Option<Shortcut>,
    unread: Unread,
    ended: Ended,
    /// How many of them have gone out whole.
    gone: u64,
    wait: Wait,
    stall_bound: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    stalled: bool,
    closing: Closing,
}

/// How far the close has come.
enum Closing {
    /// Not begun, or the write half is being shut down.
    Write,
    /// A refusal has to be written first; so many of its bytes are.
    Refusing(Vec<u8>, usize),
    /// Discarding what comes.
    Lingering(Box<Linger>),
    /// Done.
    Done,
}

struct Linger {
    silence: Pin<Box<Sleep>>,
    deadline: Instant,
    buffer: Vec<u8>,
}

impl<S> Wire<S> {
    /// A new stream to `peer`.
    pub(super) fn new(
        stream: S,
        peer: Peer,
        access: Access,
        shortcut: Option<Shortcut>,
        ways: Ways,
        bounds: Bounds,
    ) -> Self {
        let intake = Intake::new(bounds.heads);
        let (stall_bound, closing) = (bounds.stall, Closing::Write);
        Self {
            stream,
            peer,
            access,
            intake,
            shortcut,
            unread: ways.unread,
            ended: ways.ended,
            gone: 0,
            wait: Wait::new(bounds.head),
            stall_bound,
            stall: None,
            stalled: false,
            closing,
        }
    }

    /// Passes on the outcome of a write; one that is pending for too long fails.
    fn bounded<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = false;
            return outcome;
        }
        let bound = self.stall_bound;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(bound)));
        if !self.stalled {
            stall.as_mut().reset(Instant::now() + bound);
            self.stalled = true;
        }
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no answer")))
    }
}

impl<S> Wire<S> {
    /// Whether hyper has answered all it got: the next that comes is a head.
    fn is_between(&self) -> bool {
        self.intake.heads() == self.ended.load(Ordering::Acquire)
    }

    /// Whether there is nothing of an answer in hyper's buffers either, and no beginning of a head here.
    fn is_idle(&self) -> bool {
        self.gone == self.intake.heads() && self.is_between() && self.intake.is_empty()
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Ready when no answer is being written that hyper does not know of.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(shortcut) = &mut self.shortcut else { return Poll::Ready(Ok(())) };
        if !shortcut.is_writing() {
            return Poll::Ready(Ok(()));
        }
        let before = shortcut.written();
        let outcome = shortcut.poll_out(&mut self.stream, cx);
        // It writes as often as the client takes something: waiting at the end does not mean that it took nothing.
        if shortcut.written() != before {
            self.stalled = false;
        }
        self.bounded(outcome, cx)
    }
}

/// The time that the next head may take.
struct Wait {
    bound: Duration,
    /// For which head.
    number: u64,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    fn new(bound: Duration) -> Self {
        Self { bound, number: u64::MAX, since: Instant::now(), timer: None }
    }

    /// One has come: the next has all its time.
    fn again(&mut self) {
        self.since = Instant::now();
    }

    /// The client takes an answer: it is not to send the next request yet.
    fn later(&mut self) {
        self.number = u64::MAX;
    }

    /// Ready when head `number` has taken too long. The timer is set once for many heads: a busy connection is not to pay
    /// for it at each.
    fn poll(&mut self, number: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.number != number {
            self.number = number;
            self.again();
        }
        let deadline = self.since + self.bound;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_out(cx))?;
            if this.intake.hand_on(buffer) || this.intake.is_over() {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            if Pin::new(&mut this.stream).poll_read(cx, buffer)?.is_pending() {
                if this.is_between() {
                    ready!(this.wait.poll(this.intake.heads(), cx));
                    let error = "the head of a request does not come";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)));
                }
                return Poll::Pending;
            }
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            let idle = this.is_idle();
            if let Some(shortcut) = this.shortcut.as_mut().filter(|_| idle)
                && shortcut.take(&buffer.filled()[before..])
            {
                buffer.set_filled(before);
                this.wait.again();
                continue;
            }
            this.unread.store(true, Ordering::Relaxed);
            if let Some(refusal) = this.intake.take(buffer, before) {
                this.closing = Closing::Refusing(refusal.answer(this.peer, &this.access), 0);
            }
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wait.later();
        this.bounded(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wait.later();
        this.bounded(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes when all it had is written: what it has answered by now has gone.
        let ended = this.ended.load(Ordering::Acquire);
        let mut outcome = Pin::new(&mut this.stream).poll_flush(cx);
        // hyper flushes at every turn: that it has nothing to write says nothing of an answer it does not know of.
        if !this.shortcut.as_ref().is_some_and(Shortcut::is_writing) {
            outcome = this.bounded(outcome, cx);
        }
        if matches!(outcome, Poll::Ready(Ok(()))) {
            this.gone = ended;
        }
        outcome
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.closing {
                Closing::Refusing(bytes, written) if *written < bytes.len() => {
                    let outcome = Pin::new(&mut this.stream).poll_write(cx, &bytes[*written..]);
                    if let Poll::Ready(Ok(more)) = outcome {
                        *written += more;
                    }
                    if ready!(this.bounded(outcome, cx))? == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                }
                Closing::Refusing(..) => {
                    this.closing = Closing::Write;
                    // A request before it may have been read to its end; what is refused was not.
                    this.unread.store(true, Ordering::Relaxed);
                }
                Closing::Write => {
                    ready!(this.poll_out(cx))?;
                    let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
                    ready!(this.bounded(outcome, cx))?;
                    this.closing = if this.unread.load(Ordering::Relaxed) {
                        Closing::Lingering(Box::new(Linger::begin()))
                    } else {
                        Closing::Done
                    };
                }
                Closing::Lingering(linger) => {
                    ready!(linger.poll(&mut this.stream, cx));
                    this.closing = Closing::Done;
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Linger {
    fn begin() -> Self {
        Self {
            silence: Box::pin(tokio::time::sleep(LINGER_SILENCE)),
            deadline: Instant::now() + LINGER_TOTAL,
            buffer: vec![0; DISCARD_BYTES],
        }
    }

    /// Ready when there is nothing left to wait for. A failed read is the end, too.
    fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let now = Instant::now();
                    if now >= self.deadline {
                        return Poll::Ready(());
                    }
                    self.silence.as_mut().reset((now + LINGER_SILENCE).min(self.deadline));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.silence.as_mut().poll(cx),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(600);
    const HEADS: head::Limits = head::Limits { bytes: 1000, headers: 10 };
    const BOUNDS: Bounds = Bounds { heads: HEADS, head: LONG, stall: SOON };

    fn bounded<S>(stream: S, unread: &Unread, bounds: Bounds) -> Wire<S> {
        let ways = Ways { unread: Arc::clone(unread), ended: Ended::default() };
        Wire::new(stream, Peer { address: None }, None, None, ways, bounds)
    }

    fn wire<S>(stream: S, unread: &Unread) -> Wire<S> {
        bounded(stream, unread, BOUNDS)
    }

    #[tokio::test]
    async fn a_close_reads_on_until_the_client_closes() {
        let (mut client, server) = duplex(8);
        let mut wire = wire(server, &Unread::new(AtomicBool::new(true)));
        wire.write_all(b"no").await.unwrap();
        let closing = tokio::spawn(async move { wire.shutdown().await });
        // Far more than the pipe holds: without somebody who reads, this would not end.
        client.write_all(&[0; 100_000]).await.unwrap();
        assert!(!closing.is_finished());
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"no");
        drop(client);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_close_with_nothing_unread_is_at_once() {
        let (_client, server) = duplex(8);
        let mut wire = wire(server, &Unread::default());
        tokio::time::timeout(SOON, wire.shutdown()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_refused_head_is_an_end_and_then_an_answer() {
        let (mut client, server) = duplex(1000);
        let unread = Unread::default();
        let mut wire = wire(server, &unread);
        let good = b"GET / HTTP/1.0\r\n\r\n";
        client.write_all(good).await.unwrap();
        client.write_all(b"GET / HTTP/1.0\n\nmore").await.unwrap();
        let mut got = Vec::new();
        wire.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, good);
        wire.write_all(b"first ").await.unwrap();
        unread.store(false, Ordering::Relaxed);
        let closing = tokio::spawn(async move { wire.shutdown().await });
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("first HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(!closing.is_finished(), "the client may still be sending");
        drop(client);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_head_has_its_time_and_no_more() {
        const SOON: Duration = Duration::from_millis(200);
        let (mut client, server) = duplex(1000);
        let unread = Unread::default();
        let mut wire = bounded(server, &unread, Bounds { head: SOON, ..BOUNDS });
        let begun = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        let dripping = tokio::spawn(async move {
            for byte in b"st: a and some more".iter().cycle() {
                tokio::time::sleep(SOON / 8).await;
                if client.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        });
        let error = wire.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= SOON, "not before its time");
        drop(wire);
        dripping.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_is_answered_may_be_silent() {
        const SOON: Duration = Duration::from_millis(50);
        let (mut client, server) = duplex(1000);
        let unread = Unread::default();
        let mut wire = bounded(server, &unread, Bounds { head: SOON, ..BOUNDS });
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut got = [0; 27];
        wire.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, request);
        // Nothing comes while it is answered, however long that takes.
        let silent = tokio::time::timeout(4 * SOON, wire.read_u8()).await;
        assert!(silent.is_err(), "{silent:?}");
        wire.ended.fetch_add(1, Ordering::Release);
        let error = wire.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn reading_marks_and_a_stalled_write_fails() {
        let (mut client, server) = duplex(8);
        let unread = Unread::default();
        let mut wire = wire(server, &unread);
        let writing = tokio::spawn(async move {
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            client
        });
        let mut head = [0; 18];
        wire.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"GET / HTTP/1.0\r\n\r\n");
        let _client = writing.await.unwrap();
        assert!(unread.load(Ordering::Relaxed));
        let error = wire.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
