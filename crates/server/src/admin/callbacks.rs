//! `headwater callback`: who is told what happens to files. The semantics are in `ops::event`.

use model::{CallbackId, CallbackState, Error};
use ops::{Store, event::CallbackInfo};
use serde_json::{Value, json};

const STATES: [(CallbackState, &str); 3] = [
    (CallbackState::Active, "active"),
    (CallbackState::Paused, "paused"),
    (CallbackState::Deleted, "deleted"),
];

pub(super) async fn list(store: &Store) -> anyhow::Result<Value> {
    Ok(store.all_callbacks().await?.into_iter().map(shown).collect())
}

pub(super) async fn set(store: &Store, id: u64, state: &str) -> anyhow::Result<Value> {
    let known = STATES.into_iter().find(|(_, name)| *name == state);
    let (set, _) = known.ok_or(Error::InvalidName("no state of a callback"))?;
    store.set_callback(CallbackId(id), set).await?;
    Ok(json!({ "callback": id, "state": state }))
}

/// A callback as the operator sees it. Its URI is shown without what may be secret in it.
fn shown(info: CallbackInfo) -> Value {
    let CallbackInfo { callback, account, waiting } = info;
    let state = STATES.into_iter().find(|(state, _)| *state == callback.state);
    let uri = callback.uri.split(['?', '#']).next().unwrap_or_default();
    let uri = uri.split_once('@').map_or(uri, |(_, after)| after);
    json!({
        "callback": callback.id.0, "account": account, "uri": uri, "flags": callback.flags,
        "threshold": callback.threshold, "root": callback.root.to_string(),
        "state": state.map(|(_, name)| name), "waiting": waiting, "dead": callback.dead,
    })
}
