//! Puts and gets against a real S3 server on this machine, beside the local engine, in one run.
//!
//!     cargo run --release -p blobs --example object_speed -- DIR
//!
//! DIR is on the disk that is to be measured; what is written there is removed. The server (Garage, syncing data and
//! metadata before it acknowledges) is a process of its own and shares the machine: its work counts as well, so these
//! figures are a lower bound for nodes whose store is elsewhere. Prints Markdown.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints figures")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use blobs::{Blobs, Local, Object, object::Options, suite::Chance};
use bytes::Bytes;
use model::{AccountId, BlobId, Time};
use testbed::{Durability, S3};

/// How long each figure is measured.
const FOR: Duration = Duration::from_secs(4);
/// Bytes asked for in one read, as a GET of the server does.
const PIECE: usize = 256 * 1024;
/// Sizes, and how many do it at the same time.
const LOADS: [(&str, usize, usize); 3] =
    [("16 KiB", 16 << 10, 16), ("1 MiB", 1 << 20, 8), ("64 MiB", 64 << 20, 2)];

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).expect("usage: object_speed DIR");
    let dir = tempfile::tempdir_in(dir).unwrap();
    let server = S3::start_in(Durability::Synced, dir.path());
    let object = |cache_bytes: u64, memory_bytes: u64| {
        let scratch = dir.path().join("scratch");
        let options = Options {
            variables: server.variables(),
            cache_bytes,
            memory_bytes,
            ..Options::new(scratch)
        };
        Arc::new(Object::open(&server.url("speed"), &options).unwrap())
    };
    println!(
        "| size, at once | engine | puts/s | put GB/s | gets/s | get GB/s | requests a put | a get |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, size, at_once) in LOADS {
        let local: Arc<dyn Blobs> = Arc::new(Local::open(dir.path().join("local")).unwrap());
        let cold = object(0, 0);
        let row = |engine: &str, puts: Option<Rate>, gets: Rate, requests: [f64; 2]| {
            let puts = puts.map_or("| |".to_owned(), |puts| format!("{puts}"));
            let [put, get] =
                requests.map(|n| if n > 0.0 { format!("{n:.1}") } else { String::new() });
            println!("| {name}, {at_once} | {engine} {puts} {gets} {put} | {get} |");
        };
        let (puts, ids) = puts(&local, size, at_once).await;
        row("local", Some(puts), gets(&local, &ids, at_once).await, [0.0; 2]);
        let store: Arc<dyn Blobs> = cold.clone();
        let (stored, ids) = self::puts(&store, size, at_once).await;
        let of_puts = cold.requests() as f64 / ids.len() as f64;
        let before = cold.requests();
        let fetched = gets(&store, &ids, at_once).await;
        let of_gets = (cold.requests() - before) as f64 / fetched.count as f64;
        row("object store", Some(stored), fetched, [of_puts, of_gets]);
        let few: Vec<BlobId> = ids.iter().copied().take((512 << 20) / size).collect();
        for (engine, cache, memory) in
            [("its cache on disk", 4 << 30, 0), ("its cache in memory", 0, 1 << 30)]
        {
            let engine_of: Arc<dyn Blobs> = object(cache, memory);
            gets(&engine_of, &few, at_once).await;
            row(engine, None, gets(&engine_of, &few, at_once).await, [0.0; 2]);
        }
        local.remove_all(Vec::new()).await.unwrap();
    }
}

/// So many of such a size, in such a time.
struct Rate {
    count: usize,
    bytes: usize,
    took: Duration,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secs = self.took.as_secs_f64();
        let (per_sec, gb) =
            (self.count as f64 / secs, (self.count * self.bytes) as f64 / secs / 1e9);
        write!(f, "| {per_sec:.0} | {gb:.2} |")
    }
}

async fn puts(blobs: &Arc<dyn Blobs>, size: usize, at_once: usize) -> (Rate, Vec<BlobId>) {
    let content = Bytes::from(Chance::new(1).bytes(size));
    let begun = Instant::now();
    let writers = (0..at_once).map(|_| {
        let (blobs, content) = (Arc::clone(blobs), content.clone());
        tokio::spawn(async move {
            let mut ids = Vec::new();
            while begun.elapsed() < FOR {
                let mut stage = blobs.stage(AccountId(1), Time(1)).await.unwrap();
                for at in (0..content.len()).step_by(PIECE) {
                    let end = (at + PIECE).min(content.len());
                    stage.write(content.slice(at..end)).await.unwrap();
                }
                ids.push(stage.finish().await.unwrap().seal().await.unwrap());
            }
            ids
        })
    });
    let mut ids = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        ids.extend(writer.await.unwrap());
    }
    (Rate { count: ids.len(), bytes: size, took: begun.elapsed() }, ids)
}

async fn gets(blobs: &Arc<dyn Blobs>, ids: &[BlobId], at_once: usize) -> Rate {
    let ids: Arc<[BlobId]> = ids.into();
    let begun = Instant::now();
    let readers = (0..at_once).map(|n| {
        let (blobs, ids) = (Arc::clone(blobs), Arc::clone(&ids));
        tokio::spawn(async move {
            let mut count = 0;
            let mut chance = Chance::new(n as u64);
            while begun.elapsed() < FOR {
                let blob = blobs.open(ids[chance.below(ids.len())]).await.unwrap();
                let (mut at, len) = (0, blob.len());
                while at < len {
                    let left = usize::try_from(len - at).unwrap();
                    at += blob.read(at, left.min(PIECE)).await.unwrap().len() as u64;
                }
                count += 1;
            }
            (count, usize::try_from(blobs.open(ids[0]).await.unwrap().len()).unwrap())
        })
    });
    let (mut count, mut bytes) = (0, 0);
    for reader in readers.collect::<Vec<_>>() {
        let (more, of_one) = reader.await.unwrap();
        count += more;
        bytes = of_one;
    }
    Rate { count, bytes, took: begun.elapsed() }
}
