//! A store whose steps can go wrong, opened again and again over one directory.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use blobs::Local;
use catalog::{Catalog, Embedded};
use model::{Caller, Owner, Result, Secret, Time, TreePath};
use ops::{Limits, NewUser, Parts, Store, clock::Clock, through::PullThrough, vault::Vault};
use outbound::{Rules, Timeouts};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::Notify};

use crate::{Wrong, observe::State, told};

/// Counts steps, and lets one of them go wrong.
#[derive(Default)]
pub(crate) struct Steps {
    plan: Mutex<Option<Plan>>,
    stopped: Notify,
}

struct Plan {
    left: usize,
    wrong: Wrong,
    at: Option<&'static str>,
}

impl Steps {
    /// The n-th step from now on goes wrong.
    pub(crate) fn arm(&self, n: usize, wrong: Wrong) {
        *self.plan.lock().unwrap() = Some(Plan { left: n, wrong, at: None });
    }

    /// No step goes wrong any more. Which one did.
    pub(crate) fn disarm(&self) -> Option<&'static str> {
        self.plan.lock().unwrap().take().and_then(|plan| plan.at)
    }

    /// Whether one has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.plan.lock().unwrap().as_ref().is_some_and(|plan| plan.at.is_some())
    }

    /// Ready when a step does not answer.
    pub(crate) async fn stopped(&self) {
        self.stopped.notified().await;
    }

    fn step(&self, name: &'static str) -> Poll<Result<()>> {
        let mut plan = self.plan.lock().unwrap();
        let Some(plan) = plan.as_mut() else { return Poll::Ready(Ok(())) };
        plan.left = plan.left.saturating_sub(1);
        if plan.left > 0 || plan.at.is_some() {
            return Poll::Ready(Ok(()));
        }
        plan.at = Some(name);
        if plan.wrong == Wrong::Stops {
            self.stopped.notify_one();
        }
        told(plan.wrong)
    }
}

/// A clock that goes on by a second with every opening of the store.
struct Seconds(AtomicU64);

impl Clock for Seconds {
    fn now(&self) -> Time {
        Time(1_700_000_000_000 + self.0.load(Ordering::Relaxed) * 1000)
    }
}

/// The directory.
pub(crate) struct Place {
    dir: TempDir,
    clock: Arc<Seconds>,
}

impl Place {
    pub(crate) fn new() -> Self {
        // In memory where there is enough of it: no power is lost here, and a sync costs nothing.
        let free = |dir: &TempDir| Local::open(dir.path()).and_then(|blobs| blobs.free_bytes());
        let shm = tempfile::tempdir_in("/dev/shm").ok();
        let dir = shm.filter(|dir| free(dir).is_ok_and(|bytes| bytes > 2 << 30));
        let dir = dir.unwrap_or_else(|| tempfile::tempdir().unwrap());
        Self { dir, clock: Arc::new(Seconds(AtomicU64::new(0))) }
    }

    /// Opens the store, as a new process would.
    pub(crate) fn open(&self) -> Bench {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        self.clock.0.fetch_add(1, Ordering::Relaxed);
        let steps = Arc::new(Steps::default());
        let step = || {
            let steps = steps.clone();
            Arc::new(move |name| steps.step(name))
        };
        let options = catalog::embedded::Options::default();
        let engine = Arc::new(Embedded::open(self.dir.path().join("catalog"), options).unwrap());
        let blobs: Arc<dyn blobs::Blobs> = Arc::new(Local::open(self.dir.path()).unwrap());
        let outbound = outbound::Client::new(Rules::default(), Timeouts::default()).unwrap();
        let store = Store::new(Parts {
            catalog: Catalog::new(Arc::new(catalog::faulty::Faulty::new(engine.clone(), step()))),
            blobs: Arc::new(blobs::faulty::Faulty::new(blobs.clone(), step())),
            clock: self.clock.clone(),
            vault: Vault::new(&[1; 32]),
            through: PullThrough::new(Vec::new(), outbound.clone(), Default::default()).into(),
            outbound,
            limits: Limits::default(),
            public_url: None,
        });
        let catalog = Catalog::new(engine);
        let caller = runtime.block_on(caller(&store, &catalog));
        drop(_inside);
        Bench {
            store,
            catalog,
            blobs,
            caller,
            steps,
            now: self.clock.now(),
            runtime: Some(runtime),
        }
    }
}

/// The one user.
async fn caller(store: &Store, catalog: &Catalog) -> Caller {
    let known = catalog.read(|tx| tx.user_by_name("anna")).await.unwrap();
    let user = match known {
        Some(user) => user,
        None => {
            store.add_account("acme").await.unwrap();
            let new = NewUser {
                account: "acme".to_owned(),
                name: "anna".to_owned(),
                password: Secret::new("pw"),
                uid: None,
                gid: None,
                directory: TreePath::root(),
                read_only: false,
            };
            store.add_user(new).await.unwrap()
        }
    };
    let account = catalog.read(|tx| tx.account_by_name("acme")).await.unwrap().unwrap();
    Caller {
        session: None,
        since: Time(0),
        account: account.id,
        account_name: account.name,
        top: account.root,
        user: user.id,
        username: user.name,
        owner: Owner { uid: user.uid, gid: user.gid },
        read_only: false,
        root: TreePath::root(),
    }
}

/// A store that is open, and the engines without the wrappers.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) blobs: Arc<dyn blobs::Blobs>,
    pub(crate) caller: Caller,
    pub(crate) steps: Arc<Steps>,
    pub(crate) now: Time,
    runtime: Option<Runtime>,
}

impl Bench {
    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// What stands in a directory.
    pub(crate) fn observe(&self, dir: &str) -> State {
        self.runtime().block_on(crate::observe::observe(self, dir))
    }

    /// The sweeper's everyday work.
    pub(crate) fn sweep_doomed(&self) {
        let sweep = async { while self.store.sweep_doomed().await.unwrap() > 0 {} };
        self.runtime().block_on(sweep);
    }

    /// What a server does after its start: uploads are put together, and the sweepers run.
    pub(crate) fn settle(&self) {
        self.runtime().block_on(async {
            self.store.resume_multiparts().await.unwrap();
            let join = async {
                while !self.catalog.read(|tx| tx.uploads_joining()).await.unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                () = join => {}
                () = self.store.join_multiparts() => {}
            }
            self.store.sweep_orphans(Time(0), Time(self.now.0 + 1)).await.unwrap();
        });
        self.sweep_doomed();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Tasks that wait for ever hold the store open.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}
