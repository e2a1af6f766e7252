//! The load generator: N keep-alive connections that send a fixed number of requests, each as soon as the answer before it
//! was checked (closed loop), and every latency kept. What is sent and what is right is a [`Script`].
//!
//! One thread, an epoll loop of its own: it must stay cheaper than any server it drives. A request is written with one call
//! and an answer taken with one call where it fits; nothing is allocated per request. Its CPU time stands in the tables.

use std::{
    io::{ErrorKind, IoSlice, Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Range,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::{
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    io::Errno,
};

use crate::http::{self, Answer};

/// Bytes taken at once.
const BUFFER: usize = 256 << 10;
/// Events taken at once.
const EVENTS: usize = 256;
/// Without any progress on any connection: the server hangs.
const PATIENCE: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// What is sent, and what is right.
pub(crate) trait Script {
    /// Appends the request with this number, or its beginning.
    fn request(&self, number: u64, out: &mut Vec<u8>);
    /// The rest of it, sent from where it lies.
    fn tail(&self, _number: u64) -> &[u8] {
        &[]
    }
    /// Checks its answer.
    fn check(&self, number: u64, answer: Answer<'_>) -> anyhow::Result<()>;
    /// Whether bodies are not collected: `check` sees the head alone, `piece` what follows.
    fn streams(&self) -> bool {
        false
    }
    /// Checks a piece of a body.
    fn piece(&self, _number: u64, _offset: u64, _bytes: &[u8]) -> anyhow::Result<()> {
        Ok(())
    }
    /// Whether its latency counts.
    fn timed(&self, _number: u64) -> bool {
        true
    }
}

/// Connections that are open.
pub(crate) struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

/// What a load has shown.
#[derive(Clone)]
pub(crate) struct Shown {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Of those that were timed, in microseconds, ascending.
    latencies: Vec<u32>,
}

struct Connection {
    stream: TcpStream,
    /// Its place, the name of its events.
    place: u64,
    number: u64,
    begun: Instant,
    request: Vec<u8>,
    /// Bytes of request and tail.
    sent: usize,
    /// Waits to be able to send more.
    blocked: bool,
    to_head: bool,
    /// The beginning of an answer that came in more than one read.
    taken: Vec<u8>,
    /// Of a body that is not collected: bytes seen, bytes to come.
    seen: u64,
    left: u64,
}

impl Load {
    /// Opens connections.
    pub(crate) fn open(address: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        Self::spread(&[address], connections)
    }

    /// Opens connections to several servers in turn.
    pub(crate) fn spread(addresses: &[SocketAddr], connections: usize) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut open = Vec::with_capacity(connections);
        for (place, address) in (0..connections as u64).zip(addresses.iter().cycle()) {
            let stream = TcpStream::connect(address).context("connecting")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(place), EventFlags::IN)?;
            open.push(Connection::new(stream, place));
        }
        Ok(Self { epoll, connections: open, buffer: vec![0; BUFFER] })
    }

    /// Sends the requests with these numbers. A wrong answer ends it.
    pub(crate) fn send(
        &mut self,
        script: &dyn Script,
        numbers: Range<u64>,
    ) -> anyhow::Result<Shown> {
        let requests = numbers.end.saturating_sub(numbers.start);
        let mut latencies = Vec::with_capacity(usize::try_from(requests)?);
        let (mut next, mut open) = (numbers.start, 0);
        let begun = Instant::now();
        for connection in &mut self.connections {
            if next < numbers.end {
                connection.start(script, next, &self.epoll)?;
                (next, open) = (next + 1, open + 1);
            }
        }
        let none = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [none; EVENTS];
        while open > 0 {
            let ready = match epoll::wait(&self.epoll, &mut events, Some(&PATIENCE)) {
                Ok(0) => bail!("{open} requests are not answered"),
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            };
            for event in &events[..ready] {
                let (data, flags) = (event.data, event.flags);
                let place = usize::try_from(data.u64())?;
                let connection = &mut self.connections[place];
                if flags.contains(EventFlags::OUT) {
                    connection.flush(script, &self.epoll)?;
                }
                if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    continue;
                }
                let number = connection.number;
                let done = connection.take(script, &mut self.buffer);
                if done.with_context(|| format!("request number {number}"))? {
                    if script.timed(number) {
                        latencies.push(micros(connection.begun));
                    }
                    if next < numbers.end {
                        connection.start(script, next, &self.epoll)?;
                        next += 1;
                    } else {
                        open -= 1;
                    }
                }
            }
        }
        Ok(Shown::new(begun.elapsed(), requests, latencies))
    }
}

/// Microseconds since then.
pub(crate) fn micros(begun: Instant) -> u32 {
    u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX)
}

impl Connection {
    fn new(stream: TcpStream, place: u64) -> Self {
        Self {
            stream,
            place,
            number: 0,
            begun: Instant::now(),
            request: Vec::new(),
            sent: 0,
            blocked: false,
            to_head: false,
            taken: Vec::new(),
            seen: 0,
            left: 0,
        }
    }

    fn start(&mut self, script: &dyn Script, number: u64, epoll: &OwnedFd) -> anyhow::Result<()> {
        self.number = number;
        self.request.clear();
        script.request(number, &mut self.request);
        self.to_head = self.request.starts_with(b"HEAD ");
        self.sent = 0;
        self.begun = Instant::now();
        self.flush(script, epoll)
    }

    /// Sends what the socket takes.
    fn flush(&mut self, script: &dyn Script, epoll: &OwnedFd) -> anyhow::Result<()> {
        let tail = script.tail(self.number);
        let all = self.request.len() + tail.len();
        while self.sent < all {
            let written = match self.request.get(self.sent..) {
                Some(rest) if tail.is_empty() => self.stream.write(rest),
                Some(rest) if !rest.is_empty() => {
                    self.stream.write_vectored(&[IoSlice::new(rest), IoSlice::new(tail)])
                }
                _ => self.stream.write(&tail[self.sent - self.request.len()..]),
            };
            match written {
                Ok(written) => self.sent += written,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return self.wait(epoll, true),
                // An early answer says why; reading it comes next.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => return self.wait(epoll, false),
                Err(e) => return Err(e).context("sending a request"),
            }
        }
        self.wait(epoll, false)
    }

    /// Asks to be told when more can be sent, or no longer.
    fn wait(&mut self, epoll: &OwnedFd, blocked: bool) -> anyhow::Result<()> {
        if self.blocked != blocked {
            let flags = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.stream, EventData::new_u64(self.place), flags)?;
            self.blocked = blocked;
        }
        Ok(())
    }

    /// Takes what has come; whether the answer is whole.
    fn take(&mut self, script: &dyn Script, buffer: &mut [u8]) -> anyhow::Result<bool> {
        let read = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed the connection: {}", http::text(&self.taken)),
            Ok(read) => read,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(e) => return Err(e).context("reading an answer"),
        };
        if self.left > 0 {
            return self.more(script, &buffer[..read]);
        }
        if self.taken.is_empty() {
            let done = self.answer(script, &buffer[..read])?;
            if !done && self.left == 0 {
                self.taken.extend_from_slice(&buffer[..read]);
            }
            return Ok(done);
        }
        let mut taken = std::mem::take(&mut self.taken);
        taken.extend_from_slice(&buffer[..read]);
        let done = self.answer(script, &taken)?;
        if done || self.left > 0 {
            taken.clear();
        }
        self.taken = taken;
        Ok(done)
    }

    /// Looks at what there is of an answer, from its beginning.
    fn answer(&mut self, script: &dyn Script, bytes: &[u8]) -> anyhow::Result<bool> {
        let Some(end) = http::head_end(bytes) else { return Ok(false) };
        let (head, rest) = bytes.split_at(end);
        let (status, length) = (http::status(head)?, http::length(head)?);
        let expected = if self.to_head || status == 304 { 0 } else { length };
        if script.streams() {
            script.check(self.number, Answer { status, length, head, body: &[] })?;
            (self.seen, self.left) = (0, expected as u64);
            return if rest.is_empty() { Ok(expected == 0) } else { self.more(script, rest) };
        }
        ensure!(rest.len() <= expected, "bytes after the end of an answer");
        if rest.len() < expected {
            return Ok(false);
        }
        script.check(self.number, Answer { status, length, head, body: rest })?;
        Ok(true)
    }

    /// Takes more of a body that is not collected.
    fn more(&mut self, script: &dyn Script, bytes: &[u8]) -> anyhow::Result<bool> {
        let length = bytes.len() as u64;
        ensure!(length <= self.left, "bytes after the end of an answer");
        script.piece(self.number, self.seen, bytes)?;
        self.seen += length;
        self.left -= length;
        Ok(self.left == 0)
    }
}

impl Shown {
    /// What these latencies, in microseconds, show.
    pub(crate) fn new(elapsed: Duration, requests: u64, mut latencies: Vec<u32>) -> Self {
        latencies.sort_unstable();
        Self { elapsed, requests, latencies }
    }

    /// What these have shown together.
    pub(crate) fn together(parts: Vec<Self>) -> Self {
        let elapsed = parts.iter().map(|part| part.elapsed).sum();
        let requests = parts.iter().map(|part| part.requests).sum();
        Self::new(elapsed, requests, parts.into_iter().flat_map(|part| part.latencies).collect())
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that `per_mille` of a thousand requests did not exceed, in milliseconds.
    pub(crate) fn latency_ms(&self, per_mille: usize) -> f64 {
        let rank = (self.latencies.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.latencies.get(rank).map_or(0.0, |us| f64::from(*us) / 1e3)
    }

    /// The mean latency, in milliseconds.
    pub(crate) fn mean_ms(&self) -> f64 {
        let sum: u64 = self.latencies.iter().map(|us| u64::from(*us)).sum();
        sum as f64 / 1e3 / self.latencies.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::bare::{self, Mode};

    /// Bodies of as many bytes as the request's number says; the one numbered `wrong` is found wrong.
    struct Echoed {
        wrong: u64,
        streams: bool,
        body: Vec<u8>,
    }

    impl Script for Echoed {
        fn request(&self, number: u64, out: &mut Vec<u8>) {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {number}\r\n\r\n");
            out.extend_from_slice(head.as_bytes());
        }

        fn tail(&self, number: u64) -> &[u8] {
            &self.body[..usize::try_from(number).unwrap()]
        }

        fn check(&self, number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
            ensure!(number != self.wrong && answer.status == 200, "number {number}");
            ensure!(answer.length as u64 == number, "{} bytes announced", answer.length);
            ensure!(self.streams || answer.body == self.tail(number), "other bytes");
            Ok(())
        }

        fn streams(&self) -> bool {
            self.streams
        }

        fn piece(&self, number: u64, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
            let from = usize::try_from(offset)?;
            ensure!(&self.tail(number)[from..from + bytes.len()] == bytes, "other bytes");
            Ok(())
        }
    }

    fn load(wrong: u64, streams: bool, numbers: Range<u64>) -> anyhow::Result<u64> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(bare::accept(listener, Mode::Echo));
        let mut body = Vec::new();
        crate::content::append(1, 3 << 20, &mut body);
        let script = Echoed { wrong, streams, body };
        let mut load = Load::open(address, 8)?;
        load.send(&script, 0..100)?;
        let shown = load.send(&script, numbers)?;
        assert_eq!(shown.latencies.len() as u64, shown.requests);
        Ok(shown.requests)
    }

    #[test]
    fn every_request_is_answered_and_checked() {
        for streams in [false, true] {
            assert_eq!(load(u64::MAX, streams, 100..1100).unwrap(), 1000);
            // More than a socket takes, or gives, at once.
            let long = 3_000_000..3_000_020;
            assert_eq!(load(u64::MAX, streams, long).unwrap(), 20);
            let e = load(1099, streams, 100..1100).map(|_| ()).unwrap_err();
            assert!(format!("{e:#}").ends_with("request number 1099: number 1099"), "{e:#}");
        }
    }

    #[test]
    fn percentiles_are_ranks() {
        let shown = Shown::new(Duration::from_secs(2), 1000, (1..=1000).rev().collect());
        assert_eq!(shown.latency_ms(500), 0.5);
        assert_eq!(shown.latency_ms(990), 0.99);
        assert_eq!(shown.latency_ms(999), 0.999);
        assert_eq!(shown.latency_ms(1000), 1.0);
        assert_eq!(shown.rate(), 500.0);
        assert_eq!(shown.mean_ms(), 0.5005);
        let more = Shown::new(Duration::from_secs(1), 500, vec![2000; 1000]);
        let both = Shown::together(vec![more, shown]);
        assert_eq!((both.requests, both.rate(), both.latency_ms(500)), (1500, 500.0, 1.0));
    }
}
