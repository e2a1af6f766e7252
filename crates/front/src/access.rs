//! The access log: exactly one line a request, written when its answer has gone or was given up; also one for a head
//! that was not let in.
//!
//! Never in it: the query string (signed URLs, tokens), header values other than our own status, and anything of a body.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Method, StatusCode, header::HeaderName};
use http_body::{Frame, SizeHint};
use ops::model::Error;

use crate::{
    Peer,
    outlet::Outlet,
    reply::{Body, Reply},
    request::Meter,
};

const STATUS: HeaderName = HeaderName::from_static("x-agile-status");

/// The line of a head that was not let in. Of such a head nothing is quoted.
pub(crate) fn head_refused(peer: Peer, status: StatusCode, why: &'static str) {
    let from = peer.address.map(|address| address.ip().to_string());
    tracing::info!(
        target: "access",
        id = "-",
        from = from.as_deref().unwrap_or("-"),
        method = "-",
        path = "-",
        status = status.as_u16(),
        code = "-",
        bytes_in = 0,
        bytes_out = 0,
        ms = 0,
        why,
        "request"
    );
}

/// A request's line. It is written when it is dropped.
pub(crate) struct Line {
    id: u64,
    peer: Peer,
    method: Method,
    path: String,
    begun: Instant,
    meter: Arc<Meter>,
    /// Of the answer; `None` as long as there is none.
    status: Option<u16>,
    code: Option<String>,
    sent: u64,
}

impl Line {
    /// Begins the line of a request.
    pub(crate) fn begin<B>(peer: Peer, request: &http::Request<B>, meter: Arc<Meter>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            peer,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            begun: Instant::now(),
            meter,
            status: None,
            code: None,
            sent: 0,
        }
    }

    /// What everything else that is logged about this request carries.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::info_span!("request", id = format_args!("{:x}", self.id))
    }

    /// The answer, with this line attached to its body.
    pub(crate) fn attach(mut self, reply: Reply) -> http::Response<Counted> {
        self.status = Some(reply.status().as_u16());
        let code = reply.headers().get(STATUS).and_then(|code| code.to_str().ok());
        self.code = code.map(str::to_owned);
        reply.map(|body| Counted { body, line: self })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let from = self.peer.address.map(|address| address.ip().to_string());
        tracing::info!(
            target: "access",
            id = format_args!("{:x}", self.id),
            from = from.as_deref().unwrap_or("-"),
            method = %self.method,
            path = %self.path,
            // 499: the client went away, or the server stopped, before there was an answer.
            status = self.status.unwrap_or(499),
            code = self.code.as_deref().unwrap_or("-"),
            bytes_in = self.meter.bytes(),
            bytes_out = self.sent,
            ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

/// An answer's body that counts itself into the line it carries.
pub(crate) struct Counted {
    body: Body,
    line: Line,
}

impl Counted {
    /// [`Body::leave_by`].
    pub(crate) fn leave_by(&mut self, outlet: &Outlet) {
        self.body.leave_by(outlet);
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.line.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
