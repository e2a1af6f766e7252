//! A whole store moved to other engines, while it is used: copied, verified, and then closed at the old place.
//!
//! What lives here: the order of things, beginnings and ends. What does not: the passes themselves (`pass`), the comparison
//! (`compare`), blobs on their way (`crate::backup`), where stores lie, and what a catalog notes of changes.
//!
//! 1. The new place is marked as one that is not whole ([`Stage::Coming`]); from then on the old one notes where rows change.
//! 2. All blobs, then all rows that differ. What is noted meanwhile is left to what comes after, so this has an end.
//! 3. Passes over what was noted, each over what was noted during the one before, until little is left.
//! 4. Both catalogs are compared, row by row; what differs must have been noted. Then passes again.
//! 5. The old place is closed, the last pass made, the new place opened, in this order.
//!
//! Everything may end at any moment and be done again: rows and blobs that are there already are not copied twice.
//! Invariants: what was acknowledged at the old place before it was closed is at the new one before that is opened; at no
//! moment do both take changes. Each attempt marks the new place with a number of its own, and whoever finds another one
//! there writes nothing any more: of two attempts the later one goes on, and needs to wait for nothing.

mod compare;
mod pass;

use std::{sync::Arc, time::Duration};

use catalog::{Tx, audit::Row};
use model::{Error, Moving, Result, Stage, Time};
use tokio::time::Instant;

use self::pass::Mover;
pub use self::pass::{Moved, Tell};
use crate::{Store, backoff, lease::Held};

/// What a move is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// What the old place is called for operators. It holds no secret, like the next.
    pub from: String,
    /// What the new one is called.
    pub to: String,
    /// Whether every byte is read again at the new place.
    pub deep: bool,
}

impl Store {
    /// What is said of a move.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Unavailable`].
    pub async fn moving(&self) -> Result<Option<Moving>> {
        self.0.catalog.read(|tx| tx.moving()).await
    }

    /// Moves everything into `to`, which is empty, or where a move did not end; `tell` hears how far it is. At the end this
    /// store takes no changes any more, and `to` does. Dropped or failed before the end, it goes on when it is asked for again.
    ///
    /// # Errors
    /// [`Error::Exists`]: `to` is a store already; [`Error::NotConfigured`] where this one is moved elsewhere or was;
    /// [`Error::Damaged`] for what cannot be read, at the old place or at the new one; [`Error::Full`],
    /// [`Error::Unavailable`], [`Error::Storage`].
    pub async fn move_to(&self, to: &Store, order: Order, tell: Tell<'_>) -> Result<Moved> {
        let held = Arc::new(self.hold_blobs().await?);
        let _removals = self.0.removals.read().await;
        let work = Box::pin(self.move_held(to, order, Arc::clone(&held), tell));
        held.run(work).await?
    }

    async fn move_held(
        &self,
        to: &Store,
        order: Order,
        held: Arc<Held>,
        tell: Tell<'_>,
    ) -> Result<Moved> {
        let said = self.moving().await?;
        if let Some(moving) = &said
            && matches!(moving.stage, Stage::Leaving | Stage::Closing | Stage::Gone)
        {
            let there = to.moving().await?;
            if there.is_some_and(|it| it.stage == Stage::Arrived && it.id == moving.id) {
                self.finish(moving.clone()).await?;
                return Ok(Moved { was_done: true, ..Moved::default() });
            }
        }
        let id = match &said {
            Some(Moving { stage: Stage::Leaving | Stage::Closing, id, place, .. }) => {
                if *place != order.to {
                    return Err(Error::NotConfigured);
                }
                *id
            }
            Some(Moving { stage: Stage::Gone | Stage::Coming, .. }) => {
                return Err(Error::NotConfigured);
            }
            Some(Moving { stage: Stage::Arrived, .. }) | None => backoff::random(),
        };
        if said.as_ref().is_none_or(|moving| !moving.is_closed()) && !self.is_right_key().await? {
            return Err(Error::Storage("the key is not the one of this store".to_owned()));
        }
        let run = to.expect(id, &order.from, self.now()).await?;
        let moving = self.leave_for(id, &order.to, said).await?;
        let mover = Mover::new(self, to, (moving, run), order.deep);
        self.make_passes(mover, held, tell).await
    }

    /// The copy and its verification, and the end in a task of its own: that is not left half-way for as long as the process
    /// lives.
    async fn make_passes(
        &self,
        mut mover: Mover,
        held: Arc<Held>,
        tell: Tell<'_>,
    ) -> Result<Moved> {
        mover.copy_blobs(tell).await?;
        mover.copy_rows(tell).await?;
        mover.catch_up(tell).await?;
        mover.verify(tell).await?;
        mover.catch_up(tell).await?;
        let store = self.clone();
        let end = tokio::spawn(async move {
            let _held = held;
            let end = store.cut_over(&mut mover).await;
            (mover.into_moved(), end)
        });
        let lost = |e| Error::Storage(format!("the end of the move: {e}"));
        let (mut moved, end) = end.await.map_err(lost)?;
        moved.closed = end?;
        Ok(moved)
    }

    /// Closes this store, copies what is left, and opens the other; how long nobody could change anything. What goes wrong
    /// before the other is open opens this one again.
    async fn cut_over(&self, mover: &mut Mover) -> Result<Duration> {
        let begun = Instant::now();
        mover.change_stage(Stage::Closing).await?;
        let why = match self.bring_the_rest(mover).await {
            Ok(()) => {
                let closed = begun.elapsed();
                self.finish(mover.moving.clone()).await?;
                return Ok(closed);
            }
            Err(why) => why,
        };
        // Whether it is open is settled there: after this it cannot be opened by what went before.
        match mover.revoke().await {
            Ok(false) => {
                let closed = begun.elapsed();
                self.finish(mover.moving.clone()).await?;
                Ok(closed)
            }
            Ok(true) => {
                if let Err(error) = mover.change_stage(Stage::Leaving).await {
                    tracing::error!(%error, "opening the store again, whose move did not end");
                }
                Err(why)
            }
            Err(error) => {
                tracing::error!(%error, "the store stays closed until the move is asked for again");
                Err(why)
            }
        }
    }

    async fn bring_the_rest(&self, mover: &mut Mover) -> Result<()> {
        mover.last_pass().await?;
        let last = self.0.catalog.audit(|audit| audit.stored(&Row::LastId(0))).await?;
        mover.open_the_other(last).await
    }

    /// The store is elsewhere: nothing is noted any more.
    async fn finish(&self, moving: Moving) -> Result<()> {
        let gone = Moving { stage: Stage::Gone, ..moving };
        self.0.catalog.write_closed(move |tx| tx.put_moving(Some(&gone))).await?;
        self.forget_noted().await
    }

    /// Ends a move before its end: the store is as before, and the other place of no use.
    ///
    /// # Errors
    /// [`Error::NotFound`]: none is on. [`Error::NotConfigured`]: the other place may be open by now; the move, asked for
    /// again, tells.
    pub async fn abandon_move(&self) -> Result<Moving> {
        self.end_move(|stage| match stage {
            Stage::Leaving => Ok(()),
            Stage::Closing => Err(Error::NotConfigured),
            Stage::Gone | Stage::Coming | Stage::Arrived => Err(Error::NotFound),
        })
        .await
    }

    /// Lets a store be changed again that was moved elsewhere. That the other place is not used any more is for whoever asks
    /// to know: what was changed there is not here.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it is not closed.
    pub async fn reopen(&self) -> Result<Moving> {
        self.end_move(|stage| match stage {
            Stage::Closing | Stage::Gone => Ok(()),
            Stage::Leaving | Stage::Coming | Stage::Arrived => Err(Error::NotFound),
        })
        .await
    }

    async fn end_move(&self, may: fn(Stage) -> Result<()>) -> Result<Moving> {
        let end = move |tx: &mut dyn Tx| {
            let moving = tx.moving()?.ok_or(Error::NotFound)?;
            may(moving.stage)?;
            tx.put_moving(None)?;
            Ok(moving)
        };
        let moving = self.0.catalog.write_closed(end).await?;
        self.forget_noted().await?;
        Ok(moving)
    }

    /// Marks this store as one that a move comes into; returns the number of the attempt.
    async fn expect(&self, id: u64, from: &str, now: Time) -> Result<u64> {
        let (run, place) = (backoff::random(), from.to_owned());
        let moving = Moving { id, place, begun: now, epoch: run, stage: Stage::Coming };
        let mark = move |tx: &mut dyn Tx| {
            let is_free = match tx.moving()? {
                Some(there) => there.stage == Stage::Coming,
                None => tx.first_accounts(1)?.is_empty(),
            };
            if is_free { tx.put_moving(Some(&moving)) } else { Err(Error::Exists) }
        };
        self.0.catalog.write_closed(mark).await?;
        Ok(run)
    }

    /// From now on changes are noted, also those of an attempt before this one that are not copied yet.
    async fn leave_for(&self, id: u64, place: &str, said: Option<Moving>) -> Result<Moving> {
        let earlier = said.clone().filter(|moving| moving.id == id);
        let (begun, epoch) = earlier.map_or((self.now(), 1), |it| (it.begun, it.epoch + 1));
        let moving = Moving { id, place: place.to_owned(), begun, epoch, stage: Stage::Leaving };
        let put = moving.clone();
        let leave = move |tx: &mut dyn Tx| {
            if tx.moving()? != said {
                return Err(Error::Storage("another process moves this store".to_owned()));
            }
            tx.put_moving(Some(&put))
        };
        pass::patiently(&self.0.catalog, leave).await?;
        Ok(moving)
    }
}
