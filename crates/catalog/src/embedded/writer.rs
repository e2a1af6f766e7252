//! The thread that writes: it runs waiting operations over one overlay and makes them durable together.
//!
//! What lives here: the queue, save points, the group commit, and what happens when it fails. What does not: what
//! operations do (`tx`), and how RocksDB is set up (`options`).
//!
//! Invariants:
//! - nobody is told that a change is durable before the log write that holds it was synced;
//! - nobody is told anything that was seen in a group before that group is durable, not even that a rule failed;
//! - an operation that failed its rules, or panicked, leaves nothing in the group;
//! - a group whose write failed is never written again, and nothing is written after it (see [`Core::stop_writing`]).
//!   One exception: when the disk had no room for the log to grow, nothing was synced that could be lost; RocksDB
//!   itself then refuses writes until there is room, and goes on in a new log (not so when a quota was exceeded).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use model::{Error, Result};
use rocksdb::{WriteBatch, WriteOptions};

use super::Core;
use super::memory::Memory;
use super::source::{Pending, handle};
use crate::WriteJob;
use crate::rows::keys::Family;
use crate::rows::overlay::Overlay;
use crate::rows::view::View;

/// Writes that may wait for the thread. More are refused: their callers are told to try again, which keeps memory
/// bounded and never blocks a caller's thread.
const WAITING_MAX: usize = 8192;
/// Operations in one group.
const GROUP_JOBS_MAX: usize = 512;
/// Bytes of changes after which a group takes no more operations.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// The queue's end that callers hold, and the thread at the other. Dropping it waits for what is in the queue.
pub(super) struct Writer {
    /// `None` only while dropping: the thread ends when the queue is empty and has no sender.
    queue: Option<SyncSender<Box<dyn WriteJob>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(core: Arc<Core>) -> Result<Self> {
        let (queue, jobs) = sync_channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("catalog-writer".to_owned())
            .spawn(move || run(&core, &jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Puts a job into the queue, or tells it why not.
    pub(super) fn submit(&self, job: Box<dyn WriteJob>) {
        let Some(queue) = &self.queue else { return };
        let (job, why) = match queue.try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => (job, "too many writes are waiting"),
            Err(TrySendError::Disconnected(job)) => (job, "the catalog's writer has ended"),
        };
        job.finish(Err(Error::Unavailable(why.to_owned())));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
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

fn run(core: &Core, jobs: &Receiver<Box<dyn WriteJob>>) {
    let memory = Memory::default();
    while let Ok(first) = jobs.recv() {
        let mut group = Batch::new(core, &memory);
        group.run(core, first);
        // One waiting writer is not kept waiting for company: what is in the queue now is the group.
        while group.has_room()
            && let Ok(job) = jobs.try_recv()
        {
            group.run(core, job);
        }
        group.commit(core);
    }
}

/// What became of a job's work.
enum Outcome {
    /// It is in the group.
    Kept,
    /// It failed its rules and was taken back.
    Failed,
    /// It panicked and was taken back.
    Panicked,
}

/// A group being put together.
struct Batch<'a> {
    /// Whether anything is written now.
    open: Result<()>,
    memory: &'a Memory,
    overlay: Overlay,
    jobs: Vec<(Box<dyn WriteJob>, Outcome)>,
}

impl<'a> Batch<'a> {
    fn new(core: &Core, memory: &'a Memory) -> Self {
        let open = core.check_writable();
        Self { open, memory, overlay: Overlay::default(), jobs: Vec::new() }
    }

    fn has_room(&self) -> bool {
        self.jobs.len() < GROUP_JOBS_MAX && self.overlay.bytes() < GROUP_BYTES_MAX
    }

    /// Runs a job on top of the group, so that it sees the jobs before it.
    fn run(&mut self, core: &Core, mut job: Box<dyn WriteJob>) {
        if let Err(e) = &self.open {
            finish(job, Err(e.clone()));
            return;
        }
        let mut view =
            View(Pending { db: &core.db, overlay: &mut self.overlay, memory: self.memory });
        // After a panic the job is only finished and the overlay only rolled back: nothing half-done is looked at.
        let outcome = match catch_unwind(AssertUnwindSafe(|| job.run(&mut view))) {
            Ok(true) => Outcome::Kept,
            Ok(false) => Outcome::Failed,
            Err(_) => Outcome::Panicked,
        };
        match outcome {
            Outcome::Kept => self.overlay.keep(),
            Outcome::Failed | Outcome::Panicked => self.overlay.roll_back(),
        }
        self.jobs.push((job, outcome));
    }

    /// Makes the group durable and tells every job.
    fn commit(self, core: &Core) {
        let written = if self.overlay.is_empty() { Ok(()) } else { write(core, &self.overlay) };
        let kept = self.jobs.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Kept)).count();
        match &written {
            Ok(()) => self.memory.written(&self.overlay),
            Err(_) => self.memory.forget(),
        }
        if written.is_ok() && !self.overlay.is_empty() {
            core.count(kept as u64);
        }
        for (job, outcome) in self.jobs {
            let panicked = || Error::Storage("a write panicked".to_owned());
            let durable = match outcome {
                Outcome::Kept | Outcome::Failed => written.clone(),
                Outcome::Panicked => Err(panicked()),
            };
            finish(job, durable);
        }
    }
}

/// Writes a group to the log, syncs it, and lets readers see it.
fn write(core: &Core, overlay: &Overlay) -> Result<()> {
    let mut batch = WriteBatch::default();
    for (family, key, change) in overlay.changes() {
        let family = handle(&core.db, family)?;
        match change {
            Some(value) => batch.put_cf(family, key, value),
            None => batch.delete_cf(family, key),
        }
    }
    let mut options = WriteOptions::default();
    options.set_sync(true);
    let rows = overlay.changes().flat_map(|(family, key, _)| {
        // Of these, all that begin alike may have been looked at together (`source`).
        let alike = (family == Family::Meta).then(|| key.get(..1)).flatten();
        [Some(key), alike].into_iter().flatten().map(move |key| (family as u8, key))
    });
    let group = core.stamps.begin(rows);
    let written = core.db.write_opt(batch, &options).map_err(|e| {
        let text = e.to_string();
        let fault = super::fault(e);
        // Of the errors of a full disk RocksDB knows this one alone, and recovers from it by itself.
        let only_full =
            text.contains("No space left on device") && text.contains("While appending to file");
        if !only_full {
            core.stop_writing(&text);
        }
        fault
    });
    core.stamps.end(group);
    if let (Ok(()), Some(mark)) = (&written, &core.mark) {
        mark.note(core.db.latest_sequence_number());
    }
    written
}

/// Tells a job; a panic there is its own affair.
fn finish(job: Box<dyn WriteJob>, durable: Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| job.finish(durable))).is_err() {
        tracing::error!("a write panicked when it was told its outcome");
    }
}
