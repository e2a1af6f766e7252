//! The threads that read: a bounded number, each with a line of its own.
//!
//! What lives here: the queues in front of them, and a group of reads from beginning to end. What does not: what reads ask
//! for (`crate::rows::view`), how they run ahead of the rows they need (`ahead`), and the way to the database (`line`,
//! `snapshot`).
//!
//! A thread takes all reads that wait and runs them on one snapshot, together: so many reads cost the database hardly more
//! than one, and the more there are the larger the groups. Reads that may take long, or must not run again, have threads of
//! their own and stand in nobody's way, each by itself.
//!
//! Invariants: a read sees one snapshot, which was taken after it was asked for; its caller does not wait for that to end;
//! a read that waited longer for a thread than for an answer is told so and not run.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use model::{Error, Result};

use super::ahead::{Lookout, Mode, RUNS_AHEAD_MAX};
use super::line::{ANSWER, Line, Shared};
use super::snapshot::{READ, Snapshot};
use crate::ReadJob;
use crate::rows::view::View;

/// Reads that may wait for a thread. More are refused: their callers are told to try again.
const WAITING_MAX: usize = 8192;
/// Reads in one group.
const GROUP_JOBS_MAX: usize = 64;

/// A read as it waits.
type Job = Box<dyn ReadJob>;

/// The threads. Dropping them waits for what is in the queues.
pub(super) struct Readers {
    short: Arc<Queue>,
    long: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// How many of its reads are run together.
    together: usize,
}

struct State {
    waiting: VecDeque<(Job, Instant)>,
    closed: bool,
}

impl Readers {
    /// Starts `count` threads for short reads and as many for long ones; they connect when there is something to read.
    pub(super) fn start(shared: &Arc<Shared>, count: usize) -> Result<Self> {
        let (short, long) = (Queue::new(GROUP_JOBS_MAX), Queue::new(1));
        let thread = |queue: &Arc<Queue>| {
            let (queue, shared) = (Arc::clone(queue), Arc::clone(shared));
            let name = "catalog-reader".to_owned();
            thread::Builder::new().name(name).spawn(move || queue.serve(&Line::new(shared)))
        };
        let both = (0..count.max(1)).flat_map(|_| [&short, &long]);
        let threads = both.map(thread).collect::<std::io::Result<_>>()?;
        Ok(Self { short, long, threads })
    }

    /// Puts a read into its queue, or tells it why not.
    pub(super) fn submit(&self, job: Job) {
        let alone = job.is_long() || !job.may_run_again();
        let queue = if alone { &self.long } else { &self.short };
        let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.len() < WAITING_MAX {
            state.waiting.push_back((job, Instant::now()));
            drop(state);
            queue.changed.notify_one();
        } else {
            drop(state);
            tell(job, Err(Error::Unavailable("too many reads are waiting".to_owned())));
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for queue in [&self.short, &self.long] {
            queue.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
            queue.changed.notify_all();
        }
        let own = thread::current().id();
        // A read may hold the last handle on the engine: its thread ends when it has returned.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != own) {
            if thread.join().is_err() {
                tracing::error!("a thread that reads the catalog panicked");
            }
        }
    }
}

impl Queue {
    fn new(together: usize) -> Arc<Self> {
        let state = Mutex::new(State { waiting: VecDeque::new(), closed: false });
        Arc::new(Self { state, changed: Condvar::new(), together })
    }

    fn serve(&self, line: &Line) {
        while let Some(taken) = self.next() {
            let mut group = Vec::with_capacity(taken.len());
            for (job, since) in taken {
                if since.elapsed() > ANSWER {
                    tell(job, Err(Error::Unavailable("the catalog is overloaded".to_owned())));
                } else {
                    group.push(job);
                }
            }
            answer(line, group);
        }
    }

    /// What waits, as much of it as makes a group; `None`: there will be nothing any more.
    fn next(&self) -> Option<Vec<(Job, Instant)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let count = state.waiting.len().min(self.together);
            if count > 0 {
                return Some(state.waiting.drain(..count).collect());
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs reads on one snapshot, ahead of the rows they need as far as that goes, and answers each as soon as it is done.
fn answer(line: &Line, mut group: Vec<Job>) {
    let mut view = View(Lookout::new(Snapshot::new(line, READ)));
    let mut last = Vec::new();
    let mut runs_ahead = 0;
    while group.len() > 1 && runs_ahead < RUNS_AHEAD_MAX {
        runs_ahead += 1;
        let mut missing = Vec::with_capacity(group.len());
        for job in group {
            let Some(job) = run(job, Mode::Ahead, &mut view) else { continue };
            let later = if view.0.is_noted() { &mut missing } else { &mut last };
            later.push(job);
        }
        group = missing;
        // If the database is in trouble, each is told when it asks.
        if view.0.fetch().is_err() {
            break;
        }
    }
    // What cannot be noted has waited for what can.
    for job in group.into_iter().chain(last) {
        run(job, Mode::AtOnce, &mut view);
    }
    view.0.snapshot.end();
}

/// Runs a read and answers it; gives it back if it missed anything.
fn run(mut job: Job, mode: Mode, view: &mut View<Lookout<'_>>) -> Option<Job> {
    view.0.set(mode);
    // A panic is its caller's, who is told that nobody answers; the line's transaction is ended all the same.
    if catch_unwind(AssertUnwindSafe(|| job.run(view))).is_err() {
        tracing::error!("a read of the catalog panicked");
        return None;
    }
    if view.0.has_missed() {
        return Some(job);
    }
    tell(job, Ok(()));
    None
}

/// Answers a read; a panic there is its own affair.
fn tell(job: Job, snapshot: Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| job.finish(snapshot))).is_err() {
        tracing::error!("a read of the catalog panicked when it was told its outcome");
    }
}
