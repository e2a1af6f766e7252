//! The handle operations hold: it turns closures into jobs for an engine and their results into futures.
//!
//! A closure may run more than once (an engine may retry it); its effects on anything but the transaction wait for the
//! future's result.

use std::sync::Arc;

use model::{Error, Result};
use tokio::sync::oneshot;

use crate::{
    Read, Tx,
    audit::{Audit, AuditJob},
};

/// A catalog. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Catalog(Arc<dyn Engine>);

/// What an engine has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Write transactions whose changes were made durable.
    pub commits: u64,
    /// Groups they were made durable in: one synced log write each.
    pub groups: u64,
    /// Groups that were run again because another node was in their way; 0 for an engine that is alone.
    pub conflicts: u64,
    /// Statements sent to a database of another process; 0 for an engine that has none.
    pub statements: u64,
    /// How often an engine waited for that database: statements sent together are waited for once.
    pub round_trips: u64,
    /// Rows it sent or was sent.
    pub rows: u64,
}

/// A store of records. Implemented by engines, held to the law of `suite`.
pub trait Engine: Send + Sync {
    /// Runs a job over one snapshot; the job has its result when it has run. A cheap job may run on the calling
    /// thread before this returns.
    fn read(&self, job: Box<dyn ReadJob>);
    /// Whether a short read has always run when [`Engine::read`] returns, without waiting for another machine.
    fn reads_at_once(&self) -> bool;
    /// Whether other processes may have the same catalog open.
    fn is_shared(&self) -> bool;
    /// Runs a job in a transaction, then tells it whether its changes are durable.
    fn write(&self, job: Box<dyn WriteJob>);
    /// Runs a job over the whole of one snapshot, on a thread of its own: it may take long.
    fn audit(&self, job: Box<dyn AuditJob>);
    /// What was done so far.
    fn stats(&self) -> Stats;
    /// Whether a write would be taken now. Quick: asked before each upload, so that nobody sends a body in vain.
    ///
    /// # Errors
    /// [`Error::Full`], or [`Error::Storage`] with the reason why nothing is written any more.
    fn check_writable(&self) -> Result<()>;
}

/// Work over a snapshot.
pub trait ReadJob: Send {
    /// Does the work. Called again, on the same snapshot or another, only if [`ReadJob::may_run_again`]; then only the
    /// last result counts.
    fn run(&mut self, snapshot: &mut dyn Read);
    /// Called once, last: answers whoever waits, with the reason why there was no snapshot if there was none.
    fn finish(self: Box<Self>, snapshot: Result<()>);
    /// Whether the work may take long (a page of a listing): engines keep such jobs off threads that serve others.
    fn is_long(&self) -> bool;
    /// Whether the work has no effect but its result.
    fn may_run_again(&self) -> bool;
    /// Whether the work will ask for its witness.
    fn is_witnessed(&self) -> bool;
}

/// Work in a transaction.
pub trait WriteJob: Send {
    /// Does the work. May be called again, on a fresh view; only the last result counts. `false`: the work failed its
    /// rules, and whatever it put into `tx` must leave nothing behind.
    fn run(&mut self, tx: &mut dyn Tx) -> bool;
    /// Whether it is run also where the catalog is closed, because it is moved elsewhere.
    fn passes(&self) -> bool {
        false
    }
    /// Called once, last: whether what `run` put into the transaction is durable. After a `run` that returned `false`
    /// there is nothing to be durable and `durable` is `Ok`.
    fn finish(self: Box<Self>, durable: Result<()>);
}

impl Catalog {
    /// A handle on an engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self(engine)
    }

    /// Runs a short closure over one snapshot. It may run again, so it has no effect but its result.
    ///
    /// # Errors
    /// What the closure returns, or a fault of storage.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Read) -> Result<T> + Send + 'static,
    {
        self.run_read(work, Kind::Short).await
    }

    /// Runs a short closure over one snapshot, once: for one that hands on what it reads as it reads it.
    ///
    /// # Errors
    /// What the closure returns, or a fault of storage.
    pub async fn read_once<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
    {
        self.run_read(once(work), Kind::Once).await
    }

    /// Runs a short closure over one snapshot that may ask for its [`Read::witness`]. It may run again, likewise.
    ///
    /// # Errors
    /// What the closure returns, or a fault of storage.
    pub async fn witnessed<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Read) -> Result<T> + Send + 'static,
    {
        self.run_read(work, Kind::Witnessed).await
    }

    /// The same here and now, for those who cannot wait; `None`: the engine is none that could.
    ///
    /// # Errors
    /// What the closure returns, or a fault of storage.
    pub fn witnessed_now<T, F>(&self, work: F) -> Option<Result<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
    {
        if !self.0.reads_at_once() {
            return None;
        }
        let (answer, mut result) = oneshot::channel();
        self.0.read(Box::new(ReadWork {
            work: once(work),
            result: None,
            answer,
            kind: Kind::Witnessed,
        }));
        Some(result.try_recv().unwrap_or_else(|_| Err(stopped())))
    }

    /// Runs a closure that may take long (a page of a listing) over one snapshot, once.
    ///
    /// # Errors
    /// What the closure returns, or a fault of storage.
    pub async fn scan<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
    {
        self.run_read(once(work), Kind::Long).await
    }

    async fn run_read<T, F>(&self, work: F, kind: Kind) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Read) -> Result<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.0.read(Box::new(ReadWork { work, result: None, answer, kind }));
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs a closure over every row of one snapshot, on a thread that may block.
    ///
    /// # Errors
    /// What the closure returns, or a fault of storage.
    pub async fn audit<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Audit) -> Result<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.0.audit(Box::new(AuditWork { work, answer }));
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs a closure in a transaction. The future is ready when the changes are durable. Dropping the future does not
    /// undo or stop the transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the catalog is closed because it is moved elsewhere. What the closure returns (then nothing was changed), or a fault of storage (then a change is durable or not;
    /// [`Error::Storage`] does not say which).
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        self.run_write(work, false).await
    }

    /// The same, also where the catalog is closed because it is moved elsewhere: for whoever moves it, and for what belongs
    /// to the place and not to the store.
    ///
    /// # Errors
    /// As [`Catalog::write`].
    pub async fn write_closed<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        self.run_write(work, true).await
    }

    async fn run_write<T, F>(&self, work: F, passes: bool) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.0.write(Box::new(WriteWork { work, result: None, answer, passes }));
        result.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Whether other processes may have the same catalog open: what one of them alone is to do needs a lease then.
    pub fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    /// Whether a write would be taken now.
    ///
    /// # Errors
    /// [`Error::Full`], or [`Error::Storage`] with the reason why nothing is written any more.
    pub fn check_writable(&self) -> Result<()> {
        self.0.check_writable()
    }

    /// What the engine has done since it was opened.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

fn stopped() -> Error {
    Error::Unavailable("the catalog has stopped".to_owned())
}

/// Work that is done once, whoever asks again.
fn once<T>(
    work: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> impl FnMut(&mut dyn Read) -> Result<T> {
    let mut work = Some(work);
    move |tx| work.take().map_or_else(|| Err(stopped()), |work| work(tx))
}

struct ReadWork<T, F> {
    work: F,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
    kind: Kind,
}

/// What is known of a read before it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Short,
    Once,
    Witnessed,
    Long,
}

impl<T, F> ReadJob for ReadWork<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Read) -> Result<T> + Send,
{
    fn run(&mut self, snapshot: &mut dyn Read) {
        self.result = Some((self.work)(snapshot));
    }

    fn finish(self: Box<Self>, snapshot: Result<()>) {
        let Self { result, answer, .. } = *self;
        let result = snapshot.and_then(|()| result.unwrap_or_else(|| Err(stopped())));
        // Nobody waits any more: the request was given up, and a read has no effect to keep.
        drop(answer.send(result));
    }

    fn is_long(&self) -> bool {
        self.kind == Kind::Long
    }

    fn may_run_again(&self) -> bool {
        matches!(self.kind, Kind::Short | Kind::Witnessed)
    }

    fn is_witnessed(&self) -> bool {
        self.kind == Kind::Witnessed
    }
}

struct AuditWork<T, F> {
    work: F,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> AuditJob for AuditWork<T, F>
where
    T: Send,
    F: FnOnce(&dyn Audit) -> Result<T> + Send,
{
    fn run(self: Box<Self>, snapshot: Result<&dyn Audit>) {
        // Nobody waits any more: reading has no effect to keep.
        drop(self.answer.send(snapshot.and_then(self.work)));
    }
}

struct WriteWork<T, F> {
    work: F,
    result: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
    passes: bool,
}

impl<T, F> WriteJob for WriteWork<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Tx) -> Result<T> + Send,
{
    fn run(&mut self, tx: &mut dyn Tx) -> bool {
        let result = (self.work)(tx);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn passes(&self) -> bool {
        self.passes
    }

    fn finish(self: Box<Self>, durable: Result<()>) {
        let result = match (durable, self.result) {
            (Err(e), _) => Err(e),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(stopped()),
        };
        // Nobody waits any more: the change is made all the same.
        drop(self.answer.send(result));
    }
}
