//! `headwater migrate`: a whole store to another place, by the process that has it open.
//!
//! How it is moved, and what holds meanwhile, is said in `ops::migrate`. What lives here: what must be so of the two places,
//! the key, which the new place gets before anything else, progress, and the report. The new place is not opened by anybody else
//! before it is whole (`refuse_incomplete`).

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use model::{Error, Moving, Stage};
use ops::{
    Store,
    migrate::{Moved, Order},
};
use serde_json::{Value, json};

use crate::{
    admin::{Done, Notes, seconds_since},
    config::{self, Elsewhere, Site, Wiring},
    key,
};

/// Between two words of progress.
const PROGRESS_PAUSE: Duration = Duration::from_secs(2);

/// Refuses a store that a move did not end in.
pub(crate) async fn refuse_incomplete(store: &Store) -> anyhow::Result<()> {
    if let Some(moving) = store.moving().await?
        && moving.stage == Stage::Coming
    {
        bail!("a move into this place did not end: ask for it again ({})", moving.place);
    }
    Ok(())
}

/// Moves a store that is open.
pub(crate) async fn run(
    store: &Store,
    site: &Site,
    (to, deep): (&Elsewhere, bool),
    notes: &Notes,
) -> anyhow::Result<Done> {
    let begun = Instant::now();
    let there = to.site()?;
    let _lock = config::own_directory(&there.data).context("the new place")?;
    let ours = site.blobs.place(&site.data)?;
    if ours.is_some() && ours == there.blobs.place(&there.data)? {
        bail!("blobs would lie at the same place: each of the two stores would remove the other's");
    }
    let key = key::of(site)?;
    key::hand_on(&there, &key)?;
    let target = crate::assemble(&there, &key, Wiring::offline()?).context("the new place")?;
    let order = Order { from: site.name()?, to: there.name()?, deep };
    let name = order.to.clone();
    notes.say(format!("moving to {name}"));
    let mut said = (begun, "");
    let mut tell = |moved: &Moved| {
        if said.1 != moved.at || said.0.elapsed() >= PROGRESS_PAUSE {
            said = (Instant::now(), moved.at);
            notes.say(progress(moved, begun));
        }
    };
    let moved = store.move_to(&target, order, &mut tell).await;
    let moved = moved.map_err(|e| refused(e, &name))?;
    Ok(Done::from(answer(&moved, &name, begun)))
}

fn refused(e: Error, name: &str) -> anyhow::Error {
    match e {
        Error::Exists => anyhow!("there is a store already: {name}"),
        Error::NotConfigured => {
            anyhow!("this store is being moved elsewhere, or was; headwater status says where to")
        }
        e => anyhow!(e).context("not moved; asked for again, it goes on"),
    }
}

/// Ends a move before its end.
pub(crate) async fn abandon(store: &Store) -> anyhow::Result<Value> {
    match store.abandon_move().await {
        Ok(moving) => Ok(json!({ "abandoned": moving.place })),
        Err(Error::NotFound) => bail!("no move is on"),
        Err(Error::NotConfigured) => bail!(
            "this store was closed, and the new place may be in use: ask for the move again, which tells; or, if it is not, \
             --reopen"
        ),
        Err(e) => Err(e.into()),
    }
}

/// Lets a store be changed again that was moved.
pub(crate) async fn reopen(store: &Store) -> anyhow::Result<Value> {
    match store.reopen().await {
        Ok(moving) => Ok(json!({ "reopened": true, "was_moved_to": moving.place })),
        Err(Error::NotFound) => bail!("this store is open"),
        Err(e) => Err(e.into()),
    }
}

/// What operators see of a move.
pub(crate) fn shown(moving: &Moving) -> Value {
    json!({
        "stage": moving.stage.name(), "place": moving.place, "begun": moving.begun.secs(),
        "takes_changes": !moving.is_closed(),
    })
}

fn progress(moved: &Moved, begun: Instant) -> String {
    let copied = &moved.copied;
    let (bytes, secs) = (copied.blob_bytes / 1_000_000, begun.elapsed().as_secs().max(1));
    format!(
        "{}: {} blobs, {bytes} MB ({} MB/s), {} of them there already, {} rows, {} changes in {} passes, {} rows equal",
        moved.at,
        copied.blobs,
        bytes / secs,
        copied.kept,
        copied.rows,
        moved.changes,
        moved.passes,
        moved.equal,
    )
}

fn answer(moved: &Moved, name: &str, begun: Instant) -> Value {
    let copied = &moved.copied;
    let closed = (moved.closed.as_secs_f64() * 1000.0).round() / 1000.0;
    json!({
        "moved_to": name, "was_done": moved.was_done, "rows": copied.rows, "blobs": copied.blobs,
        "blob_bytes": copied.blob_bytes, "kept": copied.kept, "changes": moved.changes,
        "passes": moved.passes, "rows_equal": moved.equal, "closed_seconds": closed,
        "seconds": seconds_since(begun),
    })
}
