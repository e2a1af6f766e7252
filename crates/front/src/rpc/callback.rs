//! Callbacks: `registerCallback` and `listCallback`.
//!
//! What lives here: reading the calls and writing their answers. What does not: what a callback is told and when
//! (`ops::event`), and how (`crate::events`). A callback's secret leaves this file in one answer and nowhere else.

use ops::model::{CallbackState, Caller};

use super::{Call, Failure, Outcome};

/// Flags that mean nothing.
pub(super) const BAD_FLAGS: i32 = -13;
/// A URI that cannot be posted to.
pub(super) const BAD_URI: i32 = -14;

pub(super) async fn register(call: &Call<'_>, caller: &Caller) -> Outcome {
    let uri = call.args.text("uri")?.ok_or(Failure::Code(BAD_URI))?;
    let flags = u32::try_from(call.args.int("flags")?).map_err(|_| Failure::Code(BAD_FLAGS))?;
    let threshold = call.args.int("threshold")?;
    let new = call.front.store.register_callback(caller, &uri, flags, threshold).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"callbackid":"#).number(new.id.0);
    out.raw(r#","secret_key":"#).string(new.secret.expose()).raw("}");
    Ok(out)
}

pub(super) async fn list(call: &Call<'_>, caller: &Caller) -> Outcome {
    let callbacks = call.front.store.callbacks(caller).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"callbacks":["#);
    for (i, info) in callbacks.iter().enumerate() {
        let callback = &info.callback;
        out.raw(if i == 0 { "" } else { "," });
        out.raw(r#"{"callbackid":"#).number(callback.id.0);
        out.raw(r#","uri":"#).string(&callback.uri);
        out.raw(r#","flags":"#).number(callback.flags.into());
        out.raw(r#","threshold":"#).number(callback.threshold);
        out.raw(r#","created":"#).number(callback.created.secs());
        out.raw(r#","state":"#).string(match callback.state {
            CallbackState::Active => "active",
            CallbackState::Paused => "paused",
            CallbackState::Deleted => "deleted",
        });
        out.raw(r#","waiting":"#).number(info.waiting);
        out.raw(r#","dead":"#).number(callback.dead).raw("}");
    }
    out.raw("]}");
    Ok(out)
}
