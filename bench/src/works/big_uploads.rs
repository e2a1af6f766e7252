//! `big-uploads`: three parallel uploads of large files, made as they are sent, beside one core's SHA-256 over the same
//! bytes and the bare server. The promise: the server's memory stays under 150 MiB. Checksums are read back.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::{
    Plan, api,
    api::Session,
    content::{CHUNK, Long},
    http::Connection,
    process::{Cost, Meter},
    server::{self, Home, Listening},
    table::{Cell, Table, say},
    works::mib,
};

/// Files that are sent at the same time.
const FILES: u64 = 3;
const DIRECTORY: &str = "/big";

const COLUMNS: [&str; 9] = [
    "turn",
    "server",
    "GB/s",
    "of one core's SHA-256",
    "peak RSS MiB",
    "CPU s/GB",
    "CPU cores",
    "generator cores",
    "other cores",
];

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Table>> {
    let chunks = plan.mib;
    ensure!(chunks > 0, "--mib 0");
    let bytes = chunks * CHUNK as u64;
    let home = Home::new(plan)?;
    let (ours, bare) = (home.serve()?, server::bare()?);
    let session = Session::login(ours.address).await?;
    session.make_dir(&mut Connection::open(ours.address).await?, DIRECTORY).await?;

    let title = format!("big-uploads: {FILES} uploads at once of {chunks} MiB each");
    let mut table = Table::new(title, &COLUMNS);
    for round in 0..plan.rounds {
        say(&format!("big-uploads, turn {round}, SHA-256 on one core"));
        let (one_core, checksums) = hash_all(seeds(round), chunks);
        table.row(hash_row(round, one_core));
        for (name, server, session) in
            [("headwater", &ours, session.clone()), ("bare", &bare, Session::unknown())]
        {
            say(&format!("big-uploads, turn {round}, {name}"));
            let meter = Meter::start(server.pid())?;
            let took = upload_all(server, &session, seeds(round), chunks).await?;
            let cost = meter.read()?;
            table.row(row(round, name, FILES * bytes, took, one_core, &cost));
        }
        // Opened now: a connection that idles through a turn is closed by the server.
        let mut other = Connection::open(ours.address).await?;
        for (seed, checksum) in seeds(round).zip(&checksums) {
            let path = format!("{DIRECTORY}/{}", file(seed));
            api::verify(&mut other, &path, bytes, checksum).await?;
        }
    }
    ours.stop()?;
    Ok(vec![table])
}

/// Of the files of a turn; every turn replaces the files of the one before by others.
fn seeds(round: u32) -> std::ops::Range<u64> {
    let first = u64::from(round) * FILES;
    first..first + FILES
}

fn file(seed: u64) -> String {
    format!("big-{}.bin", seed % FILES)
}

/// Checksums, and how many GB/s one core makes of them.
fn hash_all(seeds: std::ops::Range<u64>, chunks: u64) -> (f64, Vec<String>) {
    let bytes = (seeds.end - seeds.start) * chunks * CHUNK as u64;
    let begun = Instant::now();
    let checksums = seeds.map(|seed| Long::new(seed).checksum(chunks)).collect();
    (gb(bytes) / begun.elapsed().as_secs_f64(), checksums)
}

async fn upload_all(
    server: &Listening,
    session: &Session,
    seeds: std::ops::Range<u64>,
    chunks: u64,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut uploads = JoinSet::new();
    for seed in seeds {
        uploads.spawn(upload(server.address, session.clone(), seed, chunks));
    }
    while let Some(done) = uploads.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

async fn upload(
    address: SocketAddr,
    session: Session,
    seed: u64,
    chunks: u64,
) -> anyhow::Result<()> {
    let bytes = chunks * CHUNK as u64;
    let mut connection = Connection::open(address).await?;
    let mut head = Vec::new();
    session.upload(DIRECTORY, &file(seed), bytes, &mut head);
    connection.send(&head).await?;
    let mut body = Long::new(seed);
    for number in 0..chunks {
        if let Err(e) = connection.send(body.chunk(number)).await {
            // An early answer says why.
            let answer = connection.answer(false).await;
            return Err(e.context(answer.map_or_else(|e| e.to_string(), |a| a.describe())));
        }
    }
    api::uploaded(connection.answer(false).await?, bytes)
}

fn hash_row(round: u32, one_core: f64) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Number(f64::from(round), 0),
        Cell::text("SHA-256, one core"),
        Cell::Number(one_core, 2),
        Cell::Number(1.0, 2),
    ];
    cells.resize_with(COLUMNS.len(), || Cell::Empty);
    cells
}

fn row(
    round: u32,
    name: &str,
    bytes: u64,
    took: Duration,
    one_core: f64,
    cost: &Cost,
) -> Vec<Cell> {
    let rate = gb(bytes) / took.as_secs_f64();
    vec![
        Cell::Number(f64::from(round), 0),
        Cell::text(name),
        Cell::Number(rate, 2),
        Cell::Number(rate / one_core, 2),
        Cell::Number(mib(cost.peak), 0),
        Cell::Number(cost.cpu.as_secs_f64() / gb(bytes), 2),
        Cell::Number(cost.cores(), 2),
        Cell::Number(cost.own_cores(), 2),
        Cell::Number(cost.other_cores(), 2),
    ]
}

fn gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
