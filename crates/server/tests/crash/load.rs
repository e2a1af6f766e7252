//! Clients that change a server's tree all at once, until they are told to stop or the server is gone.
//!
//! Each has a directory of its own, where it knows what must be there; a few files are everybody's, and what may be in
//! those follows from when which upload began and was acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use blobs::suite::Chance;

use crate::{
    caller::{Caller, Reply},
    harness::PATIENCE,
    ledger::{Ledger, Op, Version, look, reads_as},
};

/// Files and directories a client keeps, at most; then it removes some.
const ENTRIES_MAX: usize = 20;
const SIZES: [usize; 14] = [
    0, 1, 300, 2_000, 8_191, 8_192, 8_193, 9_000, 30_000, 65_536, 65_537, 100_000, 300_000,
    1_100_000,
];

/// A client with its directory.
pub(crate) struct Writer {
    pub(crate) ledger: Ledger,
    /// Whether it also uploads in pieces.
    pub(crate) in_pieces: bool,
    chance: Chance,
    named: usize,
}

impl Writer {
    pub(crate) fn new(n: usize, caller: &mut Caller, chance: Chance) -> Self {
        let ledger = Ledger::new(&format!("/w{n}"), caller);
        Self { ledger, in_pieces: true, chance, named: 0 }
    }

    /// Asks for one thing after the other, until something is not acknowledged; returns what came of it.
    pub(crate) fn run(
        &mut self,
        caller: &mut Caller,
        shared: &[Shared],
        stop: &AtomicBool,
    ) -> Reply<()> {
        while !stop.load(Ordering::Relaxed) {
            let reply = match self.chance.below(100) {
                0..8 => shared[self.chance.below(shared.len())].put(caller, &self.body()),
                8..14 if self.in_pieces => {
                    let parts = (0..=self.chance.below(3)).map(|_| self.part()).collect();
                    let path = self.fresh("m");
                    self.ledger.multipart(caller, &path, parts)
                }
                8..60 => {
                    let (path, body) = (self.some_name(), self.body());
                    let form = self.chance.below(4) == 0;
                    self.ledger.put(caller, &path, &body, form)
                }
                _ => match self.other() {
                    Some(op) => self.ledger.change(caller, &op),
                    None => continue,
                },
            };
            // Not answered: what was asked for is done or not, and only a restart tells.
            if !reply.is_ok() {
                return reply;
            }
        }
        Reply::Ok(())
    }

    /// The same for a client that does not give up: after a fault it asks for one thing again and again.
    pub(crate) fn run_on(
        &mut self,
        caller: &mut Caller,
        shared: &[Shared],
        stop: &AtomicBool,
        faults: &Faults,
    ) {
        let reply = self.run(caller, shared, stop);
        if reply.is_ok() {
            return;
        }
        faults.note(&reply);
        let path = format!("{}/again", self.ledger.root());
        let end = Instant::now() + PATIENCE;
        loop {
            let reply = self.ledger.put(caller, &path, &path.clone().into_bytes(), false);
            if reply.is_ok() {
                return;
            }
            faults.note(&reply);
            assert!(Instant::now() < end, "{path} is never acknowledged: {reply:?}");
            sleep(Duration::from_millis(50));
        }
    }

    fn body(&mut self) -> Vec<u8> {
        let size = SIZES[self.chance.below(SIZES.len())];
        self.chance.bytes(size)
    }

    fn part(&mut self) -> Vec<u8> {
        let size = 1 + self.chance.below(40_000);
        self.chance.bytes(size)
    }

    /// Files (or directories) it has.
    fn have(&self, files: bool) -> Vec<String> {
        let tree = self.ledger.tree();
        tree.iter().filter(|(_, e)| e.is_some() == files).map(|(path, _)| path.clone()).collect()
    }

    fn fresh(&mut self, kind: &str) -> String {
        let dirs = self.have(false);
        self.named += 1;
        format!("{}/{kind}{}", dirs[self.chance.below(dirs.len())], self.named)
    }

    fn some_file(&mut self) -> Option<String> {
        let mut files = self.have(true);
        (!files.is_empty()).then(|| files.swap_remove(self.chance.below(files.len())))
    }

    /// A new name, or one that is taken.
    fn some_name(&mut self) -> String {
        let full = self.ledger.tree().len() >= ENTRIES_MAX;
        match self.some_file() {
            Some(file) if full || self.chance.below(3) == 0 => file,
            _ => self.fresh("f"),
        }
    }

    /// A change that brings no bytes.
    fn other(&mut self) -> Option<Op> {
        let full = self.ledger.tree().len() >= ENTRIES_MAX;
        Some(match self.chance.below(if full { 4 } else { 8 }) {
            0..3 => Op::Delete(self.some_file()?),
            3 => {
                let dirs = self.have(false);
                let empty = dirs[1..].iter().find(|dir| {
                    !self.ledger.tree().keys().any(|path| path.starts_with(&format!("{dir}/")))
                });
                Op::DeleteDir(empty?.clone())
            }
            4 => Op::MakeDir(self.fresh("d")),
            5 => Op::Copy(self.some_file()?, self.some_name()),
            _ => Op::Rename(self.some_file()?, self.fresh("f")),
        })
        .filter(|op| !matches!(op, Op::Copy(from, to) if from == to))
    }
}

/// What clients were told that was no acknowledgement.
#[derive(Default)]
pub(crate) struct Faults(Mutex<BTreeMap<String, usize>>);

impl Faults {
    /// Notes one. What the contract does not name for a dependency that is away fails the test.
    fn note(&self, reply: &Reply<()>) {
        let named = match reply {
            Reply::Ok(()) | Reply::Cut => true,
            // The HTTP interface; JSON-RPC's own for the server; a method's own.
            Reply::No(status, code) => {
                [(503, -26), (200, -32_000), (200, -27)].contains(&(*status, *code))
            }
        };
        assert!(named, "an answer that the contract does not name: {reply:?}");
        *self.0.lock().unwrap().entry(format!("{reply:?}")).or_default() += 1;
    }

    /// How often what was told.
    pub(crate) fn told(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().clone()
    }
}

/// A file that everybody overwrites.
pub(crate) struct Shared {
    path: String,
    versions: Mutex<Vec<Attempt>>,
    clock: AtomicU64,
}

/// A version, when its upload began, and when it was acknowledged; later than ever if it was not.
struct Attempt {
    version: Version,
    begun: u64,
    acknowledged: u64,
}

impl Shared {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), versions: Mutex::default(), clock: AtomicU64::new(1) }
    }

    fn put(&self, caller: &mut Caller, body: &[u8]) -> Reply<()> {
        let begun = self.clock.fetch_add(1, Ordering::SeqCst);
        let n = {
            let mut versions = self.versions.lock().unwrap();
            versions.push(Attempt { version: Version::of(body), begun, acknowledged: u64::MAX });
            versions.len() - 1
        };
        let reply = caller.send(&caller.raw(&self.path).body(body));
        if reply.is_ok() {
            let now = self.clock.fetch_add(1, Ordering::SeqCst);
            self.versions.lock().unwrap()[n].acknowledged = now;
        }
        reply.map(|_| ())
    }

    /// A version may be there unless another, acknowledged one began after it was acknowledged.
    pub(crate) fn judge(&self, caller: &mut Caller) {
        let mut versions = self.versions.lock().unwrap();
        let done = |attempt: &&Attempt| attempt.acknowledged < u64::MAX;
        let newest = versions.iter().filter(done).map(|attempt| attempt.begun).max().unwrap_or(0);
        let found = look(caller, &self.path);
        let legal = versions.iter().find(|attempt| {
            let same = found.as_ref().is_some_and(|(_, sha)| *sha == attempt.version.sha);
            same && attempt.acknowledged >= newest
        });
        assert!(legal.is_some() || newest == 0 && found.is_none(), "{}: {found:?}", self.path);
        let kept = legal.map(|attempt| attempt.version.clone());
        versions.clear();
        if let Some(version) = kept {
            reads_as(caller, &self.path, &version);
            versions.push(Attempt { version, begun: 0, acknowledged: 0 });
        }
    }

    /// After it was judged: what it holds.
    pub(crate) fn version(&self) -> Option<Version> {
        self.versions.lock().unwrap().first().map(|attempt| attempt.version.clone())
    }
}
