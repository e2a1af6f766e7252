//! A catalog that fails or stops on purpose, for tests: a wrapper around any engine.
//!
//! What lives here: a step before a transaction begins, and one when it is durable and its caller is to be told. What does
//! not: when which step goes wrong; whoever makes the wrapper decides ([`Step`]). The invariant: after a write that failed
//! nothing is written until the catalog is opened again, as with the engines.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use model::{Error, Result};

use crate::{Engine, ReadJob, Stats, Tx, WriteJob, audit::AuditJob};

/// Asked at every step, with a name for it: `Ready(Ok)` goes on, `Ready(Err)` fails there, `Pending` never answers.
pub type Step = Arc<dyn Fn(&'static str) -> Poll<Result<()>> + Send + Sync>;

/// An engine whose steps may go wrong.
pub struct Faulty {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
}

struct Shared {
    step: Step,
    failed: AtomicBool,
    /// What is never answered: dropping it would tell its caller that the catalog has ended.
    silent: Mutex<Vec<Box<dyn WriteJob>>>,
}

impl Faulty {
    /// Around `engine`.
    pub fn new(engine: Arc<dyn Engine>, step: Step) -> Self {
        let (failed, silent) = (AtomicBool::new(false), Mutex::default());
        Self { engine, shared: Arc::new(Shared { step, failed, silent }) }
    }
}

impl Shared {
    /// Asks about a step of a job; gives the job back if it goes on.
    fn at(&self, name: &'static str, job: Box<dyn WriteJob>) -> Option<Box<dyn WriteJob>> {
        match (self.step)(name) {
            Poll::Ready(Ok(())) => return Some(job),
            Poll::Ready(Err(e)) => {
                self.failed.store(true, Ordering::SeqCst);
                job.finish(Err(e));
            }
            Poll::Pending => {
                self.silent.lock().unwrap_or_else(PoisonError::into_inner).push(job);
            }
        }
        None
    }
}

impl Engine for Faulty {
    fn read(&self, job: Box<dyn ReadJob>) {
        self.engine.read(job);
    }

    fn reads_at_once(&self) -> bool {
        self.engine.reads_at_once()
    }

    fn is_shared(&self) -> bool {
        self.engine.is_shared()
    }

    fn audit(&self, job: Box<dyn AuditJob>) {
        self.engine.audit(job);
    }

    fn write(&self, job: Box<dyn WriteJob>) {
        if self.shared.failed.load(Ordering::SeqCst) {
            job.finish(Err(Error::Storage("a write failed before".to_owned())));
        } else if let Some(job) = self.shared.at("before commit", job) {
            self.engine.write(Box::new(FaultyJob {
                job,
                kept: false,
                shared: self.shared.clone(),
            }));
        }
    }

    fn check_writable(&self) -> Result<()> {
        self.engine.check_writable()
    }

    fn stats(&self) -> Stats {
        self.engine.stats()
    }
}

struct FaultyJob {
    job: Box<dyn WriteJob>,
    kept: bool,
    shared: Arc<Shared>,
}

impl WriteJob for FaultyJob {
    fn run(&mut self, tx: &mut dyn Tx) -> bool {
        self.kept = self.job.run(tx);
        self.kept
    }

    fn passes(&self) -> bool {
        self.job.passes()
    }

    fn finish(self: Box<Self>, durable: Result<()>) {
        let Self { job, kept, shared } = *self;
        // What its rules refused has no effect to be after.
        let job = if kept && durable.is_ok() { shared.at("after commit", job) } else { Some(job) };
        if let Some(job) = job {
            job.finish(durable);
        }
    }
}
