//! The bytes of an answer: a plan of literal bytes and spans of a file, read piece by piece as the client takes them.
//!
//! Memory a connection: the piece that is being sent and the one that is being read meanwhile; none where the connection
//! sends files (`outlet`). What does not live here:
//! which spans are served (`range`), verification (the store reads verified bytes or fails).

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use ops::{Opened, model::Error};

use super::range::Span;
use crate::{
    access::Ticket,
    outlet::{AsFile, Leaving, MARK_BYTES_MAX, Outlet},
    reply::{Body, Files},
};

/// Bytes of a file that are asked for in one read.
const PIECE_BYTES: usize = 256 * 1024;

/// A part of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// These bytes.
    Literal(Bytes),
    /// These bytes of the file.
    File(Span),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Part::Literal(bytes) => bytes.len() as u64,
            Part::File(span) => span.len(),
        }
    }
}

/// How many bytes a plan comes to.
pub(super) fn len(plan: &[Part]) -> u64 {
    plan.iter().map(Part::len).sum()
}

/// The body that a plan describes. One span of content in memory is a slice of it, never copied.
pub(super) fn body(opened: Opened, plan: Vec<Part>) -> Body {
    match (opened.inline(), plan.as_slice()) {
        (Some(bytes), [Part::File(span)]) => slice(bytes, *span).map_or_else(fault, Body::whole),
        _ => {
            let opened = Arc::new(opened);
            let file = opened.in_files().then(|| Arc::clone(&opened) as Arc<dyn AsFile>);
            let read = move |at, len| -> Read {
                let opened = Arc::clone(&opened);
                Box::pin(async move { opened.read(at, len).await })
            };
            Body::files(len(&plan), Pieces { file, ..Pieces::new(read, plan) })
        }
    }
}

/// A body that ends the connection at once: what should be there is not.
fn fault() -> Body {
    let error = Error::Damaged("content is shorter than its record says".to_owned());
    Body::stream(1, futures_util::stream::iter([Err(error)]))
}

/// A span of bytes in memory, if they have it.
pub(super) fn slice(bytes: &Bytes, span: Span) -> Option<Bytes> {
    let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}

type Read = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

/// What comes next out of a plan.
enum Next {
    /// In memory, or read already.
    Here(Result<Bytes, Error>),
    /// Being read.
    Coming(Read),
    /// Nothing.
    End,
}

/// A plan that is being carried out; `R` reads the file from an offset, so many bytes at most.
struct Pieces<R> {
    read: R,
    plan: VecDeque<Part>,
    next: Next,
    /// The file, where it can leave as one.
    file: Option<Arc<dyn AsFile>>,
    /// The same, and where it leaves.
    leaving: Option<(Arc<dyn AsFile>, Outlet)>,
    /// The request's, for what is logged: a body is polled after the request was answered.
    ticket: Ticket,
}

impl<R: Fn(u64, usize) -> Read> Pieces<R> {
    fn new(read: R, plan: Vec<Part>) -> Self {
        let ticket = Ticket::current();
        let (next, file, leaving) = (Next::End, None, None);
        let mut pieces = Self { read, plan: plan.into(), next, file, leaving, ticket };
        pieces.next = pieces.begin();
        pieces
    }

    /// Begins what stands first in the plan. A read's length is known only when it is done: its span waits in the plan.
    fn begin(&self) -> Next {
        match self.plan.front() {
            None => Next::End,
            Some(Part::Literal(bytes)) => Next::Here(Ok(bytes.clone())),
            Some(Part::File(span)) => {
                let len = usize::try_from(span.len()).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                Next::Coming((self.read)(span.start, len))
            }
        }
    }

    /// Takes what has come off the plan.
    fn advance(&mut self, taken: u64) -> Result<(), Error> {
        match self.plan.pop_front() {
            Some(Part::File(span)) if taken < span.len() => {
                if taken == 0 {
                    return Err(Error::Damaged("content ended early".to_owned()));
                }
                self.plan.push_front(Part::File(Span { start: span.start + taken, ..span }));
                Ok(())
            }
            Some(part) if taken == part.len() => Ok(()),
            _ => Err(Error::Damaged("more content than asked for".to_owned())),
        }
    }

    /// The end of the stream, after an error that is logged here, where it is known and nobody can be told.
    fn fail(&mut self, error: Error) -> Error {
        self.ticket.within(|| {
            tracing::error!(%error, "reading content failed, the connection is cut");
        });
        self.plan.clear();
        self.next = Next::End;
        error
    }
}

/// What comes next of a plan whose files leave as files.
fn next_leaving(
    plan: &mut VecDeque<Part>,
    file: &Arc<dyn AsFile>,
    outlet: &Outlet,
    ticket: Ticket,
) -> Option<Bytes> {
    let Span { start, end } = match plan.pop_front()? {
        Part::Literal(bytes) => return Some(bytes),
        Part::File(span) => span,
    };
    let len = usize::try_from(end - start).unwrap_or(MARK_BYTES_MAX).min(MARK_BYTES_MAX);
    let rest = start + len as u64;
    if rest < end {
        plan.push_front(Part::File(Span { start: rest, end }));
    }
    let file = Arc::clone(file);
    Some(outlet.place(Leaving { file, from: start, len, end, ticket }))
}

impl<R: Fn(u64, usize) -> Read + Send + Unpin> Files for Pieces<R> {
    fn leave_by(self: Pin<&mut Self>, outlet: &Outlet) {
        let this = self.get_mut();
        if let Some(file) = this.file.take() {
            this.next = Next::End;
            this.leaving = Some((file, outlet.clone()));
        }
    }
}

impl<R: Fn(u64, usize) -> Read + Unpin> Stream for Pieces<R> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some((file, outlet)) = &this.leaving {
            return Poll::Ready(next_leaving(&mut this.plan, file, outlet, this.ticket).map(Ok));
        }
        let result = match std::mem::replace(&mut this.next, Next::End) {
            Next::End => return Poll::Ready(None),
            Next::Here(result) => result,
            Next::Coming(mut read) => match read.as_mut().poll(cx) {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    this.next = Next::Coming(read);
                    return Poll::Pending;
                }
            },
        };
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => return Poll::Ready(Some(Err(this.fail(error)))),
        };
        if let Err(error) = this.advance(bytes.len() as u64) {
            return Poll::Ready(Some(Err(this.fail(error))));
        }
        // Read-ahead: the next read is under way before these bytes go out.
        this.next = match this.begin() {
            Next::Coming(mut read) => match read.as_mut().poll(cx) {
                Poll::Ready(result) => Next::Here(result),
                Poll::Pending => Next::Coming(read),
            },
            other => other,
        };
        Poll::Ready(Some(Ok(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt;

    use super::*;

    const CONTENT: &[u8] = b"0123456789abcdefghij";

    fn file(start: u64, end: u64) -> Part {
        Part::File(Span { start, end })
    }

    /// Reads that stop at every fifth byte, as at the end of a blob.
    fn short(at: u64, len: usize) -> Read {
        let at = usize::try_from(at).unwrap();
        let end = (at + len).min(at / 5 * 5 + 5);
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(Bytes::from_static(&CONTENT[at..end]))
        })
    }

    async fn all(pieces: Pieces<impl Fn(u64, usize) -> Read + Unpin>) -> Result<Vec<u8>, Error> {
        let pieces: Vec<_> = pieces.collect().await;
        Ok(pieces.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    #[tokio::test]
    async fn a_plan_comes_as_it_is_written() {
        let literal = |text: &'static str| Part::Literal(Bytes::from_static(text.as_bytes()));
        let plan = vec![literal("<"), file(3, 12), literal("><"), file(0, 1), literal(">")];
        assert_eq!(len(&plan), 14);
        assert_eq!(all(Pieces::new(short, plan)).await.unwrap(), b"<3456789ab><0>");
        assert_eq!(all(Pieces::new(short, vec![file(0, 20)])).await.unwrap(), CONTENT);
        assert_eq!(all(Pieces::new(short, vec![])).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn wrong_reads_are_errors() {
        let nothing = |_: u64, _: usize| -> Read { Box::pin(async { Ok(Bytes::new()) }) };
        let too_much =
            |_: u64, _: usize| -> Read { Box::pin(async { Ok(Bytes::from_static(CONTENT)) }) };
        let damaged =
            |_: u64, _: usize| -> Read { Box::pin(async { Err(Error::Damaged(String::new())) }) };
        assert!(all(Pieces::new(nothing, vec![file(0, 5)])).await.is_err());
        assert!(all(Pieces::new(too_much, vec![file(0, 5)])).await.is_err());
        let mut pieces = Pieces::new(damaged, vec![file(0, 5)]);
        assert!(pieces.next().await.unwrap().is_err());
        assert!(pieces.next().await.is_none());
    }

    #[tokio::test]
    async fn one_read_ahead_and_no_more() {
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        let counted = |at: u64, len: usize| -> Read {
            Box::pin(async move {
                BEGUN.fetch_add(1, Ordering::Relaxed);
                short(at, len).await
            })
        };
        let mut pieces = Pieces::new(counted, vec![file(0, 20)]);
        assert_eq!(BEGUN.load(Ordering::Relaxed), 0);
        for taken in 1..=3 {
            assert_eq!(pieces.next().await.unwrap().unwrap().len(), 5);
            assert_eq!(BEGUN.load(Ordering::Relaxed), taken + 1);
        }
        assert!(pieces.next().await.is_some() && pieces.next().await.is_none());
        assert_eq!(BEGUN.load(Ordering::Relaxed), 4);
    }
}
