//! Writes that wait, and the thread that takes them: what every engine's group commit begins and ends with.
//!
//! What lives here: the queue, the thread's life, and one job's run on top of a group. What does not: how a group
//! becomes durable, and what happens when it does not (the engines' writers).
//!
//! Invariants: an operation that failed its rules, or panicked, leaves nothing in the group's overlay; a job is told its
//! outcome once, and a panic there ends nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use model::{Error, Result};

use crate::WriteJob;
use crate::rows::source::Group;
use crate::rows::view::View;

/// Writes that may wait for the thread. More are refused: their callers are told to try again, which keeps memory
/// bounded and never blocks a caller's thread.
const WAITING_MAX: usize = 8192;
/// Operations in one group.
pub(crate) const GROUP_JOBS_MAX: usize = 512;
/// Bytes of changes after which a group takes no more operations.
pub(crate) const GROUP_BYTES_MAX: usize = 8 << 20;

/// A job as engines hold it.
pub(crate) type Job = Box<dyn WriteJob>;

/// The queue's end that callers hold, and the thread at the other. Dropping it waits for what is in the queue.
pub(crate) struct Queue {
    /// `None` only while dropping: the thread ends when the queue is empty and has no sender.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    /// Starts the thread with `run`, which takes jobs until there are no more.
    pub(crate) fn start(run: impl FnOnce(&Receiver<Job>) + Send + 'static) -> Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("catalog-writer".to_owned())
            .spawn(move || run(&waiting))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Puts a job into the queue, or tells it why not.
    pub(crate) fn submit(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        let (job, why) = match jobs.try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => (job, "too many writes are waiting"),
            Err(TrySendError::Disconnected(job)) => (job, "the catalog's writer has ended"),
        };
        tell(job, Err(Error::Unavailable(why.to_owned())));
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.jobs = None;
        // A job may hold the last handle on the engine: then this runs on the thread itself, which cannot wait for
        // itself and ends when it has returned.
        if let Some(thread) =
            self.thread.take().filter(|t| t.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the catalog's writer panicked");
        }
    }
}

/// What became of a job's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the group.
    Kept,
    /// It failed its rules and was taken back.
    Failed,
    /// It panicked and was taken back.
    Panicked,
}

impl Outcome {
    /// What a job with this outcome is told when its group was `written`.
    pub(crate) fn with(self, written: &Result<()>) -> Result<()> {
        match self {
            Outcome::Kept | Outcome::Failed => written.clone(),
            Outcome::Panicked => Err(Error::Storage("a write panicked".to_owned())),
        }
    }
}

/// Runs a job on top of a group, so that it sees the jobs before it.
pub(crate) fn run(job: &mut dyn WriteJob, view: &mut View<impl Group>) -> Outcome {
    // After a panic the job is only finished and the overlay only rolled back: nothing half-done is looked at.
    let outcome = match catch_unwind(AssertUnwindSafe(|| job.run(view))) {
        Ok(true) => Outcome::Kept,
        Ok(false) => Outcome::Failed,
        Err(_) => Outcome::Panicked,
    };
    match outcome {
        Outcome::Kept if !view.0.is_void() => view.0.overlay().keep(),
        Outcome::Kept | Outcome::Failed | Outcome::Panicked => view.0.overlay().roll_back(),
    }
    outcome
}

/// Tells a job; a panic there is its own affair.
pub(crate) fn tell(job: Job, durable: Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| job.finish(durable))).is_err() {
        tracing::error!("a write panicked when it was told its outcome");
    }
}
