//! The engine for many nodes: tables in PostgreSQL, or in a cluster that speaks like it.
//!
//! What lives here: opening and closing, and the way of a job to the threads that read or to the one that writes. What
//! does not: what is stored, and the lookups and changes made of it (`crate::rows`), where the database is (`target`), the
//! way there (`line`, `fault`), tables and statements (`tables`, `sql`, `schema`), rows in a transaction (`snapshot`,
//! `pending`, `door`), running ahead of them (`ahead`, `wanted`, `trails`), the group commit (`writer`).
//!
//! Invariants: nothing is kept in memory from one transaction to the next but ids that were taken for this node alone and
//! which rows led to which, never what is in one; so no node ever sees an older state than was acknowledged to anybody;
//! whatever becomes of the database, nothing hangs, nothing panics, and the engine goes on by itself when it is back.

mod ahead;
mod audit;
mod door;
mod fault;
mod gate;
mod ids;
mod line;
mod pending;
mod readers;
mod schema;
mod snapshot;
mod sql;
mod tables;
mod target;
#[cfg(test)]
mod tests;
mod trails;
mod wanted;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::Result;

use self::audit::Frozen;
use self::line::{Line, Shared};
use self::readers::Readers;
use self::target::Target;
use crate::audit::AuditJob;
use crate::queue::Queue;
use crate::rows::moving;
use crate::rows::overlay::Overlay;
use crate::{Engine, ReadJob, Stats, WriteJob};

/// The format of keys and records this release writes; the tables have versions of their own.
const FORMAT: u64 = 1;

/// After a group saw that the catalog is closed, uploads are refused before they come, for so long; then one looks again.
const CLOSED_FOR: Duration = Duration::from_secs(1);

/// How a database is used.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads for short reads, each with a connection of its own: so many groups of reads run at once. As many more
    /// serve long reads, one at a time each, and three more connections the thread that writes.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        // Few: reads that wait for a thread make a group, and cost less together.
        Self { readers: 4 }
    }
}

/// A catalog in a database. Dropping it waits until the writes that were accepted are durable.
pub struct Postgres {
    // Before the rest: the writer ends first.
    writer: Queue,
    readers: Readers,
    core: Arc<Core>,
}

/// What the writer and the engine share.
struct Core {
    shared: Arc<Shared>,
    commits: AtomicU64,
    groups: AtomicU64,
    conflicts: AtomicU64,
    /// When a group last saw that the catalog is closed; `None`: the last one saw that it is not.
    closed: Mutex<Option<Instant>>,
}

impl Postgres {
    /// Opens the catalog in the database that `url` (`postgres://user:password@host:port/name`) names, or makes one there:
    /// the database must exist, its tables need not. `sslmode` is one of `disable`, `require`, `verify-ca` and
    /// `verify-full`; by default a database on another host must show a certificate that is valid for its name.
    /// `sslrootcert` names a PEM file of authorities beside the system's.
    ///
    /// Takes a while, and blocks: not for a thread that serves others.
    ///
    /// # Errors
    /// [`model::Error::Unavailable`] when the database cannot be reached, does not let us in, or was written by a newer
    /// release; [`model::Error::Storage`] for a URL that is none.
    pub fn open(url: &str, options: Options) -> Result<Self> {
        let shared = Shared::new(Target::parse(url)?);
        // On a thread of its own: lines drive their connections themselves, which a runtime's thread must not.
        let line_of = Arc::clone(&shared);
        let migrated = std::thread::spawn(move || schema::migrate(&Line::new(line_of)));
        migrated.join().unwrap_or_else(|_| {
            Err(model::Error::Storage("bringing the tables up panicked".to_owned()))
        })?;
        let core = Arc::new(Core {
            shared: Arc::clone(&shared),
            commits: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            closed: Mutex::new(None),
        });
        let writing = Arc::clone(&core);
        let writer = Queue::start(move |jobs| writer::run(&writing, jobs))?;
        Ok(Self { writer, readers: Readers::start(&shared, options.readers)?, core })
    }
}

impl Engine for Postgres {
    fn read(&self, job: Box<dyn ReadJob>) {
        self.readers.submit(job);
    }

    fn reads_at_once(&self) -> bool {
        false
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, job: Box<dyn WriteJob>) {
        self.writer.submit(job);
    }

    fn audit(&self, job: Box<dyn AuditJob>) {
        let shared = Arc::clone(&self.core.shared);
        // Not one of the threads that read: it may take hours. It ends by itself, and answers for itself.
        let name = "catalog-audit".to_owned();
        let audit = std::thread::Builder::new().name(name).spawn(move || {
            let line = Line::new(shared);
            let frozen = Frozen::new(&line);
            match frozen.begin() {
                Ok(()) => job.run(Ok(&frozen)),
                Err(e) => job.run(Err(e)),
            }
            frozen.end();
        });
        if let Err(e) = audit {
            tracing::error!(%e, "no thread for looking through the catalog");
        }
    }

    fn stats(&self) -> Stats {
        let Core { shared, commits, groups, conflicts, .. } = &*self.core;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            commits: read(commits),
            groups: read(groups),
            conflicts: read(conflicts),
            statements: read(&shared.statements),
            round_trips: read(&shared.round_trips),
            rows: read(&shared.rows),
        }
    }

    fn check_writable(&self) -> Result<()> {
        let seen = *self.core.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|seen| seen.elapsed() < CLOSED_FOR) {
            return Err(moving::closed());
        }
        self.core.shared.check()
    }
}

impl Core {
    fn count(&self, commits: u64) {
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    fn set_closed(&self, closed: bool) {
        let seen = closed.then(Instant::now);
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn count_conflict(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    fn count_rows(&self, overlay: &Overlay) {
        self.shared.rows.fetch_add(overlay.changes().count() as u64, Ordering::Relaxed);
    }
}
