//! One attempt at a transfer: asking the other server, going on where a connection broke, and putting the file in its
//! place.

use std::time::Duration;

use model::{
    Caller, Content, ContentType, Error, EventKind, FileAttrs, Job, JobState, Result, TreePath,
};
use outbound::{Fetched, Get};

use super::{
    Request, bound_to,
    run::{Fault, is_in_hand},
};
use crate::{
    Detect, Parents, Room, Store, TypeRule, content_type,
    landing::{Landed, Landing},
    put::{may_put, place},
    session::caller_of,
};

/// How often a transfer goes on after its connection broke, in one attempt.
const RESUMES_MAX: u32 = 20;
/// Pause before it goes on.
const RESUME_PAUSE: Duration = Duration::from_secs(1);
/// After so many bytes the progress is noted, and whether the job still runs is looked at.
const NOTE_BYTES: u64 = 64 << 20;

/// A whole file that came.
pub(super) struct Arrived {
    landed: Landed,
    /// The type the other server gives it.
    content_type: Option<ContentType>,
}

/// A file that is coming.
struct Coming {
    landing: Landing,
    /// How large the account's quota lets it be.
    room: Room,
    content_type: Option<ContentType>,
    /// What the content is recognized by when a transfer goes on (a strong entity tag, or a date).
    validator: Option<String>,
    /// How long the whole is, where the other server says so.
    length: Option<u64>,
    noted: u64,
}

impl Store {
    /// Gets all bytes of a job's file and compares them with their checksum.
    pub(super) async fn transfer(&self, job: &Job) -> Result<Arrived, Fault> {
        let (id, checked, node) = (job.id, job.clone(), self.node());
        let may = move |tx: &mut dyn catalog::Read| {
            let job = tx.job(id)?.filter(|job| is_in_hand(job, node, checked.attempts));
            job.ok_or(Error::NoSuchJob)?;
            may_run(tx, &checked)?.1.room(tx, id.account)
        };
        let room = self.0.catalog.read(may).await?;
        let text = self.0.vault.open(&job.sealed_request, &bound_to(id))?;
        let Some(request) = Request::read(&text) else {
            return Err(Fault::permanent("the request cannot be read"));
        };
        let limit = self.0.limits.pull.bytes_max;
        let mut get = Get::new(request.location, limit);
        get.credentials = request.credentials;
        let mut coming = self.nothing_yet(job, room);
        let mut resumes = 0;
        loop {
            let before = coming.landing.size();
            let broken = match self.go_on(job, &mut coming, &get).await {
                Ok(()) => break,
                Err(fault) => fault,
            };
            let further = coming.landing.size() > before;
            if !broken.transient || !further || coming.validator.is_none() || resumes == RESUMES_MAX
            {
                return Err(broken);
            }
            resumes += 1;
            get.from = coming.landing.size();
            get.if_range.clone_from(&coming.validator);
            get.bytes_max = limit.saturating_sub(get.from);
            tracing::debug!(job = %id, from = get.from, error = broken.text, "transfer goes on");
            tokio::time::sleep(RESUME_PAUSE).await;
        }
        let landed = coming.landing.end(job.checksum).await?;
        Ok(Arrived { landed, content_type: coming.content_type })
    }

    fn nothing_yet(&self, job: &Job, room: Room) -> Coming {
        let landing = Landing::inline(self, job.id.account);
        Coming { landing, room, content_type: None, validator: None, length: None, noted: 0 }
    }

    /// Takes bytes until all have come.
    async fn go_on(&self, job: &Job, coming: &mut Coming, get: &Get) -> Result<(), Fault> {
        let mut fetched = self.0.outbound.get(get).await?;
        if !fetched.is_content() {
            return Err(refused(&fetched));
        }
        if fetched.status == 206 && (get.from == 0 || fetched.first != Some(get.from)) {
            return Err(Fault::permanent("the remote server sent another part than asked for"));
        }
        if fetched.status == 200 {
            // The content is another now, or the server cannot go on: from the beginning.
            if get.from > 0 && fetched.length.is_some_and(|all| all > self.0.limits.pull.bytes_max)
            {
                return Err(outbound::Error::TooLarge.into());
            }
            *coming = self.nothing_yet(job, coming.room);
            coming.room.takes(fetched.length.unwrap_or(0))?;
            coming.length = fetched.length;
            coming.content_type = fetched.content_type.as_deref().and_then(told);
            let strong = fetched.etag.clone().filter(|tag| !tag.starts_with("W/"));
            coming.validator = strong.or_else(|| fetched.last_modified.clone());
        }
        while let Some(bytes) = fetched.chunk().await? {
            coming.room.takes(coming.landing.size() + bytes.len() as u64)?;
            coming.landing.write(bytes).await?;
            if coming.landing.size() >= coming.noted + NOTE_BYTES {
                coming.noted = coming.landing.size();
                self.note_progress(job, coming.noted).await?;
            }
        }
        match coming.length {
            Some(length) if length != coming.landing.size() => {
                Err(Fault::transient("the remote server sent another length than it said"))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn note_progress(&self, job: &Job, bytes: u64) -> Result<()> {
        let (id, attempt, node) = (job.id, job.attempts, self.node());
        self.0
            .catalog
            .write(move |tx| {
                let job = tx.job(id)?.filter(|job| is_in_hand(job, node, attempt));
                let mut job = job.ok_or(Error::NoSuchJob)?;
                job.bytes = bytes;
                tx.put_job(&job)
            })
            .await
    }

    /// Puts the file in its place and ends the job, in one transaction; the size of the file.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`] when the job does not run any more; those of an upload.
    pub(super) async fn settle(&self, job: Job, arrived: Arrived) -> Result<u64> {
        let Arrived { landed, content_type } = arrived;
        let (now, size, checksum) = (self.now(), landed.size(), landed.digest());
        let name = job.path.name().unwrap_or("");
        let by_content =
            || content_type::detect(&TypeRule::Detect(Detect::Content), name, landed.head());
        let content_type = content_type::by_name(name).or(content_type).unwrap_or_else(by_content);
        let node = self.node();
        let settle = move |tx: &mut dyn catalog::Tx, content: Content| {
            let now_job = tx.job(job.id)?.filter(|now| is_in_hand(now, node, job.attempts));
            let mut job = now_job.ok_or(Error::NoSuchJob)?;
            let (caller, spot) = may_run(tx, &job)?;
            let attrs = FileAttrs {
                owner: job.owner,
                size,
                checksum,
                content_type: content_type.clone(),
                ctime: now.secs(),
                mtime: now.secs(),
            };
            place(tx, &caller, &spot, EventKind::Pull, attrs, content, now)?;
            job.enter(JobState::Done, now);
            job.bytes = size;
            job.error.clear();
            // It was needed for asking, and that is over.
            job.sealed_request.clear();
            tx.put_job(&job)
        };
        landed.place(self, settle).await?;
        self.0.bell.ring();
        Ok(size)
    }
}

/// Who a job's file is made for, as they are now, and where it may be put.
fn may_run<R: catalog::Read + ?Sized>(tx: &mut R, job: &Job) -> Result<(Caller, crate::put::Spot)> {
    let user = tx.user(job.user)?.filter(|user| user.active).ok_or(Error::NoSuchUser)?;
    let account = tx.account(job.id.account)?.ok_or(Error::NoSuchAccount)?;
    let caller = caller_of(user, account, None, job.created, &TreePath::root());
    let caller = Caller { root: TreePath::root(), owner: job.owner, ..caller };
    let parents = if job.make_directories { Parents::Created } else { Parents::Required };
    let spot = may_put(tx, &caller, &job.path, parents)?;
    Ok((caller, spot))
}

/// A type that another server tells; "any bytes" tells nothing.
fn told(content_type: &str) -> Option<ContentType> {
    ContentType::parse(content_type).ok().filter(|told| !told.is_octet_stream())
}

/// An answer without content: what is the request's doing will not change, what is the server's may.
fn refused(fetched: &Fetched) -> Fault {
    let status = fetched.status;
    let text = format!("the remote server answered {status}");
    let passing = matches!(status, 408 | 425 | 429 | 500..=599);
    let asked_ms = fetched.retry_after_secs.unwrap_or(0).saturating_mul(1000);
    if passing { Fault { asked_ms, ..Fault::transient(text) } } else { Fault::permanent(text) }
}
