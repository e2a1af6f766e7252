//! Requests as rooms take them, and the body of every request: hyper's, with a bound on its pauses and a count of what came.
//!
//! A body fails in one way only, [`Error::BodyCut`]: the client went away, sent less than it said, sent broken chunks,
//! or paused for too long. hyper asks a client for its body (`100 Continue`) at the first poll, so a room that refuses a
//! request must not poll it.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use ops::model::Error;
use tokio::time::{Instant, Sleep};

/// A request as the rooms take it.
pub(crate) type Request = http::Request<RequestBody>;

/// A GET or HEAD that asks for a file and shows nothing: no body, no token, no query.
pub(crate) struct Plain<'a> {
    /// `GET` or `HEAD`.
    pub(crate) method: &'a str,
    /// As it was spelled.
    pub(crate) host: &'a [u8],
    /// As it was spelled.
    pub(crate) path: &'a str,
    /// Its `If-None-Match`, `If-Modified-Since` and `Range`.
    pub(crate) asked: HeaderMap,
    /// Whether the answer may leave as a file.
    pub(crate) files: bool,
}

/// What is known of a request's body from outside, while a room has it and afterwards.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    finished: AtomicBool,
}

impl Meter {
    /// Bytes that came, framing not counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the body was read to its end.
    pub(crate) fn finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

/// A request's body.
pub(crate) struct RequestBody {
    inner: Incoming,
    meter: Arc<Meter>,
    idle: Duration,
    /// Made at the first pause; most bodies never pause.
    pause: Option<Pin<Box<Sleep>>>,
    paused: bool,
}

impl RequestBody {
    /// A body that may pause for `idle`.
    pub(crate) fn new(inner: Incoming, meter: Arc<Meter>, idle: Duration) -> Self {
        meter.finished.store(http_body::Body::is_end_stream(&inner), Ordering::Relaxed);
        Self { inner, meter, idle, pause: None, paused: false }
    }

    /// Whether the pause that is going on is over its bound.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.idle)));
        if !self.paused {
            pause.as_mut().reset(Instant::now() + self.idle);
            self.paused = true;
        }
        pause.as_mut().poll(cx)
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            ready!(this.poll_pause(cx));
            tracing::debug!("a request's body paused for too long");
            return Poll::Ready(Some(Err(Error::BodyCut)));
        };
        this.paused = false;
        let frame = match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => {
                tracing::debug!(%error, "a request's body ended early");
                return Poll::Ready(Some(Err(Error::BodyCut)));
            }
            None => None,
        };
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            this.meter.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        if frame.is_none() || http_body::Body::is_end_stream(&this.inner) {
            this.meter.finished.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.inner)
    }
}
