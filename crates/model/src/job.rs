//! Transfers from other servers that are queued, running or over (protocol.md, section 5, `fetchFileHTTP`).
//!
//! What is not here: when one runs, and what it does (`ops::fetch`).

use std::fmt;

use crate::{AccountId, Digest, Lease, Owner, Time, TreePath, UserId};

/// Names a job; operators write it as `account.number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The account it belongs to.
    pub account: AccountId,
    /// Its number, never given twice.
    pub number: u64,
}

impl JobId {
    /// Reads what `Display` writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (account, number) = text.split_once('.')?;
        let id = Self { account: AccountId(account.parse().ok()?), number: number.parse().ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.account.0, self.number)
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for its time.
    Queued = 1,
    /// Is being done.
    Running = 2,
    /// The file is there.
    Done = 3,
    /// Was given up by the server.
    Failed = 4,
    /// Was given up by the operator.
    Cancelled = 5,
}

impl JobState {
    /// Every state.
    pub const ALL: [JobState; 5] = [
        JobState::Queued,
        JobState::Running,
        JobState::Done,
        JobState::Failed,
        JobState::Cancelled,
    ];

    /// The number it is stored as.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state with a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// What operators call it.
    pub const fn name(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    /// The state that operators call so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it counts against the limit of an account.
    pub const fn is_unfinished(self) -> bool {
        matches!(self, JobState::Queued | JobState::Running)
    }
}

/// A transfer, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Who asked for it.
    pub user: UserId,
    /// Owner of the file it makes.
    pub owner: Owner,
    /// Where the file will be, from the account's top directory.
    pub path: TreePath,
    /// Whether missing directories are made.
    pub make_directories: bool,
    /// Where it comes from, as it may be shown: without credentials and query string.
    pub source: String,
    /// The whole request, encrypted: it may hold secrets.
    pub sealed_request: Vec<u8>,
    /// What the content must hash to.
    pub checksum: Option<Digest>,
    /// How far it is.
    pub state: JobState,
    /// How often it was begun.
    pub attempts: u32,
    /// While it is queued: when it may begin.
    pub next_at: Time,
    /// When it was asked for.
    pub created: Time,
    /// When its state changed.
    pub changed: Time,
    /// Why the last attempt came to nothing; empty when none did.
    pub error: String,
    /// Bytes that came in the last attempt, as far as was noted.
    pub bytes: u64,
    /// While it is running: who runs it, and until when nobody else may begin it anew.
    pub lease: Option<Lease>,
}

impl Job {
    /// When somebody may begin it: one that is queued at its time, one that is running when its runner's lease runs out.
    pub fn due_at(&self) -> Option<Time> {
        match self.state {
            JobState::Queued => Some(self.next_at),
            JobState::Running => self.lease.map(|lease| lease.until),
            JobState::Done | JobState::Failed | JobState::Cancelled => None,
        }
    }

    /// Ends an attempt, or what was between attempts.
    pub fn enter(&mut self, state: JobState, now: Time) {
        (self.state, self.changed, self.lease) = (state, now, None);
    }

    /// Begins an attempt.
    pub fn begin(&mut self, lease: Lease, now: Time) {
        (self.state, self.changed, self.bytes) = (JobState::Running, now, 0);
        self.attempts = self.attempts.saturating_add(1);
        self.lease = Some(lease);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_states_have_names() {
        let id = JobId { account: AccountId(7), number: 1 << 40 };
        assert_eq!(JobId::parse(&id.to_string()), Some(id));
        for bad in ["", "7", "7.", ".1", "+7.1", "07.1", "7.1 ", "7.1.2", "4294967296.1", "a.1"] {
            assert_eq!(JobId::parse(bad), None, "{bad}");
        }
        for state in JobState::ALL {
            assert_eq!(JobState::from_number(state.number()), Some(state));
            assert_eq!(JobState::from_name(state.name()), Some(state));
        }
    }
}
