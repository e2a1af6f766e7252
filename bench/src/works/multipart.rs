//! `multipart`: a large file in pieces, in order and in random order over a few connections and in order over one, beside all
//! cores' SHA-256 over twice the bytes; how long it takes from `complete` to SUCCESS, beside hashing the last two pieces; what
//! of it is written to disk.
//!
//! Two promises are checked, besides checksums: no byte is written twice (at most 1.05 times the file), and the server's
//! memory is shown. How long things take is only shown.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    api::{self, Session},
    compare::{Comparison, Role, Row, Turn, Unit},
    content::{CHUNK, Long, Random},
    http::Connection,
    limits, load,
    plan::Plan,
    process::{Cost, Meter, written},
    report::Part,
    server::{Home, Listening},
    table::{Cell, Table, say},
    target::{Against, Target},
    works::mib,
};

const DIRECTORY: &str = "/multipart";
/// Files that stay: one an order.
const FILES: u64 = 3;
/// Bytes written, at most, a byte of the file.
const WRITTEN_MAX: f64 = 1.05;
/// Between two looks at an upload's state.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// `getMultipartStatus` (protocol.md, section 6).
const COMPLETE_TO_JOIN: std::ops::RangeInclusive<i64> = 3..=5;
const SUCCESS: i64 = 6;

const COLUMNS: [&str; 11] = [
    "order",
    "connections",
    "upload s",
    "GB/s",
    "complete to SUCCESS s",
    "SHA-256 of last two s",
    "ratio",
    "written/size",
    "peak RSS MiB",
    "CPU s/GB",
    "other cores",
];

/// A file and how it is cut.
#[derive(Clone, Copy)]
struct Cut {
    seed: u64,
    chunks: u64,
    pieces: u64,
}

impl Cut {
    /// The chunks of a piece, numbered from 0. Pieces differ by one chunk at most.
    fn piece(self, number: u64) -> std::ops::Range<u64> {
        number * self.chunks / self.pieces..(number + 1) * self.chunks / self.pieces
    }

    fn bytes(self) -> u64 {
        self.chunks * CHUNK as u64
    }
}

/// What one upload has shown.
struct Shown {
    upload: Duration,
    join: Duration,
    written: u64,
    cost: Cost,
}

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let (chunks, pieces) = (plan.multipart_mib, plan.pieces);
    ensure!((2..=chunks).contains(&pieces), "--pieces: at least 2, and 1 MiB a piece");
    ensure!(plan.workers > 0, "--workers 0");
    let home = Home::new(plan)?;
    let server = home.serve()?;
    let session = Session::login(server.address).await?;
    session.make_dir(&mut Connection::open(server.address).await?, DIRECTORY).await?;

    let title = format!("multipart: {chunks} MiB in {pieces} pieces");
    let mut comparison = Comparison::new(format!("{title}, to SUCCESS"));
    comparison.notes.push(
        "The limit: all cores' SHA-256 over twice the bytes (each piece, and the whole), measured in \
         the same round."
            .to_owned(),
    );
    let mut table = Table::new(format!("{title}: its parts"), &COLUMNS);
    let unit = Unit::Gigabytes(chunks * CHUNK as u64);
    let target = [Target::at_least(Against::Limit, 0.6, 0.8)];
    let (workers, all, none) = (plan.workers, &target[..], &[][..]);
    let works = [("in order", workers, all), ("random", workers, all), ("in order", 1, none)];
    for (place, (order, workers, targets)) in (0..).zip(works) {
        let work = format!("multipart {pieces} x {} MiB by {workers}, {order}", chunks / pieces);
        let mut line = Row::new(&work, unit, targets);
        for round in 0..u64::from(plan.rounds) {
            let cut = Cut { seed: round * FILES + place, chunks, pieces };
            say(&format!("{work}, round {}", round + 1));
            let mut numbers: Vec<u64> = (0..pieces).collect();
            if order == "random" {
                shuffle(&mut numbers, cut.seed);
            }
            let shown = upload(&server, &session, cut, numbers, workers).await?;
            let ratio = shown.written as f64 / cut.bytes() as f64;
            table.row(row(order, workers, cut, &shown, hash_last_two(cut), ratio));
            let whole = load::Shown::new(shown.upload + shown.join, 1, Vec::new());
            let turn = Turn::of(unit, &whole, &shown.cost);
            line.turn(Role::Ours, "headwater", Turn { waits: None, ..turn });
            let both = limits::all_cores(chunks)? / 2.0;
            line.value(Role::Limit, "SHA-256, all cores, twice", both / 1e9);
            let mut connection = Connection::open(server.address).await?;
            let path = format!("{DIRECTORY}/{}", file(cut.seed));
            let checksum = Long::new(cut.seed).checksum(chunks);
            api::verify(&mut connection, &path, cut.bytes(), &checksum).await?;
            if ratio > WRITTEN_MAX {
                table.print();
                bail!(
                    "{ratio:.3} bytes were written a byte of the file, {WRITTEN_MAX} are promised"
                );
            }
        }
        comparison.rows.push(line);
    }
    server.stop()?;
    Ok(vec![Part::Comparison(comparison), Part::Table(table)])
}

/// Replaced in every round.
fn file(seed: u64) -> String {
    format!("pieces-{}.bin", seed % FILES)
}

/// Fisher and Yates.
fn shuffle(numbers: &mut [u64], seed: u64) {
    let mut random = Random::new(seed);
    for last in (1..numbers.len()).rev() {
        let other = random.next() % (last as u64 + 1);
        numbers.swap(last, usize::try_from(other).unwrap_or(last));
    }
}

/// How long one core takes for the last two pieces.
fn hash_last_two(cut: Cut) -> Duration {
    let mut content = Long::new(cut.seed);
    let begun = Instant::now();
    content.checksum_of(cut.piece(cut.pieces - 2).start..cut.chunks);
    begun.elapsed()
}

async fn upload(
    server: &Listening,
    session: &Session,
    cut: Cut,
    numbers: Vec<u64>,
    workers: usize,
) -> anyhow::Result<Shown> {
    let mut connection = Connection::open(server.address).await?;
    let id = session.create(&mut connection, DIRECTORY, &file(cut.seed)).await?;
    let (meter, before) = (Meter::start(server.pid())?, written(server.pid())?);
    let begun = Instant::now();
    let (numbers, next) = (Arc::new(numbers), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (numbers, next) = (Arc::clone(&numbers), Arc::clone(&next));
        tasks.spawn(work(server.address, session.clone(), id.clone(), cut, numbers, next));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let upload = begun.elapsed();
    let begun = Instant::now();
    // The one that began the upload may have been closed: it has idled meanwhile.
    let mut connection = Connection::open(server.address).await?;
    session.complete(&mut connection, &id, cut.pieces).await?;
    loop {
        let called =
            session.call(&mut connection, "getMultipartStatus", json!({ "mpid": id })).await?;
        match called.result["state"].as_i64() {
            Some(SUCCESS) => break,
            Some(state) if COMPLETE_TO_JOIN.contains(&state) => {}
            _ => bail!("an upload that was completed: {}", called.result),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let join = begun.elapsed();
    Ok(Shown { upload, join, written: written(server.pid())? - before, cost: meter.read()? })
}

/// Sends pieces until none is left.
async fn work(
    address: SocketAddr,
    session: Session,
    id: String,
    cut: Cut,
    numbers: Arc<Vec<u64>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(address).await?;
    let (mut content, mut head) = (Long::new(cut.seed), Vec::new());
    while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
        let chunks = cut.piece(number);
        let length = (chunks.end - chunks.start) * CHUNK as u64;
        head.clear();
        session.piece(&id, number + 1, length, &mut head);
        connection.send(&head).await?;
        for chunk in chunks {
            connection.send(content.chunk(chunk)).await?;
        }
        api::uploaded(connection.answer(false).await?, length)?;
    }
    Ok(())
}

fn row(
    order: &str,
    workers: usize,
    cut: Cut,
    shown: &Shown,
    last_two: Duration,
    ratio: f64,
) -> Vec<Cell> {
    let gb = cut.bytes() as f64 / 1e9;
    let (upload, join, last_two) =
        (shown.upload.as_secs_f64(), shown.join.as_secs_f64(), last_two.as_secs_f64());
    vec![
        Cell::text(order),
        Cell::Number(workers as f64, 0),
        Cell::Number(upload, 2),
        Cell::Number(gb / upload, 2),
        Cell::Number(join, 3),
        Cell::Number(last_two, 3),
        Cell::Number(join / last_two, 2),
        Cell::Number(ratio, 4),
        Cell::Number(mib(shown.cost.peak), 0),
        Cell::Number(shown.cost.cpu.as_secs_f64() / gb, 2),
        Cell::Number(shown.cost.other_cores(), 2),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_file() {
        for (chunks, pieces) in [(5120, 100), (1024, 100), (7, 7), (9, 2)] {
            let cut = Cut { seed: 0, chunks, pieces };
            let all: Vec<u64> = (0..pieces).flat_map(|number| cut.piece(number)).collect();
            assert_eq!(all, (0..chunks).collect::<Vec<_>>());
            assert!((0..pieces).all(|number| !cut.piece(number).is_empty()));
        }
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut numbers: Vec<u64> = (0..100).collect();
        shuffle(&mut numbers, 1);
        assert_ne!(numbers, (0..100).collect::<Vec<_>>());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}
