//! The body of every answer, and what all of them say.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use http::{
    HeaderMap, HeaderValue,
    header::{SERVER, X_CONTENT_TYPE_OPTIONS},
};
use http_body::{Frame, SizeHint};
use ops::model::Error;

use crate::cors;
pub(crate) use crate::request::Request;

/// An answer as hyper takes it.
pub(crate) type Reply = http::Response<Body>;

/// Adds what every answer says, whichever room it comes from. One that has it already is left alone.
pub(crate) fn dress(headers: &mut HeaderMap) {
    if headers.contains_key(SERVER) {
        return;
    }
    cors::allow(headers);
    headers.insert(SERVER, HeaderValue::from_static("headwater"));
    // Whatever is answered is what its type says, and nothing that a browser makes of it.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Bytes in memory, or a stream. A stream that fails ends the connection: the client sees a body that is shorter than
/// announced, or chunks without their end, never a wrong one that looks whole.
pub(crate) enum Body {
    /// All of it, or nothing.
    Whole(Option<Bytes>),
    /// `left` bytes to come.
    Stream { left: u64, source: Source },
    /// Nobody knows how many bytes; sent in chunks, so not to be used for HTTP/1.0.
    Open(Source),
}

type Source = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

impl Body {
    /// No body.
    pub(crate) fn empty() -> Self {
        Body::Whole(None)
    }

    /// A body in memory.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Body::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// A body of `len` bytes that comes as it is polled.
    pub(crate) fn stream(
        len: u64,
        source: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    ) -> Self {
        Body::Stream { left: len, source: Box::pin(source) }
    }

    /// A body that ends when it ends.
    pub(crate) fn open(source: impl Stream<Item = Result<Bytes, Error>> + Send + 'static) -> Self {
        Body::Open(Box::pin(source))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Body::Open(source) => {
                source.as_mut().poll_next(cx).map(|next| next.map(|bytes| bytes.map(Frame::data)))
            }
            Body::Stream { left, source } => match source.as_mut().poll_next(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) if *left > 0 => {
                    Poll::Ready(Some(Err(Error::Damaged("content ended early".to_owned()))))
                }
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e))),
                Poll::Ready(Some(Ok(bytes))) => {
                    *left = left.saturating_sub(bytes.len() as u64);
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Stream { left, .. } => *left == 0,
            Body::Open(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Body::Stream { left, .. } => SizeHint::with_exact(*left),
            Body::Open(_) => SizeHint::default(),
        }
    }
}
