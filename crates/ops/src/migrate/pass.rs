//! Passes from the old place to the new one, and what is said at both on the way.
//!
//! What does not live here: the order of passes (`mod`), and which rows differ (`compare`).

use std::time::Duration;

use catalog::{
    Catalog, Tx,
    audit::{Audit, Change, Index, Row},
};
use model::{BlobId, Error, Moving, Result, Stage, Time};
use tokio::{sync::mpsc, time::sleep};

use super::compare::{Difference, compare};
use crate::{
    Store,
    backup::{BLOBS_IN_PART, Copied, ROWS_AT_ONCE, readable},
};

/// References looked through at a time.
const REFERENCES_AT_ONCE: usize = 10_000;
/// Changes that are little enough to close the old place for.
const FEW: u64 = 500;
/// Passes until then, at most.
const PASSES_MAX: u32 = 8;
/// How often the door is tried while others are on their way through it, and the pause between.
const DOOR_TRIES: u32 = 60;
const DOOR_PAUSE: Duration = Duration::from_millis(200);

/// Hears how far a move is.
pub type Tell<'t> = &'t mut (dyn FnMut(&Moved) + Send);

/// What a move has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// What it is at.
    pub at: &'static str,
    /// What was copied before changes were, in rows, blobs and bytes; and blobs of changes.
    pub copied: Copied,
    /// Changed rows that were copied after that.
    pub changes: u64,
    /// Passes over changes.
    pub passes: u32,
    /// Rows that were compared and found equal.
    pub equal: u64,
    /// For how long nobody could change anything.
    pub closed: Duration,
    /// It had ended before, and only that was missing at the old place.
    pub was_done: bool,
}

/// A move under way.
pub(super) struct Mover {
    from: Store,
    to: Store,
    /// What the old place says.
    pub(super) moving: Moving,
    /// The number of this attempt.
    run: u64,
    deep: bool,
    moved: Moved,
}

/// A part of a pass on its way.
enum Part {
    Blobs(Vec<BlobId>),
    Changes(Vec<Change>, Vec<Option<Row>>),
    Rows(Vec<Difference>),
}

/// Writes what waits for those who write: a door that many go through may be found open for a while.
pub(super) async fn patiently<T: Send + 'static>(
    catalog: &Catalog,
    work: impl FnMut(&mut dyn Tx) -> Result<T> + Clone + Send + 'static,
) -> Result<T> {
    for _ in 1..DOOR_TRIES {
        match catalog.write_closed(work.clone()).await {
            Err(Error::Unavailable(_)) => sleep(DOOR_PAUSE).await,
            done => return done,
        }
    }
    catalog.write_closed(work).await
}

/// Whether this attempt may still write to the new place.
fn check_run(tx: &mut dyn Tx, run: u64) -> Result<Moving> {
    let ours = |it: &Moving| it.stage == Stage::Coming && it.epoch == run;
    let taken = || Error::Storage("another process moves into this place".to_owned());
    tx.moving()?.filter(ours).ok_or_else(taken)
}

impl Mover {
    pub(super) fn new(from: &Store, to: &Store, (moving, run): (Moving, u64), deep: bool) -> Self {
        let (from, to) = (from.clone(), to.clone());
        Self { from, to, moving, run, deep, moved: Moved::default() }
    }

    pub(super) fn into_moved(self) -> Moved {
        self.moved
    }

    /// Copies the blobs that were referred to when the move began. New ones are noted, and left to the passes: this does not
    /// run after those who write.
    pub(super) async fn copy_blobs(&mut self, tell: Tell<'_>) -> Result<()> {
        self.moved.at = "copying blobs";
        let (mut after, epoch) = (None, self.moving.epoch);
        loop {
            let page = move |audit: &dyn Audit| references(audit, epoch, after.as_ref());
            let (ids, next) = self.from.0.catalog.audit(page).await?;
            for some in ids.chunks(BLOBS_IN_PART) {
                self.bring_blobs(some.to_vec()).await?;
                tell(&self.moved);
            }
            match next {
                Some(row) => after = Some(row),
                None => return Ok(()),
            }
        }
    }

    async fn bring_blobs(&mut self, ids: Vec<BlobId>) -> Result<()> {
        self.from.copy_blobs(&self.to, ids, self.deep, &mut self.moved.copied).await?;
        match self.moved.copied.damaged.first() {
            None => Ok(()),
            Some((_, why)) => Err(Error::Damaged(why.clone())),
        }
    }

    /// Copies the rows that differ.
    pub(super) async fn copy_rows(&mut self, tell: Tell<'_>) -> Result<()> {
        self.moved.at = "copying rows";
        let (parts, coming) = mpsc::channel(2);
        let (ours, theirs) = (self.from.0.catalog.clone(), self.to.0.catalog.clone());
        let comparing = compare(&ours, &theirs, move |_, found, _| send(&parts, Part::Rows(found)));
        let (compared, taken) = tokio::join!(comparing, self.take(coming, tell));
        taken?;
        compared.map(drop)
    }

    /// Passes until few changes are left, or until one does not halve what the one before it had: where changes come about as
    /// fast as they are copied, each pass more leaves no fewer, and where they come faster, more for the time of the closed door.
    pub(super) async fn catch_up(&mut self, tell: Tell<'_>) -> Result<()> {
        self.moved.at = "catching up with changes";
        let mut before = u64::MAX;
        for _ in 0..PASSES_MAX {
            let up_to = self.moving.epoch;
            self.change_stage(Stage::Leaving).await?;
            let changes = self.pass(up_to, tell).await?;
            if changes <= FEW || changes > before / 2 {
                break;
            }
            before = changes;
        }
        Ok(())
    }

    /// What was noted until the old place was closed.
    pub(super) async fn last_pass(&mut self) -> Result<()> {
        self.pass(self.moving.epoch, &mut |_| {}).await?;
        let up_to = self.moving.epoch;
        let left = self.from.0.catalog.audit(move |audit| audit.changes(up_to, None, 1)).await?;
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::Storage("something was changed at a place that is closed".to_owned()))
    }

    /// Copies what was noted under numbers up to `up_to`, as it is now, and forgets that it was. Returns how many rows.
    async fn pass(&mut self, up_to: u64, tell: Tell<'_>) -> Result<u64> {
        self.moved.passes += 1;
        let before = self.moved.changes;
        let (parts, coming) = mpsc::channel(2);
        let catalog = self.from.0.catalog.clone();
        let reading = catalog.audit(move |audit| lay_out(audit, up_to, &parts));
        let (read, taken) = tokio::join!(reading, self.take(coming, tell));
        taken?;
        read?;
        Ok(self.moved.changes - before)
    }

    async fn take(&mut self, mut coming: mpsc::Receiver<Part>, tell: Tell<'_>) -> Result<()> {
        while let Some(part) = coming.recv().await {
            match part {
                Part::Blobs(ids) => self.bring_blobs(ids).await?,
                Part::Rows(found) => {
                    self.moved.copied.rows += found.len() as u64;
                    self.put_rows(found).await?;
                }
                Part::Changes(changes, rows) => {
                    self.moved.changes += changes.len() as u64;
                    self.put_changes(changes, rows).await?;
                }
            }
            tell(&self.moved);
        }
        Ok(())
    }

    async fn put_rows(&self, found: Vec<Difference>) -> Result<()> {
        let run = self.run;
        let put = move |tx: &mut dyn Tx| {
            check_run(tx, run)?;
            found.iter().try_for_each(|difference| match difference {
                Difference::Put(row) => tx.put_row(row),
                Difference::Remove(row) => tx.remove_row(row),
            })
        };
        self.to.0.catalog.write_closed(put).await
    }

    /// Puts changed rows, looks whether they are there, and forgets that they were noted.
    async fn put_changes(&self, changes: Vec<Change>, rows: Vec<Option<Row>>) -> Result<()> {
        let (run, all) = (self.run, (changes.clone(), rows.clone()));
        let put = move |tx: &mut dyn Tx| {
            check_run(tx, run)?;
            all.0.iter().zip(&all.1).try_for_each(|(change, row)| match row {
                Some(row) => tx.put_row(row),
                None => tx.remove_at(change),
            })
        };
        self.to.0.catalog.write_closed(put).await?;
        let looked = changes.clone();
        let there = self.to.0.catalog.audit(move |audit| audit.rows_at(&looked)).await?;
        if there != rows {
            return Err(Error::Damaged("what was copied is not what is there".to_owned()));
        }
        let forget = move |tx: &mut dyn Tx| tx.forget_changes(&changes);
        self.from.0.catalog.write_closed(forget).await
    }

    /// Compares all rows: what differs must have been noted since the last pass.
    pub(super) async fn verify(&mut self, tell: Tell<'_>) -> Result<()> {
        self.moved.at = "verifying";
        tell(&self.moved);
        // What an attempt before this one left there.
        self.to.sweep_orphans(Time(0), Time(u64::MAX)).await?;
        let epoch = self.moving.epoch;
        let (equal, mut seen) = mpsc::channel(1);
        let (ours, theirs) = (self.from.0.catalog.clone(), self.to.0.catalog.clone());
        let comparing = compare(&ours, &theirs, move |audit, found, so_far| {
            let rows: Vec<Row> = found.iter().map(|it| it.row().clone()).collect();
            for (row, noted) in rows.iter().zip(audit.are_noted(&rows, epoch)?) {
                if !noted {
                    let at = format!("{row:?}");
                    return Err(Error::Damaged(format!("the copy lacks {at:.200}")));
                }
            }
            // How far it is is worth no waiting.
            let _ = equal.try_send(so_far);
            Ok(())
        });
        let mut comparing = std::pin::pin!(comparing);
        self.moved.equal = loop {
            tokio::select! {
                compared = &mut comparing => break compared?,
                Some(so_far) = seen.recv() => {
                    self.moved.equal = so_far;
                    tell(&self.moved);
                }
            }
        };
        Ok(())
    }

    /// Says at the old place how far the move is; what is noted from then on is noted under another number.
    pub(super) async fn change_stage(&mut self, stage: Stage) -> Result<()> {
        let (before, epoch) = (self.moving.clone(), self.moving.epoch + 1);
        let now = Moving { stage, epoch, ..before.clone() };
        let put = now.clone();
        let change = move |tx: &mut dyn Tx| {
            let said = tx.moving()?;
            // The second: an answer to this very change did not come.
            if said.as_ref() != Some(&before) && said.as_ref() != Some(&put) {
                return Err(Error::NotConfigured);
            }
            tx.put_moving(Some(&put))
        };
        patiently(&self.from.0.catalog, change).await?;
        self.moving = now;
        Ok(())
    }

    /// The new place is whole, and a store from now on.
    pub(super) async fn open_the_other(&self, last: Option<Row>) -> Result<()> {
        let run = self.run;
        let open = move |tx: &mut dyn Tx| {
            let moving = check_run(tx, run)?;
            if let Some(last) = &last {
                tx.put_row(last)?;
            }
            tx.put_moving(Some(&Moving { stage: Stage::Arrived, ..moving }))
        };
        self.to.0.catalog.write_closed(open).await
    }

    /// Makes sure that this attempt does not open the new place any more; `false`: it has.
    pub(super) async fn revoke(&self) -> Result<bool> {
        let (id, run) = (self.moving.id, self.run);
        let mark = move |tx: &mut dyn Tx| match tx.moving()? {
            Some(there) if there.stage == Stage::Arrived && there.id == id => Ok(false),
            Some(there) if there.stage == Stage::Coming && there.epoch == run => {
                tx.put_moving(Some(&Moving { epoch: there.epoch.wrapping_add(1), ..there }))?;
                Ok(true)
            }
            Some(_) | None => Ok(true),
        };
        patiently(&self.to.0.catalog, mark).await
    }
}

impl Store {
    /// Forgets all that was noted.
    pub(super) async fn forget_noted(&self) -> Result<()> {
        loop {
            let look = |audit: &dyn Audit| audit.changes(u64::MAX - 1, None, ROWS_AT_ONCE);
            let some = self.0.catalog.audit(look).await?;
            if some.is_empty() {
                return Ok(());
            }
            self.0.catalog.write_closed(move |tx| tx.forget_changes(&some)).await?;
        }
    }
}

/// Blobs that are referred to, after a row, without those that were noted; and where to go on.
fn references(
    audit: &dyn Audit,
    epoch: u64,
    after: Option<&Row>,
) -> Result<(Vec<BlobId>, Option<Row>)> {
    let rows = audit.rows(Index::Blobs, after).take(REFERENCES_AT_ONCE);
    let rows = rows.map(|row| readable(row?)).collect::<Result<Vec<Row>>>()?;
    let noted = audit.are_noted(&rows, epoch)?;
    let blob = |(row, noted): (&Row, bool)| match row {
        Row::References(id, _) if !noted => Some(*id),
        _ => None,
    };
    let ids = rows.iter().zip(noted).filter_map(blob).collect();
    let next = (rows.len() == REFERENCES_AT_ONCE).then(|| rows.last().cloned()).flatten();
    Ok((ids, next))
}

/// Sends what was noted, as it is in this snapshot: blobs, then rows.
fn lay_out(audit: &dyn Audit, up_to: u64, parts: &mpsc::Sender<Part>) -> Result<()> {
    let read = |changes: &[Change]| {
        let rows = audit.rows_at(changes)?;
        rows.into_iter().map(|row| row.map(readable).transpose()).collect::<Result<Vec<_>>>()
    };
    for_all(audit, up_to, |mut changes| {
        changes.retain(|change| change.is_in(Index::Blobs));
        let blob = |row: Option<Row>| match row {
            Some(Row::References(id, _)) => Some(id),
            _ => None,
        };
        let ids: Vec<BlobId> = read(&changes)?.into_iter().filter_map(blob).collect();
        ids.chunks(BLOBS_IN_PART).try_for_each(|ids| send(parts, Part::Blobs(ids.to_vec())))
    })?;
    for_all(audit, up_to, |changes| {
        let rows = read(&changes)?;
        send(parts, Part::Changes(changes, rows))
    })
}

fn for_all(
    audit: &dyn Audit,
    up_to: u64,
    mut visit: impl FnMut(Vec<Change>) -> Result<()>,
) -> Result<()> {
    let mut after = None;
    loop {
        let changes = audit.changes(up_to, after.as_ref(), ROWS_AT_ONCE)?;
        let Some(last) = changes.last() else { return Ok(()) };
        after = Some(last.clone());
        visit(changes)?;
    }
}

fn send(parts: &mpsc::Sender<Part>, part: Part) -> Result<()> {
    // The other end says why it takes no more.
    parts.blocking_send(part).map_err(|_| Error::Unavailable("the move was given up".to_owned()))
}
