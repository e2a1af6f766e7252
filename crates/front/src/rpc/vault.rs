//! `mediaVaultUrl` (protocol.md, sections 5 and 10): signed URLs, which no operator can configure yet.
//!
//! What lives here: the checks of the call, and its answers, each of which has a message. What does not: signing, which
//! comes with the egress side of section 10.

use ops::{
    Stat,
    model::{Caller, Error},
};

use super::{Call, Failure, Outcome, codes::BAD_TOKEN, json::Json, params::Args};

/// The path is a directory.
const IS_DIRECTORY: i32 = -2;
/// No secret is configured.
const NOT_CONFIGURED: i32 = -60;

pub(super) async fn media_vault_url(call: &Call<'_>, caller: &Caller) -> Outcome {
    let path = call.args.path("path")?;
    // Read for its code alone; 0 will stand for the default once there is something to sign.
    call.args.int("expiry")?;
    match call.front.store.stat(caller, &path).await {
        Ok(Stat::Directory(_)) => Err(Failure::Code(IS_DIRECTORY)),
        // A link may be made before the file is there.
        Ok(Stat::File(_)) | Err(Error::NotFound) => Err(Failure::Code(NOT_CONFIGURED)),
        Err(fact) => Err(Failure::Fact(fact)),
    }
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
