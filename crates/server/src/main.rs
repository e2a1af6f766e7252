//! The binary `headwater`: wiring, and nothing that has a meaning of its own.
//!
//! Only this file builds engines. What a command line or file means is said in `config`, what an operator may ask in
//! `admin`, what runs in the background in `jobs`.

mod admin;
mod config;
mod import;
mod jobs;
mod key;
mod logging;
mod migrate;
mod process;
mod serve;
mod snapshot;
mod stop;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use blobs::{Blobs, Local, Object, object};
use catalog::{Catalog, Engine, Postgres, embedded::Embedded, postgres};
// For what native code finds there.
use native as _;
use ops::{Parts, Store, clock::SystemClock, vault::Vault};

use crate::config::{BlobsAt, Cli, Place, Plan, Site, Wiring};

/// What a check exits with that could not look.
const NOT_LOOKED: u8 = 2;

/// Threads that wait for disks, at most. More of them make no disk faster, and each that was ever needed keeps some 100 KiB for
/// a while.
const BLOCKING_THREADS_MAX: usize = 128;

/// How long threads that wait for disks may hold the exit: one that hangs on a dead disk must not.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    process::settle();
    let plan = match Cli::read() {
        Ok(plan) => plan,
        Err(e) => return fail(&e),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return fail(&e.into()),
    };
    let done = runtime.block_on(async {
        match plan {
            Plan::Serve(config) => serve::run(*config).await.map(|()| ExitCode::SUCCESS),
            Plan::Admin { site, command } => admin::run(site, command).await,
            Plan::Import { site, import } => import::run(site, import).await,
            Plan::Restore { site, from, deep } => snapshot::restore(&site, &from, deep).await,
            Plan::Fsck { site, fsck } => Ok(admin::fsck(site, fsck).await.unwrap_or_else(|e| {
                fail(&e);
                ExitCode::from(NOT_LOOKED)
            })),
        }
    });
    runtime.shutdown_timeout(PATIENCE);
    match done {
        Ok(code) => code,
        Err(e) => fail(&e),
    }
}

#[expect(clippy::print_stderr, reason = "the command line's own last word")]
fn fail(e: &anyhow::Error) -> ExitCode {
    eprintln!("headwater: {e:#}");
    ExitCode::FAILURE
}

/// A store that is open.
struct Opened {
    store: Store,
    /// Held for as long as the store is open: one process a directory. `None` where nothing of the store lies in it.
    _lock: Option<std::fs::File>,
}

/// Takes the data directory and opens what lies there and elsewhere, with what the operator has set.
async fn open(site: &Site, wiring: Wiring) -> anyhow::Result<Opened> {
    let lock = config::own_directory(&site.data)?;
    Ok(Opened { _lock: Some(lock), ..open_beside(site, wiring).await? })
}

/// Opens a store without owning the directory: a server may have it.
async fn open_beside(site: &Site, wiring: Wiring) -> anyhow::Result<Opened> {
    snapshot::refuse_unfinished(&site.data)?;
    let key = key::of(site)?;
    let store = assemble(site, &key, wiring)?;
    // In one directory, the key lies beside what it reads.
    if (site.is_shared() || site.key_file.is_some()) && !store.is_right_key().await? {
        bail!("the key is not the one that this catalog's secrets are encrypted under");
    }
    migrate::refuse_incomplete(&store).await?;
    Ok(Opened { store, _lock: None })
}

/// The engines of a store.
fn assemble(site: &Site, key: &[u8; 32], wiring: Wiring) -> anyhow::Result<Store> {
    Ok(Store::new(Parts {
        catalog: open_catalog(site)?,
        blobs: open_blobs(site, &wiring)?,
        clock: Arc::new(SystemClock),
        vault: Vault::new(key),
        outbound: wiring.outbound,
        through: wiring.through,
        limits: wiring.limits,
        public_url: wiring.public_url,
    }))
}

fn open_catalog(site: &Site) -> anyhow::Result<Catalog> {
    let data = &site.data;
    let engine: Arc<dyn Engine> = match &site.catalog {
        Place::Here => {
            let options = catalog::embedded::Options::with_memory(process::memory_bytes());
            let embedded = Embedded::open(data.join("catalog"), options)
                .with_context(|| format!("opening the catalog in {}", data.display()))?;
            Arc::new(embedded)
        }
        Place::Database(url) => {
            let postgres = Postgres::open(url.expose(), postgres::Options::default());
            Arc::new(postgres.context("opening the catalog in its database")?)
        }
    };
    Ok(Catalog::new(engine))
}

/// The blobs of a store, wherever they lie.
fn open_blobs(site: &Site, wiring: &Wiring) -> anyhow::Result<Arc<dyn Blobs>> {
    let data = &site.data;
    let Some(url) = site.blobs.place(data)? else {
        let local = Local::open_with(data, wiring.local)
            .with_context(|| format!("opening blobs in {}", data.display()))?;
        return Ok(Arc::new(local));
    };
    let options = object::Options {
        variables: site.blobs.variables.clone(),
        cache_bytes: site.blobs.cache_bytes,
        ..object::Options::new(data.join("scratch"))
    };
    let object = Object::open(&url, &options)?;
    BlobsAt::note(data, &url)?;
    Ok(Arc::new(object))
}
