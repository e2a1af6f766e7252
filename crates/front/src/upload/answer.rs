//! Answers of the HTTP interface: headers, an empty body (JSON for `/post/directory`), and the message as the reason.

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use hyper::ext::ReasonPhrase;
use ops::model::Error;

use super::codes::{self, Call, Fault, Refusal};
use crate::reply::{self, Body, Reply};

const STATUS: HeaderName = HeaderName::from_static("x-agile-status");
/// The older name of the same (protocol.md, section 11).
const LEGACY_STATUS: HeaderName = HeaderName::from_static("x-llnw-status");

/// What a call that succeeded answers, beside its code. With a `Location` the client is sent there.
pub(super) type Done = Vec<(HeaderName, String)>;

/// The answer to a call.
pub(super) fn reply(call: Call, outcome: Result<Done, Fault>) -> Reply {
    match outcome {
        Ok(done) => {
            let mut reply = coded(0, body(call, 0, "success"));
            for (name, value) in done {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    reply.headers_mut().insert(name, value);
                }
            }
            if reply.headers().contains_key(LOCATION) {
                *reply.status_mut() = StatusCode::FOUND;
            }
            reply
        }
        Err(fault) => {
            if let Fault::Fact(error) = &fault
                && error.is_ours()
            {
                // No fault of ours that one call shows: a full disk refuses all, and so does what a client announces.
                if *error == Error::Full {
                    tracing::warn!(%error, ?call, "an upload was refused");
                } else {
                    tracing::error!(%error, ?call, "a call failed");
                }
            }
            let refusal = codes::of(call, &fault);
            refused(refusal, body(call, refusal.code, refusal.message))
        }
    }
}

/// The answer that says no.
pub(super) fn refused(refusal: Refusal, body: Body) -> Reply {
    let mut reply = coded(refusal.code, body);
    *reply.status_mut() = refusal.status;
    if let Some(secs) = refusal.retry_secs {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    let reason = ReasonPhrase::from_static(refusal.message.as_bytes());
    reply.extensions_mut().insert(reason);
    reply
}

fn coded(code: i32, body: Body) -> Reply {
    let mut reply = reply::new(body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/json;charset=utf-8"));
    headers.insert(STATUS, HeaderValue::from(code));
    headers.insert(LEGACY_STATUS, HeaderValue::from(code));
    reply
}

fn body(call: Call, code: i32, message: &'static str) -> Body {
    match call {
        // Messages are ours, and hold nothing that JSON escapes.
        Call::Directory => Body::whole(format!("{{\"message\": \"{message}\", \"code\": {code}}}")),
        Call::Login
        | Call::Raw
        | Call::File
        | Call::MultipartCreate
        | Call::MultipartPiece
        | Call::MultipartComplete => Body::empty(),
    }
}
