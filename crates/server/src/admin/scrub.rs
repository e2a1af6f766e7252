//! `headwater scrub`: a row of how far it is, then one of each damaged thing. The semantics are in `ops::scrub`.

use std::time::Duration;

use model::{Damage, Scrub, Subject};
use ops::Store;
use serde_json::{Value, json};

use super::{Done, Notes};

/// Something is damaged.
const DAMAGED: u8 = 1;
/// Between looks whether a pass has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks between words of how far it is.
const LOOKS_A_WORD: u32 = 50;

pub(super) async fn status(store: &Store) -> anyhow::Result<Done> {
    Ok(shown(&store.scrub_status().await?))
}

/// Begins a pass, and waits for its end where that is asked for, or where nobody else would make it.
pub(super) async fn start(
    store: &Store,
    rate: Option<u64>,
    wait: bool,
    notes: &Notes,
) -> anyhow::Result<Done> {
    if !store.scrubs() {
        return Ok(shown(&store.scrub_now(rate).await?));
    }
    let pass = store.start_scrub(rate).await?;
    if !wait {
        return Ok(Done::from(json!({ "pass": pass })));
    }
    for look in 1_u32.. {
        tokio::time::sleep(LOOK_EVERY).await;
        let scrub = store.scrub_status().await?;
        if scrub.pass > pass || (scrub.pass == pass && scrub.ended.is_some()) {
            return Ok(shown(&scrub));
        }
        if look.is_multiple_of(LOOKS_A_WORD) {
            notes.say(format!("{} bytes of {} things read", scrub.bytes, scrub.objects));
        }
    }
    Ok(Done::from(Value::Null))
}

fn shown(scrub: &Scrub) -> Done {
    let Scrub { pass, begun, ended, bytes, objects, rate, before, damaged, more, .. } = scrub;
    let took = ended.map(|ended| ended.since(*begun));
    let before = before.map(|pass| {
        json!({
            "begun": pass.begun.secs(), "ended": pass.ended.secs(), "bytes": pass.bytes,
            "objects": pass.objects,
        })
    });
    let count = damaged.len() as u64 + more;
    let state = match (*pass, ended) {
        (0, _) => "none yet",
        (_, None) => "running",
        (_, Some(_)) => "ended",
    };
    let mut rows = vec![json!({
        "pass": pass, "state": state, "begun": (*pass > 0).then_some(begun.secs()),
        "ended": ended.map(|ended| ended.secs()), "bytes": bytes, "objects": objects,
        "bytes_per_second": took.map(|ms| bytes.saturating_mul(1000) / ms.max(1)),
        "asked_rate": rate, "before": before, "damaged": count,
    })];
    rows.extend(damaged.iter().map(row));
    Done { answer: Value::Array(rows), exit: if count > 0 { DAMAGED } else { 0 } }
}

fn row(damage: &Damage) -> Value {
    let Damage { subject, found, why, paths, .. } = damage;
    let what = match subject {
        Subject::Blob(id) => format!("blob {}", id.to_hex()),
        Subject::Inline(account, id) => format!("small content {} of account {}", id.0, account.0),
        Subject::Catalog(index) => format!("the catalog's {index}"),
    };
    json!({ "damaged": what, "why": why, "paths": paths, "found": found.secs() })
}
