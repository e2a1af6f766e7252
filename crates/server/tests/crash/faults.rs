//! The test's side of the preloaded library `faults.c`: compiling it, telling it what to do, reading what it saw.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use tempfile::TempDir;

/// What the library does at the n-th call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    KillBefore = 1,
    KillAfter = 2,
    /// Half of a write, then death.
    KillHalf = 3,
    Fail = 4,
}

/// Every kind of call (`enum kind` in faults.c).
pub(crate) const EVERY_CALL: u64 = 255;
/// Renames alone.
pub(crate) const RENAMES: u64 = 4;
/// Those that a disk can refuse. Advice it cannot: RocksDB asserts that.
pub(crate) const REFUSABLE: u64 = EVERY_CALL & !128;
/// Those that a full disk refuses: not removals.
pub(crate) const GROWING: u64 = REFUSABLE & !16;

/// What is to go wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) at: u64,
    pub(crate) action: Action,
    /// For [`Action::Fail`].
    pub(crate) error: i32,
    pub(crate) for_ever: bool,
    /// The kinds of calls that count.
    pub(crate) kinds: u64,
}

/// A call that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `call`, `fired`, or `again` (a sync of what could not be synced before).
    pub(crate) what: String,
    pub(crate) name: String,
    /// From the data directory on.
    pub(crate) path: String,
}

impl Call {
    pub(crate) fn is_sync(&self) -> bool {
        self.name == "fsync" || self.name == "fdatasync"
    }

    /// Whether it is of the bytes of uploads or of the catalog's log: what an answer rests on.
    pub(crate) fn is_essential(&self) -> bool {
        let log = self.path.starts_with("/catalog/") && self.path.ends_with(".log");
        let bytes = self.path.starts_with("/stage/") || self.path.starts_with("/blobs/");
        (log || bytes) && ["write", "pwrite", "fsync", "fdatasync", "rename"].contains(&&*self.name)
    }
}

/// The library and its plan.
pub(crate) struct Faults {
    dir: TempDir,
    plan: File,
}

impl Faults {
    /// Compiles the library.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        compile("faults.c", &["-shared", "-fPIC"], &dir.path().join("faults.so"));
        fs::write(dir.path().join("plan"), [0; 4096]).unwrap();
        let plan = File::options().read(true).write(true).open(dir.path().join("plan")).unwrap();
        Self { dir, plan }
    }

    /// The environment of a process whose calls on files below `data` count.
    pub(crate) fn env(&self, data: &Path) -> Vec<(String, String)> {
        let file = |name| self.dir.path().join(name).to_str().unwrap().to_owned();
        let data = data.to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", file("faults.so")),
            ("FAULTS_PLAN", file("plan")),
            ("FAULTS_LOG", file("log")),
            ("FAULTS_DIR", data),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Begins to count, from 0.
    pub(crate) fn arm(&self, fault: Option<Fault>) {
        self.disarm();
        // A process has it open, to append: it is emptied, not removed.
        fs::write(self.dir.path().join("log"), "").unwrap();
        let none =
            Fault { at: 0, action: Action::Fail, error: 0, for_ever: false, kinds: EVERY_CALL };
        let Fault { at, action, error, for_ever, kinds } = fault.unwrap_or(none);
        let words =
            [at, action as u64, error.unsigned_abs().into(), for_ever.into(), kinds, 0, 0, 0];
        for (i, word) in words.into_iter().enumerate() {
            self.set(i + 1, word);
        }
        self.set(0, 1);
    }

    /// Nothing goes wrong any more, nothing is counted.
    pub(crate) fn disarm(&self) {
        self.set(0, 0);
    }

    fn set(&self, word: usize, value: u64) {
        self.plan.write_all_at(&value.to_ne_bytes(), word as u64 * 8).unwrap();
    }

    fn get(&self, word: usize) -> u64 {
        let mut bytes = [0; 8];
        self.plan.read_exact_at(&mut bytes, word as u64 * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// Calls so far.
    pub(crate) fn count(&self) -> u64 {
        self.get(6)
    }

    /// How often it went wrong so far.
    pub(crate) fn fired(&self) -> u64 {
        self.get(7)
    }

    /// Everything that was seen.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let call = |line: &str| {
            let mut words = line.splitn(4, ' ').map(str::to_owned);
            let what = words.next()?;
            let _n = words.next()?;
            Some(Call { what, name: words.next()?, path: words.next()? })
        };
        log.lines().filter_map(call).collect()
    }
}

/// Compiles a C file of this directory.
pub(crate) fn compile(source: &str, options: &[&str], into: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash").join(source);
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-Werror"]).args(options).arg("-o").arg(into).arg(source);
    let made = command.status().expect("a C compiler (scripts/setup test installs one)");
    assert!(made.success(), "cc failed");
}
