//! One connection, from the handshake to the close. Its requests go to `route`.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::TokioIo;
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
    plain::Plain,
    shortcut::Shortcut,
    wire::{Bounds, Ended, Unread, Ways, Wire},
};
use crate::{Front, Peer, access::Counted, outlet::Outlet, route};

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
    let Some(tls) = tls else {
        let (stream, outlet) = Plain::new(stream);
        return speak(stream, peer, Some(outlet), lobby).await;
    };
    let handshake = Box::pin(TlsAcceptor::from(tls).accept(stream));
    let mut phase = lobby.phase.clone();
    let shaken = tokio::select! {
        biased;
        () = Phase::left(&mut phase, Phase::Open) => return,
        shaken = timeout(lobby.front.settings.tls_handshake_timeout, handshake) => shaken,
    };
    match shaken {
        // What is encrypted is read: the system has no keys to send files with.
        Ok(Ok(stream)) => speak(stream, peer, None, lobby).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// Speaks HTTP/1.1 over a stream; files leave by the outlet, where there is one.
async fn speak<S>(stream: S, peer: Peer, outlet: Option<Outlet>, lobby: &Lobby)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = &lobby.front.settings;
    let unread = Unread::default();
    let heads = head::Limits {
        bytes: settings.request_head_bytes_max,
        headers: settings.request_headers_max,
    };
    let bounds =
        Bounds { heads, head: settings.header_read_timeout, stall: settings.answer_idle_timeout };
    let ended = Ended::default();
    let front = &lobby.front;
    let shortcut = Shortcut::new(front.clone(), peer, heads, outlet.clone());
    let ways = Ways { unread: unread.clone(), ended: ended.clone() };
    let wire = Wire::new(stream, peer, front.access.clone(), Some(shortcut), ways, bounds);
    let desk = Desk { front: lobby.front.clone(), peer, unread, ended, outlet };
    let mut http = http1::Builder::new();
    // The wire keeps the time of heads: it sees those, too, that hyper does not.
    http.header_read_timeout(None)
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

/// Where hyper hands requests in.
struct Desk {
    front: Front,
    peer: Peer,
    unread: Unread,
    ended: Ended,
    outlet: Option<Outlet>,
}

impl Service<Request<Incoming>> for Desk {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (front, peer, unread) = (self.front.clone(), self.peer, self.unread.clone());
        let (outlet, ended) = (self.outlet.clone(), self.ended.clone());
        Box::pin(async move {
            let (mut reply, finished) = route::answer(&front, peer, request).await;
            if let Some(outlet) = outlet {
                reply.body_mut().leave_by(&outlet);
            }
            reply.body_mut().tell(&ended);
            if finished {
                unread.store(false, Ordering::Relaxed);
            }
            Ok(reply)
        })
    }
}
