//! Files leave byte for byte, under hyper too, and a mark is never written as bytes.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs::File,
    os::unix::fs::FileExt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{access::Ticket, outlet::MARK_BYTES_MAX, reply::Body};

const LEN: usize = 3 * 1024 * 1024 + 77;

/// A file with content, found out about at once, after a wait, or in short spans, in turns.
struct Sample {
    file: Arc<File>,
    content: Vec<u8>,
    asked: AtomicUsize,
    damaged_from: u64,
}

impl Sample {
    fn new(damaged_from: u64) -> Arc<Self> {
        let content: Vec<u8> = (0..LEN).map(|i| (i * 7 + i / 251 + 1).to_le_bytes()[0]).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&content, 0).unwrap();
        Arc::new(Self { file: Arc::new(file), content, asked: AtomicUsize::new(0), damaged_from })
    }

    fn at(&self, offset: u64, len: usize) -> Result<FileSpan, Error> {
        if offset + len as u64 > self.damaged_from {
            return Err(Error::Damaged("on purpose".to_owned()));
        }
        Ok(FileSpan { file: Arc::clone(&self.file), offset, len })
    }
}

impl AsFile for Sample {
    fn span_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan, Error>> {
        match self.asked.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => Some(self.at(offset, len)),
            1 => Some(self.at(offset, len.min(1000))),
            _ => None,
        }
    }

    fn span(self: Arc<Self>, offset: u64, len: usize) -> Spanning {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.at(offset, len.min(100_000))
        })
    }
}

fn leaving(file: &Arc<Sample>, from: usize, len: usize) -> Leaving {
    let (file, from) = (Arc::clone(file) as Arc<dyn AsFile>, from as u64);
    Leaving { file, from, len, end: from + len as u64, ticket: Ticket::current() }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Parts of an answer: bytes, or a part of the file.
enum Part {
    Bytes(&'static [u8]),
    File(usize, usize),
}

fn parts(turn: usize) -> Vec<Part> {
    match turn % 4 {
        0 => vec![Part::File(0, LEN)],
        1 => vec![Part::File(5, 1)],
        2 => {
            vec![Part::Bytes(b"<"), Part::File(70_000, 65_536), Part::Bytes(b">"), Part::File(9, 9)]
        }
        _ => vec![Part::Bytes(&[0; 3000])],
    }
}

/// A body of these parts, with marks that are placed when they are polled.
fn body(file: Arc<Sample>, outlet: Outlet, turn: usize) -> Body {
    let mut plan: VecDeque<Part> = VecDeque::new();
    let mut len = 0;
    for part in parts(turn) {
        match part {
            Part::File(from, all) => {
                len += all;
                for at in (from..from + all).step_by(MARK_BYTES_MAX) {
                    plan.push_back(Part::File(at, MARK_BYTES_MAX.min(from + all - at)));
                }
            }
            Part::Bytes(bytes) => {
                len += bytes.len();
                plan.push_back(Part::Bytes(bytes));
            }
        }
    }
    let next = move |()| {
        Some(Ok(match plan.pop_front()? {
            Part::Bytes(bytes) => Bytes::from_static(bytes),
            Part::File(from, len) => outlet.place(leaving(&file, from, len)),
        }))
    };
    Body::stream(len as u64, endless(next))
}

fn endless(
    mut next: impl FnMut(()) -> Option<Result<Bytes, Error>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    stream::poll_fn(move |_| Poll::Ready(next(())))
}

/// hyper, configured as the door does, with an answer a request.
async fn serve(stream: TcpStream, file: Arc<Sample>) -> hyper::Result<()> {
    let (plain, outlet) = Plain::new(stream);
    let turn = Mutex::new(0);
    let answer = service_fn(move |_: Request<Incoming>| {
        let mut turn = turn.lock().unwrap();
        let body = body(Arc::clone(&file), outlet.clone(), *turn);
        *turn += 1;
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(256 * 1024).half_close(true);
    http.serve_connection(TokioIo::new(plain), answer).await
}

/// What hyper is relied upon for: that slices of a body reach the stream as they are. Four kinds of answers, by turns over
/// one connection, to a client that takes them in pieces of many sizes.
#[tokio::test]
async fn hyper_passes_marks_uncopied_and_every_byte_arrives() {
    let file = Sample::new(u64::MAX);
    let (mut client, server) = pair().await;
    let serving = tokio::spawn(serve(server, Arc::clone(&file)));
    let mut buffer = vec![0; 300_000];
    for turn in 0..12 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut expected: Vec<u8> = Vec::new();
        for part in parts(turn) {
            match part {
                Part::Bytes(bytes) => expected.extend(bytes),
                Part::File(from, len) => expected.extend(&file.content[from..from + len]),
            }
        }
        let mut got = Vec::new();
        let mut begin = None;
        while begin.is_none_or(|begin| got.len() < begin + expected.len()) {
            let room = 1 + (got.len() * 31 + turn * 1009) % buffer.len();
            let read = client.read(&mut buffer[..room]).await.unwrap();
            assert!(read > 0, "turn {turn}: cut after {}", got.len());
            got.extend(&buffer[..read]);
            begin = begin.or_else(|| memchr::memmem::find(&got, b"\r\n\r\n").map(|at| at + 4));
        }
        assert!(got[begin.unwrap()..] == expected, "turn {turn}");
    }
    drop(client);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn damage_and_a_file_cut_short_end_the_connection_before_a_wrong_byte() {
    for cut_short in [false, true] {
        let damaged_from = 1_500_000;
        let file = Sample::new(if cut_short { u64::MAX } else { damaged_from });
        if cut_short {
            file.file.set_len(damaged_from).unwrap();
        }
        let (mut client, server) = pair().await;
        let serving = tokio::spawn(serve(server, Arc::clone(&file)));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut got = Vec::new();
        let _reset = client.read_to_end(&mut got).await;
        assert!(serving.await.unwrap().is_err());
        let begin = memchr::memmem::find(&got, b"\r\n\r\n").unwrap() + 4;
        let body = &got[begin..];
        assert!(body.len() as u64 <= damaged_from);
        assert!(*body == file.content[..body.len()]);
    }
}

/// Writes slices as hyper would, and says how that went.
async fn write(plain: &mut Plain, slices: &[&[u8]]) -> io::Result<usize> {
    let slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    std::future::poll_fn(|cx| Pin::new(&mut *plain).poll_write_vectored(cx, &slices)).await
}

#[tokio::test]
async fn marks_that_are_not_expected_are_errors() {
    let file = Sample::new(u64::MAX);
    let (mut client, server) = pair().await;
    let (mut plain, outlet) = Plain::new(server);
    let (_other_client, other_server) = pair().await;
    let (mut other, other_outlet) = Plain::new(other_server);
    let one = outlet.place(leaving(&file, 0, 100));
    let two = outlet.place(leaving(&file, 100, 100));
    // Of another connection; lost; copied into other bytes; cut at its beginning.
    assert!(write(&mut other, &[&one]).await.is_err(), "nothing is expected there");
    let elsewhere = other_outlet.place(leaving(&file, 0, 300));
    assert!(write(&mut plain, &[&elsewhere[200..]]).await.is_err());
    assert!(write(&mut plain, &[&two]).await.is_err());
    assert!(write(&mut plain, &[&one[1..]]).await.is_err());
    assert!(plain.write(&one).await.is_err());
    assert!(plain.write(b"as copied marks would be").await.is_err());
    // None of that has done any harm.
    assert_eq!(write(&mut plain, &[b"head", &one[..60], &two]).await.unwrap(), 64);
    assert!(write(&mut plain, &[&one[..40]]).await.is_err(), "sent twice");
    assert_eq!(write(&mut plain, &[b"", &one[60..]]).await.unwrap(), 40);
    assert_eq!(write(&mut plain, &[b"between"]).await.unwrap(), 7);
    let mut sent = 0;
    while sent < 100 {
        sent += write(&mut plain, &[&two[sent..]]).await.unwrap();
    }
    assert!(outlet.is_empty() && write(&mut plain, &[&two]).await.is_err());
    plain.write_all(b"end").await.unwrap();
    drop(plain);
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    let expected =
        [b"head", &file.content[..100], b"between", &file.content[100..200], b"end"].concat();
    assert!(got == expected, "{got:?}");
}

#[tokio::test]
async fn the_region_goes_round() {
    let (file, outlet) = (Sample::new(u64::MAX), Outlet::default());
    let mut places = std::collections::HashSet::new();
    for turn in 0..40 {
        let mark = outlet.place(leaving(&file, 0, MARK_BYTES_MAX - turn));
        assert!(is_mark(&mark) && is_mark(&mark[mark.len() - 1..]));
        places.insert(mark.as_ptr());
        outlet.first(&mark).unwrap();
        outlet.sent(mark.len());
    }
    assert!(places.len() > 15 && outlet.is_empty());
    assert!(!is_mark(b"") && !is_mark(&[0; 100]));
}
