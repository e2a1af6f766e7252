//! Clean-up: the bytes of doomed blobs, sessions that ended, blobs that nothing refers to.
//!
//! Each call does a bounded piece of work; when and how often is the business of whoever runs them (`server::jobs`), and
//! that one node at a time does, too (`lease`). Nothing here relies on the second.
//!
//! Where other nodes have the same catalog, what this node sees of a blob may lie behind what they do with it. A doomed blob
//! may be being read: its bytes stay for a while. A blob that nothing refers to may have been sealed a moment ago: it is
//! looked at twice, and then doomed, in a transaction that sees that nothing refers to it. An upload whose blob was doomed
//! is refused in the transaction that would refer to it (`Seal`), so that one of the two sees the other; its client
//! is told to try again. The one case that is left is a process that stands still between the two for longer than an
//! orphan stays doomed (a week), and whose clock does not notice.

use std::sync::Arc;

use catalog::{Read, Tx};
use model::{BlobId, Error, Lease, Result, Time, TokenHash};
use tokio::sync::mpsc;

use crate::{Store, clock::Clock, lease};

/// Doomed blobs removed, or sessions looked at, in one call.
const BATCH: usize = 256;
/// Nothing is written to for so long, in seconds, that somebody goes on with.
const STAGES_LEFT_SECS: u64 = 86_400;

/// How long what may be in another node's hands is left alone, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A doomed blob keeps its bytes for so long: readers on other nodes who found it get to its end.
    pub doomed_stay_ms: u64,
    /// Between two looks for orphans.
    pub orphans_every_ms: u64,
    /// A blob that was staged so lately is not looked at.
    pub orphan_age_ms: u64,
    /// From the seal of a blob to the transaction that refers to it; after that it is refused.
    pub commit_within_ms: u64,
    /// Between the two looks at a blob that nothing refers to; longer than [`Limits::commit_within_ms`].
    pub settle_ms: u64,
    /// An orphan is doomed for so long before its bytes go, beside [`Limits::doomed_stay_ms`].
    pub orphan_stay_ms: u64,
}

/// A minute.
const MINUTE_MS: u64 = 60_000;

impl Limits {
    const DEFAULT: Self = Self {
        doomed_stay_ms: 60 * MINUTE_MS,
        orphans_every_ms: 24 * 60 * MINUTE_MS,
        orphan_age_ms: 24 * 60 * MINUTE_MS,
        commit_within_ms: 30 * MINUTE_MS,
        settle_ms: 45 * MINUTE_MS,
        orphan_stay_ms: 7 * 24 * 60 * MINUTE_MS,
    };
}

const _: () = assert!(Limits::DEFAULT.settle_ms > Limits::DEFAULT.commit_within_ms);

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Until when a blob that is sealed now may be referred to for the first time. It holds no [`Store`]: what waits in an engine
/// must not keep the engine open.
pub(crate) struct Seal {
    /// `None` where no other node could take it for an orphan.
    until: Option<(Arc<dyn Clock>, Time)>,
}

impl Seal {
    /// For a blob whose seal is about to be asked for.
    pub(crate) fn now(store: &Store) -> Self {
        let within_ms = store.0.limits.sweep.commit_within_ms;
        let until = || Time(store.now().0.saturating_add(within_ms));
        Self { until: store.is_shared().then(|| (Arc::clone(&store.0.clock), until())) }
    }

    /// Whether it may be referred to in this transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it took too long, and somebody may have taken the blob for an orphan.
    pub(crate) fn check(&self, tx: &mut dyn Tx, blob: BlobId) -> Result<()> {
        let Some((clock, until)) = &self.until else { return Ok(()) };
        if clock.now() > *until || tx.doomed_at(blob)?.is_some() {
            return Err(Error::Unavailable("it took too long to store this".to_owned()));
        }
        Ok(())
    }
}

/// Whether somebody is copying blobs, so that none may be removed.
fn are_kept(tx: &mut dyn Read, now: Time) -> Result<bool> {
    Ok(tx.leases(lease::KEEP)?.iter().any(|(_, lease)| lease.until > now))
}

/// Whether the store takes no changes because it is moved elsewhere: what was removed could not be forgotten.
fn is_closed(tx: &mut dyn Read) -> Result<bool> {
    Ok(tx.moving()?.is_some_and(|moving| moving.is_closed()))
}

impl Store {
    /// Removes the bytes of some doomed blobs; returns how many. 0: none is left, or none may be removed now. Where nobody
    /// else has the catalog.
    ///
    /// # Errors
    /// [`model::Error::Storage`]; what was not removed stays on the list.
    pub async fn sweep_doomed(&self) -> Result<usize> {
        let Ok(_removing) = self.0.removals.try_write() else { return Ok(0) };
        let look = |tx: &mut dyn Read| {
            if is_closed(tx)? { Ok(Vec::new()) } else { tx.doomed(None, BATCH) }
        };
        let doomed = self.0.catalog.read(look).await?;
        let gone: Vec<BlobId> = doomed.into_iter().map(|(blob, _)| blob).collect();
        let count = gone.len();
        self.remove_doomed(gone).await?;
        Ok(count)
    }

    /// Removes the bytes of doomed blobs that were doomed long enough ago, looking at some after `after`; returns where to
    /// go on, `None` at the end, or where none may be removed now. Where other nodes may read them.
    ///
    /// # Errors
    /// As [`Store::sweep_doomed`].
    pub async fn sweep_doomed_shared(&self, after: Option<BlobId>) -> Result<Option<BlobId>> {
        let now = self.now();
        let Some(up_to) = now.0.checked_sub(self.0.limits.sweep.doomed_stay_ms) else {
            return Ok(None);
        };
        // One snapshot: whoever begins to copy blobs after it copies none that is doomed in it.
        let look = move |tx: &mut dyn Read| {
            if are_kept(tx, now)? || is_closed(tx)? {
                return Ok((Vec::new(), None));
            }
            let page = tx.doomed(after, BATCH)?;
            let next = (page.len() == BATCH).then(|| page.last().map(|(blob, _)| *blob)).flatten();
            let mut gone = Vec::new();
            for (blob, _) in page.into_iter().filter(|(_, since)| since.0 <= up_to) {
                // Nothing refers to what is doomed. Where something does all the same, it is fsck's to say so.
                if tx.blob_refs(blob)? == 0 {
                    gone.push(blob);
                }
            }
            Ok((gone, next))
        };
        let (gone, next) = self.0.catalog.read(look).await?;
        self.remove_doomed(gone).await?;
        Ok(next)
    }

    async fn remove_doomed(&self, gone: Vec<BlobId>) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        // For good: a removal that a loss of power undid after this list forgot it would be found by nobody.
        self.0.blobs.remove_all(gone.clone()).await?;
        self.0
            .catalog
            .write(move |tx| gone.iter().try_for_each(|blob| tx.forget_doomed(*blob)))
            .await
    }

    /// Forgets turns of slowed logins, and whatever leases ran out a while ago and nobody took.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    pub async fn sweep_leases(&self) -> Result<()> {
        let (now, ttl_ms) = (self.now(), self.0.limits.lease.ttl_ms);
        let is_over = move |lease: &Lease| now.since(lease.until) > 2 * ttl_ms;
        let leases = self.0.catalog.read(|tx| tx.leases("")).await?;
        let over: Vec<String> =
            leases.into_iter().filter(|(_, lease)| is_over(lease)).map(|(name, _)| name).collect();
        if over.is_empty() {
            return Ok(());
        }
        let forget = move |tx: &mut dyn Tx| {
            for name in &over {
                if tx.lease(name)?.as_ref().is_some_and(is_over) {
                    tx.remove_lease(name)?;
                }
            }
            Ok(())
        };
        self.0.catalog.write_closed(forget).await
    }

    /// Gives up what processes that died left half-written in a store that other processes write to. Returns how many.
    ///
    /// # Errors
    /// [`model::Error::Storage`], [`model::Error::Unavailable`].
    pub async fn sweep_stages(&self) -> Result<usize> {
        let before = self.now().secs().saturating_sub(STAGES_LEFT_SECS);
        self.0.blobs.give_up_stages(Time::from_secs(before)).await
    }

    /// Removes some sessions that ended, going on after `after`; returns where to go on, `None` at the end.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    pub async fn sweep_sessions(&self, after: Option<TokenHash>) -> Result<Option<TokenHash>> {
        let now = self.now();
        let page = self.0.catalog.read(move |tx| tx.sessions(after, BATCH)).await?;
        let next = (page.len() == BATCH).then(|| page.last().map(|(hash, _)| *hash)).flatten();
        let ended: Vec<TokenHash> = page
            .into_iter()
            .filter(|(_, session)| session.expires.is_some_and(|end| end <= now))
            .map(|(hash, _)| hash)
            .collect();
        if !ended.is_empty() {
            self.0
                .catalog
                .write(move |tx| ended.iter().try_for_each(|hash| tx.remove_session(hash)))
                .await?;
        }
        Ok(next)
    }

    /// Removes blobs that nothing refers to, among those staged before `before` and changed on disk since `since`:
    /// what a crash between the sealing of a blob and its catalog record left behind. `before` must be a time from
    /// before this process took uploads, since a blob is sealed before it is referred to. Returns how many. Where nobody
    /// else has the catalog.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    pub async fn sweep_orphans(&self, since: Time, before: Time) -> Result<usize> {
        let mut removed = 0;
        let mut found = self.unreferred(since, before, |tx, blob| Ok(tx.blob_refs(blob)? == 0));
        while let Some(orphans) = found.next().await? {
            removed += orphans.len();
            let _removing = self.0.removals.write().await;
            self.0.blobs.remove_all(orphans).await?;
        }
        Ok(removed)
    }

    /// The same, from where the last such sweep of this catalog ended: once a start, `started` being a time from before the
    /// first upload of this process.
    ///
    /// # Errors
    /// [`model::Error::Storage`].
    pub async fn sweep_orphans_left(&self, started: Time) -> Result<usize> {
        let since = self.0.catalog.read(|tx| tx.orphans_swept()).await?.unwrap_or_default();
        let removed = self.sweep_orphans(since, started).await?;
        self.0.catalog.write(move |tx| tx.put_orphans_swept(started)).await?;
        Ok(removed)
    }

    /// Dooms blobs that nothing refers to and nobody will, if the last look is long enough ago. Takes its time between two
    /// looks at them. Returns how many. Where other nodes have the same catalog.
    ///
    /// # Errors
    /// [`model::Error::Storage`], [`model::Error::Unavailable`].
    pub async fn sweep_orphans_shared(&self) -> Result<usize> {
        let (begun, limits) = (self.now(), self.0.limits.sweep);
        let swept = self.0.catalog.read(|tx| tx.orphans_swept()).await?;
        if swept.is_some_and(|swept| begun.since(swept) < limits.orphans_every_ms) {
            return Ok(0);
        }
        // What the last look passed over because it was too young may have been sealed as long before it.
        let back = |time: Time| Time(time.0.saturating_sub(limits.orphan_age_ms));
        let (since, before) = (swept.map(back).unwrap_or_default(), back(begun));
        let (mut suspects, mut found) = (Vec::new(), self.unreferred(since, before, is_orphan));
        while let Some(some) = found.next().await? {
            suspects.extend(some);
        }
        if !suspects.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(limits.settle_ms)).await;
        }
        let mut doomed = 0;
        for some in suspects.chunks(BATCH) {
            let (some, until) = (some.to_vec(), Time(self.now().0 + limits.orphan_stay_ms));
            let doom = move |tx: &mut dyn Tx| {
                let mut doomed = 0;
                for blob in &some {
                    if tx.blob_refs(*blob)? == 0 && tx.doomed_at(*blob)?.is_none() {
                        tx.doom(*blob, until)?;
                        doomed += 1;
                    }
                }
                Ok(doomed)
            };
            doomed += self.0.catalog.write(doom).await?;
        }
        self.0.catalog.write(move |tx| tx.put_orphans_swept(begun)).await?;
        Ok(doomed)
    }

    /// Looks for blobs that nothing refers to, as `is_meant` tells.
    fn unreferred(&self, since: Time, before: Time, is_meant: IsMeant) -> Unreferred {
        let (found, coming) = mpsc::channel(4);
        let blobs = Arc::clone(&self.0.blobs);
        let walk = tokio::spawn(async move {
            // Nobody takes them any more: the walk goes on to its end for nothing.
            let visit = Box::new(move |ids: Vec<BlobId>| drop(found.blocking_send(ids)));
            blobs.sealed_between(since, before, visit).await
        });
        Unreferred { store: self.clone(), is_meant, coming, walk: Walk(walk) }
    }
}

/// Whether nothing refers to a blob, and it is not on the list of those that go.
fn is_orphan(tx: &mut dyn Read, blob: BlobId) -> Result<bool> {
    Ok(tx.blob_refs(blob)? == 0 && tx.doomed_at(blob)?.is_none())
}

type IsMeant = fn(&mut dyn Read, BlobId) -> Result<bool>;

/// A walk through what lies in a store. Memory: a few batches of it.
struct Unreferred {
    store: Store,
    is_meant: IsMeant,
    coming: mpsc::Receiver<Vec<BlobId>>,
    walk: Walk,
}

/// Ends with whoever waits for it.
struct Walk(tokio::task::JoinHandle<Result<()>>);

impl Drop for Walk {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Unreferred {
    /// Some of those that nothing refers to; `None`: that was all.
    async fn next(&mut self) -> Result<Option<Vec<BlobId>>> {
        while let Some(some) = self.coming.recv().await {
            let is_meant = self.is_meant;
            let look = move |tx: &mut dyn Read| {
                let mut orphans = Vec::new();
                for blob in &some {
                    if is_meant(tx, *blob)? {
                        orphans.push(*blob);
                    }
                }
                Ok(orphans)
            };
            let orphans = self.store.0.catalog.read(look).await?;
            if !orphans.is_empty() {
                return Ok(Some(orphans));
            }
        }
        let ended = (&mut self.walk.0).await;
        ended.unwrap_or_else(|e| Err(Error::Storage(format!("looking for orphans ended: {e}"))))?;
        Ok(None)
    }
}
