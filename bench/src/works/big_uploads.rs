//! `big-uploads`: uploads of 1 GiB, one at a time and four, made as they are sent, beside one core's SHA-256 over as many bytes
//! and a bare server that only reads and hashes. Checksums are read back.

use std::{net::SocketAddr, ops::Range, time::Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::{
    api::{self, Session},
    compare::{Comparison, Role, Row, Turn, Unit},
    content::{CHUNK, Long},
    http::Connection,
    limits::one_core,
    load::Shown,
    plan::Plan,
    process::Meter,
    report::Part,
    server::{self, Home, Listening},
    table::say,
    target::{Against, Target},
};

pub(super) const DIRECTORY: &str = "/big";

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let chunks = plan.mib;
    ensure!(chunks > 0, "--mib 0");
    let bytes = chunks * CHUNK as u64;
    let home = Home::new(plan)?;
    let (ours, bare) = (home.serve()?, server::bare_hash()?);
    let session = Session::login(ours.address).await?;
    session.make_dir(&mut Connection::open(ours.address).await?, DIRECTORY).await?;

    let mut comparison = Comparison::new("big-uploads: POST /post/raw, durable");
    comparison
        .notes
        .push("The limit is one core's SHA-256, also where four come at once.".to_owned());
    for files in [1, 4] {
        let targets: &[Target] = match files {
            1 => &[Target::at_least(Against::Limit, 0.6, 0.8)],
            _ => &[],
        };
        let unit = Unit::Gigabytes(bytes);
        let work = format!("upload {chunks} MiB, {files} at once");
        let mut row = Row::new(&work, unit, targets);
        for round in 0..u64::from(plan.rounds) {
            // Every turn replaces the files of the one before by others.
            let seeds = round * files..(round + 1) * files;
            for (role, name, server, session) in [
                (Role::Ours, "headwater", &ours, session.clone()),
                (Role::Peer, "bare, read + hash", &bare, Session::unknown()),
            ] {
                say(&format!("{work}, round {}, {name}", round + 1));
                let meter = Meter::start(server.pid())?;
                let shown = upload_all(server, &session, seeds.clone(), files, chunks).await?;
                let turn = Turn::of(unit, &shown, &meter.read()?);
                row.turn(role, name, Turn { waits: None, ..turn });
            }
            say(&format!("{work}, round {}, SHA-256 on one core", round + 1));
            row.value(Role::Limit, "SHA-256, one core", one_core(chunks) / 1e9);
            // Opened now: a connection that idles through a turn is closed by the server.
            let mut other = Connection::open(ours.address).await?;
            for seed in seeds {
                let path = format!("{DIRECTORY}/{}", file(seed % files));
                api::verify(&mut other, &path, bytes, &Long::new(seed).checksum(chunks)).await?;
            }
        }
        comparison.rows.push(row);
    }
    ours.stop()?;
    Ok(vec![Part::Comparison(comparison)])
}

fn file(number: u64) -> String {
    format!("big-{number}.bin")
}

async fn upload_all(
    server: &Listening,
    session: &Session,
    seeds: Range<u64>,
    files: u64,
    chunks: u64,
) -> anyhow::Result<Shown> {
    let begun = Instant::now();
    let mut uploads = JoinSet::new();
    for seed in seeds {
        uploads.spawn(upload(server.address, session.clone(), seed, file(seed % files), chunks));
    }
    while let Some(done) = uploads.join_next().await {
        done??;
    }
    Ok(Shown::new(begun.elapsed(), files, Vec::new()))
}

/// Uploads one.
pub(super) async fn upload(
    address: SocketAddr,
    session: Session,
    seed: u64,
    name: String,
    chunks: u64,
) -> anyhow::Result<()> {
    let bytes = chunks * CHUNK as u64;
    let mut connection = Connection::open(address).await?;
    let mut head = Vec::new();
    session.upload(DIRECTORY, &name, bytes, &mut head);
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
