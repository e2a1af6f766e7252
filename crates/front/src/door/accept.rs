//! Accepting connections: one loop a listener. It never ends before the server does, whatever `accept` says.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{Lanes, Listener, Phase, connection};
use crate::{Front, Peer};

/// How long a loop rests when the system is out of something: descriptors, memory.
const EXHAUSTED_REST: Duration = Duration::from_millis(100);

/// What every connection of a listener gets.
#[derive(Clone)]
pub(super) struct Lobby {
    pub(super) front: Front,
    pub(super) slots: Arc<Semaphore>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Held by every connection: see `run`.
    pub(super) alive: mpsc::Sender<()>,
}

/// Accepts until the server stops. Connections do not hold the lanes: whoever is the last to must be on none of them.
pub(super) async fn take(listener: Listener, lanes: Arc<Lanes>, lobby: Lobby) {
    let mut phase = lobby.phase.clone();
    loop {
        let slot = tokio::select! {
            biased;
            () = Phase::left(&mut phase, Phase::Open) => return,
            slot = Arc::clone(&lobby.slots).acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return };
        let accepted = tokio::select! {
            biased;
            () = Phase::left(&mut phase, Phase::Open) => return,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer { address: Some(address) };
                let admitted =
                    admit(&lanes, stream, listener.tls.clone(), peer, lobby.clone(), slot);
                if let Err(error) = admitted {
                    tracing::warn!(%error, "a connection could not be handed on");
                }
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

fn admit(
    lanes: &Lanes,
    stream: tokio::net::TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    peer: Peer,
    lobby: Lobby,
    slot: OwnedSemaphorePermit,
) -> io::Result<()> {
    let (lane, place) = lanes.choose().ok_or(io::ErrorKind::NotConnected)?;
    // From here on the lane's thread is the one that asks about it.
    let stream = stream.into_std()?;
    lane.spawn(async move {
        match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => connection::serve(stream, tls, peer, &lobby).await,
            Err(error) => tracing::warn!(%error, "a connection could not be taken on"),
        }
        drop((slot, place, lobby.alive));
    });
    Ok(())
}

/// A connection that went away before it was accepted is nothing; anything else is said, and rested upon.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return;
    }
    tracing::warn!(%error, "no connection could be accepted");
    tokio::time::sleep(EXHAUSTED_REST).await;
}
