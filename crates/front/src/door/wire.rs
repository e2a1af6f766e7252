//! The byte stream under hyper: bounds a client that takes nothing, and closes so that the client gets to read the last
//! answer.
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
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// How long a client may be silent in a lingering close.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
/// How long a lingering close may take in all.
const LINGER_TOTAL: Duration = Duration::from_secs(30);
/// Bytes discarded at a time.
const DISCARD_BYTES: usize = 64 * 1024;

/// Whether bytes of the client may be left unread: set by every read, cleared when a request was read to its end.
pub(super) type Unread = Arc<AtomicBool>;

/// A stream with bounds.
pub(super) struct Wire<S> {
    stream: S,
    unread: Unread,
    stall_bound: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    stalled: bool,
    closing: Closing,
}

/// How far the close has come.
enum Closing {
    /// Not begun, or the write half is being shut down.
    Write,
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
    /// A stream whose client may take nothing for `stall_bound`.
    pub(super) fn new(stream: S, unread: Unread, stall_bound: Duration) -> Self {
        Self { stream, unread, stall_bound, stall: None, stalled: false, closing: Closing::Write }
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

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            this.unread.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
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
        this.bounded(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.bounded(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.bounded(outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.closing {
                Closing::Write => {
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

    #[tokio::test]
    async fn a_close_reads_on_until_the_client_closes() {
        let (mut client, server) = duplex(8);
        let mut wire = Wire::new(server, Unread::new(AtomicBool::new(true)), SOON);
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
        let mut wire = Wire::new(server, Unread::default(), SOON);
        tokio::time::timeout(SOON, wire.shutdown()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn reading_marks_and_a_stalled_write_fails() {
        let (mut client, server) = duplex(8);
        let unread = Unread::default();
        let mut wire = Wire::new(server, Arc::clone(&unread), SOON);
        client.write_all(b"x").await.unwrap();
        assert_eq!(wire.read_u8().await.unwrap(), b'x');
        assert!(unread.load(Ordering::Relaxed));
        let error = wire.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
