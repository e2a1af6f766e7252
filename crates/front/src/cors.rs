//! CORS (protocol.md, section 2): every answer may be read by every page, so that a browser application needs no server of
//! its own. Never with credentials: there are no cookies here.
//!
//! What lives here: the four headers, the preflight answer, and the test that they name every header of the contract.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    },
};

use crate::reply::{self, Body, Reply};

/// Every request header that protocol.md names.
const REQUEST_HEADERS: &str = "X-Agile-Authorization, X-Content-Type, X-Agile-Username, \
     X-Agile-Password, X-Agile-Subdir, X-Agile-Expiry, X-Agile-Encoding, X-Agile-Content-Encoding, \
     X-Agile-Directory, X-Agile-Basename, X-Agile-Recursive, X-Agile-MTime, X-Agile-Checksum, \
     X-Agile-Content-Type, X-Agile-Content-Detect, X-Agile-Expose-Egress, X-Agile-Multipart, \
     X-Agile-Part, X-Agile-Signature, Content-Type, Content-Length, Expect, Range, If-Match, \
     If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range";

/// Every response header that a script may want to read.
const RESPONSE_HEADERS: &str = "X-Agile-Status, X-Agile-Token, X-Agile-Uid, X-Agile-Gid, \
     X-Agile-Path, X-Agile-Size, X-Agile-Checksum, X-Agile-Multipart, X-Agile-Meta, X-Agile-Parts, \
     X-Llnw-Status, ETag, Last-Modified, Content-Length, Content-Range, Accept-Ranges, Allow, \
     Retry-After";

const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// How long a browser may keep a preflight's answer, in seconds.
const MAX_AGE_SECONDS: &str = "86400";

/// Adds the headers to an answer.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
}

/// The answer to any OPTIONS.
pub(crate) fn preflight(allow: &'static str) -> Reply {
    let mut reply = reply::new(Body::empty());
    *reply.status_mut() = StatusCode::OK;
    let headers = reply.headers_mut();
    headers.insert(http::header::ALLOW, HeaderValue::from_static(allow));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_header_names() {
        for list in [REQUEST_HEADERS, RESPONSE_HEADERS] {
            for name in list.split(", ") {
                assert!(name.parse::<http::HeaderName>().is_ok(), "{name:?}");
            }
        }
        let mut headers = HeaderMap::new();
        allow(&mut headers);
        assert_eq!(headers.len(), 4);
    }
}
