//! Who writes: runs waiting operations over one overlay and makes them durable together.
//!
//! A thread takes what waits; while operations come one at a time, each is written by who brings it, if nobody else is writing:
//! handing it to the thread and its outcome back takes as long as the sync. What lives here: whose turn it is, the group commit, and
//! what happens when it fails. What does not: the queue (`crate::queue`), what operations do (`crate::rows::tx`), and how RocksDB is
//! set up (`options`).
//!
//! Invariants:
//! - one writes at a time, who holds the turn;
//! - nobody is told that a change is durable before the log write that holds it was synced;
//! - nobody is told anything that was seen in a group before that group is durable, not even that a rule failed;
//! - a group whose write failed is never written again, and nothing is written after it (see [`Core::stop_writing`]).
//!   One exception: when the disk had no room for the log to grow, nothing was synced that could be lost; RocksDB
//!   itself then refuses writes until there is room, and goes on in a new log (not so when a quota was exceeded).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard};

use model::{Moving, Result};
use rocksdb::{WriteBatch, WriteOptions};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Core;
use super::memory::Memory;
use super::source::{Pending, handle};
use crate::queue::{self, GROUP_BYTES_MAX, GROUP_JOBS_MAX, Job, Outcome, tell};
use crate::rows::keys::Family;
use crate::rows::moving;
use crate::rows::overlay::Overlay;
use crate::rows::view::View;

/// Whose turn it is to write, and what whoever has it remembers.
#[derive(Default)]
pub(super) struct Turn {
    memory: Mutex<Memory>,
    /// Whether the last group was more than one operation: then company is worth waiting for.
    busy: AtomicBool,
}

impl Turn {
    /// The turn, if nobody has it and nobody is expected to want it soon.
    fn now(&self) -> Option<MutexGuard<'_, Memory>> {
        if self.busy.load(Ordering::Relaxed) {
            return None;
        }
        // After a panic nobody writes any more: the thread has ended, and says so to who asks it.
        self.memory.try_lock().ok()
    }
}

/// Takes jobs until there are no more.
pub(super) fn run(core: &Core, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let Ok(memory) = core.turn.memory.lock() else { return };
        write_group(core, &memory, first, || jobs.try_recv().ok());
    }
}

/// Writes a job on the thread that brings it, if it may come in now and the thread may wait for the disk; otherwise it is given
/// back. The other tasks of the thread's runtime, if it has any, go on elsewhere meanwhile.
pub(super) fn write_here(core: &Core, job: Job) -> Option<Job> {
    let Some(runtime) = Handle::try_current().ok().filter(may_wait) else { return Some(job) };
    let Some(memory) = core.turn.now() else { return Some(job) };
    let write = || write_group(core, &memory, job, || None);
    // Finding the others another thread takes a good part of the time of a sync. Who comes while there are none waits for this
    // one: as long as a disk hangs, if it does.
    if runtime.metrics().num_alive_tasks() > 1 {
        tokio::task::block_in_place(write)
    } else {
        write()
    }
    None
}

/// Whether tasks of a runtime may wait for a disk.
fn may_wait(runtime: &Handle) -> bool {
    runtime.runtime_flavor() == RuntimeFlavor::MultiThread
}

fn write_group(core: &Core, memory: &Memory, first: Job, mut next: impl FnMut() -> Option<Job>) {
    let mut group = Batch::new(core, memory);
    group.run(core, first);
    // One waiting writer is not kept waiting for company: what is in the queue now is the group.
    while group.has_room()
        && let Some(job) = next()
    {
        group.run(core, job);
    }
    core.turn.busy.store(group.jobs.len() > 1, Ordering::Relaxed);
    group.commit(core);
}

/// A group being put together.
struct Batch<'a> {
    /// Whether anything is written now.
    open: Result<()>,
    memory: &'a Memory,
    overlay: Overlay,
    jobs: Vec<(Job, Outcome)>,
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
    fn run(&mut self, core: &Core, mut job: Job) {
        if let Err(e) = &self.open {
            tell(job, Err(e.clone()));
            return;
        }
        let mut view = self.view(core);
        if let Err(e) = moving::check(job.as_ref(), &view) {
            tell(job, Err(e));
            return;
        }
        let outcome = queue::run(job.as_mut(), &mut view);
        self.jobs.push((job, outcome));
    }

    fn view<'v>(&'v mut self, core: &'v Core) -> View<Pending<'v>> {
        View(Pending { db: &core.db, overlay: &mut self.overlay, memory: self.memory })
    }

    /// Notes what the group changes, if the catalog is moved, and writes it.
    fn write(&mut self, core: &Core) -> Result<()> {
        let door = moving::door(&self.view(core).0)?;
        if let Some(epoch) = door.as_ref().and_then(Moving::noted_under) {
            moving::note(&mut self.overlay, epoch);
        }
        write(core, &self.overlay)?;
        core.set_door(door.as_ref());
        Ok(())
    }

    /// Makes the group durable and tells every job.
    fn commit(mut self, core: &Core) {
        let written = if self.overlay.is_empty() { Ok(()) } else { self.write(core) };
        let kept = self.jobs.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Kept)).count();
        match &written {
            Ok(()) => self.memory.written(&self.overlay),
            Err(_) => self.memory.forget(),
        }
        if written.is_ok() && !self.overlay.is_empty() {
            core.count(kept as u64);
        }
        for (job, outcome) in self.jobs {
            tell(job, outcome.with(&written));
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
