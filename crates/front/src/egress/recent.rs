//! Answers about files that were asked for lately, for requests that show nothing: no signed URL, no token.
//!
//! Only a cache: an answer is given again as long as every record it came from is as it was ([`ops::Known`]). What lives
//! here: which requests it answers, and the answers' headers, written once. What does not: when it is current (the
//! store), everything a request can ask beside the whole file or its headers (`mod`).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::HOST};
use ops::Known;
use quick_cache::{Equivalent, Weighter, sync::Cache};

use super::{
    conditional::{self, Validators, Verdict},
    described, headers, link, sandbox,
};
use crate::{
    Front,
    reply::{self, Body, Kept, Request},
};

/// Memory for answers, in bytes.
const BYTES_MAX: u64 = 24 << 20;
/// How many answers that may come to, more or less.
const ANSWERS: usize = 8192;
/// Requests that are remembered without their answers.
const MARKS: usize = 16 << 10;
/// Bytes of an answer beside its names and its content.
const ANSWER_BYTES: u64 = 3 << 10;

/// The memory of answers.
pub(crate) struct Recent {
    answers: Cache<Key, Arc<Ready>, Weight>,
    /// Marks of what was asked for last, by place: an answer is worth keeping when it is asked for again.
    asked: Box<[AtomicU64]>,
}

impl Default for Recent {
    fn default() -> Self {
        let asked = std::iter::repeat_with(AtomicU64::default).take(MARKS).collect();
        Self { answers: Cache::with_weighter(ANSWERS, BYTES_MAX, Weight), asked }
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
pub(super) struct Ready {
    known: Known,
    own: Validators,
    /// The head of an answer with the whole file.
    whole: Bytes,
    /// The head of one that says it has not changed.
    brief: Bytes,
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
    /// The answer to a request for `path` of `host`, both as they were spelled, if it is kept and current.
    pub(super) fn get(&self, front: &Front, host: &[u8], path: &str) -> Option<Arc<Ready>> {
        let ready = self.answers.get(&Asked { host: Some(host), path })?;
        front.store.is_current(&ready.known).then_some(ready)
    }

    /// Keeps the answer to a request that was made before, not long ago.
    pub(super) fn keep(&self, front: &Front, request: &Request, known: Known) {
        let Some(asked) = asked(request) else { return };
        if !self.is_again(&asked) {
            return;
        }
        let Asked { host, path } = asked;
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
        let [whole, brief] =
            [(StatusCode::OK, whole.headers()), (StatusCode::NOT_MODIFIED, &brief)]
                .map(|(status, headers)| Bytes::from(reply::head(status, headers)));
        self.answers.insert(key, Arc::new(Ready { known, own, whole, brief }));
    }
}

impl Recent {
    fn is_again(&self, asked: &Asked<'_>) -> bool {
        let mut hasher = DefaultHasher::new();
        asked.hash(&mut hasher);
        let mark = hasher.finish() | 1;
        // The remainder fits.
        let place = usize::try_from(mark / 2 % MARKS as u64).unwrap_or_default();
        self.asked[place].swap(mark, Ordering::Relaxed) == mark
    }
}

impl Ready {
    /// The answer to a GET or HEAD (`head`) with these conditions, if what is kept is all that it needs.
    pub(super) fn give(&self, head: bool, conditions: &HeaderMap) -> Option<Kept> {
        let kept = |status, head: &Bytes, body| Kept { status, head: head.clone(), body };
        match conditional::judge(conditions, &self.own) {
            Verdict::NotModified => Some(kept(StatusCode::NOT_MODIFIED, &self.brief, Bytes::new())),
            Verdict::Serve if head || self.known.attrs().size == 0 => {
                Some(kept(StatusCode::OK, &self.whole, Bytes::new()))
            }
            Verdict::Serve => {
                self.known.inline().map(|bytes| kept(StatusCode::OK, &self.whole, bytes.clone()))
            }
            Verdict::Failed => None,
        }
    }
}
