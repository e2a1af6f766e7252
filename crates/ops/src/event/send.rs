//! Telling callbacks what waits for them: at least once, in order for each path, later and later when it is not taken, and
//! not at all when it is too old.
//!
//! What does not live here: what an event looks like on the wire (a [`Wording`] says that), and how events come into the
//! outbox. Nothing here needs to survive a restart: what is left in the outbox was not told, or not remembered as told.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use catalog::Tx;
use model::{Callback, CallbackId, CallbackState, Error, Event, Result, Secret, Time, TreePath};
use outbound::{Header, Location, Post};
use tokio::{sync::Notify, task::JoinSet};

use super::{BOUND_TO, Limits, change};
use crate::{Store, backoff};

/// Whoever holds it tells all callbacks.
const LEASE: &str = "callbacks";
/// Events told at the same time to one callback.
const TOLD_AT_ONCE: usize = 8;
/// Events looked at in one step.
const PAGE: usize = 256;
/// How far past events that have to wait others are looked for.
const LOOKED_AT_MAX: usize = 16 * PAGE;
/// Between looks for what may be tried again, while there are callbacks, and for what other nodes have to tell.
const PAUSE: Duration = Duration::from_secs(1);
/// Between looks for callbacks that other nodes registered, while there are none; and after a look that failed.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// One event for one callback.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where to.
    pub uri: String,
    /// Signs it.
    pub secret: Secret,
    /// The callback.
    pub callback: CallbackId,
    /// Name of the account it happened in.
    pub account: String,
    /// What happened.
    pub event: Event,
}

/// An event as it is posted.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Headers: names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// Puts an event into the words of a protocol, at this time.
pub type Wording = fn(&Delivery, Time) -> Result<Letter>;

/// Rung when there may be something to tell.
#[derive(Default)]
pub(crate) struct Bell {
    wake: Notify,
    /// Whether anybody may want to hear of anything: where nobody does, changes wake nobody.
    heard: AtomicBool,
}

impl Bell {
    /// Something happened to files. Wakes whoever tells, now or when they are done, if there may be a callback.
    pub(crate) fn ring(&self) {
        if self.is_heard() {
            self.wake.notify_one();
        }
    }

    /// Whether there may be somebody to tell.
    pub(crate) fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }

    /// Something happened to callbacks. They are looked for after this, and with them what happened meanwhile.
    pub(crate) fn ring_for_callbacks(&self) {
        self.heard.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

impl Store {
    /// Tells callbacks what happens, for ever, on one node at a time: so each callback is told of each path in order.
    pub async fn tell_callbacks(&self, wording: Wording) {
        self.alone(LEASE, || Box::pin(self.tell_all(wording))).await;
    }

    async fn tell_all(&self, wording: Wording) {
        let bell = &self.0.bell;
        // Who is being told, by task: one that panicked is served again, too.
        let (mut at_work, mut told) = (JoinSet::new(), HashMap::new());
        loop {
            bell.heard.store(true, Ordering::Release);
            let (callbacks, idle, wait) = match self.0.catalog.scan(|tx| tx.all_callbacks()).await {
                Ok(callbacks) => {
                    let idle = callbacks.is_empty();
                    (callbacks, idle, if idle { LONG_PAUSE } else { PAUSE })
                }
                Err(error) => {
                    tracing::error!(%error, "looking for callbacks");
                    (Vec::new(), false, LONG_PAUSE)
                }
            };
            // Whoever registers one after the look rings for it, and is not missed.
            bell.heard.store(!idle, Ordering::Release);
            for callback in callbacks {
                // One that is slow, or away, holds up nobody else.
                if told.values().all(|id| *id != callback.id) {
                    let (store, id) = (self.clone(), callback.id);
                    let task = at_work.spawn(async move {
                        if let Err(error) = store.serve(callback, wording).await {
                            tracing::error!(%error, callback = id.0, "telling a callback");
                        }
                    });
                    told.insert(task.id(), id);
                }
            }
            let mut pause = pin!(tokio::time::sleep(wait));
            loop {
                tokio::select! {
                    () = bell.wake.notified() => break,
                    // Without callbacks there is nothing to look for before somebody rings, here or elsewhere.
                    () = &mut pause, if !idle || self.is_shared() => break,
                    Some(done) = at_work.join_next_with_id() => {
                        let task = done.map_or_else(|panicked| panicked.id(), |(task, ())| task);
                        told.remove(&task);
                    },
                }
            }
        }
    }

    /// Does what is to be done for a callback now.
    async fn serve(&self, callback: Callback, wording: Wording) -> Result<()> {
        match callback.state {
            CallbackState::Active => self.deliver(&callback, wording).await,
            CallbackState::Paused => self.forget_old(&callback).await,
            CallbackState::Deleted => self.clear(&callback).await,
        }
    }

    /// Tells a callback what is due, until nothing is.
    async fn deliver(&self, callback: &Callback, wording: Wording) -> Result<()> {
        let secret = self.0.vault.open(&callback.sealed_secret, BOUND_TO)?;
        let id = callback.account;
        let account = self.0.catalog.read(move |tx| tx.account(id)).await?;
        let account = account.ok_or(Error::NoSuchAccount)?.name;
        loop {
            let due = self.due(callback).await?;
            if due.is_empty() {
                return Ok(());
            }
            let told = due.into_iter().map(|event| async {
                let delivery = Delivery {
                    uri: callback.uri.clone(),
                    secret: secret.clone(),
                    callback: callback.id,
                    account: account.clone(),
                    event: event.clone(),
                };
                (event, self.post(&delivery, wording).await)
            });
            let told = futures_util::future::join_all(told).await;
            if !self.note_told(callback, told).await? {
                return Ok(());
            }
        }
    }

    /// Tells one event. An error means that it was not taken, for whatever reason.
    async fn post(&self, delivery: &Delivery, wording: Wording) -> Result<()> {
        let letter = wording(delivery, self.now())?;
        let header = |(name, value): (&str, String)| Header {
            name: name.to_owned(),
            value: Secret::new(value),
        };
        let post = Post {
            location: Location::parse(&delivery.uri)?,
            headers: letter.headers.into_iter().map(header).collect(),
            body: letter.body,
        };
        match self.0.outbound.post(post).await? {
            200..300 => Ok(()),
            status => Err(Error::Upstream(format!("answered {status}"))),
        }
    }

    /// Events that may be told now: the first of each path, of those whose time has come.
    async fn due(&self, callback: &Callback) -> Result<Vec<Event>> {
        let (account, id, now) = (callback.account, callback.id, self.now());
        self.0
            .catalog
            .scan(move |tx| {
                let (mut due, mut after, mut looked_at) = (Vec::new(), 0, 0);
                let mut earlier: HashSet<TreePath> = HashSet::new();
                loop {
                    let page = tx.events(account, id, after, PAGE)?;
                    looked_at += page.len();
                    let is_last = page.len() < PAGE;
                    for event in page {
                        after = event.id;
                        let first = event.paths().all(|path| !earlier.contains(path));
                        earlier.extend(event.paths().cloned());
                        if first && event.next <= now {
                            due.push(event);
                        }
                        if due.len() == TOLD_AT_ONCE {
                            return Ok(due);
                        }
                    }
                    if is_last || !due.is_empty() || looked_at >= LOOKED_AT_MAX {
                        return Ok(due);
                    }
                }
            })
            .await
    }

    /// Remembers what came of it. `false`: the callback is to be told nothing more for now.
    async fn note_told(&self, callback: &Callback, told: Vec<(Event, Result<()>)>) -> Result<bool> {
        let (account, id, now) = (callback.account, callback.id, self.now());
        let (limits, mut after) = (self.0.limits.events, Vec::with_capacity(told.len()));
        for (event, outcome) in told {
            let fate = match outcome {
                Ok(()) => Fate::Told,
                Err(error) => {
                    tracing::warn!(%error, callback = id.0, event = event.id, "an event was not taken");
                    fate(&event, limits, now, backoff::random())
                }
            };
            after.push((event, fate));
        }
        self.0
            .catalog
            .write(move |tx| {
                for (event, fate) in &after {
                    let there = tx.events(account, id, event.id.saturating_sub(1), 1)?;
                    if there.first().is_none_or(|first| first.id != event.id) {
                        // Another node told it, too, while it was not clear whose turn it is.
                        continue;
                    }
                    match fate {
                        Fate::Told => tx.remove_event(account, id, event.id)?,
                        Fate::Dead => bury(tx, account, id, event.id)?,
                        Fate::Later(next) => {
                            let attempts = event.attempts.saturating_add(1);
                            let event = Event { attempts, next: *next, ..event.clone() };
                            tx.put_event(account, id, &event)?;
                        }
                    }
                }
                let now = tx.callbacks(account)?.into_iter().find(|callback| callback.id == id);
                Ok(now.is_some_and(|callback| callback.state == CallbackState::Active))
            })
            .await
    }

    /// Gives up what waited for too long.
    async fn forget_old(&self, callback: &Callback) -> Result<()> {
        let (account, id, now) = (callback.account, callback.id, self.now());
        let age_ms = self.0.limits.events.age_secs.saturating_mul(1000);
        loop {
            let page = self.0.catalog.read(move |tx| tx.events(account, id, 0, PAGE)).await?;
            let old: Vec<u64> = page
                .iter()
                .filter(|event| now.since(event.time) > age_ms)
                .map(|event| event.id)
                .collect();
            let all = old.len() == PAGE;
            if !old.is_empty() {
                let work = move |tx: &mut dyn Tx| {
                    old.iter().try_for_each(|event| bury(tx, account, id, *event))
                };
                self.0.catalog.write(work).await?;
            }
            if !all {
                return Ok(());
            }
        }
    }

    /// Removes what waits for a callback that is deleted, and then the callback.
    async fn clear(&self, callback: &Callback) -> Result<()> {
        let (account, id) = (callback.account, callback.id);
        loop {
            let work = move |tx: &mut dyn Tx| {
                let page = tx.events(account, id, 0, PAGE)?;
                for event in &page {
                    tx.remove_event(account, id, event.id)?;
                }
                if page.is_empty() {
                    let mut callbacks = tx.callbacks(account)?;
                    callbacks.retain(|callback| callback.id != id);
                    tx.put_callbacks(account, &callbacks)?;
                }
                Ok(page.is_empty())
            };
            if self.0.catalog.write(work).await? {
                return Ok(());
            }
        }
    }
}

/// What becomes of an event that a callback was told.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Told,
    Later(Time),
    Dead,
}

/// What becomes of one that was not taken. `jitter`: any number, so that many do not come back at one moment.
fn fate(event: &Event, limits: Limits, now: Time, jitter: u64) -> Fate {
    let (first, longest) = (limits.first_delay_secs, limits.longest_delay_secs);
    let delay_ms = backoff::delay(first, longest, event.attempts).saturating_mul(1000);
    let next = Time(now.0.saturating_add(delay_ms).saturating_add(jitter % (delay_ms / 4 + 1)));
    if now.since(event.time) > limits.age_secs.saturating_mul(1000) {
        Fate::Dead
    } else {
        Fate::Later(next)
    }
}

/// Gives an event up.
fn bury(
    tx: &mut dyn Tx,
    account: model::AccountId,
    callback: CallbackId,
    event: u64,
) -> Result<()> {
    tx.remove_event(account, callback, event)?;
    match change(tx, account, callback, |callback| callback.dead += 1) {
        // It was deleted meanwhile.
        Err(Error::NoSuchCallback) => Ok(()),
        counted => counted,
    }
}

#[cfg(test)]
mod tests {
    use model::{EventKind, TreePath};

    use super::*;

    #[test]
    fn later_and_later_then_never() {
        let limits = Limits {
            age_secs: 100,
            first_delay_secs: 2,
            longest_delay_secs: 30,
            ..Limits::default()
        };
        let event = |attempts| Event {
            id: 1,
            kind: EventKind::Delete,
            path: TreePath::root(),
            old_path: None,
            file: None,
            time: Time(1_000),
            attempts,
            next: Time(0),
        };
        let later = |attempts, jitter| fate(&event(attempts), limits, Time(5_000), jitter);
        assert_eq!(later(0, 0), Fate::Later(Time(7_000)));
        assert_eq!(later(3, 0), Fate::Later(Time(21_000)));
        assert_eq!(later(4, 0), Fate::Later(Time(35_000)));
        assert_eq!(later(u32::MAX, 0), Fate::Later(Time(35_000)));
        assert_eq!(later(0, 500), Fate::Later(Time(7_500)));
        assert_eq!(later(0, 501), Fate::Later(Time(7_000)), "a quarter of the delay at most");
        assert_eq!(fate(&event(0), limits, Time(101_001), 0), Fate::Dead);
    }
}
