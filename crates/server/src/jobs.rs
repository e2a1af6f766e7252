//! What runs in the background: clean-up, at a gentle pace, putting multipart uploads together, and transfers from other
//! servers. What each does is said in `ops::sweep`, `ops::multipart` and `ops::fetch`; what one node at a time does is held by
//! a lease (`ops::lease`). Whatever fails is said, and tried again after a pause.

use std::time::Duration;

use model::Time;
use ops::Store;
use tokio::time::{sleep, timeout};

use crate::stop::Stop;

/// Between looks for doomed blobs when there were none.
const DOOMED_PAUSE: Duration = Duration::from_secs(2);
/// Between passes over the doomed blobs where their bytes stay for an hour.
const DOOMED_SHARED_PAUSE: Duration = Duration::from_secs(600);
/// Between batches of removals: unlinking many files at once slows down the creation of others.
const DOOMED_BREATH: Duration = Duration::from_millis(50);
/// Between passes over the sessions and the used signatures.
const SESSIONS_PAUSE: Duration = Duration::from_secs(600);
/// Between passes over the multipart uploads.
const MULTIPARTS_PAUSE: Duration = Duration::from_secs(60);
/// Between looks for uploads that other nodes left half-way.
const RESUME_PAUSE: Duration = Duration::from_secs(30);
/// Between passes over the jobs, and over the leases.
const JOBS_PAUSE: Duration = Duration::from_secs(60);
/// Between looks for uploads that were left half-written.
const STAGES_PAUSE: Duration = Duration::from_secs(3600);
/// Between looks whether it is time to look for orphans where that is done again and again.
const ORPHANS_PAUSE: Duration = Duration::from_secs(3600);
/// After something that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(20);
/// For giving back what other nodes can go on with.
const LEAVE: Duration = Duration::from_secs(3);
/// Whoever holds it cleans up: one node for all of it, since all of it together is little work.
const CLEAN_UP: &str = "clean-up";

/// Runs all jobs until the server is to stop. `started`: from before the first upload of this process; `pullers`:
/// transfers from other servers at the same time.
pub(crate) async fn run(store: Store, started: Time, pullers: usize, stop: Stop) {
    let work = async {
        tokio::join!(
            store.alone(CLEAN_UP, || Box::pin(clean_up(&store, started))),
            resume_multiparts(&store),
            pull(&store, pullers),
            // Two: a large upload does not keep all others waiting.
            store.join_multiparts(),
            store.join_multiparts(),
            store.tell_callbacks(front::events::letter),
            store.scrub(),
        );
    };
    tokio::select! {
        () = stop.stopped() => {}
        () = work => {}
    }
    // Where that fails, other nodes wait until it has run out.
    if let Ok(Err(error)) = timeout(LEAVE, store.leave()).await {
        tracing::warn!(%error, "giving back what this node held");
    }
}

/// What one node at a time does.
async fn clean_up(store: &Store, started: Time) {
    tokio::join!(
        doomed(store),
        walk(SESSIONS_PAUSE, "removing ended sessions", |p| store.sweep_sessions(p)),
        orphans(store, started),
        walk(MULTIPARTS_PAUSE, "cleaning up uploads", |p| store.sweep_multiparts(p)),
        walk(SESSIONS_PAUSE, "forgetting signatures", |p| store.sweep_signatures(p)),
        walk(JOBS_PAUSE, "forgetting transfers", |p| store.sweep_jobs(p)),
        leases(store),
        stages(store),
    );
}

async fn doomed(store: &Store) {
    if store.is_shared() {
        let step = |p| store.sweep_doomed_shared(p);
        return walk(DOOMED_SHARED_PAUSE, "removing doomed blobs", step).await;
    }
    loop {
        match store.sweep_doomed().await {
            Ok(0) => sleep(DOOMED_PAUSE).await,
            Ok(_) => sleep(DOOMED_BREATH).await,
            Err(e) => {
                tracing::error!(error = %e, "removing doomed blobs");
                sleep(FAILED_PAUSE).await;
            }
        }
    }
}

async fn stages(store: &Store) {
    loop {
        match store.sweep_stages().await {
            Ok(0) => {}
            Ok(given_up) => tracing::info!(given_up, "gave up uploads that were left half-written"),
            Err(e) => {
                tracing::error!(error = %e, "looking for uploads that were left half-written")
            }
        }
        sleep(STAGES_PAUSE).await;
    }
}

/// Walks through all records of a kind, some at a time, again and again. `step` looks at some after the place it is given
/// and says where to go on; `None`: that was the end, and the next pass begins after `pause`.
async fn walk<P: Copy, F: Future<Output = model::Result<Option<P>>>>(
    pause: Duration,
    what: &str,
    step: impl Fn(Option<P>) -> F,
) {
    let mut after = None;
    loop {
        after = step(after).await.unwrap_or_else(|e| {
            tracing::error!(error = %e, "{what}");
            None
        });
        sleep(if after.is_some() { DOOMED_BREATH } else { pause }).await;
    }
}

/// Transfers from other servers. Those that a process before this one left half-way come first; those that other nodes
/// leave are due again by themselves.
async fn pull(store: &Store, pullers: usize) {
    let mut after = None;
    loop {
        match store.resume_jobs(after).await {
            Ok(None) => break,
            Ok(next) => after = next,
            Err(e) => {
                tracing::error!(error = %e, "looking for transfers to go on with");
                sleep(FAILED_PAUSE).await;
            }
        }
    }
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..pullers {
        let store = store.clone();
        workers.spawn(async move { store.run_jobs().await });
    }
    // They end with the set, when the server stops.
    while workers.join_next().await.is_some() {}
}

/// Once a start: uploads that were completed before it and are not put together yet. Again and again where other nodes
/// may leave some.
async fn resume_multiparts(store: &Store) {
    loop {
        match store.resume_multiparts().await {
            Ok(0) => {}
            // Where it is looked for again and again, others may be at work on them.
            Ok(resumed) if store.is_shared() => {
                tracing::debug!(resumed, "going on with multipart uploads");
            }
            Ok(resumed) => tracing::info!(resumed, "going on with multipart uploads"),
            Err(e) => {
                tracing::error!(error = %e, "looking for multipart uploads to go on with");
                sleep(FAILED_PAUSE).await;
                continue;
            }
        }
        if !store.is_shared() {
            return;
        }
        sleep(RESUME_PAUSE).await;
    }
}

/// Blobs that nothing refers to: what processes left behind that died between sealing a blob and referring to it. Once a
/// start; again and again where other nodes may.
async fn orphans(store: &Store, started: Time) {
    loop {
        let swept = if store.is_shared() {
            store.sweep_orphans_shared().await
        } else {
            store.sweep_orphans_left(started).await
        };
        match swept {
            Ok(0) if store.is_shared() => {}
            Ok(found) => tracing::info!(found, "blobs that nothing referred to"),
            Err(e) => {
                tracing::error!(error = %e, "looking for blobs that nothing refers to");
                sleep(FAILED_PAUSE).await;
                continue;
            }
        }
        if !store.is_shared() {
            return;
        }
        sleep(ORPHANS_PAUSE).await;
    }
}

/// Leases that nobody took any more.
async fn leases(store: &Store) {
    while store.is_shared() {
        if let Err(e) = store.sweep_leases().await {
            tracing::error!(error = %e, "forgetting leases");
        }
        sleep(JOBS_PAUSE).await;
    }
}
