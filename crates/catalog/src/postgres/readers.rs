//! The threads that read: a bounded number, each with a line of its own.
//!
//! What lives here: the queue in front of them, and one read from beginning to end. What does not: what reads ask for
//! (`crate::rows::view`), and the way to the database (`line`, `snapshot`).
//!
//! Invariants: a read sees one snapshot; its caller does not wait for that to end; a read that waited longer for a thread
//! than for an answer is told so and not run.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use model::{Error, Result};

use super::line::{ANSWER, Line, Shared};
use super::snapshot::{READ, Snapshot};
use crate::ReadJob;
use crate::rows::view::View;

/// Reads that may wait for a thread. More are refused: their callers are told to try again.
const WAITING_MAX: usize = 8192;

/// The threads. Dropping them waits for what is in the queue.
pub(super) struct Readers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<(Box<dyn ReadJob>, Instant)>,
    closed: bool,
}

impl Readers {
    /// Starts `count` threads; they connect when there is something to read.
    pub(super) fn start(shared: &Arc<Shared>, count: usize) -> Result<Self> {
        let state = Mutex::new(State { waiting: VecDeque::new(), closed: false });
        let queue = Arc::new(Queue { state, changed: Condvar::new() });
        let thread = |_| {
            let (queue, shared) = (Arc::clone(&queue), Arc::clone(shared));
            let name = "catalog-reader".to_owned();
            thread::Builder::new().name(name).spawn(move || queue.serve(&Line::new(shared)))
        };
        let threads = (0..count.max(1)).map(thread).collect::<std::io::Result<_>>()?;
        Ok(Self { queue, threads })
    }

    /// Puts a read into the queue, or tells it why not.
    pub(super) fn submit(&self, job: Box<dyn ReadJob>) {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.len() < WAITING_MAX {
            state.waiting.push_back((job, Instant::now()));
            drop(state);
            self.queue.changed.notify_one();
        } else {
            drop(state);
            job.run(Err(Error::Unavailable("too many reads are waiting".to_owned())));
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.queue.changed.notify_all();
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
    fn serve(&self, line: &Line) {
        while let Some((job, since)) = self.next() {
            if since.elapsed() > ANSWER {
                job.run(Err(Error::Unavailable("the catalog is overloaded".to_owned())));
                continue;
            }
            let snapshot = Snapshot::new(line, READ);
            let mut view = View(snapshot);
            // A panic is its caller's, who is told that nobody answers; the line's transaction is ended all the same.
            if catch_unwind(AssertUnwindSafe(|| job.run(Ok(&mut view)))).is_err() {
                tracing::error!("a read of the catalog panicked");
            }
            view.0.end();
        }
    }

    fn next(&self) -> Option<(Box<dyn ReadJob>, Instant)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
