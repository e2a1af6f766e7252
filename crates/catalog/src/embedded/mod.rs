//! The embedded engine: RocksDB in a directory of its own.
//!
//! What lives here: opening and closing, and the way of a job to a snapshot or to the writer's thread. What does not:
//! what is stored, and the lookups and changes made of it (`crate::rows`), rows from RocksDB (`source`, `audit`), the group
//! commit (`writer`), RocksDB's settings (`options`).
//!
//! Invariant: only whoever has the turn to write changes the database (`writer`), and once a write has failed nobody does.

mod audit;
mod latest;
mod logs;
mod mark;
mod memory;
mod options;
mod recall;
mod room;
mod source;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use model::{Error, Moving, Result};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, WriteOptions};

pub use self::options::Options;

use self::latest::{Latest, Reading};
use self::mark::Mark;
use self::recall::Recall;
use self::room::Room;
use self::source::Frozen;
use self::writer::Turn;
use crate::audit::AuditJob;
use crate::queue::Queue;
use crate::rows::codec::{decode, encode};
use crate::rows::keys::{self, Family};
use crate::rows::moving;
use crate::rows::record::Number;
use crate::rows::view::View;
use crate::witness::Stamps;
use crate::{Engine, ReadJob, Stats, WriteJob};

/// The format this release writes. A release that changes keys raises it and brings older catalogs up when it opens
/// them; changes of one record's layout do not need it (see `codec`).
const FORMAT: u64 = 1;

/// A catalog in a directory. Dropping it waits until the writes that were accepted are durable.
pub struct Embedded {
    // Before `core`: the writer ends first.
    writer: Queue,
    core: Arc<Core>,
}

/// What writers and readers share.
struct Core {
    db: DB,
    turn: Turn,
    room: Room,
    mark: Option<Mark>,
    stamps: Arc<Stamps>,
    recall: Recall,
    reading: Reading,
    commits: AtomicU64,
    groups: AtomicU64,
    /// Whether the catalog is closed, because it is moved.
    closed: AtomicBool,
    /// Why nothing is written any more.
    stopped: OnceLock<String>,
}

impl Embedded {
    /// Opens the catalog in directory `path`, or makes one there; the directory above must exist. After a crash this
    /// replays the log.
    ///
    /// # Errors
    /// [`Error::Storage`] when another process has it open, when a newer release wrote it, or when the disk fails;
    /// [`Error::Damaged`] when what is stored does not match its checksums.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref();
        let db = open_database(path, options)?;
        let room = Room::new(path.to_owned(), options.floor_bytes);
        Self::start(db, room, options.rows_bytes)
    }

    fn start(db: DB, room: Room, rows_bytes: usize) -> Result<Self> {
        let stamps = Stamps::new();
        let door = moving::door(&Frozen::new(&db))?;
        let core = Arc::new(Core {
            recall: Recall::new(rows_bytes, Arc::clone(&stamps)),
            mark: Mark::open(db.path()),
            stamps,
            reading: Reading::default(),
            turn: Turn::default(),
            db,
            room,
            commits: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            stopped: OnceLock::new(),
        });
        core.set_door(door.as_ref());
        let writing = Arc::clone(&core);
        Ok(Self { writer: Queue::start(move |jobs| writer::run(&writing, jobs))?, core })
    }

    /// Makes a copy of the catalog as it is now in directory `to`, which must not exist; tables are hard links where
    /// both are on one file system. Takes as long as writing the memtables: not for a thread that serves others.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Storage`].
    pub fn checkpoint(&self, to: impl AsRef<Path>) -> Result<()> {
        let checkpoint = Checkpoint::new(&self.core.db).map_err(fault)?;
        checkpoint.create_checkpoint(to).map_err(fault)
    }

    /// Why the catalog writes nothing any more; `None`: it does.
    pub fn stopped(&self) -> Option<String> {
        self.core.stopped.get().cloned()
    }
}

impl Engine for Embedded {
    fn read(&self, job: Box<dyn ReadJob>) {
        let core = Arc::clone(&self.core);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if job.is_long() => {
                // The job answers for itself; nobody waits for the thread.
                drop(runtime.spawn_blocking(move || core.read(job)));
            }
            _ => core.read(job),
        }
    }

    fn reads_at_once(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn write(&self, job: Box<dyn WriteJob>) {
        match self.core.check_stopped() {
            Ok(()) => {
                if let Some(job) = writer::write_here(&self.core, job) {
                    self.writer.submit(job);
                }
            }
            Err(e) => job.finish(Err(e)),
        }
    }

    fn audit(&self, job: Box<dyn AuditJob>) {
        let core = Arc::clone(&self.core);
        let run = move || job.run(Ok(&Frozen::new(&core.db)));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(run)),
            Err(_) => run(),
        }
    }

    fn stats(&self) -> Stats {
        Stats {
            commits: self.core.commits.load(Ordering::Relaxed),
            groups: self.core.groups.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }

    fn check_writable(&self) -> Result<()> {
        if self.core.closed.load(Ordering::Relaxed) {
            return Err(moving::closed());
        }
        self.core.check_writable()
    }
}

impl Core {
    fn read(&self, mut job: Box<dyn ReadJob>) {
        let witnessed = job.is_witnessed();
        if job.may_run_again() {
            let mut view = View(Latest::new(self, witnessed));
            job.run(&mut view);
            if view.0.is_whole() {
                return job.finish(Ok(()));
            }
        }
        let frozen = Latest::new(self, witnessed);
        frozen.freeze();
        job.run(&mut View(frozen));
        job.finish(Ok(()));
    }

    fn count(&self, commits: u64) {
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    fn set_door(&self, door: Option<&Moving>) {
        self.closed.store(door.is_some_and(Moving::is_closed), Ordering::Relaxed);
    }

    /// After a failed sync the kernel may call the next one good although the data are gone: a write that failed is
    /// not tried again, and nothing is written on top of it. Opening the catalog again replays what is really there.
    fn stop_writing(&self, why: &str) {
        tracing::error!(
            why,
            "a write of the catalog failed: it is read-only until it is opened again"
        );
        // Only the first reason counts.
        drop(self.stopped.set(why.to_owned()));
    }

    fn check_writable(&self) -> Result<()> {
        self.check_stopped()?;
        self.room.check()
    }

    fn check_stopped(&self) -> Result<()> {
        match self.stopped.get() {
            None => Ok(()),
            Some(why) => {
                Err(Error::Storage(format!("the catalog is read-only since a write failed: {why}")))
            }
        }
    }
}

fn open_database(path: &Path, options: Options) -> Result<DB> {
    let database = options.database();
    let logs = logs::check(path)?;
    match Mark::read(path) {
        Some(mark) if mark > logs.last => check_mark(options.database(), path, mark)?,
        Some(_) | None => {}
    }
    logs::cut(&logs)?;
    refuse_unknown_families(&database, path)?;
    let db = DB::open_cf_descriptors(&database, path, options.families()?).map_err(fault)?;
    check_format(&db)?;
    Ok(db)
}

/// Refuses a catalog that ends before what was acknowledged. The logs end there when they were written to tables, and when
/// they have lost their end: what opens for reading alone tells, and leaves all as it is.
fn check_mark(mut database: rocksdb::Options, path: &Path, mark: u64) -> Result<()> {
    // What a crash left of the last write is still there, and does not count.
    database.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
    let families = DB::list_cf(&database, path).map_err(fault)?;
    let db = DB::open_cf_for_read_only(&database, path, families, false).map_err(fault)?;
    let last = db.latest_sequence_number();
    if last < mark {
        return Err(Error::Damaged(format!(
            "{}: the last {} changes that were acknowledged are missing",
            path.display(),
            mark - last
        )));
    }
    Ok(())
}

/// A catalog with families this release does not know was written by a newer one.
fn refuse_unknown_families(database: &rocksdb::Options, path: &Path) -> Result<()> {
    // A list that cannot be read is no catalog yet, or one whose trouble `open` reports.
    let families = DB::list_cf(database, path).unwrap_or_default();
    match families.iter().find(|name| Family::ALL.iter().all(|f| f.name() != name.as_str())) {
        Some(name) => Err(Error::Storage(format!(
            "a newer release wrote this catalog: it has index {name:?}"
        ))),
        None => Ok(()),
    }
}

/// Refuses a catalog of a newer format; notes the format in a new one.
fn check_format(db: &DB) -> Result<()> {
    match db.get_pinned(keys::FORMAT).map_err(fault)? {
        Some(bytes) => match decode(&bytes)? {
            Number(FORMAT) => Ok(()),
            Number(other) => Err(Error::Storage(format!(
                "a newer release wrote this catalog: it has format {other}, this release knows {FORMAT}"
            ))),
        },
        None => {
            let mut options = WriteOptions::default();
            options.set_sync(true);
            db.put_opt(keys::FORMAT, encode(&Number(FORMAT)), &options).map_err(fault)
        }
    }
}

/// What RocksDB reports, as a fact. It tells errors apart by text only.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn fault(e: rocksdb::Error) -> Error {
    let text = e.to_string();
    let full = ["No space left on device", "Disk quota exceeded", "File too large"];
    match e.kind() {
        rocksdb::ErrorKind::Corruption => Error::Damaged(text),
        _ if full.iter().any(|what| text.contains(what)) => Error::Full,
        _ => Error::Storage(text),
    }
}
