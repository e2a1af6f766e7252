//! The answer to a head that is not let in: what every answer has, a line in the access log, and the end of the
//! connection.
//!
//! It is written beneath hyper, which never sees such a head. What does not live here: which heads those are (`head`).

use std::time::{Duration, UNIX_EPOCH};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, DATE},
};
use ops::clock::{Clock, SystemClock};

use crate::{
    Peer,
    access::{self, Access},
    reply,
};

/// Why a head is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    why: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, why: &'static str) -> Self {
        Self { status, why }
    }

    /// What is answered.
    #[cfg(test)]
    pub(super) fn status(self) -> StatusCode {
        self.status
    }

    /// The answer as it goes over the wire, written to the access log.
    pub(super) fn answer(self, peer: Peer, access: &Access) -> Vec<u8> {
        access::head_refused(access, peer, self.status, self.why);
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let now = UNIX_EPOCH + Duration::from_secs(SystemClock.now().secs());
        if let Ok(now) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
            headers.insert(DATE, now);
        }
        let mut bytes = reply::head(self.status, &headers);
        bytes.extend_from_slice(reply::common());
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_answer() {
        let bytes =
            Refusal::new(StatusCode::BAD_REQUEST, "x").answer(Peer { address: None }, &None);
        let mut headers = [httparse::EMPTY_HEADER; 20];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(&bytes).unwrap();
        assert_eq!(parsed, httparse::Status::Complete(bytes.len()));
        assert_eq!((answer.code, answer.reason), (Some(400), Some("Bad Request")));
        let value = |name: &str| {
            answer.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).unwrap().value
        };
        assert_eq!(value("access-control-allow-origin"), b"*");
        assert_eq!((value("connection"), value("content-length")), (&b"close"[..], &b"0"[..]));
    }
}
