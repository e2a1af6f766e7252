//! The stop signal: SIGTERM or SIGINT, told once to everybody who asks.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Tells when the server is to stop. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for signals from now on.
    pub(crate) fn on_signals() -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::info!("stopping: no new connections, running requests may end");
            stop.send_replace(true);
        });
        Ok(Self(stopped))
    }

    /// Ready when the server is to stop.
    pub(crate) async fn stopped(mut self) {
        // An error means that the sender is gone, with the runtime: stopped all the same.
        let _stopped = self.0.wait_for(|stopped| *stopped).await;
    }
}
