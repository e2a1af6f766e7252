//! One connection, from the handshake to the close. Its requests go to `route`.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
};

use futures_util::future::Either;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Phase,
    accept::Lobby,
    head,
    wire::{Bounds, Unread, Wire},
};
use crate::{Front, Peer, access::Counted, route};

/// Bytes that hyper may buffer of a connection, each way. Bodies come in frames of this size at most.
const BUFFER_BYTES: usize = 256 * 1024;

/// Headers of a request that hyper takes unless it is told otherwise.
const HEADERS_MAX: usize = 100;

/// Serves a connection until either side ends it.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    peer: Peer,
    lobby: &Lobby,
) {
    // Without it a small answer waits for the acknowledgement of the one before: 44 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let Some(tls) = tls else { return speak(stream, peer, lobby).await };
    let handshake = Box::pin(TlsAcceptor::from(tls).accept(stream));
    let mut phase = lobby.phase.clone();
    let shaken = tokio::select! {
        biased;
        () = Phase::left(&mut phase, Phase::Open) => return,
        shaken = timeout(lobby.front.settings.tls_handshake_timeout, handshake) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => speak(stream, peer, lobby).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// Speaks HTTP/1.1 over a stream.
async fn speak<S>(stream: S, peer: Peer, lobby: &Lobby)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = &lobby.front.settings;
    let unread = Unread::default();
    let heads = head::Limits {
        bytes: settings.request_head_bytes_max,
        headers: settings.request_headers_max,
    };
    let bounds = Bounds { heads, stall: settings.answer_idle_timeout };
    let wire = Wire::new(stream, peer, lobby.front.access.clone(), unread.clone(), bounds);
    let desk = Desk { front: lobby.front.clone(), peer, unread };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_read_timeout)
        .max_header_size(settings.request_head_bytes_max)
        .max_buf_size(BUFFER_BYTES)
        // A client that has sent its request may close its half and still wants the answer.
        .half_close(true)
        // Published shell scripts look for `X-Agile-Token:` in that spelling.
        .title_case_headers(true);
    // Set only where it differs: hyper keeps the headers of every request on the heap then.
    if settings.request_headers_max != HEADERS_MAX {
        http.max_headers(settings.request_headers_max);
    }
    let mut connection = pin!(http.serve_connection(TokioIo::new(wire), desk));
    let mut phase = lobby.phase.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = Phase::left(&mut phase, Phase::Open) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = Phase::left(&mut phase, Phase::Draining) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

type Answered = Result<Response<Counted>, Infallible>;

/// Where hyper hands requests in.
struct Desk {
    front: Front,
    peer: Peer,
    unread: Unread,
}

impl Service<Request<Incoming>> for Desk {
    type Response = Response<Counted>;
    type Error = Infallible;
    /// Most answers that are kept need no future, and so no memory for one.
    type Future = Either<Ready<Answered>, Pin<Box<dyn Future<Output = Answered> + Send>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if let Some(reply) = route::at_once(&self.front, self.peer, &request) {
            self.unread.store(false, Ordering::Relaxed);
            return Either::Left(ready(Ok(reply)));
        }
        let (front, peer, unread) = (self.front.clone(), self.peer, self.unread.clone());
        Either::Right(Box::pin(async move {
            let (reply, finished) = route::answer(&front, peer, request).await;
            if finished {
                unread.store(false, Ordering::Relaxed);
            }
            Ok(reply)
        }))
    }
}
