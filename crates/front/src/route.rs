//! Which room a request goes to, and what every answer gets, whichever room it comes from.
//!
//! What lives here: the table of paths (protocol.md, section 2), 405, refusing what is ambiguous about the host or one too
//! many from an address, CORS, `nosniff`, `Server`, and whether the connection can be used again. What does not: anything a path means.

use std::sync::Arc;

use crate::{
    Front, Peer,
    access::{Counted, Line},
    cors, egress,
    reply::{self, Body, Kept, Reply},
    request::{Meter, Plain, Request, RequestBody},
    rpc, upload,
};
use http::{
    HeaderValue, Method, StatusCode, Version,
    header::{ALLOW, CONNECTION, HOST},
};
use hyper::body::Incoming;

/// A room that answers requests to a path of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Rpc,
    Upload,
}

/// A path of the API: which methods it takes, and who answers.
struct Row {
    path: &'static str,
    allow: &'static str,
    room: Room,
}

const fn row(path: &'static str, allow: &'static str, room: Room) -> Row {
    Row { path, allow, room }
}

/// Every path of the API. GET and HEAD of anything else are egress.
const TABLE: &[Row] = &[
    row("/jsonrpc", "POST, OPTIONS", Room::Rpc),
    row("/jsonrpc2", "POST, OPTIONS", Room::Rpc),
    // The JavaScript client logs in with GET (section 11).
    row("/account/login", "GET, POST, OPTIONS", Room::Upload),
    row("/post/file", "POST, OPTIONS", Room::Upload),
    row("/post/raw", "POST, OPTIONS", Room::Upload),
    row("/post/directory", "POST, OPTIONS", Room::Upload),
    row("/multipart/create", "POST, OPTIONS", Room::Upload),
    row("/multipart/piece", "POST, OPTIONS", Room::Upload),
    row("/multipart/complete", "POST, OPTIONS", Room::Upload),
];

/// What other paths take.
const EGRESS_ALLOW: &str = "GET, HEAD, OPTIONS";

/// Every path of the API, for `surface`.
pub(crate) fn paths() -> Vec<&'static str> {
    TABLE.iter().map(|row| row.path).collect()
}

/// Answers a request. Says, too, whether its body was read to the end: if not, the connection ends with this answer.
pub(crate) async fn answer(
    front: &Front,
    peer: Peer,
    request: http::Request<Incoming>,
) -> (http::Response<Counted>, bool) {
    let meter = Arc::new(Meter::default());
    let line = Line::begin(front, peer, &request, Arc::clone(&meter));
    let idle = front.settings.body_idle_timeout;
    let request = request.map(|body| RequestBody::new(body, Arc::clone(&meter), idle));
    let mut reply = Box::pin(line.answering(room(front, peer, request))).await;
    let finished = meter.finished();
    let headers = reply.headers_mut();
    reply::dress(headers);
    if !finished {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    (line.attach(reply), finished)
}

/// The answer to a plain GET or HEAD of an address that may still ask. `None`: the request is to be answered as any other.
pub(crate) fn kept(front: &Front, peer: Peer, plain: &Plain<'_>) -> Option<Kept> {
    let kept = egress::kept(front, plain)?;
    let admitted = peer.address.is_none_or(|a| front.store.admit_address(a.ip()).is_ok());
    admitted.then_some(kept)
}

async fn room(front: &Front, peer: Peer, request: Request) -> Reply {
    let row = TABLE.iter().find(|row| row.path == request.uri().path());
    // A preflight costs nothing, and a browser would hide why it was refused.
    if request.method() != Method::OPTIONS
        && let Some(address) = peer.address
        && let Err(error) = front.store.admit_address(address.ip())
    {
        return match row {
            None => egress::refused(request.method(), &error),
            Some(Row { room: Room::Rpc, .. }) => rpc::refuse(&error),
            Some(Row { path, room: Room::Upload, .. }) => upload::refuse(path, error),
        };
    }
    if !host_is_clear(&request) {
        let mut reply = bare(StatusCode::BAD_REQUEST);
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return reply;
    }
    if request.method() == Method::OPTIONS {
        return cors::preflight(row.map_or(EGRESS_ALLOW, |row| row.allow));
    }
    match row {
        None => egress::serve(front, peer, request).await,
        Some(row) if !row.allow.split(", ").any(|method| method == request.method()) => {
            let mut reply = bare(StatusCode::METHOD_NOT_ALLOWED);
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(row.allow));
            reply
        }
        Some(Row { room: Room::Rpc, .. }) => rpc::serve(front, peer, request).await,
        Some(Row { room: Room::Upload, .. }) => upload::serve(front, peer, request).await,
    }
}

fn bare(status: StatusCode) -> Reply {
    let mut reply = reply::new(Body::empty());
    *reply.status_mut() = status;
    reply
}

/// Exactly one `Host`; an HTTP/1.0 client may have none (RFC 9112, section 3.2).
fn host_is_clear<B>(request: &http::Request<B>) -> bool {
    match request.headers().get_all(HOST).iter().count() {
        0 => request.version() < Version::HTTP_11,
        1 => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_options_everywhere_and_no_path_twice() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(row.allow.ends_with(", OPTIONS") && row.path.starts_with('/'));
            assert!(TABLE[..i].iter().all(|other| other.path != row.path));
        }
    }

    #[test]
    fn hosts() {
        let request = |version, hosts: &[&str]| {
            let mut request = http::Request::new(());
            *request.version_mut() = version;
            for host in hosts {
                request.headers_mut().append(HOST, host.parse().unwrap());
            }
            host_is_clear(&request)
        };
        assert!(request(Version::HTTP_11, &["a"]) && request(Version::HTTP_10, &[]));
        assert!(!request(Version::HTTP_11, &[]));
        assert!(!request(Version::HTTP_11, &["a", "a"]) && !request(Version::HTTP_10, &["a", "b"]));
    }
}
