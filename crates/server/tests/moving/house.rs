//! A place where a store is or comes to, the clients that change it meanwhile, and the command that moves it.

use std::{
    path::PathBuf,
    process::{Child, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use blobs::suite::Chance;
use serde_json::Value;
use tempfile::TempDir;
use testbed::{Database, Durability, S3, shared};

use crate::{
    caller::{Caller, Reply},
    harness::{PATIENCE, Server, Setup, Stops},
    ledger::{Ledger, Op},
};

/// Between two changes of a client while a store is moved.
const REST: Duration = Duration::from_millis(200);
const CLIENTS: usize = 4;

/// A place for a store: a directory, and what of it is elsewhere.
pub(crate) struct Place {
    dir: TempDir,
    database: Option<Database<'static>>,
    store: Option<S3>,
}

impl Place {
    pub(crate) fn new(database: bool, store: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("headwater-move-").tempdir().unwrap();
        let database = database.then(|| shared().database());
        Self { dir, database, store: store.then(|| S3::start(Durability::None)) }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the command that moves a store here is told.
    pub(crate) fn to(&self) -> Vec<String> {
        let mut args = vec!["--to".to_owned(), self.data().to_str().unwrap().to_owned()];
        if let Some(database) = &self.database {
            args.extend(["--to-catalog".to_owned(), database.url()]);
        }
        if let Some(store) = &self.store {
            args.extend(["--to-blobs".to_owned(), store.url("house")]);
        }
        args
    }

    /// How a server finds all of it, and what commands need that move it to `next`.
    fn setup(&self, next: Option<&Place>) -> Setup {
        // Never empty: a server that is told nothing may get an object store from the harness.
        let mut variables = vec![("HEADWATER_CATALOG".to_owned(), String::new())];
        if let Some(database) = &self.database {
            variables[0].1 = database.url();
        }
        if let Some(store) = &self.store {
            variables.extend(store.variables());
            variables.push(("HEADWATER_BLOBS".to_owned(), store.url("house")));
        }
        if let Some(store) = next.and_then(|next| next.store.as_ref()) {
            let there = |(name, value)| (format!("HEADWATER_TO_{name}"), value);
            variables.extend(store.variables().into_iter().map(there));
        }
        Setup { variables, log: "info", ..Setup::default() }
    }

    /// Serves what is here.
    pub(crate) fn serve(self, next: Option<&Place>) -> Home {
        let setup = self.setup(next);
        let Self { dir, database, store } = self;
        if database.is_some() && !dir.path().join("data/secret.key").exists() {
            std::fs::create_dir_all(dir.path().join("data")).unwrap();
            std::fs::write(dir.path().join("data/secret.key"), "7".repeat(64)).unwrap();
        }
        Home { server: Server::start_in(dir, setup), _database: database, _store: store }
    }
}

/// A place that is served.
pub(crate) struct Home {
    pub(crate) server: Server,
    _database: Option<Database<'static>>,
    _store: Option<S3>,
}

impl Home {
    /// Begins to move everything.
    pub(crate) fn begin(&self, to: &Place, more: &[&str]) -> Child {
        let to = to.to();
        let args: Vec<&str> = to.iter().map(String::as_str).collect();
        self.server.admin_begun(&[&["migrate"], &args[..], more].concat())
    }

    /// Moves everything; what was reported.
    pub(crate) fn move_to(&self, to: &Place, more: &[&str]) -> Value {
        report(self.begin(to, more).wait_with_output().unwrap())
    }

    /// The same, after an attempt that may not have noticed yet that nobody waits for it.
    pub(crate) fn move_at_last(&self, to: &Place, more: &[&str]) -> Value {
        let end = Instant::now() + PATIENCE + PATIENCE;
        loop {
            let output = self.begin(to, more).wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let in_use = ["another process", "opening the catalog"];
            if output.status.success() || in_use.iter().all(|why| !said.contains(why)) {
                return report(output);
            }
            assert!(Instant::now() < end, "{said}");
            thread::sleep(REST);
        }
    }

    /// Whether it takes no changes any more.
    pub(crate) fn is_closed(&self) -> bool {
        let status: Value = serde_json::from_str(&self.server.admin_ok(&["status"], "")).unwrap();
        status["move"]["takes_changes"] == false
    }

    /// It holds together, to the last byte, and nobody has it open.
    pub(crate) fn fsck(mut self) {
        self.server.stop();
        let output = self.server.admin(&["fsck", "--deep"], "");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said:.2000}");
    }
}

/// What a move that ended well printed.
pub(crate) fn report(output: Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["moved_to"].is_string(), "{report}");
    report
}

/// Clients with what they know, wherever the store is.
pub(crate) struct Clients {
    token: String,
    ledgers: Vec<(Ledger, Chance)>,
}

impl Clients {
    /// Each with a directory of its own and some files in it.
    pub(crate) fn at(home: &Home) -> Self {
        let seed = blobs::suite::seed();
        eprintln!("seed {seed}");
        let mut caller = Caller::login(home.server.address());
        let mut ledgers = Vec::new();
        for n in 0..CLIENTS {
            let mut ledger = Ledger::new(&format!("/c{n}"), &mut caller);
            let mut chance = Chance::new(seed ^ n as u64);
            for file in 0..6 {
                let body = body(&mut chance);
                ledger.put(&mut caller, &format!("/c{n}/old{file}"), &body, false).must("a file");
            }
            ledgers.push((ledger, chance));
        }
        Self { token: caller.token, ledgers }
    }

    /// Lets them change things while `meanwhile` goes on. Each ends with the first answer that is none, or with what a place
    /// says that is closed.
    pub(crate) fn during<T>(&mut self, home: &Home, meanwhile: impl FnOnce() -> T) -> T {
        let (address, token, over) = (home.server.address(), &self.token, AtomicBool::new(false));
        thread::scope(|scope| {
            for (ledger, chance) in &mut self.ledgers {
                let mut caller = Caller::new(address, token);
                let over = &over;
                scope.spawn(move || {
                    for n in 0.. {
                        if over.load(Ordering::Relaxed) || !change(ledger, &mut caller, chance, n) {
                            return;
                        }
                        thread::sleep(REST);
                    }
                });
            }
            let _stops = Stops(&over);
            meanwhile()
        })
    }

    /// All that was acknowledged is there.
    pub(crate) fn judge(&mut self, home: &Home) {
        let mut caller = Caller::new(home.server.address(), &self.token);
        for (ledger, chance) in &mut self.ledgers {
            ledger.judge(&mut caller, chance, 100);
        }
    }

    /// A place that the store has left changes nothing, and still reads.
    pub(crate) fn find_closed(&self, home: &Home) {
        let mut caller = Caller::new(home.server.address(), &self.token);
        for size in [10, 100_000] {
            let put = caller.send(&caller.raw("/late").body(vec![7; size]));
            assert!(matches!(put, Reply::No(503, -26)), "{put:?}");
        }
        let made = caller.rpc("makeDir", serde_json::json!(["/late"]));
        assert!(matches!(made, Reply::No(200, code) if code == -32_000), "{made:?}");
        let listed = caller.rpc("listPath", serde_json::json!(["/c0", 100]));
        assert!(listed.is_ok(), "{listed:?}");
    }
}

fn body(chance: &mut Chance) -> Vec<u8> {
    let size = [0, 300, 8_192, 8_193, 60_000, 400_000][chance.below(6)];
    chance.bytes(size)
}

/// One change; whether it was acknowledged.
fn change(ledger: &mut Ledger, caller: &mut Caller, chance: &mut Chance, n: usize) -> bool {
    let tree = ledger.tree();
    let root = tree.keys().next().unwrap().clone();
    let files: Vec<String> =
        tree.iter().filter(|(_, it)| it.is_some()).map(|(path, _)| path.clone()).collect();
    let fresh = format!("{root}/n{n}-{}", chance.below(1_000_000));
    let some = (!files.is_empty()).then(|| files[chance.below(files.len())].clone());
    let reply = match (chance.below(10), some) {
        (0..2, Some(file)) => ledger.change(caller, &Op::Delete(file)),
        (2, Some(file)) => ledger.change(caller, &Op::Rename(file, fresh)),
        (3, Some(file)) => ledger.change(caller, &Op::Copy(file, fresh)),
        (4, _) => {
            let parts = (0..2).map(|_| chance.bytes(20_000)).collect();
            ledger.multipart(caller, &fresh, parts)
        }
        (5..7, Some(file)) => ledger.put(caller, &file, &body(chance), false),
        _ => ledger.put(caller, &fresh, &body(chance), chance.below(3) == 0),
    };
    match &reply {
        Reply::Ok(()) => true,
        Reply::Cut | Reply::No(503, -26) | Reply::No(200, -32_000 | -27) => false,
        Reply::No(..) => panic!("a client was told {reply:?}"),
    }
}
