//! Answers about files that were asked for lately, for requests that show nothing: no signed URL, no token.
//!
//! Only a cache: an answer is given again as long as every record it came from is as it was ([`ops::Known`]). What lives
//! here: which requests it answers, and the answers' headers, written once. What does not: when it is current (the
//! store), everything a request can ask beside the whole file or its headers (`mod`).

use std::{hash::Hash, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_LENGTH, HOST, RANGE},
};
use ops::Known;
use quick_cache::{Equivalent, Weighter, sync::Cache};

use super::{
    conditional::{self, Validators, Verdict},
    described, headers, link, sandbox,
};
use crate::{
    Front,
    reply::{self, Body, Reply, Request},
};

/// Memory for answers, in bytes.
const BYTES_MAX: u64 = 24 << 20;
/// How many answers that may come to, more or less.
const ANSWERS: usize = 8192;
/// Bytes of an answer beside its names and its content.
const ANSWER_BYTES: u64 = 3 << 10;

/// The memory of answers.
pub(crate) struct Recent(Cache<Key, Arc<Ready>, Weight>);

impl Default for Recent {
    fn default() -> Self {
        Self(Cache::with_weighter(ANSWERS, BYTES_MAX, Weight))
    }
}

/// What was asked for: a host and a path, as they were spelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: Option<Box<[u8]>>,
    path: Box<str>,
}

/// The same, of a request at hand.
#[derive(Debug, Hash)]
struct Asked<'a> {
    host: Option<&'a [u8]>,
    path: &'a str,
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.host == key.host.as_deref() && self.path == &*key.path
    }
}

/// An answer as it can be given again.
struct Ready {
    known: Known,
    own: Validators,
    /// Headers of the whole file.
    whole: HeaderMap,
    /// Headers of an answer that says it has not changed.
    brief: HeaderMap,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Ready>> for Weight {
    fn weight(&self, key: &Key, ready: &Arc<Ready>) -> u64 {
        let names = key.path.len() + key.host.as_deref().map_or(0, <[u8]>::len);
        ANSWER_BYTES + (names + ready.known.inline().map_or(0, Bytes::len)) as u64
    }
}

/// What a request asks for, if what is kept may answer it.
fn asked<B>(request: &http::Request<B>) -> Option<Asked<'_>> {
    let nothing_shown =
        request.uri().query().is_none() && !request.headers().contains_key(link::AUTHORIZATION);
    let named = || request.headers().get(HOST).map(http::HeaderValue::as_bytes);
    let host = request.uri().host().map(str::as_bytes).or_else(named);
    nothing_shown.then(|| Asked { host, path: request.uri().path() })
}

impl Recent {
    /// The answer to a request, if it is kept, current, and all that is needed.
    pub(super) fn answer<B>(&self, front: &Front, request: &http::Request<B>) -> Option<Reply> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        let ready = self.0.get(&asked(request)?)?;
        let current = front.store.is_current(&ready.known);
        current.then(|| ready.answer(request.method(), request.headers())).flatten()
    }

    /// Keeps the answer to a request.
    pub(super) fn keep(&self, front: &Front, request: &Request, known: Known) {
        let Some(Asked { host, path }) = asked(request) else { return };
        let key = Key { host: host.map(Box::from), path: Box::from(path) };
        let (attrs, own) = (known.attrs(), headers::validators(known.attrs()));
        let mut whole = described(StatusCode::OK, attrs.size, attrs, Body::empty());
        let mut brief = HeaderMap::new();
        for headers in [whole.headers_mut(), &mut brief] {
            headers::describe(headers, attrs, &own);
            if front.settings.sandbox {
                sandbox::confine(headers);
            }
            reply::dress(headers);
        }
        let whole = whole.into_parts().0.headers;
        self.0.insert(key, Arc::new(Ready { known, own, whole, brief }));
    }
}

impl Ready {
    /// Whether a request with these headers is answered from what is kept alone, and how.
    fn answer(&self, method: &Method, asked: &HeaderMap) -> Option<Reply> {
        let (status, headers, body) = match conditional::judge(asked, &self.own) {
            Verdict::NotModified => (StatusCode::NOT_MODIFIED, &self.brief, Body::empty()),
            Verdict::Serve if method == Method::HEAD => {
                (StatusCode::OK, &self.whole, Body::empty())
            }
            Verdict::Serve if !asked.contains_key(RANGE) => {
                let body = match self.known.inline() {
                    Some(bytes) => Body::whole(bytes.clone()),
                    None if self.known.attrs().size == 0 => Body::empty(),
                    None => return None,
                };
                (StatusCode::OK, &self.whole, body)
            }
            Verdict::Serve | Verdict::Failed => return None,
        };
        let mut reply = Reply::new(body);
        *reply.status_mut() = status;
        *reply.headers_mut() = headers.clone();
        debug_assert!(headers.contains_key(CONTENT_LENGTH) || status == StatusCode::NOT_MODIFIED);
        Some(reply)
    }
}
