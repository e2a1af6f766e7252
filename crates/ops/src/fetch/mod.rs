//! Pulling files from other servers (protocol.md, section 5, `fetchFileHTTP`): a durable queue of jobs.
//!
//! What lives here: what may be queued, and what operators do with jobs. Running them is `run`, the transfer itself
//! `transfer`. What does not: files of the caller's own account (`namespace`, a copy), which hosts may be asked and how
//! (crate `outbound`).
//!
//! Invariants: a file appears in the transaction in which its job becomes done, and only if the job is still at the attempt
//! then that brought the file, and in the hands of this node: a cancelled job leaves nothing, one that was taken over is
//! not ended by who lost it, and none is done twice.

mod run;
mod transfer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::{
    AccountId, Caller, Digest, Error, Job, JobId, JobState, Lease, NodeId, Result, Secret, Time,
    TreePath, limits,
};
use outbound::{Credentials, Location};
use tokio::sync::Notify;

use crate::{Parents, Store, backoff, put::may_put, quota};

/// Limits of transfers from other servers, with their units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Jobs of one account that are queued or running.
    pub unfinished_max: u64,
    /// Bytes of one file.
    pub bytes_max: u64,
    /// Attempts before a job is given up.
    pub attempts_max: u32,
    /// Milliseconds before the second attempt; each further pause is twice as long.
    pub first_delay_ms: u64,
    /// Longest pause, in milliseconds.
    pub longest_delay_ms: u64,
    /// Seconds for which a job that is over stays listed.
    pub keep_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unfinished_max: 100,
            bytes_max: 100_000_000_000,
            attempts_max: 8,
            first_delay_ms: 5_000,
            longest_delay_ms: 3_600_000,
            keep_secs: 86_400,
        }
    }
}

/// What a client asks to be fetched.
#[derive(Debug, Clone)]
pub struct FetchSpec {
    /// Where the file will be, relative to the caller's root.
    pub path: TreePath,
    /// What happens where the directory is missing.
    pub parents: Parents,
    /// Where it comes from: an http or https URL. A fragment `sha256=` with 64 hex digits is what the content must hash to.
    pub uri: Secret,
    /// User name and password for the other server.
    pub credentials: Option<(String, Secret)>,
}

/// Jobs looked at in one call.
const BATCH: usize = 256;

/// What this process knows of jobs beside the catalog: whom to tell what.
#[derive(Default)]
pub(crate) struct Jobs {
    /// Wakes a runner.
    wake: Notify,
    /// Stops a running job.
    running: Mutex<HashMap<JobId, Arc<Notify>>>,
}

impl Jobs {
    fn begin(&self, id: JobId) -> Arc<Notify> {
        let stop = Arc::new(Notify::new());
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id, stop.clone());
        stop
    }

    fn end(&self, id: JobId) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// What this process runs.
    pub(crate) fn running(&self) -> Vec<JobId> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    fn stop(&self, id: JobId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = running.get(&id) {
            stop.notify_one();
        }
    }
}

impl Store {
    /// Queues a transfer. It is durable when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidUri`]: not a URL that is spoken here, a host the operator does not allow, or the caller's own
    /// account by a URL that names no file of it; those of [`Store::check_put`]; [`Error::TooManyJobs`].
    pub async fn fetch(&self, caller: &Caller, spec: FetchSpec) -> Result<JobId> {
        let location = Location::parse(spec.uri.expose())?;
        if location.host().eq_ignore_ascii_case(&caller.account_name) {
            return Err(Error::InvalidUri);
        }
        self.0.outbound.check(&location)?;
        let checksum = checksum_of(&location)?;
        let given = spec.credentials.map(|(username, password)| Credentials { username, password });
        let request = Request { credentials: given.or(location.credentials().cloned()), location };
        let (text, source) = (request.to_text(), shown(&request.location));
        let (store, caller, now) = (self.clone(), caller.clone(), self.now());
        let id = self
            .0
            .catalog
            .write(move |tx| {
                let spot = may_put(tx, &caller, &spec.path, spec.parents)?;
                spot.room(tx, caller.account)?.takes(quota::at_least(None))?;
                if tx.unfinished_jobs(caller.account)? >= store.0.limits.pull.unfinished_max {
                    return Err(Error::TooManyJobs);
                }
                let id = JobId { account: caller.account, number: tx.fresh_id()? };
                tx.put_job(&Job {
                    id,
                    user: caller.user,
                    owner: caller.owner,
                    path: caller.full(&spec.path),
                    make_directories: spec.parents == Parents::Created,
                    source: source.clone(),
                    sealed_request: store.0.vault.seal(&text, &bound_to(id))?,
                    checksum,
                    state: JobState::Queued,
                    attempts: 0,
                    next_at: now,
                    created: now,
                    changed: now,
                    error: String::new(),
                    bytes: 0,
                    lease: None,
                })?;
                Ok(id)
            })
            .await?;
        tracing::info!(job = %id, "transfer queued");
        self.0.jobs.wake.notify_one();
        Ok(id)
    }

    /// The jobs of an account, or of all, with the names of their accounts.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub async fn jobs(&self, account: Option<&str>) -> Result<Vec<(String, Job)>> {
        let name = account.map(str::to_owned);
        self.0
            .catalog
            .scan(move |tx| {
                let accounts = match &name {
                    Some(name) => vec![tx.account_by_name(name)?.ok_or(Error::NoSuchAccount)?],
                    None => tx.accounts()?,
                };
                let mut all = Vec::new();
                for account in accounts {
                    let jobs = tx.jobs_of(account.id, 0, usize::MAX)?;
                    all.extend(jobs.into_iter().map(|job| (account.name.clone(), job)));
                }
                Ok(all)
            })
            .await
    }

    /// Gives a job up; one that is running stops, and leaves nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`], also for one that is over.
    pub async fn cancel_job(&self, id: JobId) -> Result<Job> {
        let now = self.now();
        let job = self
            .0
            .catalog
            .write(move |tx| {
                let job = tx.job(id)?.filter(|job| job.state.is_unfinished());
                let mut job = job.ok_or(Error::NoSuchJob)?;
                job.enter(JobState::Cancelled, now);
                tx.put_job(&job)?;
                Ok(job)
            })
            .await?;
        self.0.jobs.stop(id);
        Ok(job)
    }

    /// Queues a job again that failed or was cancelled, with all its attempts before it.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`], also for one that is queued, running or done.
    pub async fn retry_job(&self, id: JobId) -> Result<Job> {
        let now = self.now();
        let job = self
            .0
            .catalog
            .write(move |tx| {
                let over = |job: &Job| matches!(job.state, JobState::Failed | JobState::Cancelled);
                let mut job = tx.job(id)?.filter(over).ok_or(Error::NoSuchJob)?;
                job.enter(JobState::Queued, now);
                (job.attempts, job.next_at) = (0, now);
                tx.put_job(&job)?;
                Ok(job)
            })
            .await?;
        self.0.jobs.wake.notify_one();
        Ok(job)
    }

    /// Once a start, before any job runs: those that a process before this one left running are queued again. Where other
    /// nodes may run them, only those are that nobody ever takes over: they came from a catalog that one process had. Looks
    /// at some, going on after `after`; returns where to go on, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn resume_jobs(&self, after: Option<JobId>) -> Result<Option<JobId>> {
        let (now, is_shared) = (self.now(), self.is_shared());
        let is_left = move |job: &Job| {
            let for_good = job.lease.is_none_or(|lease| lease == Lease::for_good(lease.holder));
            job.state == JobState::Running && (for_good || !is_shared)
        };
        self.visit_jobs(after, is_left, move |tx, job| queue(tx, job, now)).await
    }

    /// Forgets jobs that have been over for long enough. Looks at some, likewise.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn sweep_jobs(&self, after: Option<JobId>) -> Result<Option<JobId>> {
        let (now, keep_ms) = (self.now(), self.0.limits.pull.keep_secs.saturating_mul(1000));
        self.visit_jobs(
            after,
            move |job| !job.state.is_unfinished() && now.since(job.changed) > keep_ms,
            |tx, job| tx.remove_job(job.id),
        )
        .await
    }

    /// Changes those of a page of jobs that `is_meant`.
    async fn visit_jobs(
        &self,
        after: Option<JobId>,
        is_meant: impl Fn(&Job) -> bool + Copy + Send + 'static,
        change: impl Fn(&mut dyn catalog::Tx, Job) -> Result<()> + Copy + Send + 'static,
    ) -> Result<Option<JobId>> {
        let page = self.0.catalog.scan(move |tx| tx.jobs(after, BATCH)).await?;
        let next = (page.len() == BATCH).then(|| page.last().map(|last| last.id)).flatten();
        let meant: Vec<JobId> = page.into_iter().filter(is_meant).map(|job| job.id).collect();
        if !meant.is_empty() {
            let change_all = move |tx: &mut dyn catalog::Tx| {
                for id in &meant {
                    if let Some(job) = tx.job(*id)?.filter(is_meant) {
                        change(tx, job)?;
                    }
                }
                Ok(())
            };
            self.0.catalog.write(change_all).await?;
        }
        Ok(next)
    }
}

/// Queues a job that was running.
fn queue(tx: &mut dyn catalog::Tx, mut job: Job, now: Time) -> Result<()> {
    job.enter(JobState::Queued, now);
    job.next_at = now;
    tx.put_job(&job)
}

/// Queues a job that `node` runs, and that it gives back.
pub(crate) fn queue_again(
    tx: &mut dyn catalog::Tx,
    id: JobId,
    node: NodeId,
    now: Time,
) -> Result<()> {
    match tx.job(id)? {
        Some(job) if run::is_in_hand(&job, node, job.attempts) => queue(tx, job, now),
        Some(_) | None => Ok(()),
    }
}

/// What is asked of the other server.
struct Request {
    location: Location,
    credentials: Option<Credentials>,
}

impl Request {
    /// As it is kept: the URL, then, where there are credentials, how long the user name is, user name and password.
    fn to_text(&self) -> Secret {
        let url = self.location.url();
        Secret::new(match &self.credentials {
            None => url.to_owned(),
            Some(Credentials { username, password }) => {
                format!("{url}\n{}\n{username}{}", username.len(), password.expose())
            }
        })
    }

    /// Reads what [`Request::to_text`] wrote; a URL holds no line break.
    fn read(text: &Secret) -> Option<Self> {
        let Some((url, rest)) = text.expose().split_once('\n') else {
            return Some(Self {
                location: Location::parse(text.expose()).ok()?,
                credentials: None,
            });
        };
        let (len, rest) = rest.split_once('\n')?;
        let (username, password) = rest.split_at_checked(len.parse().ok()?)?;
        let password = Secret::new(password);
        let credentials = Some(Credentials { username: username.to_owned(), password });
        Some(Self { location: Location::parse(url).ok()?, credentials })
    }
}

/// What a sealed request is bound to: it is of no use in another job.
fn bound_to(id: JobId) -> Vec<u8> {
    let JobId { account: AccountId(account), number } = id;
    [b"job".as_slice(), &account.to_be_bytes(), &number.to_be_bytes()].concat()
}

/// A URL as operators see it: no query string, which may hold a secret.
fn shown(location: &Location) -> String {
    let url = location.url();
    let shown = url.split_once('?').map_or(url, |(before, _)| before);
    shown.chars().take(limits::PATH_BYTES_MAX).collect()
}

/// What the fragment says the content must hash to; other fragments say nothing.
fn checksum_of(location: &Location) -> Result<Option<Digest>> {
    let hex = location.fragment().and_then(|fragment| fragment.strip_prefix("sha256="));
    hex.map(|hex| Digest::from_hex(hex.as_bytes()).ok_or(Error::InvalidUri)).transpose()
}

/// Milliseconds before the next attempt: doubling, and of that a random part between a half and all of it, so that what
/// failed together does not come back together. Not before `asked_ms`, as far as the longest pause allows.
fn delay_ms(limits: &Limits, attempts: u32, random: u32, asked_ms: u64) -> u64 {
    let (first, longest) = (limits.first_delay_ms, limits.longest_delay_ms);
    let whole = backoff::delay(first, longest, attempts.saturating_sub(1));
    let half = whole / 2;
    let jittered = half + (whole - half) * u64::from(random >> 16) / u64::from(u16::MAX);
    jittered.max(asked_ms.min(longest))
}

/// When a job that failed runs again.
fn next_time(limits: &Limits, attempts: u32, asked_ms: u64, now: Time) -> Time {
    // The upper half is as random as the whole.
    let random = u32::try_from(backoff::random() >> 32).unwrap_or(0);
    Time(now.0 + delay_ms(limits, attempts, random, asked_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_with_jitter() {
        let limits = Limits { first_delay_ms: 100, longest_delay_ms: 1_000, ..Limits::default() };
        let delays = |random| [1, 2, 3, 4, 5, 99].map(|n| delay_ms(&limits, n, random, 0));
        assert_eq!(delays(u32::MAX), [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(delays(0), [50, 100, 200, 400, 500, 500]);
        assert_eq!(delay_ms(&limits, 1, 0, 700), 700, "the remote asked for more");
        assert_eq!(delay_ms(&limits, 1, 0, 7_000), 1_000);
    }

    #[test]
    fn requests_come_back() {
        for (name, password) in [("me", "pw"), ("", ""), ("a\nb", "c\nd"), ("jörg", "1\n2")] {
            let location = Location::parse("http://h/a?b=c").unwrap();
            let password = Secret::new(password);
            let credentials = Some(Credentials { username: name.into(), password });
            let request = Request { location, credentials };
            let back = Request::read(&request.to_text()).unwrap();
            assert_eq!(back.location.url(), "http://h/a?b=c");
            assert_eq!(back.credentials, request.credentials);
        }
        let plain = Secret::new("http://h/a");
        assert!(Request::read(&plain).unwrap().credentials.is_none());
        assert!(Request::read(&Secret::new("http://h/\n5\nab")).is_none());
    }

    #[test]
    fn what_is_shown_and_what_is_expected() {
        let hex = "ab".repeat(32);
        let at = |text: String| Location::parse(&text).unwrap();
        let location = at(format!("https://me:pw@h/a?key=1#sha256={hex}"));
        assert_eq!(shown(&location), "https://h/a");
        assert_eq!(checksum_of(&location), Ok(Some(Digest([0xab; 32]))));
        assert_eq!(checksum_of(&at("http://h/#top".to_owned())), Ok(None));
        for bad in ["", "ab", "zz"] {
            let location = at(format!("http://h/#sha256={bad}"));
            assert_eq!(checksum_of(&location), Err(Error::InvalidUri));
        }
    }
}
