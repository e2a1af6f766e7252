//! `headwater import tree|tar`: files that are elsewhere into a store, with their times, each compared byte for byte.
//!
//! What lives here: what was asked for, the couriers that share the work, progress, and the report. Where files come from
//! is `source`, what client and server say to each other `courier` and `serve`. An import that was cut is done again: files
//! that are there already, with the same size and time, are not sent twice.

mod checksums;
mod courier;
mod serve;
mod source;

use std::{
    io::Cursor,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::json;
use tokio::runtime::Handle;

use self::{
    checksums::Checksums,
    courier::{Courier, Outcome},
    source::{Content, Item, Ready},
};
use crate::{
    admin::{Reach, seconds_since},
    config::Site,
};

pub(crate) use serve::serve;

/// An import, as typed.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) from: From,
    /// In whose name files are put.
    pub(crate) user: String,
    /// The directory they go below, relative to the user's.
    pub(crate) to: String,
    /// A list of SHA-256 sums, as `sha256sum` writes it.
    pub(crate) checksums: Option<PathBuf>,
    /// Whether files that seem to be there are read and compared, too.
    pub(crate) verify: bool,
    /// Files on their way at the same time.
    pub(crate) couriers: usize,
}

/// Where files come from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// A directory and all below it.
    Tree(PathBuf),
    /// A tar archive; `-` is standard input.
    Tar(PathBuf),
}

/// A path, its size and time, and what is to be there.
type Waiting = (String, u64, u64, Ready);

/// Items that wait for a courier.
const WAITING: usize = 64;
/// Between two words of progress.
const PROGRESS_PAUSE: Duration = Duration::from_secs(2);

/// Carries an import out and prints the report.
pub(crate) async fn run(site: Site, import: Import) -> anyhow::Result<ExitCode> {
    let reach = Reach::find(site).await?;
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || Job::new(&reach, &import, runtime)?.run());
    done.await.context("the import")?
}

/// What was done so far, by all couriers.
#[derive(Default)]
struct Tally {
    stored: AtomicU64,
    stored_bytes: AtomicU64,
    already_there: AtomicU64,
    already_there_bytes: AtomicU64,
    directories: AtomicU64,
    problems: AtomicU64,
}

struct Job<'a> {
    reach: &'a Reach,
    import: &'a Import,
    runtime: Handle,
    checksums: Checksums,
    tally: Tally,
}

impl<'a> Job<'a> {
    fn new(reach: &'a Reach, import: &'a Import, runtime: Handle) -> anyhow::Result<Self> {
        let checksums = Checksums::read(import.checksums.as_deref())?;
        Ok(Self { reach, import, runtime, checksums, tally: Tally::default() })
    }

    fn courier(&self) -> anyhow::Result<Courier<'_>> {
        Courier::new(self.reach, self.import)
    }

    fn run(&self) -> anyhow::Result<ExitCode> {
        // Fails here and now where the user is unknown.
        let mut own = self.courier()?;
        let more = (0..self.import.couriers).map(|_| self.courier());
        let couriers = more.collect::<anyhow::Result<Vec<_>>>()?;
        let begun = Instant::now();
        let (working, ended) = sync_channel(0);
        thread::scope(|scope| {
            scope.spawn(move || self.show_progress(begun, ended));
            let walked = self.walk(&mut own, couriers);
            drop(working);
            walked
        })?;
        for path in self.checksums.unseen() {
            self.problem(&path, "is in the list of checksums and not among the files");
        }
        Ok(self.report(begun))
    }

    /// Hands what is found to couriers, until all of it is there.
    fn walk(&self, own: &mut Courier<'_>, couriers: Vec<Courier<'_>>) -> anyhow::Result<()> {
        let (items, waiting) = sync_channel(WAITING);
        let waiting = Mutex::new(waiting);
        thread::scope(|scope| {
            for courier in couriers {
                scope.spawn(|| self.carry(courier, &waiting));
            }
            let walked = source::walk(&self.import.from, &mut |found| match found {
                Err((path, why)) => {
                    self.problem(&path, &why);
                    Ok(())
                }
                // What cannot be read twice is carried by whoever reads it.
                Ok(Item { content: Content::Stream(stream), path, size, mtime }) => {
                    let file = courier::File::new(&path, size, mtime, self.checksums.take(&path));
                    self.note(&path, size, own.stream(&file, stream));
                    Ok(())
                }
                Ok(Item { path, size, mtime, content: Content::Ready(ready) }) => {
                    let ready = (path, size, mtime, ready);
                    items.send(ready).context("all couriers have ended")
                }
            });
            drop(items);
            walked
        })
    }

    /// A courier's work: items until there are no more.
    fn carry(&self, mut courier: Courier<'_>, waiting: &Mutex<Receiver<Waiting>>) {
        let _runtime = self.runtime.enter();
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((path, size, mtime, ready)) = next else { return };
            let mut file = |open: courier::Open<'_>| {
                let file = courier::File::new(&path, size, mtime, self.checksums.take(&path));
                self.note(&path, size, courier.file(&file, open));
            };
            match ready {
                Ready::File(source) => file(&|| Ok(Box::new(std::fs::File::open(&source)?))),
                Ready::Bytes(bytes) => file(&|| Ok(Box::new(Cursor::new(&bytes)))),
                Ready::Link(from) => self.note(&path, 0, courier.link(&from, &path)),
                Ready::Directory => match courier.directory(&path) {
                    Ok(()) => {
                        self.tally.directories.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(e) => self.problem(&path, &format!("{e:#}")),
                },
            }
        }
    }

    fn note(&self, path: &str, size: u64, outcome: anyhow::Result<Outcome>) {
        let (files, bytes) = match outcome {
            Ok(Outcome::Stored) => (&self.tally.stored, &self.tally.stored_bytes),
            Ok(Outcome::AlreadyThere) => {
                (&self.tally.already_there, &self.tally.already_there_bytes)
            }
            Err(e) => return self.problem(path, &format!("{e:#}")),
        };
        files.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(size, Ordering::Relaxed);
    }

    #[expect(clippy::print_stderr, reason = "what whoever imports has to look after")]
    fn problem(&self, path: &str, why: &str) {
        self.tally.problems.fetch_add(1, Ordering::Relaxed);
        eprintln!("NOT IMPORTED {path:?}: {why}");
    }

    /// Says every now and then how far it is, until `ended` has nobody at its other end.
    #[expect(clippy::print_stderr, reason = "an import may take days")]
    fn show_progress(&self, begun: Instant, ended: Receiver<()>) {
        while ended.recv_timeout(PROGRESS_PAUSE) == Err(RecvTimeoutError::Timeout) {
            let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let (stored, bytes) = (read(&self.tally.stored), read(&self.tally.stored_bytes));
            let secs = begun.elapsed().as_secs().max(1);
            eprintln!(
                "{stored} files stored ({} a second), {} MB ({} MB/s), {} were there already, {} problems",
                stored / secs,
                bytes / 1_000_000,
                bytes / 1_000_000 / secs,
                read(&self.tally.already_there),
                read(&self.tally.problems),
            );
        }
    }

    #[expect(clippy::print_stdout, reason = "the answer to a command line")]
    fn report(&self, begun: Instant) -> ExitCode {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let problems = read(&self.tally.problems);
        let report = json!({
            "stored": read(&self.tally.stored), "stored_bytes": read(&self.tally.stored_bytes),
            "already_there": read(&self.tally.already_there),
            "already_there_bytes": read(&self.tally.already_there_bytes),
            "directories": read(&self.tally.directories), "problems": problems,
            "checksums_given": self.checksums.given(), "seconds": seconds_since(begun),
        });
        println!("{report}");
        if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
