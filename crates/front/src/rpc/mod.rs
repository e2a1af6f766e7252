//! JSON-RPC: `/jsonrpc` and `/jsonrpc2` (protocol.md, sections 3 to 6).
//!
//! What lives here: the way of a request through the room, from the body to the answer. The table of methods is in
//! `table`, the way in is `envelope` and `params` (with `coerce`), the way out `answer`, `codes` and `json`; `session`,
//! `namespace`, `listing`, `multipart`, `fetch` and `vault` hold the methods. What does not: semantics and permission
//! (crate `ops`). Nothing here logs a parameter: tokens and passwords are among them.

mod answer;
mod callback;
mod codes;
mod coerce;
mod envelope;
mod fetch;
pub(crate) mod fuzzing;
mod json;
mod listing;
mod multipart;
mod namespace;
mod params;
mod rows;
mod session;
mod table;
mod vault;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use http_body_util::BodyExt as _;
use ops::model::{Caller, Error};

use self::{
    answer::{
        INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, ReplyTo,
    },
    codes::Codes,
    envelope::{Endpoint, Incoming, Invocation, Refusal},
    json::Json,
    params::Args,
    table::{Form, Row, Run},
};
use crate::{
    Front, Peer,
    reply::{self, Body, Reply, Request},
};

/// Why a call has no result.
#[derive(Debug)]
enum Failure {
    /// A code that is decided: of a value that cannot be read, or of the protocol.
    Code(i32),
    /// A fact; the method's row turns it into a code.
    Fact(Error),
}

impl From<Error> for Failure {
    fn from(fact: Error) -> Self {
        Failure::Fact(fact)
    }
}

/// What a method makes: an answer begun with [`Call::answer`], or why there is none.
type Outcome = Result<Json, Failure>;

/// One call, as its method sees it.
struct Call<'a> {
    front: &'a Front,
    peer: Peer,
    args: Args<'a>,
    to: ReplyTo<'a>,
}

impl Call<'_> {
    /// The beginning of the answer; the method writes its result after it.
    fn answer(&self) -> Json {
        self.to.open()
    }

    /// The answer of an operation that was done.
    fn done(&self) -> Outcome {
        let mut out = self.answer();
        out.code(0);
        Ok(out)
    }

    /// Who is calling, by the token.
    async fn caller(&self) -> Result<Caller, Failure> {
        let token = self.args.token("token")?;
        Ok(self.front.store.caller(&token).await?)
    }
}

/// The names of all methods, for `surface`.
pub(crate) fn methods() -> Vec<&'static str> {
    table::names()
}

/// Answers a POST to `/jsonrpc` or `/jsonrpc2`; the router lets nothing else in.
pub(crate) async fn serve(front: &Front, peer: Peer, request: Request) -> Reply {
    let endpoint = match request.uri().path() {
        "/jsonrpc2" => Endpoint::Jsonrpc2,
        _ => Endpoint::Jsonrpc,
    };
    let answer = match read(request.into_body(), front.settings.rpc_body_bytes_max).await {
        Ok(body) => handle(front, peer, endpoint, &body).await,
        Err(Unread::TooLarge) => ReplyTo::NOBODY.error_saying(INVALID_REQUEST, "request too large"),
        Err(Unread::Cut) => ReplyTo::NOBODY.error(PARSE_ERROR),
    };
    json(answer)
}

/// Refuses a request before anything of it is looked at: there is no call yet that the answer could take the form of.
pub(crate) fn refuse(fact: &Error) -> Reply {
    let code = Codes::NONE.of(fact);
    let message = answer::protocol_message(code).map_or_else(|| fact.to_string(), str::to_owned);
    let mut reply = json(ReplyTo::NOBODY.error_saying(code, &message));
    if let Error::RateLimited { retry_secs } = fact {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_secs));
    }
    reply
}

fn json(answer: Vec<u8>) -> Reply {
    let mut reply = reply::new(Body::whole(answer));
    let json = HeaderValue::from_static("application/json;charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    TooLarge,
    Cut,
}

/// Reads a body of at most `bytes_max` bytes. One that says it is larger is not begun.
async fn read<B>(mut body: B, bytes_max: usize) -> Result<Bytes, Unread>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if body.size_hint().lower() > max {
        return Err(Unread::TooLarge);
    }
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Cut)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > bytes_max {
            return Err(Unread::TooLarge);
        }
        // Nearly every call comes in one frame, which is then the body without a copy.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Does what was posted; the answer is empty when there was nothing but notifications.
async fn handle(front: &Front, peer: Peer, endpoint: Endpoint, body: &[u8]) -> Vec<u8> {
    match envelope::parse(endpoint, body) {
        Incoming::Single(call) => answer(front, peer, call).await.unwrap_or_default(),
        Incoming::Batch(calls) => {
            let mut all = Vec::new();
            for call in calls {
                if let Some(one) = answer(front, peer, call).await {
                    all.push(if all.is_empty() { b'[' } else { b',' });
                    all.extend_from_slice(&one);
                }
            }
            if !all.is_empty() {
                all.push(b']');
            }
            all
        }
    }
}

/// One call and its answer; a notification has none.
async fn answer(
    front: &Front,
    peer: Peer,
    call: Result<Invocation<'_>, Refusal<'_>>,
) -> Option<Vec<u8>> {
    match call {
        Err(Refusal { to, code }) => Some(to.error(code)),
        Ok(invocation) => {
            let silent = invocation.is_notification();
            let answer = invoke(front, peer, invocation).await;
            (!silent).then_some(answer)
        }
    }
}

/// Finds the method, binds its parameters, checks the token where one is due, and calls it.
async fn invoke(front: &Front, peer: Peer, invocation: Invocation<'_>) -> Vec<u8> {
    let Invocation { method, params, to } = invocation;
    let Some(row) = table::find(&method) else {
        return to.error(METHOD_NOT_FOUND);
    };
    let Some(args) = params::bind(row.params, row.long, params) else {
        return to.error(INVALID_PARAMS);
    };
    let call = Call { front, peer, args, to };
    let outcome = match row.run {
        Run::Anyone(run) => run(&call).await,
        Run::Session(run) => match call.caller().await {
            Ok(caller) => run(&call, &caller).await,
            Err(failure) => Err(failure),
        },
    };
    match outcome {
        Ok(out) => to.close(out),
        Err(failure) => fail(row, &call, failure),
    }
}

/// The answer of a call that failed, in the form of its method.
fn fail(row: &Row, call: &Call<'_>, failure: Failure) -> Vec<u8> {
    let code = match &failure {
        Failure::Code(code) => *code,
        Failure::Fact(fact) => row.codes.of(fact),
    };
    if let Failure::Fact(fact) = &failure
        && (fact.is_ours() || code == INTERNAL_ERROR)
    {
        tracing::error!(method = row.name, error = %fact, "call failed");
    }
    if answer::protocol_message(code).is_some() {
        return call.to.error(code);
    }
    let mut out = call.to.open();
    match row.form {
        Form::Operation => {
            out.code(code);
        }
        Form::Query => {
            out.raw(r#"{"code":"#).code(code).raw("}");
        }
        Form::QueryFailing(write) => write(&call.args, &mut out, code),
    }
    call.to.close(out)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn frames(parts: &[&'static str]) -> impl hyper::body::Body<Data = Bytes> + Unpin + use<> {
        let frames: Vec<Result<_, std::convert::Infallible>> =
            parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))).collect();
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_the_limit() {
        for parts in [&["abcd"][..], &["ab", "cd"], &["a", "", "bc", "d"], &["", "abcd"]] {
            assert_eq!(read(frames(parts), 4).await.unwrap(), "abcd");
            assert_eq!(read(frames(parts), 3).await, Err(Unread::TooLarge));
        }
        assert_eq!(read(frames(&[]), 4).await.unwrap(), "");
        assert_eq!(read(Full::new(Bytes::from_static(b"abcd")), 3).await, Err(Unread::TooLarge));
    }
}
