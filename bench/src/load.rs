//! The load generator: N keep-alive connections that send a fixed number of requests, each as soon as the answer before it
//! was checked (closed loop), a warm-up before, and every latency kept. What is sent and what is right is a [`Script`].
//!
//! It runs on one thread: it must stay cheaper than any server it drives; its own CPU time stands in the tables.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::task::JoinSet;

use crate::http::{Answer, Connection};

/// What is sent, and what is right.
pub(crate) trait Script: Send + Sync + 'static {
    /// Appends the request with this number.
    fn request(&self, number: u64, out: &mut Vec<u8>);
    /// Checks its answer.
    fn check(&self, number: u64, answer: Answer<'_>) -> anyhow::Result<()>;
}

/// Connections that are open and warm.
pub(crate) struct Load {
    connections: Vec<Connection>,
    script: Arc<dyn Script>,
}

/// What a load has shown.
pub(crate) struct Shown {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// In microseconds, ascending.
    latencies: Vec<u32>,
}

impl Load {
    /// Opens connections.
    pub(crate) async fn open(
        address: SocketAddr,
        connections: usize,
        script: Arc<dyn Script>,
    ) -> anyhow::Result<Self> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(address).await?);
        }
        Ok(Self { connections: open, script })
    }

    /// Sends the requests with these numbers. Wrong answers are counted and fail the run.
    pub(crate) async fn send(&mut self, numbers: std::ops::Range<u64>) -> anyhow::Result<Shown> {
        let next = Arc::new(AtomicU64::new(numbers.start));
        let mut latencies = Vec::with_capacity(usize::try_from(numbers.end - numbers.start)?);
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for connection in self.connections.drain(..) {
            let (script, next) = (Arc::clone(&self.script), Arc::clone(&next));
            tasks.spawn(drive(connection, script, next, numbers.end));
        }
        let (mut errors, mut first) = (0, None);
        while let Some(done) = tasks.join_next().await {
            match done? {
                Ok((connection, mut own)) => {
                    self.connections.push(connection);
                    latencies.append(&mut own);
                }
                Err(e) => {
                    errors += 1;
                    first.get_or_insert(e);
                    // The others stop at their next request.
                    next.store(numbers.end, Ordering::Relaxed);
                }
            }
        }
        if let Some(first) = first {
            bail!("{errors} connections got wrong answers, the first: {first:#}");
        }
        let elapsed = begun.elapsed();
        Ok(Shown::new(elapsed, latencies))
    }
}

/// Microseconds since then.
pub(crate) fn micros(begun: Instant) -> u32 {
    u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// Takes numbers until none is left.
async fn drive(
    mut connection: Connection,
    script: Arc<dyn Script>,
    next: Arc<AtomicU64>,
    end: u64,
) -> anyhow::Result<(Connection, Vec<u32>)> {
    let mut latencies = Vec::new();
    let mut request = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok((connection, latencies));
        }
        request.clear();
        script.request(number, &mut request);
        let begun = Instant::now();
        let answer = connection.exchange(&request).await?;
        latencies.push(micros(begun));
        script.check(number, answer)?;
    }
}

impl Shown {
    /// What these latencies, in microseconds, show.
    pub(crate) fn new(elapsed: Duration, mut latencies: Vec<u32>) -> Self {
        latencies.sort_unstable();
        Self { elapsed, latencies }
    }

    /// Requests of the load.
    pub(crate) fn requests(&self) -> usize {
        self.latencies.len()
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that `per_mille` of a thousand requests did not exceed, in milliseconds.
    pub(crate) fn latency_ms(&self, per_mille: usize) -> f64 {
        let rank = (self.latencies.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.latencies.get(rank).map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;
    use tokio::net::TcpListener;

    use super::*;

    /// Bodies of as many bytes as the request's number says; the one numbered `wrong` is found wrong.
    struct Echoed {
        wrong: u64,
    }

    impl Script for Echoed {
        fn request(&self, number: u64, out: &mut Vec<u8>) {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {number}\r\n\r\n");
            out.extend_from_slice(head.as_bytes());
            out.extend((0..number).map(|_| b'x'));
        }

        fn check(&self, number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
            ensure!(number != self.wrong && answer.status == 200, "number {number}");
            ensure!(answer.body.len() as u64 == number, "{} bytes", answer.body.len());
            Ok(())
        }
    }

    fn load(wrong: u64) -> anyhow::Result<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            tokio::spawn(crate::bare::accept(listener, true));
            let mut load = Load::open(address, 8, Arc::new(Echoed { wrong })).await?;
            load.send(0..100).await?;
            Ok(load.send(100..1100).await?.requests())
        })
    }

    #[test]
    fn every_request_is_answered_and_checked() {
        assert_eq!(load(u64::MAX).unwrap(), 1000);
        let e = load(1099).map(|_| ()).unwrap_err();
        assert!(e.to_string().ends_with("the first: number 1099"), "{e}");
    }

    #[test]
    fn percentiles_are_ranks() {
        let shown = Shown::new(Duration::from_secs(2), (1..=1000).rev().collect());
        assert_eq!(shown.latency_ms(500), 0.5);
        assert_eq!(shown.latency_ms(990), 0.99);
        assert_eq!(shown.latency_ms(999), 0.999);
        assert_eq!(shown.latency_ms(1000), 1.0);
        assert_eq!(shown.rate(), 500.0);
    }
}
