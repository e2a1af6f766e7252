//! Running jobs: claiming the next that is due, and what becomes of it.

use std::{future::Future, time::Duration};

use model::{Error, Job, JobId, JobState, Result, Time};

use super::next_time;
use crate::Store;

/// Longest sleep of a runner: after it, it looks again, whatever the clock did.
const SLEEP_MAX: Duration = Duration::from_secs(60);
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
            match self.claim().await {
                Ok(Next::Job(job)) => self.run_job(*job).await,
                Ok(Next::At(at)) => {
                    let wait = at.map(|at| Duration::from_millis(at.since(self.now())));
                    let wait = wait.unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
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
        let (next, more) = self
            .0
            .catalog
            .write(move |tx| {
                let due = tx.jobs_due(2)?;
                let more = due.get(1).is_some_and(|(at, _)| *at <= now);
                let Some((at, id)) = due.first().filter(|(at, _)| *at <= now) else {
                    return Ok((Next::At(due.first().map(|(at, _)| *at)), false));
                };
                let lost = || Error::Damaged(format!("job {id} is due at {} and not there", at.0));
                let mut job = tx.job(*id)?.ok_or_else(lost)?;
                (job.state, job.changed, job.bytes) = (JobState::Running, now, 0);
                job.attempts += 1;
                tx.put_job(&job)?;
                Ok((Next::Job(Box::new(job)), more))
            })
            .await?;
        if more {
            self.0.jobs.wake.notify_one();
        }
        Ok(next)
    }

    async fn run_job(&self, job: Job) {
        let (id, attempt) = (job.id, job.attempts);
        let stop = self.0.jobs.begin(id);
        let done = self.attempt(job, stop.notified()).await;
        self.0.jobs.end(id);
        let noted = match done {
            Ok(bytes) => {
                tracing::info!(job = %id, attempt, bytes, "transfer done");
                return;
            }
            Err(None) => {
                tracing::info!(job = %id, attempt, "transfer stopped: it was cancelled");
                return;
            }
            Err(Some(fault)) => {
                tracing::warn!(job = %id, attempt, error = fault.text, "transfer failed");
                self.note_failure(id, attempt, fault).await
            }
        };
        if let Err(e) = noted {
            // It stays in state running, and is queued again at the next start.
            tracing::error!(job = %id, error = %e, "noting that a transfer failed");
        }
    }

    /// One attempt; the size of the file. `None`: the job was cancelled.
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
        let (now, limits) = (self.now(), self.0.limits.pull);
        let Fault { text, transient, asked_ms } = fault;
        let text: String = text.chars().take(ERROR_CHARS_MAX).collect();
        let again = transient && attempt < limits.attempts_max;
        let next_at = next_time(&limits, attempt, asked_ms, now);
        self.0
            .catalog
            .write(move |tx| {
                let running = |job: &Job| job.state == JobState::Running && job.attempts == attempt;
                let Some(mut job) = tx.job(id)?.filter(running) else { return Ok(()) };
                job.state = if again { JobState::Queued } else { JobState::Failed };
                (job.next_at, job.changed, job.error) = (next_at, now, text.clone());
                tx.put_job(&job)
            })
            .await
    }
}
