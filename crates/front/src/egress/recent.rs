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
use http::{HeaderMap, StatusCode};
use ops::Known;
use quick_cache::{Equivalent, Weighter, sync::Cache};

use super::{
    candidates,
    conditional::{self, Validators, Verdict},
    described, headers, sandbox,
};
use crate::{
    Front,
    reply::{self, Body, Kept},
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
    host: Box<[u8]>,
    path: Box<str>,
}

/// The same, of a request at hand.
#[derive(Debug, Hash)]
struct Asked<'a> {
    host: &'a [u8],
    path: &'a str,
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.host == &*key.host && self.path == &*key.path
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
        let names = key.path.len() + key.host.len();
        ANSWER_BYTES + (names + ready.known.inline().map_or(0, Bytes::len)) as u64
    }
}

impl Recent {
    /// The answer to a request for `path` of `host`, both as they were spelled, if it is kept and current.
    pub(super) fn get(&self, front: &Front, host: &[u8], path: &str) -> Option<Arc<Ready>> {
        let ready = self.answers.get(&Asked { host, path })?;
        front.store.is_current(&ready.known).then_some(ready)
    }

    /// The answer to a request for `path` of `host`, from the store, if that can say at once what it is.
    pub(super) fn make(
        &self,
        front: &Front,
        head: bool,
        host: &[u8],
        path: &str,
    ) -> Option<Arc<Ready>> {
        let named = std::str::from_utf8(host).ok()?;
        let candidates = candidates::candidates(Some(named), &candidates::decode(path).ok()?);
        let known = front.store.get_now(candidates, !head)?;
        let ready = Arc::new(Ready::new(front, known));
        let asked = Asked { host, path };
        // Of a large file, that it is one spares the next request this look.
        if ready.known.is_large() || self.is_again(&asked) {
            let key = Key { host: Box::from(host), path: Box::from(path) };
            self.answers.insert(key, Arc::clone(&ready));
        }
        Some(ready)
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
    fn new(front: &Front, known: Known) -> Self {
        let (attrs, own) = (known.attrs(), headers::validators(known.attrs()));
        let mut whole = described(StatusCode::OK, attrs.size, attrs, Body::empty());
        let mut brief = HeaderMap::with_capacity(reply::HEADERS);
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
        Self { known, own, whole, brief }
    }

    /// Whether this is all that can be had of the file here: its content was read, or is not asked for (`head`), or is large.
    pub(super) fn is_enough(&self, head: bool) -> bool {
        let known = &self.known;
        head || known.attrs().size == 0 || known.inline().is_some() || known.is_large()
    }

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
