//! Egress (protocol.md, sections 9 and 10): GET and HEAD of files, without a token where the account is not private.
//!
//! A request flows: host and path → candidates, query and headers → what it shows → the store → conditions → ranges → a
//! body that reads as it is sent, at a pace where a signed URL says so.
//! What does not live here: who may read what, and which candidate wins (the store), CORS and the access log (`route`).

mod arriving;
mod body;
mod candidates;
mod codes;
mod conditional;
mod disposition;
pub(crate) mod fuzzing;
mod headers;
mod link;
mod pace;
mod range;
mod recent;
mod sandbox;

use body::Part;
use bytes::Bytes;
use conditional::{Validators, Verdict};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{
        ALLOW, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, RANGE,
        RETRY_AFTER,
    },
};
use ops::{
    Found, Manner, Opened,
    model::{Error, FileAttrs},
};
use range::{Span, Wanted};
pub(crate) use recent::Recent;

use crate::{
    Front, Peer,
    reply::{self, Body, Kept, Reply, Request},
    request::Plain,
};

/// The answer to a GET or HEAD that shows nothing, where what is kept or can be looked up at once is all that it needs.
pub(crate) fn kept(front: &Front, plain: &Plain<'_>) -> Option<Kept> {
    let Plain { host, path, ref asked, files, .. } = *plain;
    let head = plain.method == "HEAD";
    front.recent.get(front, head, host, path)?.give(front, head, files, asked)
}

/// Answers every path that is no path of the API.
pub(crate) async fn serve(front: &Front, peer: Peer, request: Request) -> Reply {
    let head = request.method() == Method::HEAD;
    let mut reply = if head || request.method() == Method::GET {
        match find(front, peer, &request, !head).await {
            Ok(Found::File(opened)) => answer(request.headers(), head, opened),
            Ok(Found::Arriving(file, manner)) => suit(arriving::answer(file), &manner),
            Err(error) => refuse(&error),
        }
    } else {
        let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        reply
    };
    if head {
        *reply.body_mut() = Body::empty();
    }
    if front.settings.sandbox {
        sandbox::confine(reply.headers_mut());
    }
    reply
}

/// Refuses a request before anything of it is looked at.
pub(crate) fn refused(method: &Method, error: &Error) -> Reply {
    let mut reply = refuse(error);
    if method == Method::HEAD {
        *reply.body_mut() = Body::empty();
    }
    reply
}

async fn find(front: &Front, peer: Peer, request: &Request, body: bool) -> Result<Found, Error> {
    let path = candidates::decode(request.uri().path())?;
    let named = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let host = request.uri().host().or(named);
    let shown = link::shown(request, peer.address.map(|address| address.ip()));
    // The end of a body without a length cannot be told from a cut connection before HTTP/1.1.
    let open_end = request.version() >= Version::HTTP_11;
    let candidates = candidates::candidates(host, &path);
    front.store.get(candidates, shown, body, open_end).await
}

fn refuse(error: &Error) -> Reply {
    let (status, words) = codes::status(error);
    if error.is_ours() {
        tracing::error!(%error, "a file could not be served");
    }
    let mut reply = text(status, words);
    if let Some(secs) = codes::retry_secs(error) {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    reply
}

/// A short answer for a human. Its length is said for HEAD, too.
fn text(status: StatusCode, words: &'static str) -> Reply {
    let mut reply = reply::new(Body::whole(words));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(words.len()));
    reply
}

/// The answer about a file that is there.
fn answer(asked: &HeaderMap, head: bool, opened: Opened) -> Reply {
    let attrs = opened.attrs().clone();
    let manner = opened.manner().clone();
    let own = headers::validators(&attrs);
    let mut reply = match conditional::judge(asked, &own) {
        Verdict::Serve if head => described(StatusCode::OK, attrs.size, &attrs, Body::empty()),
        Verdict::Serve => content(asked, opened, &own),
        Verdict::NotModified => status(StatusCode::NOT_MODIFIED),
        Verdict::Failed => text(StatusCode::PRECONDITION_FAILED, "precondition failed\n"),
    };
    headers::describe(reply.headers_mut(), &attrs, &own);
    suit(reply, &manner)
}

/// An answer about a file, the way a signed URL wants it.
fn suit(mut reply: Reply, manner: &Manner) -> Reply {
    if let Some(value) = manner.save_as.as_deref().and_then(disposition::attachment)
        && reply.status().is_success()
    {
        reply.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    match manner.rate {
        Some(rate) => reply.map(|body| pace::paced(body, rate)),
        None => reply,
    }
}

fn status(status: StatusCode) -> Reply {
    let mut reply = reply::new(Body::empty());
    *reply.status_mut() = status;
    reply
}

/// The file, or the parts of it that were asked for.
fn content(asked: &HeaderMap, opened: Opened, own: &Validators) -> Reply {
    let attrs = opened.attrs().clone();
    let size = attrs.size;
    match ranges(asked, size, own) {
        Wanted::Whole => {
            let plan = vec![Part::File(Span { start: 0, end: size })];
            described(StatusCode::OK, size, &attrs, body::body(opened, plan))
        }
        Wanted::Nothing => {
            let mut reply = text(StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable\n");
            headers::put(reply.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
            reply
        }
        Wanted::Parts(spans) => {
            let (status, len) = (StatusCode::PARTIAL_CONTENT, spans.iter().map(|s| s.len()).sum());
            if let [span] = spans[..] {
                let body = body::body(opened, vec![Part::File(span)]);
                let mut reply = described(status, len, &attrs, body);
                headers::put(reply.headers_mut(), CONTENT_RANGE, &content_range(span, size));
                return reply;
            }
            let boundary = uuid::Uuid::new_v4().simple().to_string();
            let plan = multipart(&spans, &attrs, &boundary);
            let len = body::len(&plan);
            let mut reply = described(status, len, &attrs, body::body(opened, plan));
            let content_type = format!("multipart/byteranges; boundary={boundary}");
            headers::put(reply.headers_mut(), CONTENT_TYPE, &content_type);
            reply
        }
    }
}

/// What the `Range` header asks for, where it applies.
fn ranges(asked: &HeaderMap, size: u64, own: &Validators) -> Wanted {
    let mut values = asked.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if conditional::range_applies(asked, own) => {
            range::wanted(value.as_bytes(), size)
        }
        _ => Wanted::Whole,
    }
}

/// An answer that carries content of a file, `len` bytes.
fn described(status: StatusCode, len: u64, attrs: &FileAttrs, body: Body) -> Reply {
    let mut reply = reply::new(body);
    *reply.status_mut() = status;
    describe_content(reply.headers_mut(), len, attrs);
    reply
}

/// The headers of content of a file, `len` bytes.
fn describe_content(headers: &mut HeaderMap, len: u64, attrs: &FileAttrs) {
    headers::content_type(headers, attrs);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
}

fn content_range(span: Span, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.start, span.end - 1)
}

/// The plan of a `multipart/byteranges` body (RFC 9110, section 14.6).
fn multipart(spans: &[Span], attrs: &FileAttrs, boundary: &str) -> Vec<Part> {
    let mut plan = Vec::with_capacity(spans.len() * 2 + 1);
    for (i, span) in spans.iter().enumerate() {
        let lead = if i == 0 { "" } else { "\r\n" };
        let (kind, range) = (attrs.content_type.as_str(), content_range(*span, attrs.size));
        let head =
            format!("{lead}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
        plan.push(Part::Literal(Bytes::from(head)));
        plan.push(Part::File(*span));
    }
    plan.push(Part::Literal(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    plan
}
