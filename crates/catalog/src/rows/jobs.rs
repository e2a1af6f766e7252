//! Jobs: the lookups and changes that [`crate::Read`] and [`crate::Tx`] ask for, and their record.
//!
//! What lives here: which keys of `jobs` each of them reads or writes. What does not: the layout of keys, and when a job
//! goes from one state to another (operations).
//!
//! Invariants: a job stands among those that are due as long as it is ever due ([`Job::due_at`]), under that time; an
//! account's counter counts its unfinished ones.

use model::{AccountId, Digest, Error, Job, JobId, JobState, Result, Time, UserId};

use super::codec::{In, Out, Record, decode};
use super::keys::{self, Family};
use super::lease::{read_lease, write_lease};
use super::record::{Number, Payload, read_owner, read_path, write_owner};
use super::source::{Group, Source};
use super::view::{View, bad_key};

impl Record<'_> for Job {
    const WHAT: &'static str = "job";
    const VERSION: u8 = 2;

    fn write(&self, out: &mut Out) {
        out.varint(self.id.account.0.into());
        out.varint(self.id.number);
        out.varint(self.user.0.into());
        write_owner(self.owner, out);
        out.text(self.path.as_str());
        out.flag(self.make_directories);
        out.text(&self.source);
        out.bytes(&self.sealed_request);
        out.flag(self.checksum.is_some());
        if let Some(checksum) = &self.checksum {
            out.fixed(&checksum.0);
        }
        out.byte(self.state.number());
        out.varint(self.attempts.into());
        out.varint(self.next_at.0);
        out.varint(self.created.0);
        out.varint(self.changed.0);
        out.text(&self.error);
        out.varint(self.bytes);
        out.flag(self.lease.is_some());
        if let Some(lease) = self.lease {
            write_lease(lease, out);
        }
    }

    /// Version 1 had no lease: one process had the catalog.
    fn read(version: u8, from: &mut In<'_>) -> Result<Self> {
        Ok(Self {
            id: JobId { account: AccountId(from.varint32()?), number: from.varint()? },
            user: UserId(from.varint32()?),
            owner: read_owner(from)?,
            path: read_path(from)?,
            make_directories: from.flag()?,
            source: from.text()?.to_owned(),
            sealed_request: from.bytes()?.to_vec(),
            checksum: if from.flag()? { Some(Digest(from.array()?)) } else { None },
            state: {
                let number = from.byte()?;
                JobState::from_number(number)
                    .ok_or_else(|| from.damaged(&format!("has state {number}")))?
            },
            attempts: from.varint32()?,
            next_at: Time(from.varint()?),
            created: Time(from.varint()?),
            changed: Time(from.varint()?),
            error: from.text()?.to_owned(),
            bytes: from.varint()?,
            lease: if version > 1 && from.flag()? { Some(read_lease(from)?) } else { None },
        })
    }
}

impl<S: Source> View<S> {
    /// A job by id.
    pub(crate) fn find_job(&self, id: JobId) -> Result<Option<Job>> {
        self.record(Family::Jobs, &keys::job(id))
    }

    /// A page of all jobs.
    pub(crate) fn list_jobs(&self, after: Option<JobId>, limit: usize) -> Result<Vec<Job>> {
        let from = after.map_or_else(|| keys::JOBS.to_vec(), |id| keys::after(keys::job(id)));
        self.jobs_between(&from, &keys::end_of(keys::JOBS), limit)
    }

    /// A page of an account's jobs.
    pub(crate) fn list_jobs_of(
        &self,
        account: AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let from = keys::after(keys::job(JobId { account, number: after }));
        self.jobs_between(&from, &keys::end_of(&keys::jobs_of(account)), limit)
    }

    fn jobs_between(&self, from: &[u8], below: &[u8], limit: usize) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        self.page(Family::Jobs, (from, below), limit, &mut |_, value| {
            jobs.push(decode(value)?);
            Ok(())
        })?;
        Ok(jobs)
    }

    /// The jobs whose time comes first.
    pub(crate) fn list_due(&self, limit: usize) -> Result<Vec<(Time, JobId)>> {
        let (mut due, below) = (Vec::new(), keys::end_of(keys::JOBS_DUE));
        self.page(Family::Jobs, (keys::JOBS_DUE, &below), limit, &mut |key, _| {
            due.push(keys::job_due_of(key).ok_or_else(bad_key)?);
            Ok(())
        })?;
        Ok(due)
    }

    /// An account's counter.
    pub(crate) fn count_jobs(&self, account: AccountId) -> Result<u64> {
        Ok(self.number(Family::Jobs, &keys::job_count(account))?.map_or(0, |count| count.0))
    }
}

impl<S: Group> View<S> {
    /// Adds or replaces a job.
    pub(crate) fn store_job(&mut self, job: &Job) -> Result<()> {
        let old = self.find_job(job.id)?;
        self.index_job(job.id, old.as_ref(), Some(job))?;
        self.put(Family::Jobs, keys::job(job.id), job);
        Ok(())
    }

    /// Removes a job, if it is there.
    pub(crate) fn drop_job(&mut self, id: JobId) -> Result<()> {
        if let Some(old) = self.find_job(id)? {
            self.index_job(id, Some(&old), None)?;
            self.remove(Family::Jobs, keys::job(id));
        }
        Ok(())
    }

    /// Keeps what is indexed and counted by state right.
    fn index_job(&mut self, id: JobId, old: Option<&Job>, new: Option<&Job>) -> Result<()> {
        if let Some(at) = old.and_then(Job::due_at) {
            self.remove(Family::Jobs, keys::job_due(at, id));
        }
        if let Some(at) = new.and_then(Job::due_at) {
            self.put(Family::Jobs, keys::job_due(at, id), &Payload(&[]));
        }
        let counts = |job: Option<&Job>| job.is_some_and(|job| job.state.is_unfinished());
        let count = self.count_jobs(id.account)?;
        let count = match (counts(old), counts(new)) {
            (false, true) => count + 1,
            (true, false) => {
                let wrong = || {
                    Error::Damaged(format!(
                        "account {} counts fewer jobs than it has",
                        id.account.0
                    ))
                };
                count.checked_sub(1).ok_or_else(wrong)?
            }
            (false, false) | (true, true) => return Ok(()),
        };
        self.put(Family::Jobs, keys::job_count(id.account), &Number(count));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::codec::encode;

    #[test]
    fn jobs_of_the_first_release_move_up() {
        let job = Job {
            id: JobId { account: AccountId(1), number: 2 },
            user: UserId(3),
            owner: model::Owner { uid: 4, gid: 5 },
            path: model::TreePath::parse("a/b").unwrap(),
            make_directories: true,
            source: "http://host/".to_owned(),
            sealed_request: vec![6],
            checksum: None,
            state: JobState::Running,
            attempts: 7,
            next_at: Time(8),
            created: Time(9),
            changed: Time(10),
            error: String::new(),
            bytes: 11,
            lease: None,
        };
        let mut old = encode(&job);
        // The first layout ended before the lease.
        assert_eq!((old.pop(), old[0]), (Some(0), 2));
        old[0] = 1;
        assert_eq!(decode::<Job>(&old).as_ref(), Ok(&job));
        assert_eq!(job.due_at(), None, "nobody else could take it");
    }
}
