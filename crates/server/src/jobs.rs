//! What runs in the background: clean-up, at a gentle pace, putting multipart uploads together, and transfers from other
//! servers. What each does is said in `ops::sweep`, `ops::multipart` and `ops::fetch`.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use model::Time;
use ops::Store;
use tokio::time::sleep;

use crate::stop::Stop;

/// Between looks for doomed blobs when there were none.
const DOOMED_PAUSE: Duration = Duration::from_secs(2);
/// Between batches of removals: unlinking many files at once slows down the creation of others.
const DOOMED_BREATH: Duration = Duration::from_millis(50);
/// Between passes over the sessions and the used signatures.
const SESSIONS_PAUSE: Duration = Duration::from_secs(600);
/// Between passes over the multipart uploads.
const MULTIPARTS_PAUSE: Duration = Duration::from_secs(60);
/// Between passes over the jobs.
const JOBS_PAUSE: Duration = Duration::from_secs(60);
/// Between looks for uploads that were left half-written.
const STAGES_PAUSE: Duration = Duration::from_secs(3600);
/// Holds the time up to which no orphan is left, in milliseconds since the epoch.
const ORPHANS_MARK: &str = "orphans-swept";

/// Runs all jobs until the server is to stop. `started`: from before the first upload of this process; `pullers`:
/// transfers from other servers at the same time.
pub(crate) async fn run(store: Store, data: &Path, started: Time, pullers: usize, stop: Stop) {
    let work = async {
        tokio::join!(
            doomed(&store),
            walk(SESSIONS_PAUSE, "removing ended sessions", |p| store.sweep_sessions(p)),
            orphans(&store, data, started),
            stages(&store),
            walk(MULTIPARTS_PAUSE, "cleaning up uploads", |p| store.sweep_multiparts(p)),
            resume_multiparts(&store),
            walk(SESSIONS_PAUSE, "forgetting signatures", |p| store.sweep_signatures(p)),
            pull(&store, pullers),
            walk(JOBS_PAUSE, "forgetting transfers", |p| store.sweep_jobs(p)),
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
}

async fn doomed(store: &Store) {
    loop {
        match store.sweep_doomed().await {
            Ok(0) => sleep(DOOMED_PAUSE).await,
            Ok(_) => sleep(DOOMED_BREATH).await,
            Err(e) => {
                tracing::error!(error = %e, "removing doomed blobs");
                sleep(DOOMED_PAUSE * 10).await;
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

/// Transfers from other servers. Those that a process before this one left half-way come first.
async fn pull(store: &Store, pullers: usize) {
    let mut after = None;
    loop {
        match store.resume_jobs(after).await {
            Ok(None) => break,
            Ok(next) => after = next,
            Err(e) => {
                tracing::error!(error = %e, "looking for transfers to go on with");
                sleep(DOOMED_PAUSE * 10).await;
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

/// Once a start: uploads that were completed before it and are not put together yet.
async fn resume_multiparts(store: &Store) {
    loop {
        match store.resume_multiparts().await {
            Ok(0) => return,
            Ok(resumed) => {
                tracing::info!(resumed, "going on with multipart uploads");
                return;
            }
            Err(e) => {
                tracing::error!(error = %e, "looking for multipart uploads to go on with");
                sleep(DOOMED_PAUSE * 10).await;
            }
        }
    }
}

/// Once a start: what the process before left behind when it died between sealing a blob and referring to it.
async fn orphans(store: &Store, data: &Path, started: Time) {
    let mark = data.join(ORPHANS_MARK);
    let since = match fs::read_to_string(&mark) {
        Ok(text) => Time(text.trim().parse().unwrap_or(0)),
        Err(e) if e.kind() == ErrorKind::NotFound => Time(0),
        Err(e) => {
            tracing::warn!(error = %e, "reading the mark of the last sweep; sweeping all");
            Time(0)
        }
    };
    match store.sweep_orphans(since, started).await {
        Ok(removed) => {
            if removed > 0 {
                tracing::info!(removed, "removed blobs that nothing referred to");
            }
            // A mark that is lost or torn only makes the next sweep longer.
            if let Err(e) = fs::write(&mark, started.0.to_string()) {
                tracing::warn!(error = %e, "writing the mark of the sweep");
            }
        }
        Err(e) => tracing::error!(error = %e, "looking for blobs that nothing refers to"),
    }
}
