//! Running jobs: claiming the next that is due, keeping it, and what becomes of it.
//!
//! A job that runs is in the hands of a node for as long as that renews its claim. When it does not, the job is due again:
//! whoever claims it next begins another attempt, and the attempt before is not let to end it ([`is_in_hand`]).

use std::{future::Future, time::Duration};

use model::{Error, Job, JobId, JobState, Lease, NodeId, Result, Time};
use tokio::time::Instant;

use super::next_time;
use crate::Store;

/// Longest sleep of a runner: after it, it looks again, whatever the clock did.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The same where jobs are queued by other nodes, which do not wake it.
const SHARED_SLEEP_MAX: Duration = Duration::from_secs(5);
/// Shortest sleep: what is due is being claimed by others.
const SLEEP_MIN: Duration = Duration::from_millis(50);
/// Sleep after the queue could not be read.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest text of an error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 500;

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) text: String,
    /// Whether another attempt can have another outcome.
    pub(super) transient: bool,
    /// Milliseconds the other server asks to be left alone.
    pub(super) asked_ms: u64,
}

impl Fault {
    pub(super) fn permanent(text: impl Into<String>) -> Self {
        Self { text: text.into(), transient: false, asked_ms: 0 }
    }

    pub(super) fn transient(text: impl Into<String>) -> Self {
        Self { text: text.into(), transient: true, asked_ms: 0 }
    }
}

impl From<outbound::Error> for Fault {
    fn from(e: outbound::Error) -> Self {
        Self { text: e.to_string(), transient: e.is_transient(), asked_ms: 0 }
    }
}

impl From<Error> for Fault {
    /// What the rules refuse they will refuse again; a fault of ours may pass.
    fn from(e: Error) -> Self {
        Self { text: e.to_string(), transient: e.is_ours(), asked_ms: 0 }
    }
}

/// What a runner finds.
enum Next {
    Job(Box<Job>),
    /// Nothing is due; the next is, at this time.
    At(Option<Time>),
}

impl Store {
    /// Runs jobs, one after the other, for ever. May run several times beside itself.
    pub async fn run_jobs(&self) {
        loop {
            let woken = self.0.jobs.wake.notified();
            let since = Instant::now();
            match self.claim().await {
                Ok(Next::Job(job)) => self.run_job(*job, since).await,
                Ok(Next::At(at)) => {
                    let longest = if self.is_shared() { SHARED_SLEEP_MAX } else { SLEEP_MAX };
                    let wait = at.map(|at| Duration::from_millis(at.since(self.now())));
                    let wait = wait.unwrap_or(longest).clamp(SLEEP_MIN, longest);
                    tokio::select! {
                        () = woken => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                Err(e) => {
                    tracing::error!(error = %e, "looking for transfers to run");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes the next job that is due.
    async fn claim(&self) -> Result<Next> {
        let now = self.now();
        // Nothing due, as nearly always: no write.
        let first = self.0.catalog.read(|tx| tx.jobs_due(1)).await?;
        if first.first().is_none_or(|(at, _)| *at > now) {
            return Ok(Next::At(first.first().map(|(at, _)| *at)));
        }
        let lease = self.lease_of_job(now);
        let claim = move |tx: &mut dyn catalog::Tx| {
            let job = tx.claim_job(lease, now)?;
            Ok((job, tx.jobs_due(1)?.first().map(|(at, _)| *at)))
        };
        let (job, next) = self.0.catalog.write(claim).await?;
        let Some(job) = job else { return Ok(Next::At(next)) };
        if next.is_some_and(|at| at <= now) {
            self.0.jobs.wake.notify_one();
        }
        Ok(Next::Job(Box::new(job)))
    }

    /// For how long a job that is claimed or kept now is nobody else's.
    fn lease_of_job(&self, now: Time) -> Lease {
        if self.is_shared() { self.0.leases.from(now) } else { Lease::for_good(self.node()) }
    }

    /// Keeps a job; ready when it is somebody else's, or over, or may be.
    async fn keep_job(&self, id: JobId, attempt: u32, since: Instant) {
        if !self.is_shared() {
            return std::future::pending().await;
        }
        let renew = || async {
            let (node, lease) = (self.node(), self.lease_of_job(self.now()));
            let renew = move |tx: &mut dyn catalog::Tx| {
                let job = tx.job(id)?.filter(|job| is_in_hand(job, node, attempt));
                let Some(mut job) = job else { return Ok(false) };
                job.lease = Some(lease);
                tx.put_job(&job)?;
                Ok(true)
            };
            self.0.catalog.write(renew).await
        };
        self.0.leases.keep(since, renew).await;
    }

    /// `since`: from before it was claimed.
    async fn run_job(&self, job: Job, since: Instant) {
        let (id, attempt) = (job.id, job.attempts);
        let stop = self.0.jobs.begin(id);
        let done = tokio::select! {
            done = self.attempt(job, stop.notified()) => done,
            () = self.keep_job(id, attempt, since) => Err(None),
        };
        self.0.jobs.end(id);
        let noted = match done {
            Ok(bytes) => {
                tracing::info!(job = %id, attempt, bytes, "transfer done");
                return;
            }
            Err(None) => {
                tracing::info!(job = %id, attempt, "transfer stopped: it was cancelled or taken over");
                return;
            }
            Err(Some(fault)) => {
                tracing::warn!(job = %id, attempt, error = fault.text, "transfer failed");
                self.note_failure(id, attempt, fault).await
            }
        };
        if let Err(e) = noted {
            // It stays in state running, and is begun again at the next start, or when its claim has run out.
            tracing::error!(job = %id, error = %e, "noting that a transfer failed");
        }
    }

    /// One attempt; the size of the file. `None`: the job was cancelled or taken over.
    async fn attempt(
        &self,
        job: Job,
        stop: impl Future<Output = ()>,
    ) -> Result<u64, Option<Fault>> {
        let transfer = self.transfer(&job);
        // Dropping a transfer discards what came.
        let landed = tokio::select! {
            () = stop => return Err(None),
            landed = transfer => landed.map_err(Some)?,
        };
        // From here on the transaction decides whether the job still runs.
        let (store, id) = (self.clone(), job.id);
        let placed = tokio::spawn(async move { store.settle(job, landed).await });
        match placed.await {
            Ok(Ok(size)) => Ok(size),
            Ok(Err(Error::NoSuchJob)) => Err(None),
            Ok(Err(e)) => Err(Some(e.into())),
            Err(e) => Err(Some(Fault::transient(format!("job {id} ended: {e}")))),
        }
    }

    /// Queues a job again, or gives it up.
    async fn note_failure(&self, id: JobId, attempt: u32, fault: Fault) -> Result<()> {
        let (now, limits, node) = (self.now(), self.0.limits.pull, self.node());
        let Fault { text, transient, asked_ms } = fault;
        let text: String = text.chars().take(ERROR_CHARS_MAX).collect();
        let again = transient && attempt < limits.attempts_max;
        let next_at = next_time(&limits, attempt, asked_ms, now);
        self.0
            .catalog
            .write(move |tx| {
                let job = tx.job(id)?.filter(|job| is_in_hand(job, node, attempt));
                let Some(mut job) = job else { return Ok(()) };
                job.enter(if again { JobState::Queued } else { JobState::Failed }, now);
                (job.next_at, job.error) = (next_at, text.clone());
                tx.put_job(&job)
            })
            .await
    }
}

/// Whether a job still is at this attempt, and in the hands of `node`. Whether its claim has run out does not matter as long
/// as nobody else has claimed it.
pub(super) fn is_in_hand(job: &Job, node: NodeId, attempt: u32) -> bool {
    let ours = job.lease.is_some_and(|lease| lease.holder == node);
    job.state == JobState::Running && job.attempts == attempt && ours
}
