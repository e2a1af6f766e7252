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
mod process;
mod serve;
mod snapshot;
mod stop;

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::Context;
use blobs::{Blobs, Local, Object, object};
use catalog::{Catalog, embedded::Embedded};
use ops::{Parts, Store, clock::SystemClock, vault::Vault};

use crate::config::{BlobsAt, Cli, Plan, Wiring};

/// What a check exits with that could not look.
const NOT_LOOKED: u8 = 2;

/// Threads that wait for disks, at most. More of them make no disk faster, and each that was ever needed keeps some 100 KiB for
/// a while.
const BLOCKING_THREADS_MAX: usize = 128;

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
            Plan::Admin { data, command } => admin::run(&data, command).await,
            Plan::Import { data, import } => import::run(&data, import).await,
            Plan::Restore { data, from, deep } => snapshot::restore(&data, &from, deep).await,
            Plan::Fsck { data, fsck } => Ok(admin::fsck(&data, fsck).await.unwrap_or_else(|e| {
                fail(&e);
                ExitCode::from(NOT_LOOKED)
            })),
        }
    });
    // A thread of the blocking pool that hangs on a dead disk must not hold the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
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

/// A data directory that this process owns.
struct Opened {
    store: Store,
    /// Held for as long as the store is open: one process a directory.
    _lock: std::fs::File,
}

/// Opens the embedded engines in `data`, with what the operator has set.
fn open(data: &Path, wiring: Wiring) -> anyhow::Result<Opened> {
    let lock = config::own_directory(data)?;
    snapshot::refuse_unfinished(data)?;
    let key = key::read_or_make(data)?;
    Ok(Opened { store: assemble(data, &key, wiring)?, _lock: lock })
}

/// The engines in a directory that this process owns.
fn assemble(data: &Path, key: &[u8; 32], wiring: Wiring) -> anyhow::Result<Store> {
    let options = catalog::embedded::Options::with_memory(process::memory_bytes());
    let catalog = Embedded::open(data.join("catalog"), options)
        .with_context(|| format!("opening the catalog in {}", data.display()))?;
    let blobs = open_blobs(data, &wiring)?;
    Ok(Store::new(Parts {
        catalog: Catalog::new(Arc::new(catalog)),
        blobs,
        clock: Arc::new(SystemClock),
        vault: Vault::new(key),
        outbound: wiring.outbound,
        through: wiring.through,
        limits: wiring.limits,
        public_url: wiring.public_url,
    }))
}

/// The blobs of a data directory, wherever they lie.
fn open_blobs(data: &Path, wiring: &Wiring) -> anyhow::Result<Arc<dyn Blobs>> {
    let Some(url) = wiring.blobs.place(data)? else {
        let local = Local::open_keeping(data, wiring.reserve_bytes)
            .with_context(|| format!("opening blobs in {}", data.display()))?;
        return Ok(Arc::new(local));
    };
    let options = object::Options {
        variables: wiring.blobs.variables.clone(),
        cache_bytes: wiring.blobs.cache_bytes,
        ..object::Options::new(data.join("scratch"))
    };
    let object = Object::open(&url, &options)?;
    BlobsAt::note(data, &url)?;
    Ok(Arc::new(object))
}
