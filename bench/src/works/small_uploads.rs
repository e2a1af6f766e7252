//! `small-uploads`: durable uploads with distinct names and contents, beside a bare server that only reads and hashes, and at
//! one connection beside what it takes to sync one small append and to ask the bare server. A sample is read back.

use crate::{
    api::Session,
    compare::{Amount, Comparison, Role, Row, Side, Turn, Unit, numbers, take_turns},
    content::Stamped,
    http::Connection,
    limits::Appends,
    load::{Load, Shown},
    plan::Plan,
    report::Part,
    requests::Uploads,
    server::{self, Home, Listening},
    table::{Cell, Table},
    target::{Against, Target},
};

/// Bytes of a file; requests of a turn at one connection and at more.
const SIZES: [(&str, usize, u64, u64); 3] =
    [("4 KiB", 4096, 5000, 40_000), ("64 KiB", 64 << 10, 1000, 6000), ("1 MiB", 1 << 20, 200, 600)];
const CONNECTIONS: [usize; 3] = [1, 32, 128];
/// One upload at a time beside the disk: blocks of a turn, and uploads of a block.
const BLOCKS: u64 = 60;
const BLOCK: u64 = 50;
/// One file in so many is looked at, and one in ten of those is read.
const SAMPLES: u64 = 200;
/// The targets were set with it: 4 KiB with fsync, Garage 2.5, on a machine of two cores.
const GARAGE: f64 = 370.0;

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Part>> {
    let mut comparison = Comparison::new("small-uploads: POST /post/raw, durable");
    let garage = match plan.garage {
        Some(_) => "Garage (given with --garage, not of this run)",
        None => "Garage (figure of the issue, not of this run)",
    };
    comparison
        .notes
        .push(format!("The limit reads and hashes and stores nothing. Peer: {garage}."));
    let columns = ["uploads", "connections", "commits", "fsyncs", "commits/fsync"];
    let mut groups = Table::new("small-uploads: group commit", &columns);
    for (what, bytes, few, many) in SIZES {
        let home = Home::new(plan)?;
        let (ours, bare) = (home.serve()?, server::bare_hash()?);
        let session = Session::login(ours.address).await?;
        for connections in CONNECTIONS {
            let requests = plan.count(if connections == 1 { few } else { many });
            let amount = Amount { requests, connections, unit: Unit::Requests };
            let turns = Turns { plan, what, bytes, amount, garage };
            let before = home.commits()?;
            turns.run(&ours, &bare, &session, &mut comparison).await?;
            let commits = home.commits()?.since(before);
            groups.row(vec![
                Cell::text(what),
                Cell::Number(connections as f64, 0),
                Cell::Number(commits.commits as f64, 0),
                Cell::Number(commits.groups as f64, 0),
                Cell::Number(commits.commits as f64 / commits.groups.max(1) as f64, 1),
            ]);
        }
        ours.stop()?;
    }
    Ok(vec![Part::Comparison(comparison), Part::Table(groups)])
}

/// Uploads of one size over one number of connections.
struct Turns<'a> {
    plan: &'a Plan,
    what: &'a str,
    bytes: usize,
    amount: Amount,
    garage: &'a str,
}

impl Turns<'_> {
    async fn run(
        &self,
        ours: &Listening,
        bare: &Listening,
        session: &Session,
        comparison: &mut Comparison,
    ) -> anyhow::Result<()> {
        let directory = format!("/{}", self.amount.connections);
        session.make_dir(&mut Connection::open(ours.address).await?, &directory).await?;
        let contents = Stamped::new(self.bytes);
        let place = |number| (directory.clone(), format!("{number:07}.bin"));
        let uploads = Uploads { session: session.clone(), place: &place, contents: &contents };
        let side = |role, name, server: &Listening| Side {
            role,
            name,
            pid: server.pid(),
            address: server.address,
            script: &uploads,
        };
        let sides =
            [side(Role::Ours, "headwater", ours), side(Role::Limit, "bare, read + hash", bare)];
        let connections = self.amount.connections;
        let work = format!("upload {}, {connections} conn.", self.what);
        let mut row = take_turns(self.plan, &work, &self.amount, &sides, &self.targets())?;
        if self.bytes == 4096 && connections > 1 {
            // In every round: a ratio is of turns of the same round.
            for _ in 0..self.plan.rounds {
                row.value(Role::Peer, self.garage, self.plan.garage.unwrap_or(GARAGE));
            }
        }
        comparison.rows.push(row);
        let mut all = numbers(self.plan, &self.amount);
        if self.bytes == 4096 && connections == 1 {
            let (row, next) = self.one_at_a_time(&sides, &work, all)?;
            comparison.rows.push(row);
            all = next;
        }
        let mut connection = Connection::open(ours.address).await?;
        for number in (0..all).step_by(usize::try_from((all / SAMPLES).max(1))?) {
            uploads.verify(&mut connection, number).await?;
        }
        Ok(())
    }

    /// How long one upload takes, beside one sync of an append and one request to the bare server; in short turns, because
    /// a disk's moods last seconds. Also says with which number to go on.
    fn one_at_a_time(
        &self,
        sides: &[Side<'_>; 2],
        work: &str,
        first: u64,
    ) -> anyhow::Result<(Row, u64)> {
        let target = Target::at_most(Against::Limit, 1.6, 1.2);
        let mut row = Row::new(format!("{work}, time"), Unit::Millis, &[target]);
        let mut appends = Appends::new(self.plan, self.bytes)?;
        let (blocks, mut next) = (self.plan.count(BLOCKS), first);
        for _ in 0..self.plan.rounds {
            let [mut ours, mut bare, mut synced] = [const { Vec::new() }; 3];
            for _ in 0..blocks {
                let numbers = next..next + BLOCK;
                next = numbers.end;
                for (side, shown) in sides.iter().zip([&mut ours, &mut bare]) {
                    shown.push(Load::open(side.address, 1)?.send(side.script, numbers.clone())?);
                }
                synced.push(appends.make(BLOCK)?);
            }
            let [ours, bare, synced] = [ours, bare, synced].map(Shown::together);
            let waits = Some([500, 990, 999].map(|per_mille| ours.latency_ms(per_mille)));
            let value = ours.latency_ms(500);
            row.turn(Role::Ours, "headwater", Turn { value, waits, ..Turn::default() });
            let limit = synced.latency_ms(500) + bare.latency_ms(500);
            row.value(Role::Limit, "fsync + bare", limit);
        }
        Ok((row, next))
    }

    fn targets(&self) -> Vec<Target> {
        let (must, goal) = match (self.bytes, self.amount.connections) {
            (4096, 32) => (0.2, 0.4),
            (4096, 128) => (0.25, 0.5),
            _ => return Vec::new(),
        };
        vec![
            Target::at_least(Against::Limit, must, goal),
            Target::at_least(Against::Peer, 30.0, 60.0),
        ]
    }
}
