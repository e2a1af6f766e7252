//! The HTTP interface (protocol.md, section 7): log-in, directories, uploads. Calls are headers, answers are headers.
//!
//! A request flows: authorization → headers (`headers`, `spec`) → operations → `answer`, where `codes` says what the wire
//! says. What does not live here: semantics (crate `ops`), methods and CORS (`route`).

mod answer;
mod codes;
mod coding;
mod directory;
mod file;
mod form;
pub(crate) mod fuzzing;
mod headers;
mod login;
mod multipart;
mod raw;
mod signature;
mod spec;

use codes::{Call, Fault};
use http::HeaderMap;
use ops::model::{Caller, Error};

use crate::{
    Front, Peer,
    reply::{Body, Reply, Request},
};

/// Answers a call of the HTTP interface.
pub(crate) async fn serve(front: &Front, peer: Peer, request: Request) -> Reply {
    let Some(call) = call(request.uri().path()) else {
        return answer::refused(codes::NOT_BUILT, Body::empty());
    };
    let headers = request.headers();
    let outcome = match call {
        Call::Login => login::login(front, peer, headers).await,
        Call::Directory => directory::make(front, headers).await,
        Call::Raw => raw::post(front, request).await,
        Call::File => Box::pin(file::post(front, request)).await,
        Call::MultipartCreate => multipart::create(front, headers).await,
        Call::MultipartPiece => multipart::piece(front, request).await,
        Call::MultipartComplete => multipart::complete(front, headers).await,
    };
    answer::reply(call, outcome)
}

/// Refuses a call before anything of it is looked at.
pub(crate) fn refuse(path: &str, error: Error) -> Reply {
    match call(path) {
        Some(call) => answer::reply(call, Err(error.into())),
        None => answer::refused(codes::NOT_BUILT, Body::empty()),
    }
}

/// The call that a path is.
fn call(path: &str) -> Option<Call> {
    Some(match path {
        "/account/login" => Call::Login,
        "/post/directory" => Call::Directory,
        "/post/raw" => Call::Raw,
        "/post/file" => Call::File,
        "/multipart/create" => Call::MultipartCreate,
        "/multipart/piece" => Call::MultipartPiece,
        "/multipart/complete" => Call::MultipartComplete,
        _ => return None,
    })
}

/// Who is calling `path`, by a signature, or else by the token in the header.
async fn authorize(front: &Front, path: &str, headers: &HeaderMap) -> Result<Caller, Fault> {
    if headers.contains_key(signature::SIGNATURE) {
        let signed = signature::read(path, headers).ok_or(Error::BadToken)?;
        return Ok(front.store.signed_caller(signed).await?);
    }
    let mut tokens = headers.get_all(headers::AUTHORIZATION).iter();
    let token = tokens.next().ok_or(Fault::NoToken)?;
    if tokens.next().is_some() {
        return Err(Fault::TokenTwice);
    }
    let token = token.to_str().map_err(|_| Error::BadToken)?;
    Ok(front.store.caller(token).await?)
}
