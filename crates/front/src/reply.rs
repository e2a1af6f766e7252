//! The body of every answer, and what all of them say.

use std::{
    ops::Range,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{SERVER, X_CONTENT_TYPE_OPTIONS},
};
use http_body::{Frame, SizeHint};
use ops::model::Error;

use crate::cors;
use crate::outlet::{AsFile, Outlet};
pub(crate) use crate::request::Request;

/// Headers that most answers have, at most.
const HEADERS: usize = 24;

/// An answer as hyper takes it.
pub(crate) type Reply = http::Response<Body>;

/// An answer with room for as many headers as answers have.
pub(crate) fn new(body: Body) -> Reply {
    let mut reply = Reply::new(body);
    *reply.headers_mut() = HeaderMap::with_capacity(HEADERS);
    reply
}

/// An answer as it goes over the wire, but for the date and the empty line after its head.
pub(crate) struct Kept {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Status line and headers, as they are for every request of this kind, but for [`common`].
    pub(crate) head: Bytes,
    /// Headers of this answer alone.
    pub(crate) own: Vec<u8>,
    /// Its body.
    pub(crate) body: KeptBody,
}

/// The body of such an answer.
pub(crate) enum KeptBody {
    /// In memory.
    Bytes(Bytes),
    /// These bytes of what leaves as a file.
    File(Arc<dyn AsFile>, Range<u64>),
}

/// The head of an answer with these headers, but for those that every answer has ([`common`]), the date and the empty line: in
/// the spelling in which hyper writes it, because published shell scripts look for `X-Agile-Token:`.
pub(crate) fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = Vec::with_capacity(512);
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    spell(headers, &mut bytes);
    bytes
}

/// The lines that every answer has, likewise.
pub(crate) fn common() -> &'static [u8] {
    static DRESS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let (mut headers, mut lines) = (HeaderMap::new(), Vec::new());
        dress(&mut headers);
        spell(&headers, &mut lines);
        lines
    });
    &DRESS
}

fn spell(headers: &HeaderMap, bytes: &mut Vec<u8>) {
    for (name, value) in headers {
        let begin = bytes.len();
        bytes.extend_from_slice(name.as_str().as_bytes());
        let mut first = true;
        for byte in &mut bytes[begin..] {
            if first {
                byte.make_ascii_uppercase();
            }
            first = *byte == b'-';
        }
        for part in [b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
}

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
    /// As `Stream`, of a source that may leave as files.
    Files { left: u64, source: Pin<Box<dyn Files>> },
}

/// A stream of bytes of files, which may leave as files where there is an outlet for them.
pub(crate) trait Files: Stream<Item = Result<Bytes, Error>> + Send {
    /// Gives marks of this outlet from now on. To be called before the first poll.
    fn leave_by(self: Pin<&mut Self>, outlet: &Outlet);
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

    /// A body of `len` bytes of files.
    pub(crate) fn files(len: u64, source: impl Files + 'static) -> Self {
        Body::Files { left: len, source: Box::pin(source) }
    }

    /// Lets what are files leave as files.
    pub(crate) fn leave_by(&mut self, outlet: &Outlet) {
        if let Body::Files { source, .. } = self
            && Outlet::is_open()
        {
            source.as_mut().leave_by(outlet);
        }
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
            Body::Stream { left, source } => counted(left, source.as_mut().poll_next(cx)),
            Body::Files { left, source } => counted(left, source.as_mut().poll_next(cx)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Stream { left, .. } | Body::Files { left, .. } => *left == 0,
            Body::Open(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Body::Stream { left, .. } | Body::Files { left, .. } => SizeHint::with_exact(*left),
            Body::Open(_) => SizeHint::default(),
        }
    }
}

/// The frame of what a source gave, counted down.
fn counted(
    left: &mut u64,
    next: Poll<Option<Result<Bytes, Error>>>,
) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
    next.map(|next| match next {
        None if *left > 0 => Some(Err(Error::Damaged("content ended early".to_owned()))),
        None => None,
        Some(Err(error)) => Some(Err(error)),
        Some(Ok(bytes)) => {
            *left = left.saturating_sub(bytes.len() as u64);
            Some(Ok(Frame::data(bytes)))
        }
    })
}
