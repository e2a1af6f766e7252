//! The door: connections in, requests to `route`, and an orderly stop.
//!
//! A server is a function of listeners and a stop signal. Every connection is bounded: in number (a semaphore that is
//! taken before accepting), in time (`wire`, `request`, hyper's head time-out) and in memory (hyper's buffers, `intake`).
//! Heads of requests that could be read in two ways are not let in (`head`). What does not live here: anything of HTTP
//! beyond the connection and its framing.

mod accept;
mod connection;
mod framing;
pub(crate) mod fuzzing;
mod head;
mod intake;
mod lanes;
mod plain;
mod refusal;
mod shortcut;
mod wire;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::timeout,
};

pub use self::lanes::Lanes;
use crate::Front;

/// A socket that listens, and whether TLS is spoken on it.
pub struct Listener {
    /// Bound and listening.
    pub socket: TcpListener,
    /// The certificate and what goes with it; `None` for plain HTTP. ALPN, where configured, may offer `http/1.1` only.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// How far the server is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Taking connections and requests.
    Open,
    /// Taking neither; what runs may end.
    Draining,
    /// What runs still is dropped.
    Closed,
}

impl Phase {
    /// Waits until the server is past a phase; also when nobody is left to say so.
    async fn left(watched: &mut watch::Receiver<Phase>, phase: Phase) {
        let _ = watched.wait_for(|now| *now > phase).await;
    }
}

/// How long dropped connections are waited for; dropping takes no I/O.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves on these lanes until `stop` is ready; then takes no new connections and no new requests, lets running requests end for
/// `drain` at most, and drops what is left.
pub async fn run(
    front: Front,
    listeners: Vec<Listener>,
    lanes: &Arc<Lanes>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let (phase, watched) = watch::channel(Phase::Open);
    // Nothing is ever sent: every connection holds a sender, so the channel closes with the last of them.
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let slots =
        Arc::new(Semaphore::new(front.settings.connections_max.min(Semaphore::MAX_PERMITS)));
    let mut doors = JoinSet::new();
    for listener in listeners {
        let lobby = accept::Lobby {
            front: front.clone(),
            slots: Arc::clone(&slots),
            phase: watched.clone(),
            alive: alive.clone(),
        };
        doors.spawn(accept::take(listener, Arc::clone(lanes), lobby));
    }
    drop((alive, watched));
    stop.await;
    phase.send_replace(Phase::Draining);
    // The sockets close first: from here on, a client is refused rather than left waiting.
    while doors.join_next().await.is_some() {}
    if timeout(drain, all_gone.recv()).await.is_err() {
        tracing::warn!("connections are dropped: their requests did not end in time");
        phase.send_replace(Phase::Closed);
        let _ = timeout(DROP_TIMEOUT, all_gone.recv()).await;
    }
}
