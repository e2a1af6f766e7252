//! A store in a fresh directory, with a clock that tests move, and somebody to call it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use blobs::{Blobs, Local};
use bytes::Bytes;
use catalog::{Catalog, Embedded};
use model::{Caller, Owner, Result, Secret, Time, TreePath, UserId};
use ops::{
    Detect, Limits, NewUser, Parents, Parts, PutSpec, Store, TypeRule, clock::Clock,
    through::PullThrough, vault::Vault,
};
use outbound::{Rules, Timeouts};

/// A clock that stands still until it is moved.
#[derive(Default)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance_secs(&self, secs: u64) {
        self.0.fetch_add(secs * 1000, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Time {
        Time(1_700_000_000_000 + self.0.load(Ordering::Relaxed))
    }
}

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) blobs: Arc<Local>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    /// The same with limits of its own.
    pub(crate) fn with(limits: Limits) -> Self {
        Self::over(limits, |blobs| blobs)
    }

    /// The same over blobs that `wrap` makes of the local ones.
    pub(crate) fn over(
        limits: Limits,
        wrap: impl FnOnce(Arc<dyn Blobs>) -> Arc<dyn Blobs>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog =
            Embedded::open(dir.path().join("catalog"), catalog::embedded::Options::default());
        let blobs = Arc::new(Local::open(dir.path()).unwrap());
        let clock = Arc::new(HandClock::default());
        let outbound = outbound::Client::new(Rules::default(), Timeouts::default()).unwrap();
        let store = Store::new(Parts {
            catalog: Catalog::new(Arc::new(catalog.unwrap())),
            blobs: wrap(blobs.clone()),
            clock: clock.clone(),
            vault: Vault::new(&[1; 32]),
            through: PullThrough::new(Vec::new(), outbound.clone(), Default::default()).into(),
            outbound,
            limits,
            public_url: None,
        });
        Self { store, blobs, clock, dir }
    }

    /// Somebody with an account of their own, without the cost of a password.
    pub(crate) async fn new_caller(&self) -> Caller {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let account = self.store.add_account(&name).await.unwrap();
        Caller {
            session: None,
            since: Time(0),
            account: account.id,
            account_name: account.name,
            top: account.root,
            user: UserId(1),
            username: name,
            owner: Owner { uid: 1, gid: account.gid },
            read_only: false,
            root: TreePath::root(),
        }
    }

    /// A user with password `pw` in account `acme`, which is made when it is missing.
    pub(crate) async fn add_user(&self, name: &str, change: impl FnOnce(&mut NewUser)) {
        drop(self.store.add_account("acme").await);
        let mut user = NewUser {
            account: "acme".to_owned(),
            name: name.to_owned(),
            password: Secret::new("pw"),
            uid: None,
            gid: None,
            directory: TreePath::root(),
            read_only: false,
        };
        change(&mut user);
        self.store.add_user(user).await.unwrap();
    }

    pub(crate) async fn login(&self, name: &str) -> Result<ops::LoggedIn> {
        self.store.login(None, name, &Secret::new("pw")).await
    }
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

pub(crate) fn spec(at: &TreePath, parents: Parents) -> PutSpec {
    PutSpec {
        expose: ops::Expose::Complete,
        path: at.clone(),
        parents,
        mtime: None,
        checksum: None,
        content_type: TypeRule::Detect(Detect::Auto),
    }
}

/// Uploads in pieces, as a protocol does.
pub(crate) async fn put(
    store: &Store,
    caller: &Caller,
    spec: PutSpec,
    content: &[u8],
) -> Result<()> {
    let room = store.check_put(caller, &spec, Some(content.len() as u64)).await?;
    let mut upload = store.upload(caller)?;
    upload.bound(room);
    for piece in content.chunks(7_000) {
        upload.write(Bytes::copy_from_slice(piece)).await?;
    }
    upload.commit(spec).await.map(|_| ())
}
