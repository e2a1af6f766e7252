//! Sessions: `login` to `initKeyPair` (protocol.md, section 4).
//!
//! What lives here: the order in which credentials are looked at, and what the answers show. What does not: sessions
//! themselves (`ops::session`). A token, password or secret key leaves this file in an answer and nowhere else.

use std::{borrow::Cow, net::IpAddr};

use ops::{
    LoggedIn,
    model::{Caller, Error, Secret, TreePath},
};

use super::{
    Call, Failure, Outcome,
    answer::INTERNAL_ERROR,
    codes::BAD_TOKEN,
    json::Json,
    params::{Args, MISSING},
};

/// An empty user name.
const EMPTY_USERNAME: i32 = -40;
/// An empty password.
const EMPTY_PASSWORD: i32 = -41;

pub(super) async fn login(call: &Call<'_>) -> Outcome {
    let given = |name| call.args.json(name).map(|json| json != MISSING);
    if !given("username")? || !given("password")? {
        return Err(Failure::Code(INTERNAL_ERROR));
    }
    let (username, password) = credentials(call, INTERNAL_ERROR)?;
    let detail = call.args.boolean("detail")?;
    let mut out = call.answer();
    let logged_in = match call.front.store.login(from(call), &username, &password).await {
        Err(Error::BadCredentials) => {
            out.raw("[null,null]");
            return Ok(out);
        }
        other => other?,
    };
    let LoggedIn { token, caller } = &logged_in;
    out.raw("[").string(token.expose()).raw(",{");
    owner(&mut out, caller);
    if detail {
        out.raw(r#","path":"#).string(&caller.absolute(&TreePath::root()));
    }
    out.raw("}]");
    Ok(out)
}

pub(super) async fn authenticate(call: &Call<'_>) -> Outcome {
    let expiry = call.args.int("expiry")?;
    let (username, password) = credentials(call, BAD_TOKEN)?;
    let subdir = call.args.path("subdir")?;
    let store = &call.front.store;
    let LoggedIn { token, caller } =
        store.authenticate(from(call), &username, &password, expiry, &subdir).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"token":"#).string(token.expose()).raw(",");
    owner(&mut out, &caller);
    out.raw(r#","path":"#).string(&caller.absolute(&TreePath::root())).raw("}");
    Ok(out)
}

/// What `authenticate` answers when it fails: `subdir` as it was passed.
pub(super) fn authenticate_failed(args: &Args<'_>, out: &mut Json, code: i32) {
    out.raw(r#"{"code":"#).code(code).raw(r#","token":null,"uid":0,"gid":0,"path":"#);
    out.raw(args.json("subdir").unwrap_or("null")).raw("}");
}

/// The user name and the password; `missing` is the code where one of them was left out.
fn credentials<'a>(call: &Call<'a>, missing: i32) -> Result<(Cow<'a, str>, Secret), Failure> {
    let one = |name, empty| match call.args.text(name)? {
        None => Err(Failure::Code(missing)),
        Some(text) if text.is_empty() => Err(Failure::Code(empty)),
        Some(text) => Ok(text),
    };
    let username = one("username", EMPTY_USERNAME)?;
    Ok((username, Secret::new(one("password", EMPTY_PASSWORD)?)))
}

/// Where a password comes from, for the slow-down.
fn from(call: &Call<'_>) -> Option<IpAddr> {
    call.peer.address.map(|address| address.ip())
}

fn owner(out: &mut Json, caller: &Caller) {
    out.raw(r#""uid":"#).number(caller.owner.uid.into());
    out.raw(r#","gid":"#).number(caller.owner.gid.into());
}

pub(super) async fn logout(call: &Call<'_>) -> Outcome {
    call.front.store.logout(&call.args.token("token")?).await?;
    call.done()
}

pub(super) async fn check_token(call: &Call<'_>, caller: &Caller) -> Outcome {
    let mut out = call.answer();
    out.raw(r#"{"code":0,"age":"#).seconds(call.front.store.age_secs(caller)).raw(",");
    owner(&mut out, caller);
    out.raw(r#","path":"#).string(&caller.absolute(&TreePath::root()));
    out.raw(r#","username":"#).string(&caller.username).raw("}");
    Ok(out)
}

pub(super) async fn update_session(call: &Call<'_>, caller: &Caller) -> Outcome {
    call.front.store.update_session(caller, call.args.int("expire")?).await?;
    call.done()
}

pub(super) async fn ping(call: &Call<'_>) -> Outcome {
    let mut out = call.answer();
    out.raw(r#"{"code":0,"operation":"#).raw(call.args.json("operation")?).raw("}");
    Ok(out)
}

pub(super) async fn noop(call: &Call<'_>, _caller: &Caller) -> Outcome {
    ping(call).await
}

pub(super) async fn init_key_pair(call: &Call<'_>, caller: &Caller) -> Outcome {
    let pair = call.front.store.init_key_pair(caller).await?;
    let mut out = call.answer();
    out.raw(r#"{"code":0,"access_key":"#).string(&pair.access_key);
    out.raw(r#","secret_key":"#).string(pair.secret_key.expose()).raw("}");
    Ok(out)
}

/// What `initKeyPair` answers when it fails: a bare integer, though it succeeds with an object.
pub(super) fn init_key_pair_failed(_args: &Args<'_>, out: &mut Json, code: i32) {
    out.code(code);
}
