//! Work on bytes that arrive, done on a thread of its own beside whoever receives them.
//!
//! What lives here: what waits to be worked on, and who does it. What does not: the work itself (`stage`, `writer`), hashing (`crate::hasher`),
//! and how much may wait (who hands more over asks for room before). The invariants: jobs are done in the order in which
//! they were handed over, by one thread at a time; that thread goes on while there is something to do, and never waits for
//! more; after an error nothing more is done, and everybody who asks is told of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{Error, Result};
use tokio::sync::Notify;

/// Something that goes on from job to job. Its calls may block.
pub(super) trait Work: Send + 'static {
    /// What is handed over.
    type Job: Send + 'static;
    /// What a job counts while it waits, in bytes.
    fn weight(job: &Self::Job) -> usize;
    /// Does a job.
    fn take(&mut self, job: Self::Job) -> Result<()>;
}

/// A work, and the jobs that wait for it. Needs the threads of a runtime.
pub(super) struct Relay<W: Work> {
    shared: Arc<Shared<W>>,
    /// How much may wait, with what is being worked on, before there is no more room.
    waiting_max: usize,
}

struct Shared<W: Work> {
    inner: Mutex<Inner<W>>,
    /// A job was done. Only whoever hands jobs over waits for it.
    changed: Notify,
}

struct Inner<W: Work> {
    waiting: VecDeque<W::Job>,
    bytes: usize,
    work: Where<W>,
}

/// Where the work is.
enum Where<W> {
    Here(W),
    /// A thread goes on with it.
    Away,
    Failed(Error),
    /// At its end.
    Taken,
}

impl<W: Work> Relay<W> {
    pub(super) fn new(work: W, waiting_max: usize) -> Self {
        let inner = Inner { waiting: VecDeque::new(), bytes: 0, work: Where::Here(work) };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), changed: Notify::new() });
        Self { shared, waiting_max }
    }

    /// Waits until more may be handed over. May be dropped and called again.
    pub(super) async fn room(&self) -> Result<()> {
        self.until(|inner| (inner.bytes <= self.waiting_max).then_some(())).await
    }

    /// Why nothing more is done, if so.
    pub(super) fn failed(&self) -> Option<Error> {
        match &self.shared.lock().work {
            Where::Failed(e) => Some(e.clone()),
            Where::Here(_) | Where::Away | Where::Taken => None,
        }
    }

    /// Hands a job over.
    pub(super) fn push(&self, job: W::Job) {
        let mut inner = self.shared.lock();
        match std::mem::replace(&mut inner.work, Where::Away) {
            Where::Here(work) => {
                inner.add(job);
                drop(inner);
                let turn = Turn { shared: Arc::clone(&self.shared), over: false };
                drop(tokio::task::spawn_blocking(move || turn.run(work)));
            }
            Where::Away => inner.add(job),
            over => inner.work = over,
        }
    }

    /// Waits until everything is done. May be dropped and called again.
    pub(super) async fn idle(&self) -> Result<()> {
        self.until(|inner| matches!(inner.work, Where::Here(_)).then_some(())).await
    }

    /// Waits until everything is done; the work is then the caller's. May be dropped and called again before.
    pub(super) async fn end(&self) -> Result<W> {
        self.until(Inner::take).await
    }

    /// The work, if nobody is at it.
    pub(super) fn take(&self) -> Option<W> {
        self.shared.lock().take()
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut Inner<W>) -> Option<T>) -> Result<T> {
        loop {
            {
                let mut inner = self.shared.lock();
                if let Where::Failed(e) = &inner.work {
                    return Err(e.clone());
                }
                if let Some(seen) = look(&mut inner) {
                    return Ok(seen);
                }
            }
            self.shared.changed.notified().await;
        }
    }
}

impl<W: Work> Drop for Relay<W> {
    /// Nobody will ask: what waits need not be done.
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.shared.lock().waiting);
        drop(waiting);
    }
}

impl<W: Work> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Work> Inner<W> {
    fn add(&mut self, job: W::Job) {
        self.bytes += W::weight(&job);
        self.waiting.push_back(job);
    }

    fn take(&mut self) -> Option<W> {
        match std::mem::replace(&mut self.work, Where::Taken) {
            Where::Here(work) => Some(work),
            other => {
                self.work = other;
                None
            }
        }
    }
}

/// One thread's turn: until nothing waits. If it ends in any other way, the work is lost.
struct Turn<W: Work> {
    shared: Arc<Shared<W>>,
    over: bool,
}

impl<W: Work> Turn<W> {
    fn run(mut self, mut work: W) {
        let mut done = 0;
        loop {
            let mut inner = self.shared.lock();
            inner.bytes -= done;
            let Some(job) = inner.waiting.pop_front() else {
                inner.work = Where::Here(work);
                self.over = true;
                drop(inner);
                break;
            };
            drop(inner);
            if done > 0 {
                self.shared.changed.notify_one();
            }
            done = W::weight(&job);
            if let Err(e) = work.take(job) {
                // Before anybody is told: what the work held is gone then.
                drop(work);
                return self.fail(e);
            }
        }
        self.shared.changed.notify_one();
    }

    fn fail(&mut self, e: Error) {
        self.over = true;
        let mut inner = self.shared.lock();
        inner.work = Where::Failed(e);
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
        self.shared.changed.notify_one();
    }
}

impl<W: Work> Drop for Turn<W> {
    fn drop(&mut self) {
        if !self.over {
            self.fail(Error::Storage("a thread of the store ended early".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes numbers; fails at one that is not positive.
    struct Notes(Vec<i32>);

    impl Work for Notes {
        type Job = i32;

        fn weight(_: &i32) -> usize {
            10
        }

        fn take(&mut self, job: i32) -> Result<()> {
            assert!(job >= 0, "a thread that panics");
            self.0.push(job);
            if job > 0 { Ok(()) } else { Err(Error::Full) }
        }
    }

    #[tokio::test]
    async fn jobs_are_done_in_order_and_bounded() {
        let relay = Relay::new(Notes(Vec::new()), 20);
        for n in 1..=500 {
            relay.room().await.unwrap();
            relay.push(n);
            assert!(relay.shared.lock().bytes <= 30);
        }
        assert_eq!(relay.end().await.unwrap().0, (1..=500).collect::<Vec<_>>());
        assert!(relay.take().is_none() && relay.failed().is_none());
    }

    #[tokio::test]
    async fn everybody_is_told_of_an_error() {
        let relay = Relay::new(Notes(Vec::new()), 20);
        assert!(relay.failed().is_none());
        for n in [1, 0, 2, 3] {
            relay.push(n);
        }
        assert!(matches!(relay.end().await, Err(Error::Full)));
        relay.push(4);
        assert!(matches!(relay.room().await, Err(Error::Full)));
        assert!(matches!(relay.failed(), Some(Error::Full)));
        assert!(relay.shared.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_thread_that_ends_early_is_an_error() {
        let relay = Relay::new(Notes(Vec::new()), 20);
        relay.push(-1);
        assert!(matches!(relay.end().await, Err(Error::Storage(_))));
        assert!(relay.room().await.is_err());
    }
}
