//! What staging, sealing and verified reading cost, beside plain SHA-256 of the same bytes in the same run.
//!
//! `cargo run --release -p blobs --example ingest [DIR]`: works in a new directory under DIR (default: the directory
//! for temporary files), which is removed at the end. Needs 1 GiB there, and runs for about half a minute.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::{sync::Arc, time::Instant};

use blobs::{Blobs, ContentHash, Local};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use model::{AccountId, BlobId, Result, Time};

const MIB: usize = 1024 * 1024;
const TOTAL: usize = 1024 * MIB;
const FRAME: usize = 256 * 1024;
const READ: usize = MIB;
const ROUNDS: usize = 3;

/// 64 MiB that no cache holds, cut into frames and repeated.
struct Source(Bytes);

impl Source {
    fn new() -> Self {
        let mut state = 1_u64;
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()
        });
        Self(bytes.take(64 * MIB / 8).flatten().collect())
    }

    fn frames(&self, len: usize) -> impl Iterator<Item = Bytes> + use<> {
        let all = self.0.clone();
        (0..len / FRAME).map(move |n| {
            let at = n * FRAME % all.len();
            all.slice(at..at + FRAME)
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let under = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(under)?;
    let blobs: Arc<dyn Blobs> = Arc::new(Local::open(dir.path())?);
    let source = Arc::new(Source::new());

    println!("1 GiB in frames of 256 KiB, GB/s in each of {ROUNDS} rounds");
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for round in 0..ROUNDS {
        let mut row = 0;
        let mut put = |name: String, figure: String| {
            if round == 0 {
                rows.push((name, Vec::new()));
            }
            rows[row].1.push(figure);
            row += 1;
        };
        for threads in [1, 2] {
            put(format!("SHA-256 alone, {threads} threads"), plain(&source, threads));
        }
        for streams in [1, 4] {
            let begun = Instant::now();
            let (staged, ids) = ingest(&blobs, &source, streams).await?;
            put(format!("stage, {streams} streams"), speed(staged));
            put(format!("stage and seal, {streams} streams"), speed(begun.elapsed().as_secs_f64()));
            let begun = Instant::now();
            try_join_all(ids.iter().map(|id| read(&blobs, *id))).await?;
            put(format!("read verified, {streams} streams"), speed(begun.elapsed().as_secs_f64()));
            join_all(ids.iter().map(|id| blobs.remove(*id))).await;
        }
        for streams in [1, 16] {
            put(
                format!("64 KiB blobs sealed a second, {streams} streams"),
                small(&blobs, &source, streams).await?,
            );
        }
    }
    for (name, figures) in rows {
        println!("{name:44} {}", figures.join("  "));
    }
    if let Some(line) = peak_memory() {
        println!("{line}");
    }
    Ok(())
}

fn speed(secs: f64) -> String {
    format!("{:8.2}", 1.073_741_824 / secs)
}

fn plain(source: &Source, threads: usize) -> String {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut hash = ContentHash::new();
                source.frames(TOTAL / threads).for_each(|frame| hash.update(&frame));
                std::hint::black_box(hash.finish());
            });
        }
    });
    speed(begun.elapsed().as_secs_f64())
}

/// Stages and seals `TOTAL` bytes; also says how long the slowest stream took until its bytes were all written.
async fn ingest(
    blobs: &Arc<dyn Blobs>,
    source: &Arc<Source>,
    streams: usize,
) -> Result<(f64, Vec<BlobId>)> {
    let begun = Instant::now();
    let tasks = (0..streams).map(|_| {
        let (blobs, source) = (Arc::clone(blobs), Arc::clone(source));
        tokio::spawn(async move {
            let mut stage = blobs.stage(AccountId(1), Time(0)).await?;
            for frame in source.frames(TOTAL / streams) {
                stage.write(frame).await?;
            }
            let staged = stage.finish().await?;
            let written = begun.elapsed().as_secs_f64();
            Ok((written, staged.seal().await?))
        })
    });
    let mut slowest = 0_f64;
    let mut ids = Vec::new();
    for ended in join_all(tasks).await {
        let (written, id) = flat(ended)?;
        slowest = slowest.max(written);
        ids.push(id);
    }
    Ok((slowest, ids))
}

async fn read(blobs: &Arc<dyn Blobs>, id: BlobId) -> Result<()> {
    let blobs = Arc::clone(blobs);
    flat(
        tokio::spawn(async move {
            let blob = blobs.open(id).await?;
            for at in (0..blob.len()).step_by(READ) {
                std::hint::black_box(blob.read(at, READ).await?);
            }
            Ok(())
        })
        .await,
    )
}

async fn small(blobs: &Arc<dyn Blobs>, source: &Arc<Source>, streams: usize) -> Result<String> {
    const EACH: usize = 4000;
    let begun = Instant::now();
    let tasks = (0..streams).map(|_| {
        let (blobs, source) = (Arc::clone(blobs), Arc::clone(source));
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for frame in source.frames(EACH / streams * FRAME) {
                let mut stage = blobs.stage(AccountId(1), Time(0)).await?;
                stage.write(frame.slice(..FRAME / 4)).await?;
                ids.push(stage.finish().await?.seal().await?);
            }
            Ok(ids)
        })
    });
    let mut ids = Vec::new();
    for ended in join_all(tasks).await {
        ids.extend(flat(ended)?);
    }
    let figure = format!("{:8.0}", ids.len() as f64 / begun.elapsed().as_secs_f64());
    for id in ids {
        blobs.remove(id).await?;
    }
    Ok(figure)
}

fn flat<T>(ended: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    ended.unwrap_or_else(|e| Err(model::Error::Storage(e.to_string())))
}

/// The most memory the process had, as Linux tells it; 64 MiB are the source.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("VmHWM")).map(str::to_owned)
}
