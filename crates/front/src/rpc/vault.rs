//! `mediaVaultUrl` (protocol.md, sections 5 and 10): signed URLs to a file, one to save it and one to show it.
//!
//! What lives here: the call, and its answers, each of which has a message. What does not: signing (`ops::link`).

use ops::model::Caller;

use super::{Call, Outcome, codes::BAD_TOKEN, json::Json, params::Args};

/// The path is a directory.
const IS_DIRECTORY: i32 = -2;
/// No secret or no public URL is configured.
const NOT_CONFIGURED: i32 = -60;

pub(super) async fn media_vault_url(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    let lasts_secs = call.args.int("expiry")?;
    let urls = call.front.store.urls_of(caller, &path, lasts_secs).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"message":"success","download_url":"#).string(&urls.download);
    out.raw(r#","preview_url":"#).string(&urls.preview).raw("}");
    Ok(out)
}

/// What the call answers when it fails.
pub(super) fn media_vault_url_failed(_args: &Args<'_>, out: &mut Json, code: i32) {
    let message = match code {
        IS_DIRECTORY => "path exists and is a directory",
        -8 => "invalid path",
        -34 => "invalid expiry",
        NOT_CONFIGURED => "service is disabled or unavailable",
        BAD_TOKEN => "invalid token",
        _ => "internal error",
    };
    out.raw(r#"{"code":"#).code(code).raw(r#","message":"#).string(message).raw("}");
}
