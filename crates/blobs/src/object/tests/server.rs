//! Over a real S3 server in a process of its own: the law, and what only such a server can show.

use std::{
    fs,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use testbed::{Durability, S3};

use super::*;
use crate::suite::{self, Open, seed};

pub(super) fn engine(server: &S3, prefix: &str, scratch: &std::path::Path) -> Object {
    let variables = server.variables();
    let options = Options { variables, memory_bytes: 4 << 20, ..Options::new(scratch) };
    Object::open(&server.url(prefix), &options).unwrap()
}

/// A law, by name.
type Law = for<'a> fn(Open<'a>, u64) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! named {
    ($($law:ident),+) => { [$((stringify!($law), (|open, seed| Box::pin(suite::$law(open, seed))) as Law)),+] };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_law_holds_on_a_real_server() {
    let (server, scratch) = (S3::start(Durability::None), tempfile::tempdir().unwrap());
    let laws = named![
        round_trips,
        ranges_outside_are_refused,
        what_is_dropped_is_not_there,
        a_seal_nobody_waits_for_is_whole_or_absent,
        a_removed_blob_reads_until_dropped,
        sealed_blobs_survive_reopening,
        sealed_between_finds_by_time,
        streams_do_not_mix,
        a_stage_can_be_read_while_it_is_written,
        what_lies_there_is_surveyed
    ];
    for (name, law) in laws {
        let open = || Arc::new(engine(&server, name, scratch.path())) as Arc<dyn Blobs>;
        law(&open, seed()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_blobs_go_in_parts_and_come_back() {
    let (server, scratch) = (S3::start(Durability::None), tempfile::tempdir().unwrap());
    let engine = engine(&server, "long", scratch.path());
    const PART: usize = super::super::parts::PART_BYTES;
    for len in [PART - 1000, PART, PART + 1, 2 * PART, 5 * PART + 12_345] {
        let content = content(len);
        let id = put(&engine, &content).await.unwrap();
        let blob = engine.open(id).await.unwrap();
        assert!(pieces(&*blob).await.unwrap() == content, "{len} bytes");
        drop(blob);
        engine.remove_all(vec![id]).await.unwrap();
        assert!(engine.open(id).await.is_err());
    }
}

/// Bytes of memory this process has at most had, or has now, by its line in the kernel's account.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    line.trim_end_matches("kB").trim().trim_start_matches(':').trim().parse::<u64>().unwrap() * 1024
}

/// Ends what goes on until it is told, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Writes and reads a stream of so many frames; memory at its most after either.
async fn streamed(engine: &Object, frame: &Bytes, frames: u64) -> [u64; 2] {
    let mut stage = engine.stage(ACCOUNT, NOW).await.unwrap();
    for _ in 0..frames {
        stage.write(frame.clone()).await.unwrap();
    }
    let id = stage.finish().await.unwrap().seal().await.unwrap();
    let written = memory("VmHWM:");
    let blob = engine.open(id).await.unwrap();
    let (mut at, len) = (0, frames * frame.len() as u64);
    assert_eq!(blob.len(), len);
    while at < len {
        let read = blob.read(at, frame.len()).await.unwrap();
        assert!(read == *frame, "at {at}");
        at += read.len() as u64;
    }
    [written, memory("VmHWM:")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_however_long_a_stream_is() {
    let (server, scratch) = (S3::start(Durability::None), tempfile::tempdir().unwrap());
    let engine = engine(&server, "memory", scratch.path());
    let frame = Bytes::from(content(256 * 1024));
    // What a stream takes whatever its length is taken by then.
    let [_, before] = streamed(&engine, &frame, 160).await;
    // Slower than the client: that is when something could pile up.
    let over = AtomicBool::new(false);
    let [written, read] = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                server.hold();
                std::thread::sleep(Duration::from_millis(150));
                server.release();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let ends = Ends(&over);
        let streamed = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(streamed(&engine, &frame, 600 * 4))
        });
        drop(ends);
        streamed
    });
    let mib = [before, written, read].map(|bytes| bytes >> 20);
    eprintln!(
        "40 MiB: at most {} MiB; 600 MiB: {} MiB written, {} MiB read",
        mib[0], mib[1], mib[2]
    );
    assert!(read < before + (32 << 20), "{mib:?} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_appear_in_no_text() {
    let (server, scratch) = (S3::start(Durability::None), tempfile::tempdir().unwrap());
    let mut variables = server.variables();
    let wrong = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    for (name, value) in &mut variables {
        if name == "AWS_SECRET_ACCESS_KEY" {
            wrong.clone_into(value);
        }
    }
    let options = Options { variables, ..Options::new(scratch.path()) };
    let engine = Object::open(&server.url("refused"), &options).unwrap();
    let refused = put(&engine, b"x").await.unwrap_err();
    assert!(matches!(refused, model::Error::Storage(_)), "{refused}");
    let opened = engine.open(BlobId([1; 16])).await.map(|_| ()).unwrap_err();
    for text in [refused.to_string(), opened.to_string(), format!("{options:?}")] {
        for secret in S3::secrets().into_iter().chain([wrong]) {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
