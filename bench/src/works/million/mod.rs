//! `million`: one directory with a million files, made through the API. The server is killed right after the last answer;
//! then every name must be listed exactly once. Measured: pages from the first to the last, `stat` beside `stat` in a
//! directory of ten, memory and time to be ready after a stop and after a kill.

mod listing;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;

use crate::{
    api,
    api::Session,
    content::Random,
    http::{Answer, Connection},
    load::{Load, Script},
    plan::Plan,
    process::{self, Meter},
    server::{Home, Listening},
    table::{Cell, Table, say},
    works::mib,
};

const LARGE: &str = "/million";
const SMALL: &str = "/ten";
const SMALL_FILES: u64 = 10;
/// `stat` calls on each directory, in blocks by turns.
const STATS: u64 = 10_000;
const STAT_BLOCK: u64 = 500;
/// Without work, before memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Table>> {
    let home = Home::new(plan)?;
    let mut table = Table::new(
        format!("million: {} files in one directory", plan.files),
        &["what", "figure", "unit"],
    );
    let server = home.serve()?;
    let session = Session::login(server.address).await?;
    create(plan, &home, &server, &session, &mut table).await?;

    say("million, kill and restart");
    server.kill()?;
    let server =
        ready(&home, &session, "ready after kill -9 right after the last upload", &mut table)
            .await?;
    let mut connection = Connection::open(server.address).await?;
    for method in ["listFile", "listPath"] {
        say(&format!("million, {method}"));
        listing::list(plan.files, &mut connection, &session, method, &mut table).await?;
    }
    say("million, stat");
    stat(plan.files, &mut connection, &session, &mut table).await?;
    drop(connection);

    say("million, stop and restart");
    server.stop()?;
    let server = ready(&home, &session, "ready after a stop", &mut table).await?;
    thread::sleep(IDLE);
    figure(&mut table, "idle RSS after it", mib(process::rss(server.pid())?), 1, "MiB");
    server.kill()?;
    let server = ready(&home, &session, "ready after kill -9 when idle", &mut table).await?;
    figure(&mut table, "data directory", mib(home.disk_bytes()?), 0, "MiB");
    server.stop()?;
    Ok(vec![table])
}

fn figure(table: &mut Table, what: &str, number: f64, decimals: usize, unit: &str) {
    table.row(vec![Cell::text(what), Cell::Number(number, decimals), Cell::text(unit)]);
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Uploads of empty files.
struct Empty {
    session: Session,
    directory: &'static str,
}

fn name(number: u64) -> String {
    format!("file-{number:08}.txt")
}

impl Script for Empty {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        self.session.upload(self.directory, &name(number), 0, out);
    }

    fn check(&self, _number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        api::uploaded(answer, 0)
    }
}

async fn create(
    plan: &Plan,
    home: &Home,
    server: &Listening,
    session: &Session,
    table: &mut Table,
) -> anyhow::Result<()> {
    say(&format!("million, creating {} files", plan.files));
    let mut connection = Connection::open(server.address).await?;
    for (directory, files, connections) in
        [(SMALL, SMALL_FILES, 1), (LARGE, plan.files, plan.connections)]
    {
        session.make_dir(&mut connection, directory).await?;
        let script = Empty { session: session.clone(), directory };
        let mut load = Load::open(server.address, connections)?;
        let before = home.commits()?;
        let meter = Meter::start(server.pid())?;
        let shown = load.send(&script, 0..files)?;
        let (cost, commits) = (meter.read()?, home.commits()?.since(before));
        if directory == LARGE {
            let fsyncs = commits.groups as f64 / shown.elapsed.as_secs_f64();
            figure(table, "creating", shown.rate(), 0, "files/s");
            figure(table, "creating, p50", shown.latency_ms(500), 2, "ms");
            figure(table, "creating, p99", shown.latency_ms(990), 2, "ms");
            figure(table, "creating, p99.9", shown.latency_ms(999), 2, "ms");
            figure(table, "creating, fsyncs", fsyncs, 0, "/s");
            figure(
                table,
                "creating, CPU",
                cost.cpu.as_secs_f64() * 1e6 / files as f64,
                1,
                "us/file",
            );
            figure(table, "creating, other cores", cost.other_cores(), 2, "cores");
            figure(table, "creating, peak RSS", mib(cost.peak), 1, "MiB");
        }
    }
    Ok(())
}

/// Starts the server: how long until it listens, and until it has answered for a file.
async fn ready(
    home: &Home,
    session: &Session,
    what: &str,
    table: &mut Table,
) -> anyhow::Result<Listening> {
    let begun = Instant::now();
    let (server, listening) = home.serve_timed()?;
    let mut connection = Connection::open(server.address).await?;
    stat_one(&mut connection, session, LARGE, 0).await?;
    figure(table, what, ms(begun.elapsed()), 0, "ms");
    figure(table, &format!("{what}, of that until it listened"), ms(listening), 0, "ms");
    Ok(server)
}

async fn stat_one(
    connection: &mut Connection,
    session: &Session,
    directory: &str,
    number: u64,
) -> anyhow::Result<Duration> {
    let path = format!("{directory}/{}", name(number));
    let called = session.call(connection, "stat", json!({ "path": path, "detail": true })).await?;
    let result = &called.result;
    let well = result["code"] == 0 && result["type"] == 2 && result["size"] == 0;
    ensure!(well, "stat {path}: {result}");
    Ok(called.took)
}

/// `stat` of random files in the large directory and in the small one, in turns.
async fn stat(
    files: u64,
    connection: &mut Connection,
    session: &Session,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut random = Random::new(1);
    let mut means = [Duration::ZERO; 2];
    for _ in 0..STATS / STAT_BLOCK {
        for ((directory, files), sum) in
            [(LARGE, files), (SMALL, SMALL_FILES)].iter().zip(&mut means)
        {
            for _ in 0..STAT_BLOCK {
                *sum += stat_one(connection, session, directory, random.next() % files).await?;
            }
        }
    }
    let [large, small] = means.map(|sum| ms(sum) * 1e3 / STATS as f64);
    figure(table, "stat of a random file, mean", large, 1, "us");
    figure(table, "stat in a directory of ten, mean", small, 1, "us");
    figure(table, "stat, large/small", large / small, 3, "ratio");
    Ok(())
}
