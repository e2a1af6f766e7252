//! Several nodes: stores of one process over one catalog and one place for blobs, each as a process of its own would have
//! them.

mod agreed;
mod leases;
mod records;
mod sweeps;
mod transfers;
mod uploads;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use blobs::Local;
use catalog::{Catalog, Embedded, Engine, Read, ReadJob, Stats, WriteJob, audit::AuditJob};
use model::{Caller, Error, Result, Secret};
use ops::{Limits, NewUser, Parts, Store, lease, through::PullThrough, vault::Vault};
use outbound::{HostRule, Rules, Timeouts};
use tokio::sync::watch;

use crate::harness::{HandClock, path};

/// What the nodes have in common.
pub(crate) struct Cluster {
    engine: Arc<Embedded>,
    pub(crate) blobs: Arc<Local>,
    pub(crate) clock: Arc<HandClock>,
    limits: Limits,
    _dir: tempfile::TempDir,
}

/// One node, and its way to the catalog.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) way: Arc<Way>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = catalog::embedded::Options::default();
        Self {
            engine: Arc::new(Embedded::open(dir.path().join("catalog"), options).unwrap()),
            blobs: Arc::new(Local::open(dir.path()).unwrap()),
            clock: Arc::default(),
            limits,
            _dir: dir,
        }
    }

    /// With leases that are lost, and renewed, within a moment.
    pub(crate) fn with_short_leases() -> Self {
        Self::with(Limits { lease: lease::Limits { ttl_ms: 600 }, ..Limits::default() })
    }

    /// Another node; it may fetch from this machine.
    pub(crate) fn node(&self) -> Node {
        self.node_with_key([1; 32])
    }

    pub(crate) fn node_with_key(&self, key: [u8; 32]) -> Node {
        let allow = vec![HostRule::parse("127.0.0.1", None, true).unwrap()];
        let outbound = outbound::Client::new(Rules { allow }, Timeouts::default()).unwrap();
        let way = Arc::new(Way {
            engine: Arc::clone(&self.engine),
            away: AtomicBool::new(false),
            open: watch::Sender::new(true),
        });
        let store = Store::new(Parts {
            catalog: Catalog::new(way.clone()),
            blobs: self.blobs.clone(),
            clock: self.clock.clone(),
            vault: Vault::new(&key),
            through: PullThrough::new(Vec::new(), outbound.clone(), Default::default()).into(),
            outbound,
            limits: self.limits,
            public_url: None,
        });
        Node { store, way }
    }

    pub(crate) fn nodes<const N: usize>(&self) -> [Node; N] {
        std::array::from_fn(|_| self.node())
    }
}

impl Node {
    /// Somebody of account `acme`, with password `pw`.
    pub(crate) async fn somebody(&self) -> Caller {
        drop(self.store.add_account("acme").await);
        let user = NewUser {
            account: "acme".to_owned(),
            name: "anna".to_owned(),
            password: Secret::new("pw"),
            uid: None,
            gid: None,
            directory: path("/"),
            read_only: false,
        };
        self.store.add_user(user).await.unwrap();
        self.store.caller_named("anna").await.unwrap()
    }
}

/// A node's way to the engine that all nodes share, as if that were on another machine: it may be away, writes may be long
/// on their way, and nothing that was read says for how long it is so.
pub(crate) struct Way {
    engine: Arc<Embedded>,
    away: AtomicBool,
    open: watch::Sender<bool>,
}

impl Way {
    /// Lets the catalog be away for this node, or come back.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Holds back what this node writes from now on, until it is let through.
    pub(crate) fn hold_back(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn let_through(&self) {
        self.open.send_replace(true);
    }

    fn check(&self) -> Result<()> {
        let away = self.away.load(Ordering::SeqCst);
        if away { Err(Error::Unavailable("the catalog is away".to_owned())) } else { Ok(()) }
    }
}

impl Engine for Way {
    fn read(&self, job: Box<dyn ReadJob>) {
        match self.check() {
            Ok(()) => self.engine.read(Box::new(Unwitnessed(job))),
            Err(e) => job.finish(Err(e)),
        }
    }

    fn reads_at_once(&self) -> bool {
        false
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, job: Box<dyn WriteJob>) {
        if let Err(e) = self.check() {
            return job.finish(Err(e));
        }
        if *self.open.borrow() {
            return self.engine.write(job);
        }
        let (engine, mut open) = (Arc::clone(&self.engine), self.open.subscribe());
        tokio::spawn(async move {
            open.wait_for(|open| *open).await.unwrap();
            engine.write(job);
        });
    }

    fn audit(&self, job: Box<dyn AuditJob>) {
        self.engine.audit(job);
    }

    fn stats(&self) -> Stats {
        self.engine.stats()
    }

    fn check_writable(&self) -> Result<()> {
        self.engine.check_writable()
    }
}

struct Unwitnessed(Box<dyn ReadJob>);

impl ReadJob for Unwitnessed {
    fn run(&mut self, snapshot: &mut dyn Read) {
        self.0.run(snapshot);
    }

    fn finish(self: Box<Self>, snapshot: Result<()>) {
        self.0.finish(snapshot);
    }

    fn is_long(&self) -> bool {
        self.0.is_long()
    }

    fn may_run_again(&self) -> bool {
        self.0.may_run_again()
    }

    fn is_witnessed(&self) -> bool {
        false
    }
}

/// Waits until something is so, which it will be soon.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
