//! `headwater jobs`: transfers from other servers. The semantics are in `ops::fetch`.

use model::{Error, Job, JobId, JobState};
use ops::Store;
use serde_json::{Value, json};

pub(super) async fn list(
    store: &Store,
    account: Option<&str>,
    state: Option<&str>,
) -> anyhow::Result<Value> {
    let state = state.and_then(JobState::from_name);
    let mut jobs = store.jobs(account).await?;
    jobs.retain(|(_, job)| state.is_none_or(|state| job.state == state));
    Ok(jobs.iter().map(|(account, job)| shown(account, job)).collect())
}

pub(super) async fn cancel(store: &Store, id: &str) -> anyhow::Result<Value> {
    Ok(changed(&store.cancel_job(job_id(id)?).await?))
}

pub(super) async fn retry(store: &Store, id: &str) -> anyhow::Result<Value> {
    Ok(changed(&store.retry_job(job_id(id)?).await?))
}

fn job_id(text: &str) -> model::Result<JobId> {
    JobId::parse(text).ok_or(Error::NoSuchJob)
}

fn changed(job: &Job) -> Value {
    json!({ "id": job.id.to_string(), "state": job.state.name() })
}

/// A job as operators see it: no credentials and no query string.
fn shown(account: &str, job: &Job) -> Value {
    json!({
        "id": job.id.to_string(), "account": account, "state": job.state.name(),
        "path": job.path.to_string(), "from": job.source, "attempts": job.attempts,
        "created": job.created.secs(), "changed": job.changed.secs(),
        "next": (job.state == JobState::Queued).then_some(job.next_at.secs()),
        "bytes": job.bytes, "error": (!job.error.is_empty()).then_some(&job.error),
    })
}
