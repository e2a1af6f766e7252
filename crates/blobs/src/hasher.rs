//! SHA-256 of bytes that arrive, beside whoever writes them: of a blob, and of more than the blob where somebody has a hash of
//! the bytes before it.
//!
//! What lives here: who hashes what, how much may wait for it, and how another hash joins. What does not: the way of the
//! same bytes to disk (`local::writer`), and what the other hash is good for (whoever lets it join). The invariants: each hash
//! takes the parts in the order in which they were handed over, on one thread at a time; a thread goes on while there is something
//! to do, and never waits for more, nor for another thread.
//!
//! Two hashes go through the same bytes together on one thread, which costs a quarter less than each by itself, or apart on two,
//! which is quicker where a core has nothing else to do. What waits tells which: when it is little, whoever hands it over needs the
//! cores; when it is much, he waits for us.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

use bytes::Bytes;
use model::{Digest, Error, Result};
use tokio::{
    sync::{Notify, oneshot},
    task::spawn_blocking,
};

use crate::ContentHash;

/// How much may wait before its stage has to. With what is being hashed, enough that the thread never runs dry while the
/// next batch is on its way through the runtime.
const WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Two hashes go apart when so much waits.
const APART_BYTES: usize = 3 * 512 * 1024;
/// The one that is ahead goes on while so much waits for it. Otherwise the other gets there, and they go on together.
const AHEAD_BYTES: usize = 512 * 1024;
/// How much a stage keeps to itself while another hash is expected to join: what comes while the blob before is hashed to its end.
pub const EXPECTING_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Each needs a core then, and so does whoever receives and writes.
static MAY_GO_APART: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|cores| cores.get() > 2));

/// A hash of more than a blob: of bytes before it, then of the blob's.
#[derive(Clone)]
pub struct Chained {
    /// SHA-256 of the bytes before the blob.
    pub before: Digest,
    /// As it is now.
    pub hash: ContentHash,
}

/// What bytes are taken through.
#[derive(Clone)]
pub struct Hashes {
    /// The blob's.
    pub own: ContentHash,
    /// One that joined.
    pub chained: Option<Chained>,
}

/// Hashes as they go on, and the bytes that wait for them. Needs the threads of a runtime.
pub struct Hasher {
    line: Arc<Line>,
    expects: bool,
    /// Who let another hash join, or will.
    asked: Option<oneshot::Sender<Hashes>>,
}

/// Lets another hash join the one of a stage.
pub struct Chain {
    line: Weak<Line>,
    end: oneshot::Receiver<Hashes>,
}

struct Line {
    inner: Mutex<Inner>,
    /// Something was hashed. Only whoever hands bytes over waits for it.
    changed: Notify,
}

struct Inner {
    /// Parts that not all hashes have taken yet, and how many there were before them.
    waiting: VecDeque<Bytes>,
    before: u64,
    /// Bytes in `waiting`.
    bytes: usize,
    /// Bytes that were handed over.
    taken: u64,
    /// Whether another hash may join: none did yet, and the end was not asked for.
    is_open: bool,
    own: Head,
    chained: Option<(Digest, Head)>,
    may_go_apart: bool,
    /// A thread ended early, or nobody will ask.
    is_lost: bool,
}

/// A hash, and how many parts it has taken.
struct Head {
    parts: u64,
    /// `None`: a thread has it.
    hash: Option<ContentHash>,
}

/// What a thread does at once: one part, and the hashes that take it.
struct Step {
    part: Bytes,
    own: Option<ContentHash>,
    chained: Option<ContentHash>,
}

impl Hashes {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.chained {
            Some(chained) => ContentHash::update_both(&mut self.own, &mut chained.hash, bytes),
            None => self.own.update(bytes),
        }
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::from(ContentHash::new())
    }
}

impl From<ContentHash> for Hasher {
    /// Goes on from a state.
    fn from(own: ContentHash) -> Self {
        let inner = Mutex::new(Inner::new(own));
        let line = Arc::new(Line { inner, changed: Notify::new() });
        Self { line, expects: false, asked: None }
    }
}

impl Hasher {
    /// Waits until more may be handed over. May be dropped and called again.
    ///
    /// # Errors
    /// [`model::Error::Storage`]: the hash is lost.
    pub async fn room(&self) -> Result<()> {
        self.until(|inner| (inner.bytes <= WAITING_BYTES_MAX).then_some(())).await
    }

    /// Hands bytes over, in the order of the content.
    pub fn push(&self, bytes: Bytes) {
        let mut inner = self.line.inner();
        inner.push(bytes);
        self.line.begin(&mut inner);
    }

    /// Waits until everything is hashed; the states are then the caller's. May be dropped and called again before.
    ///
    /// # Errors
    /// [`model::Error::Storage`]: the hash is lost.
    pub async fn end(&self) -> Result<Hashes> {
        self.line.inner().is_open = false;
        self.until(Inner::end).await
    }

    /// Lets another hash join. From now on one is expected.
    pub(crate) fn chain(&mut self) -> Chain {
        let (sender, end) = oneshot::channel();
        (self.expects, self.asked) = (true, Some(sender));
        Chain { line: Arc::downgrade(&self.line), end }
    }

    /// These are the hashes of all there is, for who asked.
    pub(crate) fn tell(&mut self, hashes: &Hashes) {
        if let Some(asked) = self.asked.take() {
            drop(asked.send(hashes.clone()));
        }
    }

    /// Whether so many bytes, of which none was handed over, had better wait, because another hash may join in time.
    pub(crate) fn expects(&mut self, bytes: usize) -> bool {
        if self.expects {
            let inner = self.line.inner();
            self.expects = inner.is_open && inner.taken == 0 && bytes < EXPECTING_BYTES_MAX;
        }
        self.expects
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut Inner) -> Option<T>) -> Result<T> {
        loop {
            {
                let mut inner = self.line.inner();
                if inner.is_lost {
                    return Err(Error::Storage("a thread of the store ended early".into()));
                }
                if let Some(seen) = look(&mut inner) {
                    return Ok(seen);
                }
            }
            self.line.changed.notified().await;
        }
    }
}

impl Drop for Hasher {
    /// Nobody will ask: what waits need not be hashed.
    fn drop(&mut self) {
        self.line.lose();
    }
}

impl Chain {
    /// How many bytes were handed over to the hash of the stage; `None`: no other hash can join any more.
    pub fn taken(&self) -> Option<u64> {
        let line = self.line.upgrade()?;
        let inner = line.inner();
        inner.is_open.then_some(inner.taken)
    }

    /// From now on the bytes are taken through this hash, too. It has taken those that were handed over, up to the byte `at` of
    /// the blob; `false`: more was handed over by now.
    #[must_use]
    pub fn join(&self, at: u64, chained: &Chained) -> bool {
        let Some(line) = self.line.upgrade() else { return false };
        let mut inner = line.inner();
        if !inner.is_open || inner.taken != at {
            return false;
        }
        let Chained { before, hash } = chained.clone();
        let parts = inner.before + inner.waiting.len() as u64;
        inner.chained = Some((before, Head { parts, hash: Some(hash) }));
        inner.is_open = false;
        true
    }

    /// Waits until everything is hashed, which is before it is a whole blob; `None`: it does not come to that.
    pub async fn end(self) -> Option<Hashes> {
        self.end.await.ok()
    }
}

impl Line {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives threads what there is to do.
    fn begin(self: &Arc<Self>, inner: &mut Inner) {
        while let Some(step) = inner.next() {
            let turn = Turn { line: Arc::clone(self), over: false };
            drop(spawn_blocking(move || turn.run(step)));
        }
    }

    fn lose(&self) {
        let mut inner = self.inner();
        inner.is_lost = true;
        let waiting = mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
        self.changed.notify_one();
    }
}

impl Inner {
    fn new(own: ContentHash) -> Self {
        let own = Head { parts: 0, hash: Some(own) };
        let (waiting, before, bytes, taken, chained, is_lost) = Default::default();
        let may_go_apart = *MAY_GO_APART;
        Self { waiting, before, bytes, taken, is_open: true, own, chained, may_go_apart, is_lost }
    }

    fn push(&mut self, part: Bytes) {
        self.taken += part.len() as u64;
        self.bytes += part.len();
        self.waiting.push_back(part);
    }

    /// What waits for a hash.
    fn rest(&self, head: &Head) -> impl Iterator<Item = &Bytes> {
        let place = usize::try_from(head.parts - self.before).unwrap_or(usize::MAX);
        self.waiting.iter().skip(place)
    }

    /// Something to do that nobody does.
    fn next(&mut self) -> Option<Step> {
        if self.is_lost {
            return None;
        }
        let (own, chained) = self.who_goes();
        let head = match &self.chained {
            Some((_, head)) if chained => head,
            Some(_) | None if own => &self.own,
            Some(_) | None => return None,
        };
        let part = self.rest(head).next()?.clone();
        let own = self.own.hash.take_if(|_| own);
        let chained = self.chained.as_mut().and_then(|(_, head)| head.hash.take_if(|_| chained));
        Some(Step { part, own, chained })
    }

    /// Which of the hashes, the blob's own and the other, takes a part now; both: the same.
    fn who_goes(&self) -> (bool, bool) {
        let own = &self.own;
        match &self.chained {
            None => (own.hash.is_some(), false),
            Some((_, chained)) if own.is_with(chained) => {
                (true, self.bytes < APART_BYTES || !self.may_go_apart)
            }
            Some((_, chained)) if self.goes_apart(own, chained) => (true, false),
            Some((_, chained)) => (false, self.goes_apart(chained, own)),
        }
    }

    fn goes_apart(&self, head: &Head, other: &Head) -> bool {
        let rest = || self.rest(head).map(Bytes::len);
        head.hash.is_some()
            && if head.parts <= other.parts {
                rest().next().is_some()
            } else {
                self.may_go_apart && rest().sum::<usize>() >= AHEAD_BYTES
            }
    }

    /// Takes back what a thread has done.
    fn done(&mut self, step: Step) {
        if let Some(own) = step.own {
            self.own.took(own);
        }
        if let (Some(hash), Some((_, head))) = (step.chained, &mut self.chained) {
            head.took(hash);
        }
        let parts = self
            .chained
            .as_ref()
            .map_or(self.own.parts, |(_, head)| head.parts.min(self.own.parts));
        while self.before < parts {
            self.before += 1;
            self.bytes -= self.waiting.pop_front().map_or(0, |part| part.len());
        }
    }

    /// The hashes, if they have taken everything.
    fn end(&mut self) -> Option<Hashes> {
        let is_behind = |head: &Head| head.hash.is_some() && self.rest(head).next().is_none();
        if !is_behind(&self.own) || !self.chained.as_ref().is_none_or(|(_, head)| is_behind(head)) {
            return None;
        }
        let own = self.own.hash.take()?;
        let chained = self.chained.take().and_then(|(before, head)| {
            let hash = head.hash?;
            Some(Chained { before, hash })
        });
        Some(Hashes { own, chained })
    }
}

impl Head {
    /// Whether no thread has either of them, and they have taken the same parts.
    fn is_with(&self, other: &Head) -> bool {
        self.hash.is_some() && other.hash.is_some() && self.parts == other.parts
    }

    fn took(&mut self, hash: ContentHash) {
        self.parts += 1;
        self.hash = Some(hash);
    }
}

impl Step {
    fn take(&mut self) {
        match (&mut self.own, &mut self.chained) {
            (Some(own), Some(chained)) => ContentHash::update_both(own, chained, &self.part),
            (Some(hash), None) | (None, Some(hash)) => hash.update(&self.part),
            (None, None) => {}
        }
    }
}

/// One thread's turn: until there is nothing to do. If it ends in any other way, a hash is lost.
struct Turn {
    line: Arc<Line>,
    over: bool,
}

impl Turn {
    fn run(mut self, mut step: Step) {
        loop {
            step.take();
            let mut inner = self.line.inner();
            if inner.is_lost {
                break;
            }
            inner.done(step);
            let next = inner.next();
            self.line.begin(&mut inner);
            drop(inner);
            self.line.changed.notify_one();
            match next {
                Some(next) => step = next,
                None => break,
            }
        }
        self.over = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            self.line.lose();
        }
    }
}

#[cfg(test)]
#[path = "hasher_tests.rs"]
mod tests;
