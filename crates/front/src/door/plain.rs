//! A TCP stream that sends files where it is given their marks (`outlet`).
//!
//! What does not live here: bounds and the close (`wire`, which stands above), what is sent (`egress`). The invariants: a
//! part of a file is verified right before it is handed to the system; no byte of a mark is ever written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ops::{FileSpan, model::Error};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::outlet::{AsFile, Leaving, Outlet, Spanning, is_mark};

/// Bytes of a file that are verified ahead where that takes a disk.
const AHEAD_BYTES: u64 = 256 * 1024;
/// How long what was verified ahead may wait for the client; the engine's promise is longer.
const AHEAD_GOOD_FOR: Duration = Duration::from_secs(1);

/// A TCP stream with an outlet.
pub(super) struct Plain {
    stream: TcpStream,
    outlet: Outlet,
    ahead: Option<Ahead>,
}

/// A part of a file that is being verified on another thread.
struct Ahead {
    file: Arc<dyn AsFile>,
    at: u64,
    state: State,
}

enum State {
    Coming(Spanning),
    Here(Instant, Result<FileSpan, Error>),
}

impl Ahead {
    fn begin(leaving: &Leaving, at: u64) -> Self {
        let len = usize::try_from((leaving.end - at).min(AHEAD_BYTES)).unwrap_or(leaving.len);
        let state = State::Coming(Arc::clone(&leaving.file).span(at, len));
        Self { file: Arc::clone(&leaving.file), at, state }
    }

    /// Whether it is what is to be sent next, and recent enough.
    fn is_for(&self, leaving: &Leaving) -> bool {
        let recent = match &self.state {
            State::Coming(_) => true,
            State::Here(when, _) => when.elapsed() < AHEAD_GOOD_FOR,
        };
        recent && self.at == leaving.from && Arc::ptr_eq(&self.file, &leaving.file)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Coming(coming) = &mut self.state {
            let result = ready!(coming.as_mut().poll(cx));
            self.state = State::Here(Instant::now(), result);
        }
        Poll::Ready(())
    }
}

impl Plain {
    /// Around a stream; with the outlet that leads to it.
    pub(super) fn new(stream: TcpStream) -> (Self, Outlet) {
        let outlet = Outlet::default();
        (Self { stream, outlet: outlet.clone(), ahead: None }, outlet)
    }

    /// The part that a mark stands for, verified: the beginning of it at least.
    fn poll_span(&mut self, cx: &mut Context<'_>, mark: &[u8]) -> Poll<io::Result<FileSpan>> {
        let leaving = self.outlet.first(mark)?;
        let Leaving { from, len, end, .. } = leaving;
        let result = loop {
            if let Some(mut ahead) = self.ahead.take_if(|ahead| ahead.is_for(&leaving)) {
                if ahead.poll(cx).is_pending() {
                    self.ahead = Some(ahead);
                    return Poll::Pending;
                }
                let State::Here(_, result) = ahead.state else { continue };
                if let Ok(span) = &result {
                    // The disk is worked while this part is sent.
                    let next = from + span.len as u64;
                    if next < end {
                        let mut ahead = Ahead::begin(&leaving, next);
                        let _begun = ahead.poll(cx);
                        self.ahead = Some(ahead);
                    }
                }
                break result;
            }
            match leaving.file.span_now(from, len) {
                Some(result) => break result,
                None => self.ahead = Some(Ahead::begin(&leaving, from)),
            }
        };
        match result {
            Ok(span) => Poll::Ready(Ok(FileSpan { len: span.len.min(len), ..span })),
            Err(error) => {
                leaving.ticket.within(|| {
                    tracing::error!(%error, "reading content failed, the connection is cut");
                });
                Poll::Ready(Err(io::Error::other(error)))
            }
        }
    }

    fn poll_send_file(&self, cx: &mut Context<'_>, span: &FileSpan) -> Poll<io::Result<usize>> {
        let send = || {
            let mut at = span.offset;
            Ok(rustix::fs::sendfile(&self.stream, &span.file, Some(&mut at), span.len)?)
        };
        let sent = ready!(self.poll_send(cx, send));
        match &sent {
            Ok(0) => {
                tracing::error!("a file that is being sent was cut short, the connection is cut");
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(sent) => self.outlet.sent(*sent),
            Err(error) => {
                let errno = error.raw_os_error().map(Errno::from_raw_os_error);
                if matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) {
                    tracing::warn!(%error, "the file system does not let files be sent, they are read");
                    Outlet::close();
                }
            }
        }
        Poll::Ready(sent)
    }

    /// Writes bytes that a file follows: they go out together.
    fn poll_send_before(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let send = || {
            let mut nothing = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(&self.stream, slices, &mut nothing, flags)?)
        };
        self.poll_send(cx, send)
    }

    /// Does `send` when the socket takes bytes.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_io(Interest::WRITABLE, &mut send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Where hyper would write without vectors it would have copied marks into these bytes.
        if is_mark(bytes) || !this.outlet.is_empty() {
            return Poll::Ready(Err(io::Error::other("a mark would be written")));
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(at) = slices.iter().position(|slice| is_mark(slice)) else {
            return Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        };
        let before = &slices[..at];
        let len: usize = before.iter().map(|slice| slice.len()).sum();
        let span = match this.poll_span(cx, &slices[at]) {
            Poll::Ready(Ok(span)) => span,
            // What stands before it does not wait for it, nor fail with it.
            _ if len > 0 => return Pin::new(&mut this.stream).poll_write_vectored(cx, before),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        let mut sent = 0;
        if len > 0 {
            sent = ready!(this.poll_send_before(cx, before))?;
            if sent < len {
                return Poll::Ready(Ok(sent));
            }
        }
        match this.poll_send_file(cx, &span) {
            Poll::Ready(Ok(more)) => Poll::Ready(Ok(sent + more)),
            // Told again at the next call, which has nothing before the file.
            _ if sent > 0 => Poll::Ready(Ok(sent)),
            other => other,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
