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
    match request.uri().path() {
        "/account/login" => {
            answer::reply(Call::Login, login::login(front, peer, request.headers()).await)
        }
        "/post/directory" => {
            answer::reply(Call::Directory, directory::make(front, request.headers()).await)
        }
        "/post/raw" => answer::reply(Call::Raw, raw::post(front, request).await),
        "/post/file" => answer::reply(Call::File, Box::pin(file::post(front, request)).await),
        "/multipart/create" => {
            let outcome = multipart::create(front, request.headers()).await;
            answer::reply(Call::MultipartCreate, outcome)
        }
        "/multipart/piece" => {
            answer::reply(Call::MultipartPiece, multipart::piece(front, request).await)
        }
        "/multipart/complete" => {
            let outcome = multipart::complete(front, request.headers()).await;
            answer::reply(Call::MultipartComplete, outcome)
        }
        _ => answer::refused(codes::NOT_BUILT, Body::empty()),
    }
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
