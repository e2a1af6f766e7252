//! A network and a server that misbehave: never a wrong byte, never an acknowledged blob lost, never a hang.

use std::{
    future::Future,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use model::Error;
use testbed::{Durability, Mishap, Proxy, S3};

use super::*;

/// In which a client is told that the store is away: 5 seconds, and what a machine that is busy with other tests may add.
const TOLD_IN: Duration = Duration::from_secs(8);
const LONG: usize = 20 * 1024 * 1024;

/// A server behind a network, and an engine that keeps nothing in memory.
struct Line {
    proxy: Proxy,
    server: S3,
    scratch: tempfile::TempDir,
}

impl Line {
    fn new() -> Self {
        let server = S3::start(Durability::None);
        let proxy = Proxy::start(server.address());
        Self { proxy, server, scratch: tempfile::tempdir().unwrap() }
    }

    fn engine(&self) -> Object {
        self.engine_in(self.scratch.path())
    }

    fn engine_in(&self, scratch: &Path) -> Object {
        let variables = S3::variables_at(self.proxy.address());
        let options = Options { variables, memory_bytes: 0, ..Options::new(scratch) };
        Object::open(&self.server.url("line"), &options).unwrap()
    }
}

/// What the work comes to, and that it does in time.
async fn told<T>(what: &str, work: impl Future<Output = Result<T>>) -> Error {
    let begun = Instant::now();
    let Err(e) = work.await else { panic!("{what}: it worked") };
    assert!(begun.elapsed() < TOLD_IN, "{what}: told after {:?}", begun.elapsed());
    assert!(matches!(e, Error::Unavailable(_)), "{what}: {e:?}");
    e
}

async fn away(line: &Line, begin: impl Fn(), end: impl Fn()) {
    let engine = line.engine();
    let content = content(3 << 20);
    let id = put(&engine, &content).await.unwrap();
    // A server that hangs may do later what it was asked now.
    let doomed = put(&engine, &content).await.unwrap();
    let open = line.engine_in(line.scratch.path()).open(id).await.unwrap();
    let stage = staged(&engine, &content).await;
    let long = staged(&engine, &super::content(LONG)).await;
    begin();
    let fresh = line.engine();
    told("open", async { fresh.open(id).await.map(|_| ()) }).await;
    told("read", open.read(0, 100)).await;
    told("put", async { stage.finish().await?.seal().await }).await;
    told("a long put", async { long.finish().await?.seal().await }).await;
    told("remove", engine.remove(doomed)).await;
    told("remove all", engine.remove_all(vec![doomed])).await;
    told("list", engine.sealed_between(Time(0), LATER, Box::new(|_| ()))).await;
    end();
    eventually("back", async || whole(&line.engine(), id).await.is_ok_and(|read| read == content))
        .await;
    let id = put(&engine, &super::content(LONG)).await.unwrap();
    assert!(whole(&engine, id).await.unwrap() == super::content(LONG));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_resets_connections_is_away() {
    let line = Line::new();
    away(&line, || line.proxy.all(Mishap::Reset), || line.proxy.all(Mishap::None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_silent_is_away() {
    let line = Line::new();
    away(&line, || line.proxy.all(Mishap::Silence), || line.proxy.all(Mishap::None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_away() {
    let line = Line::new();
    away(&line, || line.server.hold(), || line.server.release()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_away() {
    let line = Line::new();
    away(&line, || line.proxy.all(Mishap::Fails), || line.proxy.all(Mishap::None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_once_or_twice_is_not_noticed() {
    let line = Line::new();
    let engine = line.engine();
    let (short, long) = (content(300_000), content(LONG));
    let completes = |line: &str| line.starts_with("POST ") && line.contains("uploadId=");
    let any = |_: &str| true;
    for (mishap, times, which) in [
        (Mishap::Fails, 2, any as fn(&str) -> bool),
        (Mishap::Reset, 2, any),
        (Mishap::LostAnswer, 2, any),
        (Mishap::LostAnswer, 1, |line: &str| {
            line.starts_with("PUT ") && line.contains("partNumber=")
        }),
        (Mishap::LostAnswer, 1, completes),
        (Mishap::Fails, 2, completes),
        (Mishap::LostAnswer, 1, |line: &str| line.starts_with("POST ") && line.contains("uploads")),
    ] {
        for content in [&short, &long] {
            line.proxy.next(mishap, times, which);
            let id = put(&engine, content).await.unwrap_or_else(|e| panic!("{mishap:?}: {e}"));
            line.proxy.next(mishap, times, any);
            assert!(whole(&engine, id).await.unwrap() == *content, "{mishap:?}");
        }
    }
    let id = put(&engine, &long).await.unwrap();
    for (mishap, times) in [(Mishap::Cut, 1), (Mishap::Cut, 2), (Mishap::Flip, 1)] {
        let blob = line.engine().open(id).await.unwrap();
        line.proxy.next(mishap, times, |line| line.starts_with("GET "));
        let read = blob.read(0, 1 << 20).await.unwrap_or_else(|e| panic!("{mishap:?}: {e}"));
        assert!(read == long[..1 << 20], "{mishap:?}");
    }
    line.proxy.all(Mishap::None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_that_flip_on_the_way_back_are_never_served() {
    let line = Line::new();
    let content = content(3 << 20);
    let id = put(&line.engine(), &content).await.unwrap();
    line.proxy.all(Mishap::Flip);
    for _ in 0..3 {
        let read = whole(&line.engine(), id).await;
        assert!(read.is_err(), "every answer is damaged");
    }
    line.proxy.all(Mishap::None);
    let blob = line.engine().open(id).await.unwrap();
    line.proxy.all(Mishap::Flip);
    assert!(matches!(blob.read(0, 100).await, Err(Error::Damaged(_))));
    line.proxy.all(Mishap::None);
    assert!(whole(&line.engine(), id).await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_is_no_fault() {
    let line = Line::new();
    let content = content(1 << 20);
    let id = put(&line.engine(), &content).await.unwrap();
    // Some 100 KiB a second: longer than any time-out.
    let blob = line.engine().open(id).await.unwrap();
    line.proxy.all(Mishap::Slow);
    assert!(blob.read(0, 1 << 20).await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_whatever_happened_meanwhile() {
    let mut line = Line::new();
    let seed = crate::suite::seed();
    let over = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Mutex<Vec<(BlobId, usize)>>> = Arc::default();
    let engine = Arc::new(line.engine());
    let mut chance = Chance::new(seed);
    line.proxy.decide(move |_| match chance.below(12) {
        0 => Mishap::Reset,
        1 => Mishap::Fails,
        2 => Mishap::LostAnswer,
        3 => Mishap::Cut,
        4 => Mishap::Flip,
        _ => Mishap::None,
    });
    let writers = (0..4_u64).map(|n| {
        let (over, acknowledged, engine) =
            (Arc::clone(&over), Arc::clone(&acknowledged), Arc::clone(&engine));
        tokio::spawn(async move {
            let mut chance = Chance::new(seed ^ n);
            while !over.load(Relaxed) {
                let len = 1 + chance.below(if n == 0 { LONG } else { 400_000 });
                if let Ok(id) = put(&*engine, &content(len)).await {
                    acknowledged.lock().unwrap().push((id, len));
                    let read = whole(&*engine, id).await;
                    assert!(read.is_err() || read.unwrap() == content(len), "seed {seed}");
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        line.server.restart();
    }
    over.store(true, Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    line.proxy.all(Mishap::None);
    let fresh = line.engine();
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert!(acknowledged.len() > 10, "seed {seed}: only {} were acknowledged", acknowledged.len());
    for (id, len) in acknowledged {
        let read = whole(&fresh, id).await.unwrap_or_else(|e| panic!("seed {seed}: {id:?}: {e}"));
        assert!(read == content(len), "seed {seed}");
    }
    // What was not acknowledged and not aborted is found by the clean-up.
    eventually("no upload left", async || {
        drop(fresh.give_up_stages(LATER).await);
        !lying(&fresh).await.iter().any(|one| matches!(one, Lying::Staged(_)))
    })
    .await;
}
