//! Answers that go out no faster than a signed URL allows (protocol.md, section 10, `ri` and `rs`).
//!
//! Bytes wait in the stream until their time has come, by a timer; nothing else waits with them. What does not live here:
//! where the rate comes from (`ops::link`).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use ops::{link::Rate, model::Error};
use tokio::time::{Instant, Sleep};

use crate::reply::Body;

/// Pieces a second: small enough that a client sees bytes all the time, few enough to cost nothing.
const PIECES_PER_SEC: u64 = 10;
/// How much of the time that a client or a timer lost may be made up for.
const SLACK: Duration = Duration::from_millis(250);

/// The body at a rate.
pub(super) fn paced(body: Body, rate: Rate) -> Body {
    match body {
        Body::Whole(None) => body,
        Body::Whole(Some(bytes)) => {
            let len = bytes.len() as u64;
            Body::stream(len, Paced::new(stream::iter([Ok(bytes)]), rate))
        }
        Body::Stream { left, source } => Body::stream(left, Paced::new(source, rate)),
        // Read, and not sent as files: what goes out that slowly need not be cheap.
        Body::Files { left, source } => Body::stream(left, Paced::new(source, rate)),
        Body::Open(source) => Body::open(Paced::new(source, rate)),
    }
}

/// How many bytes may go when.
#[derive(Debug)]
struct Pace {
    free_bytes: u64,
    bytes_per_sec: u64,
    /// When the next byte may go; `None`: none has been paid for.
    due: Option<Instant>,
}

impl Pace {
    fn new(rate: Rate) -> Self {
        let (free_bytes, bytes_per_sec) = (rate.free_kb * 1000, rate.kb_per_sec * 1000);
        Self { free_bytes, bytes_per_sec, due: None }
    }

    /// Takes some of `have` bytes, 1 at least, that may go now.
    ///
    /// # Errors
    /// From when on some may.
    fn take(&mut self, have: usize, now: Instant) -> Result<usize, Instant> {
        let most = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(have);
        if self.free_bytes > 0 {
            let taken = most(self.free_bytes);
            self.free_bytes -= taken as u64;
            return Ok(taken);
        }
        if let Some(due) = self.due.filter(|due| *due > now) {
            return Err(due);
        }
        let taken = most((self.bytes_per_sec / PIECES_PER_SEC).max(1));
        let cost = Duration::from_secs(1) * u32::try_from(taken).unwrap_or(u32::MAX)
            / u32::try_from(self.bytes_per_sec).unwrap_or(u32::MAX);
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        self.due = Some(self.due.unwrap_or(now).max(earliest) + cost);
        Ok(taken)
    }
}

/// A stream at a pace.
struct Paced<S> {
    source: S,
    /// Came out of the source and has not gone yet.
    rest: Bytes,
    pace: Pace,
    /// Made at the first wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    fn new(source: S, rate: Rate) -> Self {
        Self { source, rest: Bytes::new(), pace: Pace::new(rate), timer: None }
    }
}

impl<S: Stream<Item = Result<Bytes, Error>> + Unpin> Stream for Paced<S> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.source.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => this.rest = bytes,
                other => return Poll::Ready(other),
            }
        }
        loop {
            match this.pace.take(this.rest.len(), Instant::now()) {
                Ok(taken) => return Poll::Ready(Some(Ok(this.rest.split_to(taken)))),
                Err(due) => {
                    let new = || Box::pin(tokio::time::sleep_until(due));
                    let timer = this.timer.get_or_insert_with(new);
                    if timer.deadline() != due {
                        timer.as_mut().reset(due);
                    }
                    ready!(timer.as_mut().poll(cx));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { free_kb: 5, kb_per_sec: 20 };

    /// Sends `len` bytes to a client that always takes them, on a clock of its own; the seconds it took.
    fn secs_for(len: usize, rate: Rate) -> f64 {
        let (mut pace, begun) = (Pace::new(rate), Instant::now());
        let (mut left, mut now) = (len, begun);
        while left > 0 {
            match pace.take(left, now) {
                Ok(taken) => left -= taken,
                Err(due) => now = due,
            }
        }
        (now - begun).as_secs_f64()
    }

    #[test]
    fn free_bytes_then_the_rate() {
        assert_eq!(secs_for(5_000, RATE), 0.0);
        // The first piece of 2,000 goes at once, and each of the others 100 ms after the one before.
        assert!((secs_for(5_000 + 40_000, RATE) - 1.9).abs() < 1e-6);
        assert!((secs_for(5_000 + 40_001, RATE) - 2.0).abs() < 1e-6);
        let slowest = Rate { free_kb: 0, kb_per_sec: 1 };
        assert!((secs_for(10_000, slowest) - 9.9).abs() < 1e-6);
        let fastest = Rate { free_kb: 20_000, kb_per_sec: 10_000 };
        assert!((secs_for(40_000_000, fastest) - 1.9).abs() < 1e-6);
    }

    #[test]
    fn lost_time_is_not_saved_up() {
        let (mut pace, now) = (Pace::new(Rate { free_kb: 0, kb_per_sec: 10 }), Instant::now());
        assert_eq!(pace.take(50_000, now), Ok(1_000));
        assert!(pace.take(50_000, now).is_err());
        // A client that took nothing for a minute gets 250 ms of it, and the piece of the moment.
        let (later, mut burst) = (now + Duration::from_secs(60), 0);
        while let Ok(taken) = pace.take(50_000, later) {
            burst += taken;
        }
        assert_eq!(burst, 3_000);
    }

    #[tokio::test]
    async fn all_bytes_come_in_order() {
        let content: Vec<u8> = (0..30_000u32).map(|i| i.to_le_bytes()[1]).collect();
        let parts: Vec<_> =
            content.chunks(7_000).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        let rate = Rate { free_kb: 12, kb_per_sec: 10_000 };
        let pieces: Vec<_> = Paced::new(stream::iter(parts), rate).collect().await;
        let all: Vec<Bytes> = pieces.into_iter().map(Result::unwrap).collect();
        assert!(all.concat() == content);
        let failing = stream::iter([Ok(Bytes::from_static(b"x")), Err(Error::BodyCut)]);
        let pieces: Vec<_> = Paced::new(failing, rate).collect().await;
        assert_eq!(pieces, [Ok(Bytes::from_static(b"x")), Err(Error::BodyCut)]);
    }

    /// Between two pieces the stream sleeps: it is polled once for each of them and no more.
    #[tokio::test]
    async fn waiting_is_done_by_a_timer() {
        let rate = Rate { free_kb: 0, kb_per_sec: 1 };
        let source = stream::iter([Ok(Bytes::from_static(&[7; 300]))]);
        let mut paced = Paced::new(source, rate);
        let mut polls = 0;
        let mut got = 0;
        while let Some(piece) = std::future::poll_fn(|cx| {
            polls += 1;
            paced.poll_next_unpin(cx)
        })
        .await
        {
            got += piece.unwrap().len();
        }
        assert_eq!(got, 300);
        // Three pieces, two waits (or none, on a machine that is slower still), the end.
        assert!(polls <= 6, "{polls}");
    }
}
