//! Leases: what one node at a time does, over a catalog that several have open.
//!
//! What lives here: taking a lease, renewing it for as long as somebody holds it, and telling them when it was lost. What
//! does not: what is done under one. Over a catalog that only this process has, everything is held at once and without a
//! write.
//!
//! A lease is a row that says whose something is and until when, by the clock of its holder. It is renewed every third of
//! its time, and given up by its holder when two thirds have passed without a renewal: clocks of nodes may differ by less
//! than a third (10 seconds), which NTP keeps by far, and no two nodes hold it. Where they differ by more, two do. So a
//! lease saves work, or keeps an order where that is said, and nothing else: what must be true is looked at again in the
//! transaction that changes it, whoever holds what. Leases are of a place and its processes: they are taken and renewed also
//! where a store is closed because it is moved elsewhere.

use std::{
    collections::HashSet,
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use catalog::Tx;
use model::{Error, Lease, NodeId, Result, Time};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::Store;

/// Slows down wrong passwords, and belongs to nobody: it is never given back, it runs out.
pub(crate) const LOGIN: &str = "login/";
/// Held by whoever copies blobs: none is removed meanwhile.
pub(crate) const KEEP: &str = "keep/";
/// Held by whoever puts an upload together.
pub(crate) const JOIN: &str = "join/";

/// How long leases are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds from a renewal to the moment when others may take a lease.
    pub ttl_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ttl_ms: 30_000 }
    }
}

impl Limits {
    /// Between renewals, and between two tries at a lease that somebody else has.
    pub(crate) fn renew_every(self) -> Duration {
        Duration::from_millis(self.ttl_ms / 3)
    }

    /// After a renewal its holder stops what it does, unless there was another.
    fn give_up_after(self) -> Duration {
        Duration::from_millis(self.ttl_ms / 3 * 2)
    }

    /// Before a renewal that failed is tried again.
    fn try_again(self) -> Duration {
        Duration::from_millis(self.ttl_ms / 30)
    }
}

/// Who this process is, and which leases it has.
pub(crate) struct Leases {
    pub(crate) node: NodeId,
    limits: Limits,
    names: Mutex<HashSet<String>>,
}

impl Leases {
    pub(crate) fn new(limits: Limits) -> Self {
        // Without randomness from the system the standard library's keys are as good as there is.
        let other = || RandomState::new().build_hasher().finish();
        let node = NodeId(getrandom::u64().unwrap_or_else(|_| other()));
        Self { node, limits, names: Mutex::default() }
    }

    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From `now` on, until it has to be renewed.
    pub(crate) fn from(&self, now: Time) -> Lease {
        Lease { holder: self.node, until: Time(now.0.saturating_add(self.limits.ttl_ms)) }
    }

    /// Renews something again and again; returns when it is lost: `renew` says so, or did not answer in time. `since`:
    /// from before it was taken.
    pub(crate) async fn keep<F>(&self, mut since: Instant, mut renew: impl FnMut() -> F)
    where
        F: Future<Output = Result<bool>>,
    {
        let mut next = since + self.limits.renew_every();
        loop {
            let give_up = since + self.limits.give_up_after();
            sleep_until(next.min(give_up)).await;
            let asked = Instant::now();
            if asked >= give_up {
                return;
            }
            match timeout_at(give_up, renew()).await {
                Ok(Ok(true)) => (since, next) = (asked, asked + self.limits.renew_every()),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "renewing a lease");
                    next = Instant::now() + self.limits.try_again();
                }
                Ok(Ok(false)) | Err(_) => return,
            }
        }
    }
}

/// A name that this process holds, once: nobody else in it gets it before this is dropped.
struct Name {
    store: Store,
    name: String,
}

impl Name {
    fn take(store: &Store, name: &str) -> Option<Self> {
        let new = store.0.leases.names().insert(name.to_owned());
        new.then(|| Self { store: store.clone(), name: name.to_owned() })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.store.0.leases.names().remove(&self.name);
    }
}

/// A lease that is held. Dropping it gives it back.
pub struct Held {
    name: Arc<Name>,
    /// `None` where there is nobody who could take it.
    renewed: Option<Renewed>,
}

struct Renewed {
    lost: watch::Receiver<bool>,
    /// Dropped with the guard: then the lease is given back.
    _end: oneshot::Sender<()>,
}

impl Held {
    /// Whether it is somebody else's by now, or may be.
    pub fn is_lost(&self) -> bool {
        self.renewed.as_ref().is_some_and(|renewed| *renewed.lost.borrow())
    }

    /// Ready when it is lost.
    pub async fn lost(&self) {
        let Some(renewed) = &self.renewed else { return std::future::pending().await };
        let mut lost = renewed.lost.clone();
        // An error means that the task is gone that renews it: lost all the same.
        let _lost = lost.wait_for(|lost| *lost).await;
    }

    /// Does something for as long as the lease is held; what is left of it when it is lost is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it was lost.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            () = self.lost() => {
                Err(Error::Unavailable(format!("the lease {} was lost", self.name.name)))
            }
        }
    }
}

impl Store {
    /// Whether other nodes have the same catalog.
    pub fn is_shared(&self) -> bool {
        self.0.catalog.is_shared()
    }

    /// Who this process is to other nodes.
    pub fn node(&self) -> NodeId {
        self.0.leases.node
    }

    /// Whether another node serves this catalog: whoever serves has leases, within a minute.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Storage`].
    pub async fn is_served(&self) -> Result<bool> {
        if !self.is_shared() {
            return Ok(false);
        }
        let (node, now) = (self.node(), self.now());
        let leases = self.leases().await?;
        let serves = |(name, lease): &(String, Lease)| {
            !lease.is_free_for(node, now) && !name.starts_with(LOGIN)
        };
        Ok(leases.iter().any(serves))
    }

    /// All leases, those that ran out included, by their names.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Storage`].
    pub async fn leases(&self) -> Result<Vec<(String, Lease)>> {
        self.0.catalog.read(|tx| tx.leases("")).await
    }

    /// Takes a lease, and renews it until the guard is dropped. `None`: somebody else has it, here or on another node.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Storage`].
    pub async fn hold(&self, name: &str) -> Result<Option<Held>> {
        let Some(taken) = Name::take(self, name).map(Arc::new) else { return Ok(None) };
        if !self.is_shared() {
            return Ok(Some(Held { name: taken, renewed: None }));
        }
        let since = Instant::now();
        if !self.take_lease(name).await? {
            return Ok(None);
        }
        let ((tell, lost), (end, ended)) = (watch::channel(false), oneshot::channel());
        tokio::spawn(self.clone().renew(Arc::clone(&taken), since, tell, ended));
        Ok(Some(Held { name: taken, renewed: Some(Renewed { lost, _end: end }) }))
    }

    /// Does something for ever, on one node at a time: here when no other node does it, and no more when the lease is lost,
    /// until it is got back. Another node takes over at most 1⅓ times a lease's time (40 seconds) after this one ends.
    pub async fn alone<F: Future<Output = ()>>(&self, name: &str, work: impl Fn() -> F) {
        loop {
            match self.hold(name).await {
                Ok(Some(held)) => {
                    if self.is_shared() {
                        tracing::info!(lease = name, node = %self.node(), "taken");
                    }
                    if let Err(error) = held.run(work()).await {
                        tracing::warn!(%error, "another node may go on with it");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, lease = name, "taking a lease"),
            }
            sleep(self.0.leases.limits.renew_every()).await;
        }
    }

    /// The node stops: gives back what it holds, so that others need not wait for it to run out, and queues the transfers
    /// again that it ran.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Storage`]: then it runs out.
    pub async fn leave(&self) -> Result<()> {
        if !self.is_shared() {
            return Ok(());
        }
        let (node, now, jobs) = (self.node(), self.now(), self.0.jobs.running());
        let leave = move |tx: &mut dyn Tx| {
            for (name, lease) in tx.leases("")? {
                if lease.holder == node && !name.starts_with(LOGIN) {
                    tx.remove_lease(&name)?;
                }
            }
            jobs.iter().try_for_each(|id| crate::fetch::queue_again(tx, *id, node, now))
        };
        self.0.catalog.write(leave).await
    }

    async fn renew(
        self,
        name: Arc<Name>,
        since: Instant,
        tell: watch::Sender<bool>,
        ended: oneshot::Receiver<()>,
    ) {
        let leases = &self.0.leases;
        let renew = || async {
            let (name, node, now) = (name.name.clone(), leases.node, self.now());
            let lease = leases.from(now);
            let again = move |tx: &mut dyn Tx| {
                let ours = tx.lease(&name)?.is_some_and(|lease| lease.holder == node);
                if ours {
                    tx.put_lease(&name, &lease)?;
                }
                Ok(ours)
            };
            self.0.catalog.write_closed(again).await
        };
        tokio::select! {
            // The sender sends nothing: it is dropped.
            _ = ended => self.give_back(&name.name).await,
            () = leases.keep(since, renew) => {
                tracing::warn!(lease = name.name, "lost");
                tell.send_replace(true);
            }
        }
    }

    /// Takes a lease if it is free; whether it was.
    async fn take_lease(&self, name: &str) -> Result<bool> {
        let (node, now) = (self.node(), self.now());
        let (lease, looked) = (self.0.leases.from(now), name.to_owned());
        let free = move |tx: &mut dyn catalog::Read, name: &str| {
            Ok(tx.lease(name)?.is_none_or(|lease| lease.is_free_for(node, now)))
        };
        // Nearly always somebody has it, or nobody: no write to be told the first.
        if !self.0.catalog.read(move |tx| free(tx, &looked)).await? {
            return Ok(false);
        }
        let name = name.to_owned();
        let take = move |tx: &mut dyn Tx| {
            let free = tx.lease(&name)?.is_none_or(|lease| lease.is_free_for(node, now));
            if free {
                tx.put_lease(&name, &lease)?;
            }
            Ok(free)
        };
        self.0.catalog.write_closed(take).await
    }

    async fn give_back(&self, name: &str) {
        let (node, owned) = (self.node(), name.to_owned());
        let give = move |tx: &mut dyn Tx| match tx.lease(&owned)? {
            Some(lease) if lease.holder == node => tx.remove_lease(&owned),
            Some(_) | None => Ok(()),
        };
        if let Err(error) = self.0.catalog.write_closed(give).await {
            tracing::warn!(%error, lease = name, "not given back: it runs out");
        }
    }
}
