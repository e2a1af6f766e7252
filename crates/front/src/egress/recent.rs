//! Answers about files for requests that show nothing, no signed URL and no token, where the store can say at once what is
//! there. They are kept as long as there is memory for them, those that are asked for again longest.
//!
//! Only a cache: an answer is given again as long as every record it came from is as it was ([`ops::Known`]). Where one of them
//! may have changed the file is looked up again, but not its content if that is the same. What lives
//! here: which requests it answers, and the answers' headers, written once. What does not: when it is current (the
//! store), everything a request can ask beside the file, one range of it or its headers (`mod`), writing it (`door`).

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ops::{Known, Opened};
use quick_cache::{Equivalent, Weighter, sync::Cache};

use super::{
    body, candidates,
    conditional::{self, Validators, Verdict},
    describe_content, headers,
    range::{Span, Wanted},
    ranges, sandbox,
};
use crate::{
    Front,
    outlet::Outlet,
    reply::{self, Kept, KeptBody},
};

/// Headers of an answer about a file, beside those that every answer has.
const OWN_HEADERS: usize = 12;
/// How long a file that is being sent is taken as it was opened: one that is put in its place is to be seen soon.
const OPEN_FOR: Duration = Duration::from_secs(1);
/// The most bytes of [`part_lines`].
const PART_LINES_BYTES: usize = 128;
/// Bytes of an answer beside its names and its content.
const ANSWER_BYTES: u64 = 3 << 9;
/// Bytes of an answer, more or less.
const ANSWER_BYTES_TYPICAL: u64 = 4 << 10;

/// The memory of answers.
pub(crate) struct Recent {
    answers: Cache<Key, Arc<Ready>, Weight>,
}

impl Recent {
    /// With so many bytes for answers.
    pub(crate) fn new(bytes: u64) -> Self {
        let answers = usize::try_from(bytes / ANSWER_BYTES_TYPICAL).unwrap_or(usize::MAX);
        Self { answers: Cache::with_weighter(answers, bytes, Weight) }
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
    sandbox: bool,
    /// The head of an answer with the whole file, once it was needed.
    whole: OnceLock<Bytes>,
    /// That of one with a part of it, but for which part, likewise.
    part: OnceLock<Bytes>,
    /// That of one that says it has not changed, likewise.
    brief: OnceLock<Bytes>,
    /// The file itself, if it is large and somebody is being sent of it; with when it was opened.
    open: Mutex<Option<(Instant, Weak<Opened>)>>,
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
    /// The answer to a request for `path` of `host`, both as they were spelled, or for its headers (`head`): if it is kept and
    /// current, or if the store can say at once what it is.
    pub(super) fn get(
        &self,
        front: &Front,
        head: bool,
        host: &[u8],
        path: &str,
    ) -> Option<Arc<Ready>> {
        let asked = Asked { host, path };
        let before = self.answers.get(&asked);
        if let Some(ready) = &before
            && ready.is_enough(head)
            && front.store.is_current(&ready.known)
        {
            return before;
        }
        let named = std::str::from_utf8(host).ok()?;
        let candidates = candidates::candidates(Some(named), &candidates::decode(path).ok()?);
        let known = before.as_ref().map(|ready| &ready.known);
        let ready = Arc::new(Ready::new(front, front.store.get_now(candidates, !head, known)?));
        let key = Key { host: Box::from(host), path: Box::from(path) };
        self.answers.insert(key, Arc::clone(&ready));
        Some(ready)
    }
}

/// What the head of an answer with a part of a file says of that part.
fn part_lines(span: Span, size: u64) -> Vec<u8> {
    let mut lines = Vec::with_capacity(PART_LINES_BYTES);
    let mut number = itoa::Buffer::new();
    let mut line = |name: &str, digits: u64| {
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(number.format(digits).as_bytes());
    };
    line("Content-Length: ", span.len());
    line("\r\nContent-Range: bytes ", span.start);
    line("-", span.end - 1);
    line("/", size);
    lines.extend_from_slice(b"\r\n");
    lines
}

impl Ready {
    fn new(front: &Front, known: Known) -> Self {
        let (own, sandbox) = (headers::validators(known.attrs()), front.settings.sandbox);
        let [whole, part, brief] = [(); 3].map(|()| OnceLock::new());
        Self { known, own, sandbox, whole, part, brief, open: Mutex::default() }
    }

    fn head(&self, status: StatusCode) -> Bytes {
        let attrs = self.known.attrs();
        let write = || {
            let mut headers = HeaderMap::with_capacity(OWN_HEADERS);
            match status {
                StatusCode::OK => describe_content(&mut headers, attrs.size, attrs),
                StatusCode::PARTIAL_CONTENT => headers::content_type(&mut headers, attrs),
                _ => {}
            }
            headers::describe(&mut headers, attrs, &self.own);
            if self.sandbox {
                sandbox::confine(&mut headers);
            }
            // Of its own length: it stays.
            Bytes::from(reply::head(status, &headers).into_boxed_slice())
        };
        let kept = match status {
            StatusCode::OK => &self.whole,
            StatusCode::PARTIAL_CONTENT => &self.part,
            _ => &self.brief,
        };
        kept.get_or_init(write).clone()
    }

    /// Whether this is all that can be had of the file here: its content was read, or is not asked for (`head`), or is large.
    fn is_enough(&self, head: bool) -> bool {
        let known = &self.known;
        head || known.attrs().size == 0 || known.inline().is_some() || known.is_large()
    }

    /// The answer to a GET or HEAD (`head`) with these conditions and this range, if what is known is all that it needs; `files`:
    /// whether it may leave as a file.
    pub(super) fn give(
        &self,
        front: &Front,
        head: bool,
        files: bool,
        asked: &HeaderMap,
    ) -> Option<Kept> {
        let nothing = || KeptBody::Bytes(Bytes::new());
        let kept =
            |status, body| Some(Kept { status, head: self.head(status), own: Vec::new(), body });
        let size = self.known.attrs().size;
        match conditional::judge(asked, &self.own) {
            Verdict::NotModified => kept(StatusCode::NOT_MODIFIED, nothing()),
            Verdict::Serve if head => kept(StatusCode::OK, nothing()),
            Verdict::Serve => match ranges(asked, size, &self.own) {
                Wanted::Whole if size == 0 => kept(StatusCode::OK, nothing()),
                Wanted::Whole => {
                    let whole = Span { start: 0, end: size };
                    kept(StatusCode::OK, self.content(front, files, whole)?)
                }
                Wanted::Parts(spans) => {
                    let [span] = spans[..] else { return None };
                    let body = self.content(front, files, span)?;
                    let own = part_lines(span, size);
                    Some(Kept { own, ..kept(StatusCode::PARTIAL_CONTENT, body)? })
                }
                Wanted::Nothing => None,
            },
            Verdict::Failed => None,
        }
    }

    fn content(&self, front: &Front, files: bool, span: Span) -> Option<KeptBody> {
        if let Some(bytes) = self.known.inline() {
            return Some(KeptBody::Bytes(body::slice(bytes, span)?));
        }
        let may = files && self.known.is_large() && Outlet::is_open();
        let opened = may.then(|| self.opened(front)).flatten()?;
        Some(KeptBody::File(opened, span.start..span.end))
    }

    /// The file, if it lies in files: as it was opened for another a moment ago, who has it still, or opened now.
    fn opened(&self, front: &Front) -> Option<Arc<Opened>> {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, opened)) = &*open
            && now.duration_since(*when) < OPEN_FOR
            && let Some(opened) = opened.upgrade()
        {
            return Some(opened);
        }
        let opened = front.store.open_now(&self.known).filter(Opened::in_files).map(Arc::new)?;
        *open = Some((now, Arc::downgrade(&opened)));
        Some(opened)
    }
}
