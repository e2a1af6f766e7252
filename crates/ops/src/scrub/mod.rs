//! Scrubbing: everything that is stored is read again and compared with its checksums, at a bounded rate, for ever.
//!
//! What lives here: passes, where they go on after a restart, and what is kept of damage. What does not: how blocks are
//! compared (crate `blobs`), what else must be true of a store (`fsck`), and when a reader meets damage. A pass reads all
//! blobs, each once however many files share it, then goes through the files: small contents are compared with their
//! records, and so is what a blob says of itself.
//!
//! Invariants: a damaged thing is logged once and stays on the list until it reads well again or is gone; what went away
//! while it was read is no damage; a pass that could not write down how far it is goes on from an earlier place. One node at
//! a time scrubs, by a lease that saves the others the reading. A pass is begun by its record, on whatever node: whoever
//! scrubs notices, and a note of an earlier pass is not written over it.

mod rate;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blobs::ContentHash;
use catalog::Tx;
use catalog::audit::{Audit, Index, Row};
use model::{
    AccountId, BlobId, Content, Damage, Digest, DirId, Error, InlineId, Result, Scrub, ScrubAt,
    ScrubPass, Subject, Time,
};
use tokio::sync::Notify;

use crate::{Store, fsck::paths};
pub use rate::Limits;
use rate::Pace;

/// Blobs asked for at a time.
const BLOBS: usize = 64;
/// Files looked at at a time.
const FILES: usize = 256;
/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Between notes of how far a pass is.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Before the first pass over a store that was never read, after the start.
const FIRST_AFTER: Duration = Duration::from_secs(600);
/// Before another try where the catalog could not be read.
const PAUSE: Duration = Duration::from_secs(60);
/// Whoever holds it scrubs.
const LEASE: &str = "scrub";
/// Damaged things that are kept; more are logged and counted.
const DAMAGED_MAX: usize = 1_000;

/// Tells whoever scrubs to look what is asked for.
#[derive(Default)]
pub(crate) struct Orders {
    notify: Notify,
    /// Whether anybody takes orders.
    taken: AtomicBool,
}

/// What came of reading one thing.
type Read = std::result::Result<u64, String>;

impl Store {
    /// How far scrubbing is, as it was noted last (every few seconds).
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Damaged`].
    pub async fn scrub_status(&self) -> Result<Scrub> {
        Ok(self.0.catalog.read(|tx| tx.scrub()).await?.unwrap_or_default())
    }

    /// Whether this process scrubs by itself ([`Store::scrub`]), or would if no other node did.
    pub fn scrubs(&self) -> bool {
        self.0.scrub.taken.load(Ordering::Relaxed)
    }

    /// Has a pass begin now, from the beginning, in place of one that runs; `rate`: bytes a second for this pass, 0 for
    /// as fast as it goes. Returns which pass that will be.
    ///
    /// # Errors
    /// As [`Store::scrub_status`].
    pub async fn start_scrub(&self, rate: Option<u64>) -> Result<u64> {
        let (now, limits) = (self.now(), self.0.limits.scrub);
        // Where none begins by itself, one without a rate is one that began before that was so.
        let fastest = (limits.period_secs == 0).then_some(limits.bytes_per_second_max);
        let rate = rate.or(fastest);
        let order = move |tx: &mut dyn Tx| {
            let mut scrub = tx.scrub()?.unwrap_or_default();
            begin(&mut scrub, now, rate);
            tx.put_row(&Row::Scrub(scrub.clone()))?;
            Ok(scrub.pass)
        };
        let pass = self.0.catalog.write(order).await?;
        self.0.scrub.notify.notify_one();
        Ok(pass)
    }

    /// Scrubs for ever: goes on with a pass that was begun, and begins the next when its time has come.
    pub async fn scrub(&self) {
        self.0.scrub.taken.store(true, Ordering::Relaxed);
        self.alone(LEASE, || Box::pin(self.scrub_here())).await;
    }

    async fn scrub_here(&self) {
        loop {
            if let Err(error) = self.scrub_when_due().await {
                tracing::error!(%error, "scrubbing; another try in a minute");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn scrub_when_due(&self) -> Result<()> {
        let mut scrub = self.scrub_status().await?;
        let period_ms = self.0.limits.scrub.period_secs.saturating_mul(1000);
        let is_over = scrub.pass == 0 || scrub.ended.is_some();
        // A pass of its own accord that did not end, from before that was switched off, does not go on.
        if is_over || (period_ms == 0 && scrub.rate.is_none()) {
            let (since, period) = match scrub.pass {
                0 => (self.0.started, FIRST_AFTER),
                _ => (scrub.begun, Duration::from_millis(period_ms)),
            };
            let left = period.saturating_sub(Duration::from_millis(self.now().since(since)));
            let due = period_ms > 0 && left.is_zero();
            if !due {
                self.wait_for_order(left, period_ms > 0).await;
                return Ok(());
            }
            begin(&mut scrub, self.now(), None);
        }
        tokio::select! {
            done = self.scrub_pass(scrub) => done.map(drop),
            // Another pass is to begin.
            () = self.0.scrub.notify.notified() => Ok(()),
        }
    }

    /// Ready when there may be a pass to begin: in `left`, if one `is_due` then, or when it is asked for.
    async fn wait_for_order(&self, left: Duration, is_due: bool) {
        // Another node may be asked for one.
        let look_every = self.0.limits.lease.renew_every();
        let (wait, looks) = match (self.is_shared(), is_due) {
            (true, true) => (left.min(look_every), true),
            (true, false) => (look_every, true),
            (false, is_due) => (left, is_due),
        };
        tokio::select! {
            () = tokio::time::sleep(wait), if looks => {}
            () = self.0.scrub.notify.notified() => {}
        }
    }

    /// Makes one whole pass, now. For a store that nobody serves.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn scrub_now(&self, rate: Option<u64>) -> Result<Scrub> {
        let mut scrub = self.scrub_status().await?;
        begin(&mut scrub, self.now(), rate.or(Some(0)));
        self.scrub_pass(scrub).await
    }

    /// Takes a pass from where it is to its end.
    async fn scrub_pass(&self, scrub: Scrub) -> Result<Scrub> {
        let total = self.0.catalog.scan(|tx| {
            let accounts = tx.accounts()?;
            accounts.iter().map(|account| Ok(tx.usage(account.id)?.bytes)).sum::<Result<u64>>()
        });
        let total = total.await?;
        let mut pass = Pass {
            store: self,
            scrub,
            pace: Pace::new(self.0.limits.scrub, total),
            saved: Instant::now(),
            unsaved: false,
        };
        pass.save().await;
        pass.blobs().await?;
        pass.files().await?;
        pass.end().await;
        Ok(pass.scrub)
    }
}

fn begin(scrub: &mut Scrub, now: Time, rate: Option<u64>) {
    if let Some(ended) = scrub.ended {
        let Scrub { begun, bytes, objects, .. } = *scrub;
        scrub.before = Some(ScrubPass { begun, ended, bytes, objects });
    }
    *scrub = Scrub {
        pass: scrub.pass + 1,
        begun: now,
        rate,
        before: scrub.before,
        damaged: std::mem::take(&mut scrub.damaged),
        ..Scrub::default()
    };
}

/// A pass that runs.
struct Pass<'a> {
    store: &'a Store,
    scrub: Scrub,
    pace: Pace,
    saved: Instant,
    /// The last note could not be written.
    unsaved: bool,
}

impl Pass<'_> {
    /// Reads the blobs that files and pieces refer to.
    async fn blobs(&mut self) -> Result<()> {
        loop {
            let after = match &self.scrub.at {
                ScrubAt::Start => None,
                ScrubAt::Blob(id) => Some(*id),
                ScrubAt::File(..) => return Ok(()),
            };
            let page = self.store.0.catalog.audit(move |audit| Ok(page_of_blobs(audit, after)));
            let (page, fault) = page.await?;
            if let Some(why) = fault {
                self.damaged(Subject::Catalog(Index::Blobs.name().to_owned()), why).await;
            }
            let Some(last) = page.last().copied() else { break };
            for id in page {
                match self.read_blob(id).await {
                    Ok(()) => self.good(&Subject::Blob(id)).await,
                    Err(Error::Damaged(why) | Error::Storage(why)) => {
                        // A file that is gone takes its blobs along.
                        let refs = self.store.0.catalog.read(move |tx| tx.blob_refs(id)).await;
                        if refs != Ok(0) {
                            self.damaged(Subject::Blob(id), why).await;
                        }
                    }
                    Err(e) => return Err(e),
                }
                self.scrub.objects += 1;
                self.scrub.at = ScrubAt::Blob(id);
                self.save_sometimes().await;
            }
            self.scrub.at = ScrubAt::Blob(last);
        }
        self.scrub.at = ScrubAt::File(AccountId(0), DirId(0), String::new());
        self.save().await;
        Ok(())
    }

    async fn read_blob(&mut self, id: BlobId) -> Result<()> {
        let blob = self.store.0.blobs.open(id).await?;
        let (mut hash, mut offset) = (ContentHash::new(), 0);
        while offset < blob.len() {
            let left = usize::try_from(blob.len() - offset).unwrap_or(usize::MAX);
            let bytes = blob.read(offset, left.min(READ_BYTES)).await?;
            if bytes.is_empty() {
                return Err(Error::Damaged(format!("blob {id:?}: ended early")));
            }
            hash.update(&bytes);
            offset += bytes.len() as u64;
            self.took(bytes.len() as u64).await;
        }
        if hash.finish() != blob.digest() {
            return Err(Error::Damaged(format!("blob {id:?}: SHA-256 is not what it was")));
        }
        self.took(0).await;
        Ok(())
    }

    /// Compares files with their records.
    async fn files(&mut self) -> Result<()> {
        while let ScrubAt::File(account, dir, name) = self.scrub.at.clone() {
            let page = self.store.0.catalog.audit(move |audit| {
                Ok(page_of_files(audit, &Row::DirectoryName(account, dir, name, DirId(0), 0)))
            });
            let Page { rows, fault } = page.await?;
            if let Some((index, why)) = fault {
                self.damaged(Subject::Catalog(index.name().to_owned()), why).await;
            }
            let Some((account, dir, name, _)) = rows.last().cloned() else { break };
            for (account, dir, name, found) in rows {
                match found {
                    Found::Nothing => continue,
                    Found::Inline(id, read) => {
                        let subject = Subject::Inline(account, id);
                        self.took(read.as_ref().map_or(0, |len| *len)).await;
                        self.scrub.objects += 1;
                        match read {
                            Ok(_) => self.good(&subject).await,
                            Err(why) if self.is_there(account, dir, &name, id).await => {
                                self.damaged(subject, why).await;
                            }
                            Err(_) => {}
                        }
                    }
                    Found::Blob(id, checksum) => {
                        let noted = self.store.0.blobs.open(id).await.map(|blob| blob.digest());
                        if noted.is_ok_and(|noted| noted != checksum) {
                            let why = "a file's record has another SHA-256".to_owned();
                            self.damaged(Subject::Blob(id), why).await;
                        }
                    }
                }
            }
            self.scrub.at = ScrubAt::File(account, dir, name);
            self.save_sometimes().await;
        }
        Ok(())
    }

    /// Whether a file still has this small content.
    async fn is_there(&self, account: AccountId, dir: DirId, name: &str, id: InlineId) -> bool {
        let name = name.to_owned();
        let now = self
            .store
            .0
            .catalog
            .read(move |tx| tx.node(catalog::Place { account, dir, name: &name }));
        match now.await {
            Ok(Some(model::Node::File(file))) => file.content == Content::Inline(id),
            Ok(_) => false,
            Err(_) => true,
        }
    }

    async fn end(&mut self) {
        let pass = self.scrub.pass;
        // What was not met any more is gone.
        self.scrub.damaged.retain(|damage| damage.pass == pass);
        self.scrub.ended = Some(self.store.now());
        self.save().await;
        let Scrub { bytes, objects, more, .. } = self.scrub;
        let damaged = self.scrub.damaged.len() as u64 + more;
        tracing::info!(pass, bytes, objects, damaged, "everything was read and compared");
    }

    /// Counts what was read, and waits as long as the rate asks for.
    async fn took(&mut self, bytes: u64) {
        self.scrub.bytes += bytes;
        let now = (self.store.now(), Instant::now());
        if let Some(wait) = self.pace.wait(&self.scrub, bytes, now) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Notes damage, once.
    async fn damaged(&mut self, subject: Subject, why: String) {
        let pass = self.scrub.pass;
        if let Some(known) = self.scrub.damaged.iter_mut().find(|d| d.subject == subject) {
            (known.pass, known.why) = (pass, why);
            return;
        }
        let wanted = HashSet::from([subject.clone()]);
        let told = self.store.0.catalog.audit(move |audit| Ok(paths::referrers(audit, &wanted)));
        let paths = told.await.ok().and_then(|mut told| told.remove(&subject)).unwrap_or_default();
        tracing::error!(what = %shown(&subject), why, ?paths, "stored data is damaged");
        if self.scrub.damaged.len() < DAMAGED_MAX {
            let found = self.store.now();
            self.scrub.damaged.push(Damage { subject, found, pass, why, paths });
        } else {
            self.scrub.more += 1;
        }
        self.save().await;
    }

    /// Forgets damage that is no more.
    async fn good(&mut self, subject: &Subject) {
        let before = self.scrub.damaged.len();
        self.scrub.damaged.retain(|damage| damage.subject != *subject);
        if self.scrub.damaged.len() < before {
            tracing::info!(what = %shown(subject), "was damaged and reads well again");
            self.save().await;
        }
    }

    async fn save_sometimes(&mut self) {
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save().await;
        }
    }

    /// Notes how far the pass is. Where that fails, it goes on from an earlier place after a restart.
    async fn save(&mut self) {
        let scrub = self.scrub.clone();
        let save = move |tx: &mut dyn Tx| {
            let is_latest = tx.scrub()?.is_none_or(|stored| stored.pass <= scrub.pass);
            if is_latest {
                tx.put_row(&Row::Scrub(scrub.clone()))?;
            }
            Ok(is_latest)
        };
        let saved = self.store.0.catalog.write(save).await;
        if saved == Ok(false) {
            // Another one was asked for: this one is to end.
            self.store.0.scrub.notify.notify_one();
        }
        // Said once, not every few seconds for as long as the disk is full.
        if let (Err(error), false) = (&saved, self.unsaved) {
            tracing::warn!(%error, "how far scrubbing is cannot be noted; it goes on");
        }
        self.unsaved = saved.is_err();
        self.saved = Instant::now();
    }
}

fn shown(subject: &Subject) -> String {
    match subject {
        Subject::Blob(id) => format!("blob {}", id.to_hex()),
        Subject::Inline(account, id) => format!("small content {} of account {}", id.0, account.0),
        Subject::Catalog(what) => format!("the catalog's {what}"),
    }
}

/// Some blobs that are referred to, and why there may be more that cannot be read.
fn page_of_blobs(audit: &dyn Audit, after: Option<BlobId>) -> (Vec<BlobId>, Option<String>) {
    let after = after.map(|id| Row::References(id, 0));
    let mut page = Vec::new();
    for row in audit.rows(Index::Blobs, after.as_ref()).take(BLOBS) {
        match row {
            Ok(Row::References(id, _)) => page.push(id),
            Ok(_) => {}
            Err(e) => return (page, Some(e.to_string())),
        }
    }
    (page, None)
}

/// What there is to compare of a name.
#[derive(Clone)]
enum Found {
    Nothing,
    Inline(InlineId, Read),
    Blob(BlobId, Digest),
}

/// Names, and why there may be more that cannot be read.
struct Page {
    rows: Vec<(AccountId, DirId, String, Found)>,
    fault: Option<(Index, String)>,
}

fn page_of_files(audit: &dyn Audit, after: &Row) -> Page {
    let mut page = Page { rows: Vec::new(), fault: None };
    for row in audit.rows(Index::Names, Some(after)).take(FILES) {
        match row {
            Ok(Row::File(account, dir, name, file)) => {
                let found = match &file.content {
                    Content::Inline(id) => {
                        Found::Inline(*id, inline(audit, account, *id, file.attrs.checksum))
                    }
                    Content::Blobs(extents) if extents.len() == 1 => {
                        Found::Blob(extents[0].blob, file.attrs.checksum)
                    }
                    Content::Empty | Content::Blobs(_) => Found::Nothing,
                };
                page.rows.push((account, dir, name, found));
            }
            Ok(Row::DirectoryName(account, dir, name, ..)) => {
                page.rows.push((account, dir, name, Found::Nothing));
            }
            Ok(_) => {}
            Err(e) => {
                page.fault = Some((Index::Names, e.to_string()));
                break;
            }
        }
    }
    page
}

fn inline(audit: &dyn Audit, account: AccountId, id: InlineId, checksum: Digest) -> Read {
    match audit.stored(&Row::Inline(account, id, bytes::Bytes::new())) {
        Ok(Some(Row::Inline(_, _, bytes))) if ContentHash::of(&bytes) == checksum => {
            Ok(bytes.len() as u64)
        }
        Ok(Some(_)) => Err("SHA-256 is not what it was".to_owned()),
        Ok(None) => Err("is missing".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}
