//! The access log: exactly one line a request, written when its answer has gone or was given up; also one for a head
//! that was not let in.
//!
//! Never in it: the query string (signed URLs, tokens), header values other than our own status, and anything of a body.

use std::{
    net::IpAddr,
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
    Front, Peer,
    outlet::Outlet,
    reply::{Body, Reply},
    request::Meter,
};

const STATUS: HeaderName = HeaderName::from_static("x-agile-status");

/// One line, before it is written.
#[derive(Debug, Clone, Copy)]
pub struct AccessLine<'a> {
    /// The request's number since the server started; `None` where there was no request.
    pub id: Option<u64>,
    /// The client's address.
    pub from: Option<IpAddr>,
    /// As it was sent.
    pub method: &'a str,
    /// As it was sent, percent-encoding untouched; without the query.
    pub path: &'a str,
    /// 499: the client went away, or the server stopped, before there was an answer.
    pub status: u16,
    /// `X-Agile-Status`, where the answer has it.
    pub code: Option<&'a str>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// From the head to the end of the answer, in milliseconds.
    pub ms: u64,
    /// Why a head was not let in.
    pub why: Option<&'static str>,
}

/// Where lines go. Called from threads that serve: it must not block.
pub trait AccessLog: Send + Sync {
    /// Writes a line.
    fn write(&self, line: &AccessLine<'_>);
}

/// The access log, unless there is none.
pub(crate) type Access = Option<Arc<dyn AccessLog>>;

/// The line of a head that was not let in. Of such a head nothing is quoted.
pub(crate) fn head_refused(access: &Access, peer: Peer, status: StatusCode, why: &'static str) {
    let Some(access) = access else { return };
    access.write(&AccessLine {
        id: None,
        from: peer.address.map(|address| address.ip()),
        method: "-",
        path: "-",
        status: status.as_u16(),
        code: None,
        bytes_in: 0,
        bytes_out: 0,
        ms: 0,
        why: Some(why),
    });
}

tokio::task_local! {
    static REQUEST: u64;
}

/// The number of the request that is being answered here: what everything else that is logged about it carries, too.
pub fn request_id() -> Option<u64> {
    REQUEST.try_with(|id| *id).ok()
}

/// Which request this is done for, for what goes on after the answer was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(Option<u64>);

impl Ticket {
    /// The request that is being answered here.
    pub(crate) fn current() -> Self {
        Self(request_id())
    }

    /// Does something, such as logging, for that request.
    pub(crate) fn within<T>(self, work: impl FnOnce() -> T) -> T {
        match self.0 {
            Some(id) => REQUEST.sync_scope(id, work),
            None => work(),
        }
    }
}

/// A request's line. It is written when it is dropped.
pub(crate) struct Line {
    front: Front,
    id: u64,
    peer: Peer,
    method: Method,
    path: String,
    begun: Instant,
    /// What came of its body, if it has one.
    meter: Option<Arc<Meter>>,
    /// Of the answer; `None` as long as there is none.
    status: Option<u16>,
    code: Option<String>,
    sent: u64,
    /// Counts the answers of its connection that are given.
    ended: Option<Arc<AtomicU64>>,
}

impl Line {
    /// Begins the line of a request.
    pub(crate) fn begin<B>(
        front: &Front,
        peer: Peer,
        request: &http::Request<B>,
        meter: Arc<Meter>,
    ) -> Self {
        let (method, path) = (request.method().clone(), request.uri().path());
        Self::new(front, peer, method, path, Some(meter))
    }

    /// Begins the line of a request without a body; `None`: that is no method.
    pub(crate) fn of(front: &Front, peer: Peer, method: &str, path: &str) -> Option<Self> {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        Some(Self::new(front, peer, method, path, None))
    }

    fn new(
        front: &Front,
        peer: Peer,
        method: Method,
        path: &str,
        meter: Option<Arc<Meter>>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            front: front.clone(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            peer,
            method,
            path: path.to_owned(),
            begun: Instant::now(),
            meter,
            status: None,
            code: None,
            sent: 0,
            ended: None,
        }
    }

    /// It is answered with this status.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }

    /// So many bytes of the answer's body have gone.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent = bytes as u64;
    }

    /// The request's, for what is done after the answer was begun.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(Some(self.id))
    }

    /// Answers the request: what is logged meanwhile carries its number.
    pub(crate) fn answering<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        REQUEST.scope(self.id, work)
    }

    /// The answer, with this line attached to its body.
    pub(crate) fn attach(mut self, reply: Reply) -> http::Response<Counted> {
        self.answered(reply.status());
        let code = reply.headers().get(STATUS).and_then(|code| code.to_str().ok());
        self.code = code.map(str::to_owned);
        reply.map(|body| Counted { body, line: self })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(ended) = &self.ended {
            ended.fetch_add(1, Ordering::Release);
        }
        let Some(access) = &self.front.access else { return };
        access.write(&AccessLine {
            id: Some(self.id),
            from: self.peer.address.map(|address| address.ip()),
            method: self.method.as_str(),
            path: &self.path,
            status: self.status.unwrap_or(499),
            code: self.code.as_deref(),
            bytes_in: self.meter.as_deref().map_or(0, Meter::bytes),
            bytes_out: self.sent,
            ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            why: None,
        });
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

impl Counted {
    /// Has the answer counted when it is given, or given up.
    pub(crate) fn tell(&mut self, ended: &Arc<AtomicU64>) {
        self.line.ended = Some(Arc::clone(ended));
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
