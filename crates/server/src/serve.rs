//! `headwater serve`: founding an empty data directory, listening, stopping.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use front::{
    Front,
    door::{self, Lanes, Listener},
};
use model::{Digest, Secret};
use ops::{Store, clock::Clock};
use tokio::net::TcpListener;

use crate::{admin, config::Config, jobs, logging, process, snapshot, stop::Stop};

/// Serves until SIGTERM or SIGINT; then running requests end, within a bound.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let journal = logging::start();
    let started = ops::clock::SystemClock.now();
    let stop = Stop::on_signals()?;
    let opened = crate::open(&config.site, config.wiring.clone()).await?;
    snapshot::put_into_use(&config.site.data)?;
    let store = opened.store.clone();
    found(&store, &config).await?;

    let mut listeners = Vec::new();
    for listen in &config.listen {
        let socket = TcpListener::bind(listen.address)
            .await
            .with_context(|| format!("listening on {}", listen.address))?;
        listeners.push(Listener { socket, tls: listen.tls.clone() });
    }
    let admin = admin::Socket::bind(&config.site.data)?;
    for listener in &listeners {
        announce(listener.socket.local_addr()?, listener.tls.is_some());
    }

    let background = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        let pullers = config.pullers;
        jobs::run(store, started, pullers, stop)
    });
    let admin = tokio::spawn(admin.serve(store.clone(), config.site.clone(), stop.clone()));
    let mut settings = config.settings;
    settings.connections_max = process::connections(settings.connections_max);
    let front = Front::new(store, settings, journal.as_ref().map(logging::Journal::desk));
    let lanes = Arc::new(Lanes::open(crate::BLOCKING_THREADS_MAX)?);
    door::run(front, listeners, &lanes, stop.stopped(), config.drain).await;
    if let Some(lanes) = Arc::into_inner(lanes) {
        tokio::task::spawn_blocking(|| lanes.close(crate::PATIENCE)).await.context("lanes")?;
    }
    background.await.context("background jobs")?;
    admin.await.context("admin socket")?;
    // The lines of the last requests.
    drop(journal);
    tracing::info!("stopped");
    drop(opened);
    Ok(())
}

/// Gives an empty data directory its first account and user. What was made up is printed, this once.
#[expect(clippy::print_stdout, reason = "the operator must get to read a made-up password, once")]
async fn found(store: &Store, config: &Config) -> anyhow::Result<()> {
    let made_up = config.password.is_none();
    let password = match &config.password {
        Some(password) => password.clone(),
        None => make_up()?,
    };
    if let Some(founded) = store.found(&config.account, &config.user, &password).await? {
        println!("created account {} with user {}", founded.account, founded.user);
        if made_up {
            println!("password (shown once): {}", password.expose());
        }
    }
    Ok(())
}

/// A password of 128 bits.
fn make_up() -> anyhow::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
    Ok(Secret::new(Digest(bytes).to_hex()[..32].to_owned()))
}

#[expect(clippy::print_stdout, reason = "whoever started the server must learn the port")]
fn announce(address: SocketAddr, tls: bool) {
    let scheme = if tls { "https" } else { "http" };
    println!("listening on {scheme}://{address}");
}
