//! Files that leave a connection as files: the system sends them from its own memory, and nobody copies their bytes.
//!
//! hyper sends bytes it is given and knows no files. So a body gives it a slice of *marks*, a region that is never written
//! and never read, as long as the part of the file it stands for, and notes in the connection's [`Outlet`] which part that
//! is. Where the bytes would be written to the socket, `door::plain` knows the marks by their address, and sends the file
//! instead. hyper passes slices on as they are when it is told that the stream writes vectors; tests in `door::plain` hold it
//! to that.
//!
//! What does not live here: the sending, and which bodies leave so (`reply`). The invariant: every mark has an address that
//! says which of the noted parts it is, so marks that are lost, sent twice or in another order are noticed and end the
//! connection.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use ops::{FileSpan, Opened, model::Error};

use crate::access::Ticket;

/// Bytes of the region. It takes addresses and no memory; a mark's address comes again after so many bytes.
const MARKS_BYTES: usize = 16 * 1024 * 1024;
/// The longest mark.
pub(crate) const MARK_BYTES_MAX: usize = 2 * 1024 * 1024;

static MARKS: LazyLock<&[u8]> = LazyLock::new(|| Box::leak(vec![0; MARKS_BYTES].into()));

/// Whether the system was seen not to send files.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// What can be sent as a file.
pub(crate) trait AsFile: Send + Sync {
    /// [`Opened::span_now`].
    fn span_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan, Error>>;
    /// [`Opened::span`].
    fn span(self: Arc<Self>, offset: u64, len: usize) -> Spanning;
}

/// A span that is waited for.
pub(crate) type Spanning = Pin<Box<dyn Future<Output = Result<FileSpan, Error>> + Send>>;

impl AsFile for Opened {
    fn span_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan, Error>> {
        Opened::span_now(self, offset, len)
    }

    fn span(self: Arc<Self>, offset: u64, len: usize) -> Spanning {
        Box::pin(async move { Opened::span(&self, offset, len).await })
    }
}

/// A part of a file that is to leave.
#[derive(Clone)]
pub(crate) struct Leaving {
    /// Of what.
    pub(crate) file: Arc<dyn AsFile>,
    /// Where the part begins.
    pub(crate) from: u64,
    /// How long it is.
    pub(crate) len: usize,
    /// The end of all that is wanted of the file: how far it may be looked at ahead.
    pub(crate) end: u64,
    /// The request's, for what is logged.
    pub(crate) ticket: Ticket,
}

/// The files that leave by one connection, in order. Its clones are one.
#[derive(Clone, Default)]
pub(crate) struct Outlet(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    /// With the places of their marks in the region.
    waiting: VecDeque<(usize, Leaving)>,
    /// Where the next mark is taken from.
    next: usize,
}

impl Outlet {
    /// Notes a part of a file, [`MARK_BYTES_MAX`] at most; the mark that stands for it.
    pub(crate) fn place(&self, leaving: Leaving) -> Bytes {
        debug_assert!(leaving.len <= MARK_BYTES_MAX);
        let mut queue = self.lock();
        let begin = if queue.next + leaving.len <= MARKS_BYTES { queue.next } else { 0 };
        let end = begin + leaving.len;
        queue.next = end;
        queue.waiting.push_back((begin, leaving));
        Bytes::from_static(&MARKS[begin..end])
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// What stands first, which the mark must be of; no longer than the mark.
    ///
    /// # Errors
    /// Another mark, or nothing, is expected.
    pub(crate) fn first(&self, mark: &[u8]) -> io::Result<Leaving> {
        let queue = self.lock();
        match queue.waiting.front() {
            Some((begin, leaving))
                if MARKS[*begin..].as_ptr() == mark.as_ptr() && mark.len() <= leaving.len =>
            {
                Ok(Leaving { len: mark.len(), ..leaving.clone() })
            }
            _ => Err(io::Error::other("a mark is not the one that is expected")),
        }
    }

    /// Takes off what was sent of the first part.
    pub(crate) fn sent(&self, bytes: usize) {
        let mut queue = self.lock();
        if let Some((begin, leaving)) = queue.waiting.front_mut() {
            *begin += bytes;
            leaving.from += bytes as u64;
            leaving.len = leaving.len.saturating_sub(bytes);
            if leaving.len == 0 {
                queue.waiting.pop_front();
            }
        }
    }

    /// Whether files may be placed here. Not where the system does not send any.
    pub(crate) fn is_open() -> bool {
        !REFUSED.load(Ordering::Relaxed)
    }

    /// The system sends no files: from now on bodies are read.
    pub(crate) fn close() {
        REFUSED.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether these bytes are a mark, or a part of one.
pub(crate) fn is_mark(bytes: &[u8]) -> bool {
    !bytes.is_empty() && MARKS.as_ptr_range().contains(&bytes.as_ptr())
}
