//! `small-uploads`: durable uploads of small files with distinct names and contents, beside the bare server, in turns, and
//! beside what the disk alone takes to make as many bytes durable. A sample of the files is read back after every turn.

use std::{io::Write, path::Path, sync::Arc, time::Instant};

use anyhow::Context;

use crate::{
    Plan, api,
    api::Session,
    content,
    http::{Answer, Connection},
    load::{Load, Script, Shown, micros},
    process::{Cost, Meter},
    server::{self, Commits, Home, Listening},
    table::{Cell, Table, say},
    works::mib,
};

const CONNECTIONS: [usize; 3] = [32, 1, 128];
/// One file in so many is looked at with HEAD, and one in ten of those is read.
const SAMPLES: u64 = 200;
/// Syncs of a turn of the disk alone.
const SYNCS: u64 = 2000;

const COLUMNS: [&str; 14] = [
    "connections",
    "turn",
    "server",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "fsyncs/s",
    "commits/fsync",
    "CPU us/request",
    "CPU cores",
    "generator cores",
    "other cores",
    "RSS MiB",
];

/// A server, and who uploads to it.
struct Side {
    name: &'static str,
    listening: Listening,
    session: Session,
    /// Of headwater alone.
    home: Option<Home>,
}

/// What a turn has shown.
struct Turn {
    shown: Shown,
    cost: Cost,
    commits: Option<Commits>,
}

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Table>> {
    let home = Home::new(plan)?;
    let listening = home.serve()?;
    let session = Session::login(listening.address).await?;
    let ours = Side { name: "headwater", listening, session, home: Some(home) };
    let bare =
        Side { name: "bare", listening: server::bare()?, session: Session::unknown(), home: None };

    let mut turns =
        Table::new(format!("small-uploads: {} bytes a file, durable", plan.bytes), &COLUMNS);
    let columns = ["connections", "headwater requests/s", "bare requests/s", "headwater/bare"];
    let mut ratios = Table::new("small-uploads: all turns together", &columns);
    for connections in CONNECTIONS {
        let mut rates = [(0.0, 0.0); 2];
        for round in 0..plan.rounds {
            for (side, rate) in [&ours, &bare].into_iter().zip(&mut rates) {
                say(&format!(
                    "small-uploads, {connections} connections, turn {round}, {}",
                    side.name
                ));
                let turn = side.turn(plan, connections, round).await?;
                rate.0 += turn.shown.requests() as f64;
                rate.1 += turn.shown.elapsed.as_secs_f64();
                turns.row(row(side, connections, round, &turn));
            }
            if connections == 1 {
                turns.row(disk_row(round, &disk_alone(plan)?));
            }
        }
        let [ours, bare] = rates.map(|(requests, seconds)| requests / seconds);
        let cells = [(connections as f64, 0), (ours, 0), (bare, 0), (ours / bare, 3)];
        ratios.row(cells.map(|(number, decimals)| Cell::Number(number, decimals)).into());
    }
    ours.listening.stop().context("stopping headwater")?;
    Ok(vec![turns, ratios])
}

impl Side {
    async fn turn(&self, plan: &Plan, connections: usize, round: u32) -> anyhow::Result<Turn> {
        let directory = format!("/small-{connections}-{round}");
        if self.home.is_some() {
            let mut other = Connection::open(self.listening.address).await?;
            self.session.make_dir(&mut other, &directory).await?;
        }
        let requests = if connections == 1 { plan.requests / 4 } else { plan.requests };
        let warm_up = requests / 10;
        let session = self.session.clone();
        let script =
            Arc::new(Uploads { session, directory, round, connections, bytes: plan.bytes });
        let mut load = Load::open(self.listening.address, connections, script.clone()).await?;
        load.send(0..warm_up).await?;

        let before = self.home.as_ref().map(Home::commits).transpose()?;
        let meter = Meter::start(self.listening.pid())?;
        let shown = load.send(warm_up..warm_up + requests).await?;
        let cost = meter.read()?;
        let after = self.home.as_ref().map(Home::commits).transpose()?;
        let commits = after.zip(before).map(|(after, before)| after.since(before));

        if self.home.is_some() {
            let all = warm_up + requests;
            let mut other = Connection::open(self.listening.address).await?;
            for number in (0..all).step_by(usize::try_from((all / SAMPLES).max(1))?) {
                script.verify(&mut other, number).await?;
            }
        }
        Ok(Turn { shown, cost, commits })
    }
}

fn row(side: &Side, connections: usize, round: u32, turn: &Turn) -> Vec<Cell> {
    let Turn { shown, cost, commits } = turn;
    let fsyncs = commits.map(|c| c.groups as f64 / shown.elapsed.as_secs_f64());
    let group = commits.map(|c| c.commits as f64 / c.groups.max(1) as f64);
    let optional = |number: Option<f64>| number.map_or(Cell::Empty, |n| Cell::Number(n, 1));
    vec![
        Cell::Number(connections as f64, 0),
        Cell::Number(f64::from(round), 0),
        Cell::text(side.name),
        Cell::Number(shown.rate(), 0),
        Cell::Number(shown.latency_ms(500), 2),
        Cell::Number(shown.latency_ms(990), 2),
        Cell::Number(shown.latency_ms(999), 2),
        optional(fsyncs),
        optional(group),
        Cell::Number(cost.cpu.as_secs_f64() * 1e6 / shown.requests() as f64, 1),
        Cell::Number(cost.cores(), 2),
        Cell::Number(cost.own_cores(), 2),
        Cell::Number(cost.other_cores(), 2),
        Cell::Number(mib(cost.rss), 0),
    ]
}

/// Appends of as many bytes to one file, each with a sync: what a server that does nothing else could not beat at one
/// connection.
fn disk_alone(plan: &Plan) -> anyhow::Result<Shown> {
    let within = plan.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut file = tempfile::tempfile_in::<&Path>(&within)?;
    let (mut latencies, begun) = (Vec::new(), Instant::now());
    for seed in 0..SYNCS {
        let mut bytes = Vec::new();
        content::append(seed, plan.bytes, &mut bytes);
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        latencies.push(micros(begun));
    }
    Ok(Shown::new(begun.elapsed(), latencies))
}

fn disk_row(round: u32, shown: &Shown) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Number(1.0, 0),
        Cell::Number(f64::from(round), 0),
        Cell::text("write + fdatasync"),
        Cell::Number(shown.rate(), 0),
        Cell::Number(shown.latency_ms(500), 2),
        Cell::Number(shown.latency_ms(990), 2),
        Cell::Number(shown.latency_ms(999), 2),
        Cell::Number(shown.rate(), 1),
        Cell::Number(1.0, 1),
    ];
    cells.resize_with(COLUMNS.len(), || Cell::Empty);
    cells
}

/// Uploads of distinct files into one directory.
struct Uploads {
    session: Session,
    directory: String,
    connections: usize,
    round: u32,
    bytes: usize,
}

impl Uploads {
    fn seed(&self, number: u64) -> u64 {
        number | u64::from(self.round) << 32 | (self.connections as u64) << 40
    }

    async fn verify(&self, connection: &mut Connection, number: u64) -> anyhow::Result<()> {
        let path = format!("{}/{}", self.directory, name(number));
        let mut bytes = Vec::new();
        content::append(self.seed(number), self.bytes, &mut bytes);
        let checksum = content::checksum(&bytes);
        api::verify(connection, &path, bytes.len() as u64, &checksum).await?;
        if number.is_multiple_of(10) {
            api::verify_bytes(connection, &path, &bytes).await?;
        }
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("{number:07}.bin")
}

impl Script for Uploads {
    fn request(&self, number: u64, out: &mut Vec<u8>) {
        self.session.upload(&self.directory, &name(number), self.bytes as u64, out);
        content::append(self.seed(number), self.bytes, out);
    }

    fn check(&self, _number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        api::uploaded(answer, self.bytes as u64)
    }
}
