//! Callbacks: who is told what happens to the files of an account, and what there is to tell.
//!
//! What lives here: registering, listing, pausing and deleting callbacks, and `tell`, which puts an event into the outbox
//! in the transaction of the change it tells of, so that neither can be without the other. Telling is `send`; how an event
//! looks on the wire is the business of whoever sends it (crate `front`). The invariant: a callback is told of nothing
//! that the user who registered it could not see.

mod send;

use catalog::{Read, Tx};
use model::{
    AccountId, Callback, CallbackId, CallbackState, Caller, Digest, Error, Event, EventFile,
    EventKind, FileAttrs, Result, Secret, Time, TreePath,
};

use crate::{Store, tree::may_write};

pub(crate) use send::Bell;
pub use send::{Delivery, Letter, Wording};

/// How callbacks are told, with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Callbacks of one account.
    pub callbacks_max: usize,
    /// Seconds after which an event that could not be told is given up.
    pub age_secs: u64,
    /// Seconds before an event that was not taken is tried again; they double with each further time.
    pub first_delay_secs: u64,
    /// The longest of these delays, in seconds.
    pub longest_delay_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            callbacks_max: 16,
            age_secs: 3 * 86_400,
            first_delay_secs: 1,
            longest_delay_secs: 600,
        }
    }
}

/// Events that may wait for one callback; one more is given up at once.
const WAITING_MAX: u64 = 1_000_000;
/// The flags that mean something.
const FLAGS: u32 = (1 << EventKind::ALL.len()) - 1;
/// Longest URI of a callback, in bytes.
const URI_BYTES_MAX: usize = 4096;

/// A new callback; the only time its secret is shown.
#[derive(Debug, Clone)]
pub struct NewCallback {
    /// The callback.
    pub id: CallbackId,
    /// Signs what it is told: 64 lower-case hex digits.
    pub secret: Secret,
}

/// A callback, and how it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackInfo {
    /// The callback.
    pub callback: Callback,
    /// Name of its account.
    pub account: String,
    /// Events that wait for it.
    pub waiting: u64,
}

/// What an event says, before it is known who wants to hear of it.
pub(crate) struct News<'a> {
    pub(crate) kind: EventKind,
    /// From the account's top directory.
    pub(crate) path: &'a TreePath,
    pub(crate) old_path: Option<&'a TreePath>,
    /// `None` for a directory.
    pub(crate) attrs: Option<&'a FileAttrs>,
}

/// Puts an event into the outbox of each callback that wants it. Events are told in the order of their ids, so an id is one
/// more than the last of the account's callbacks: fresh ids come in blocks a node, and a later one may be lower.
pub(crate) fn tell(tx: &mut dyn Tx, account: AccountId, news: &News<'_>, now: Time) -> Result<()> {
    let mut callbacks = tx.callbacks(account)?;
    if callbacks.is_empty() {
        return Ok(());
    }
    let last = callbacks.iter().map(|callback| callback.last_event).max().unwrap_or_default();
    let event = Event {
        // Above whatever waits since an earlier release.
        id: if last == 0 { tx.fresh_id()? } else { last + 1 },
        kind: news.kind,
        path: news.path.clone(),
        old_path: news.old_path.cloned(),
        file: news.attrs.map(|a| EventFile { size: a.size, checksum: a.checksum }),
        time: now,
        attempts: 0,
        next: now,
    };
    let mut wanted = false;
    for callback in callbacks.iter_mut().filter(|callback| callback.wants(&event)) {
        wanted = true;
        callback.last_event = event.id;
        if tx.waiting_events(callback.id)? < WAITING_MAX {
            tx.put_event(account, callback.id, &event)?;
        } else {
            callback.dead += 1;
        }
    }
    if wanted { tx.put_callbacks(account, &callbacks) } else { Ok(()) }
}

impl Store {
    /// Registers a callback for what happens below the caller's root. `flags`: a sum of [`EventKind::flag`], 0 for all.
    ///
    /// # Errors
    /// [`Error::InvalidFlags`], [`Error::InvalidUri`], [`Error::TooManyJobs`] when the account has as many as it may
    /// have, [`Error::Denied`] for a read-only user.
    pub async fn register_callback(
        &self,
        caller: &Caller,
        uri: &str,
        flags: u32,
        threshold: u64,
    ) -> Result<NewCallback> {
        may_write(caller)?;
        if flags & !FLAGS != 0 {
            return Err(Error::InvalidFlags);
        }
        if uri.len() > URI_BYTES_MAX {
            return Err(Error::InvalidUri);
        }
        self.0.outbound.check(&outbound::Location::parse(uri)?)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|e| Error::Storage(format!("no randomness: {e}")))?;
        let secret = Secret::new(Digest(key).to_hex());
        let sealed_secret = self.0.vault.seal(&secret, BOUND_TO)?;
        let callback = Callback {
            id: CallbackId(0),
            account: caller.account,
            user: caller.user,
            root: caller.root.clone(),
            uri: uri.to_owned(),
            sealed_secret,
            flags,
            threshold,
            created: self.now(),
            state: CallbackState::Active,
            dead: 0,
            last_event: 0,
        };
        let most = self.0.limits.events.callbacks_max;
        let add = move |tx: &mut dyn Tx| {
            let mut callbacks = tx.callbacks(callback.account)?;
            if callbacks.iter().filter(|c| c.state != CallbackState::Deleted).count() >= most {
                return Err(Error::TooManyJobs);
            }
            let id = CallbackId(tx.fresh_id()?);
            callbacks.push(Callback { id, ..callback.clone() });
            tx.put_callbacks(callback.account, &callbacks)?;
            Ok(id)
        };
        let id = self.0.catalog.write(add).await?;
        self.0.bell.ring_for_callbacks();
        Ok(NewCallback { id, secret })
    }

    /// The callbacks of the caller's account that tell of nothing the caller could not see.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn callbacks(&self, caller: &Caller) -> Result<Vec<CallbackInfo>> {
        let caller = caller.clone();
        let list = move |tx: &mut dyn Read| {
            let callbacks = tx.callbacks(caller.account)?.into_iter();
            callbacks
                .filter(|c| c.state != CallbackState::Deleted && caller.root.holds(&c.root))
                .map(|callback| {
                    let waiting = tx.waiting_events(callback.id)?;
                    Ok(CallbackInfo { callback, account: caller.account_name.clone(), waiting })
                })
                .collect()
        };
        self.0.catalog.read(list).await
    }

    /// The callbacks of all accounts, for the operator.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn all_callbacks(&self) -> Result<Vec<CallbackInfo>> {
        let list = |tx: &mut dyn Read| {
            let mut all = Vec::new();
            for callback in tx.all_callbacks()? {
                let account = tx.account(callback.account)?.map(|account| account.name);
                let waiting = tx.waiting_events(callback.id)?;
                all.push(CallbackInfo { callback, account: account.unwrap_or_default(), waiting });
            }
            Ok(all)
        };
        self.0.catalog.scan(list).await
    }

    /// Pauses a callback, lets it go on, or deletes it with all that waits for it. What was deleted stays so.
    ///
    /// # Errors
    /// [`Error::NoSuchCallback`].
    pub async fn set_callback(&self, id: CallbackId, state: CallbackState) -> Result<()> {
        let set = move |tx: &mut dyn Tx| {
            let found = tx.all_callbacks()?.into_iter().find(|callback| callback.id == id);
            let account = found.ok_or(Error::NoSuchCallback)?.account;
            change(tx, account, id, |callback| callback.state = state)
        };
        self.0.catalog.write(set).await?;
        self.0.bell.ring_for_callbacks();
        Ok(())
    }
}

/// What callbacks' secrets are bound to.
const BOUND_TO: &[u8] = b"callback";

/// Changes a callback that is not being deleted.
fn change(
    tx: &mut dyn Tx,
    account: AccountId,
    id: CallbackId,
    change: impl FnOnce(&mut Callback),
) -> Result<()> {
    let mut callbacks = tx.callbacks(account)?;
    let callback = callbacks
        .iter_mut()
        .find(|callback| callback.id == id && callback.state != CallbackState::Deleted)
        .ok_or(Error::NoSuchCallback)?;
    change(callback);
    tx.put_callbacks(account, &callbacks)
}
