//! How requests to the object store travel: the same HTTP and TLS as every other request of this server, with a time-out on
//! progress.
//!
//! What lives here: the connections, and for how long nothing may happen on one. What does not: what is asked, signing,
//! and trying again (the `object_store` crate). The invariants: a request on which nothing moves for [`IDLE`] ends, one
//! on which something moves does not, however slow; no text of an error holds an address with a query, a header or a
//! body.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// For a connection, name resolution and TLS included.
const CONNECT: Duration = Duration::from_secs(2);
/// How long nothing may move: no byte of the request taken, none of the answer come. Below the 5 seconds in which a client
/// is told that the store is away; no second try fits in after it.
const IDLE: Duration = Duration::from_secs(4);
/// How often in that time is looked whether a request goes out still.
const LOOKS: u32 = 8;
/// Connections that are kept open while nothing is asked, and for how long.
const IDLE_PER_HOST_MAX: usize = 64;
const IDLE_TIME: Duration = Duration::from_secs(20);
/// What of a request's body counts as progress when it is taken: small enough for a slow line.
const PROGRESS_BYTES: usize = 64 * 1024;

/// Connects to an object store.
#[derive(Debug, Clone, Default)]
pub(super) struct Connector {
    /// Requests made so far.
    pub requests: Arc<AtomicU64>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let generic = |source| object_store::Error::Generic { store: "HTTP", source };
        let tls = outbound::trusting_the_system().map_err(|e| generic(Box::new(e)))?;
        let http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(http.as_deref() != Some("true"))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT)
            .tcp_user_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_idle_timeout(IDLE_TIME)
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| generic(Box::new(e)))?;
        Ok(HttpClient::new(Service { client, requests: Arc::clone(&self.requests) }))
    }
}

#[derive(Debug)]
struct Service {
    client: reqwest::Client,
    requests: Arc<AtomicU64>,
}

/// The store has no room.
#[derive(Debug)]
pub(super) struct StoreFull;

impl fmt::Display for StoreFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object store has no room")
    }
}

impl std::error::Error for StoreFull {}

/// The object has no byte in the range that was asked for.
#[derive(Debug)]
pub(super) struct NoSuchRange;

impl fmt::Display for NoSuchRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object has no byte in that range")
    }
}

impl std::error::Error for NoSuchRange {}

/// Nothing moved for [`IDLE`].
#[derive(Debug)]
struct Stalled;

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing moved for too long")
    }
}

impl std::error::Error for Stalled {}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.requests.fetch_add(1, Relaxed);
        let (parts, body) = request.into_parts();
        let url = url::Url::parse(&parts.uri.to_string())
            .map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let taken = Arc::new(AtomicU64::new(0));
        if body.content_length() > 0 {
            let outgoing = Outgoing { body, frame: Bytes::new(), taken: Arc::clone(&taken) };
            *request.body_mut() = Some(reqwest::Body::wrap(outgoing));
        }
        let answer = while_moving(&taken, self.client.execute(request)).await?.map_err(failed)?;
        let answer: http::Response<reqwest::Body> = answer.into();
        // Two facts that the library has no word for.
        match answer.status() {
            StatusCode::INSUFFICIENT_STORAGE => {
                return Err(HttpError::new(HttpErrorKind::Unknown, StoreFull));
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(HttpError::new(HttpErrorKind::Unknown, NoSuchRange));
            }
            _ => {}
        }
        Ok(answer.map(|body| {
            HttpResponseBody::new(Incoming { body, stalled: Box::pin(sleep(IDLE)), waits: false })
        }))
    }
}

/// Waits for an answer as long as the request goes out.
async fn while_moving<T>(taken: &AtomicU64, work: impl Future<Output = T>) -> Result<T, HttpError> {
    let mut work = pin!(work);
    let (mut seen, mut looks) = (0, 0);
    while looks < LOOKS {
        if let Ok(done) = timeout(IDLE / LOOKS, &mut work).await {
            return Ok(done);
        }
        let now = taken.load(Relaxed);
        looks = if now == seen { looks + 1 } else { 0 };
        seen = now;
    }
    Err(HttpError::new(HttpErrorKind::Timeout, Stalled))
}

/// What became of a request that was not answered. All our requests may be made again: objects are written once, under
/// names of their own, and whoever completes an upload looks whether an answer that was lost said that it is there.
fn failed(e: reqwest::Error) -> HttpError {
    let kind = if e.is_timeout() {
        HttpErrorKind::Timeout
    } else if e.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Request
    };
    HttpError::new(kind, e.without_url())
}

/// The body of a request, in frames that show how it is taken.
struct Outgoing {
    body: HttpRequestBody,
    frame: Bytes,
    taken: Arc<AtomicU64>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.frame.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.frame = frame.into_data().unwrap_or_default();
                }
                other => return other,
            }
        }
        self.taken.fetch_add(1, Relaxed);
        let len = self.frame.len().min(PROGRESS_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.frame.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.frame.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint().exact().unwrap_or(0);
        SizeHint::with_exact(rest + self.frame.len() as u64)
    }
}

/// The body of an answer. Time counts only while somebody waits for it: a client that takes its bytes slowly does no harm.
struct Incoming {
    body: reqwest::Body,
    stalled: Pin<Box<Sleep>>,
    waits: bool,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waits = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(failed)));
        }
        if !self.waits {
            self.waits = true;
            self.stalled.as_mut().reset(Instant::now() + IDLE);
        }
        match self.stalled.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Stalled))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
