//! The thread that writes: it runs waiting operations over one overlay and commits them in one transaction.
//!
//! What lives here: the order of things in a group, and what is done about conflicts and lost connections. What does not:
//! the queue (`crate::queue`), what operations do (`crate::rows::tx`), and the statements (`pending`, `sql`).
//!
//! Invariants:
//! - nobody is told that a change is durable before its transaction's COMMIT was answered;
//! - nobody is told anything that was seen in a group before that group is committed, not even that a rule failed;
//! - a transaction whose COMMIT was sent and not answered is never run again: it may have been done;
//! - a transaction that was refused for a conflict is run again from the beginning, a bounded number of times.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use model::{AccountId, Error, Moving, Result};

use super::Core;
use super::ahead::{Lookout, Mode, RUNS_AHEAD_MAX};
use super::fault::Fault;
use super::gate::{Gates, Held};
use super::ids::Ids;
use super::line::{ANSWER, Line};
use super::pending::{Pending, flush, statements};
use super::snapshot::Snapshot;
use crate::queue::{self, GROUP_BYTES_MAX, GROUP_JOBS_MAX, Job, Outcome, tell};
use crate::rows::keys::{Family, LAST_ID};
use crate::rows::moving;
use crate::rows::overlay::Overlay;
use crate::rows::view::View;

/// How a group begins. A COMMIT is answered when it is durable, whatever the server is set to; the server gives a statement up a
/// little before we do, and takes our locks away if we vanish.
const WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL synchronous_commit = on; \
     SET LOCAL statement_timeout = 4500; SET LOCAL idle_in_transaction_session_timeout = 60000";
/// How often a group is run before its operations are run one by one, and then how often each of them.
const ATTEMPTS_MAX: u32 = 8;
/// First and longest pause before a group that met a conflict is run again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));
/// Statements that are sent together with the COMMIT.
const STATEMENTS_MAX: usize = 24;

/// Takes jobs until there are no more.
pub(super) fn run(core: &Arc<Core>, jobs: &Receiver<Job>) {
    let writer = Writer {
        core,
        line: Line::new(Arc::clone(&core.shared)),
        ids: Ids::new(Line::new(Arc::clone(&core.shared))),
        gates: Gates::new(Line::new(Arc::clone(&core.shared))),
    };
    while let Ok(first) = jobs.recv() {
        let held = writer.gates.enter();
        // One waiting writer is not kept waiting for company: what is in the queue now is the group.
        let mut group = vec![first];
        while group.len() < GROUP_JOBS_MAX
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        writer.write(group, held);
    }
}

struct Writer<'a> {
    core: &'a Core,
    line: Line,
    ids: Ids,
    gates: Gates,
}

/// How one attempt at a group ended.
enum End {
    /// The first so many jobs are committed, with these outcomes.
    Committed(Vec<Outcome>),
    /// Nothing was done.
    Undone(Fault),
    /// Nobody knows whether it was done.
    Unknown(String),
    /// Nothing was done: the catalog is closed.
    Closed,
}

impl Writer<'_> {
    /// Makes a group durable, whatever it takes, and tells every job.
    fn write<'g>(&'g self, mut group: Vec<Job>, held: Held<'g>) {
        let (mut attempts, mut held) = (0, Some(held));
        while !group.is_empty() {
            attempts += 1;
            let fault = match self.attempt(&mut group) {
                End::Committed(outcomes) => {
                    // The others need not wait until ours are told.
                    drop(held.take());
                    for (job, outcome) in group.drain(..outcomes.len()).zip(outcomes) {
                        tell(job, outcome.with(&Ok(())));
                    }
                    attempts = 0;
                    continue;
                }
                End::Unknown(why) => {
                    let why = format!("the database did not say whether it was done: {why}");
                    return refuse(group, &Error::Unavailable(why));
                }
                End::Closed => {
                    let (passing, refused) = group.into_iter().partition(|job| job.passes());
                    refuse(refused, &moving::closed());
                    group = passing;
                    continue;
                }
                End::Undone(fault) => fault,
            };
            match fault {
                Fault::Conflict if attempts < ATTEMPTS_MAX => {
                    self.core.count_conflict();
                    drop(held.take());
                    pause(attempts);
                    held = Some(self.gates.enter());
                }
                // The connection was idle, or the server went away under it; if it does not come back, connecting says so.
                Fault::Lost(_) if attempts < 3 => {}
                // Whatever one of them did wrong is not the others' affair.
                Fault::Conflict | Fault::Refused(Error::Storage(_) | Error::Damaged(_))
                    if group.len() > 1 =>
                {
                    drop(held.take());
                    for job in group {
                        self.write(vec![job], self.gates.enter());
                    }
                    return;
                }
                fault => return refuse(group, &fault.error()),
            }
        }
    }

    /// Runs as many jobs as make a group, from the first on, and commits them.
    fn attempt(&self, group: &mut [Job]) -> End {
        let lookout = Lookout::new(Snapshot::through_the_door(&self.line, WRITE));
        let mut view = View(Pending { lookout, overlay: Overlay::default(), ids: &self.ids });
        let outcomes = run_all(group, &mut view);
        let Pending { lookout: Lookout { snapshot, .. }, overlay, .. } = &mut view.0;
        let end = match snapshot.fault() {
            Some(fault) => {
                snapshot.end();
                Err(End::Undone(fault))
            }
            None => {
                self.note(snapshot, overlay, group).and_then(|()| self.commit(snapshot, overlay))
            }
        };
        if let Err(End::Undone(Fault::Conflict)) = &end {
            self.gates.use_for(accounts(overlay));
        }
        match end {
            Ok(()) => {
                let kept = outcomes.iter().filter(|outcome| **outcome == Outcome::Kept).count();
                if !overlay.is_empty() {
                    self.core.count(kept as u64);
                    if overlay.get(Family::Meta, LAST_ID).is_some() {
                        self.ids.forget();
                    }
                }
                End::Committed(outcomes)
            }
            Err(end) => end,
        }
    }

    /// Looks at the door, which the transaction holds, and notes what the group changes if the catalog is moved.
    fn note(
        &self,
        snapshot: &Snapshot<'_>,
        overlay: &mut Overlay,
        group: &[Job],
    ) -> std::result::Result<(), End> {
        if overlay.is_empty() && !snapshot.has_begun() {
            return Ok(());
        }
        let undone = |error| {
            snapshot.end();
            End::Undone(snapshot.fault().unwrap_or(Fault::Refused(error)))
        };
        let door = snapshot.door(overlay).map_err(undone)?;
        let closed = door.as_ref().is_some_and(Moving::is_closed);
        self.core.set_closed(closed);
        if closed && !group.iter().all(|job| job.passes()) {
            snapshot.end();
            return Err(End::Closed);
        }
        if let Some(epoch) = door.as_ref().and_then(Moving::noted_under) {
            moving::note(overlay, epoch);
        }
        Ok(())
    }

    fn commit(&self, snapshot: &Snapshot<'_>, overlay: &Overlay) -> std::result::Result<(), End> {
        if overlay.is_empty() && !snapshot.has_begun() {
            return Ok(());
        }
        let queries = flush(overlay).map_err(|error| {
            snapshot.end();
            End::Undone(Fault::Refused(error))
        })?;
        let all = statements(&queries);
        let (early, late) = all.split_at(all.len().saturating_sub(STATEMENTS_MAX));
        let undone = |fault| match fault {
            Fault::Lost(_) => End::Undone(fault),
            fault => {
                snapshot.end();
                End::Undone(fault)
            }
        };
        // What is not sent together with the COMMIT can be sent again.
        if !snapshot.has_begun() && snapshot.ask(&[]).is_err() {
            let unheard = || Fault::Lost("it did not begin".to_owned());
            return Err(End::Undone(snapshot.fault().unwrap_or_else(unheard)));
        }
        if !early.is_empty() {
            self.line.send(None, early, None, ANSWER).map_err(undone)?;
        }
        // A statement that fails turns the COMMIT behind it into a ROLLBACK.
        match self.line.send(None, late, Some("COMMIT"), ANSWER) {
            Ok(_) => {
                self.core.count_rows(overlay);
                Ok(())
            }
            Err(Fault::Lost(why)) => Err(End::Unknown(why)),
            Err(fault) => {
                snapshot.ended();
                Err(End::Undone(fault))
            }
        }
    }
}

/// Runs jobs from the first on, ahead of the rows they need as far as that goes, until the group is full.
fn run_all(group: &mut [Job], view: &mut View<Pending<'_>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut ready = vec![false; group.len()];
    let mut runs_ahead = 0;
    while outcomes.len() < group.len() && view.0.overlay.bytes() < GROUP_BYTES_MAX {
        let at = outcomes.len();
        let mode = match group.len() - at {
            2.. if runs_ahead < RUNS_AHEAD_MAX => Mode::Ahead,
            _ => Mode::AtOnce,
        };
        view.0.lookout.set(mode);
        let mut outcome = queue::run(group[at].as_mut(), view);
        if view.0.lookout.has_missed() {
            runs_ahead += 1;
            let (others, others_ready) = (&mut group[at + 1..], &mut ready[at + 1..]);
            if view.0.lookout.is_noted() && look_ahead(others, others_ready, view).is_ok() {
                continue;
            }
            // It reads what cannot be noted, or the database is in trouble, which it has to be told.
            view.0.lookout.set(Mode::AtOnce);
            outcome = queue::run(group[at].as_mut(), view);
        }
        if view.0.lookout.snapshot.fault().is_some() {
            break;
        }
        outcomes.push(outcome);
    }
    outcomes
}

/// Runs jobs for nothing but what they would read, then reads all that was noted.
fn look_ahead(jobs: &mut [Job], ready: &mut [bool], view: &mut View<Pending<'_>>) -> Result<()> {
    for (job, ready) in jobs.iter_mut().zip(ready).filter(|(_, ready)| !**ready) {
        view.0.lookout.set(Mode::Trial);
        queue::run(job.as_mut(), view);
        *ready = !view.0.lookout.has_missed();
    }
    view.0.lookout.fetch()
}

/// The accounts whose trees, counts or usage a group changes.
fn accounts(overlay: &Overlay) -> impl Iterator<Item = AccountId> {
    let leads = |(family, key, _): (Family, &[u8], _)| {
        let id = match family {
            Family::Names | Family::Numbers | Family::Dirs => key.get(..4),
            Family::Meta => key.get(1..5),
            _ => None,
        };
        id.and_then(|id| id.try_into().ok()).map(|id| AccountId(u32::from_be_bytes(id)))
    };
    let accounts: BTreeSet<u32> = overlay.changes().filter_map(leads).map(|id| id.0).collect();
    accounts.into_iter().map(AccountId)
}

fn refuse(group: Vec<Job>, why: &Error) {
    for job in group {
        tell(job, Err(why.clone()));
    }
}

/// Waits a random time, longer each time, so that two nodes do not meet again and again.
fn pause(attempts: u32) {
    let longest = (PAUSE.0 * 2_u32.saturating_pow(attempts)).min(PAUSE.1);
    let random = RandomState::new().hash_one(attempts) % 1000;
    thread::sleep(longest.mul_f64(Duration::from_millis(random).as_secs_f64()));
}
