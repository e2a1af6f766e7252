//! `scale-out`: the engines of one machine beside those of many, in turns: the embedded one, PostgreSQL and an S3 server under
//! one node, and under three. Uploads, reads, calls and pages in a store with many entries of 4 KiB, each with what it costs the
//! database. How the servers are started is in `stand`.

mod stand;

use std::collections::BTreeMap;

use anyhow::ensure;

use crate::{
    api::{Session, append},
    content::{Random, Stamped},
    http::Connection,
    load::{Load, Script, Shown},
    plan::Plan,
    requests::{Calls, Files4k, Uploads},
    table::{Cell, Table, say},
};
use stand::{Nodes, Spent, Stand};

/// Bytes of a file.
const BYTES: usize = 4096;
/// Entries of a directory: those of a page.
const DIRECTORY: u64 = 10_000;
/// Uploads are measured over so many connections, so many a turn.
const UPLOADS: [(usize, u64); 3] = [(1, 1500), (32, 15_000), (128, 25_000)];
/// Connections of reads, and reads of a turn.
const READS: (usize, u64) = (32, 20_000);
/// Connections of pages, and pages of a turn.
const PAGES: (usize, u64) = (4, 60);
/// Reads before a turn, in parts of those that are measured.
const WARM_UP: u64 = 4;
/// Uploads between two words about how far they are.
const SAY_EVERY: u64 = 50_000;

/// What was measured of a work on one stand: the turns' loads and costs.
type Turns = Vec<(Shown, Spent)>;
/// By the number of the work, then of the stand.
type Measured = BTreeMap<(usize, usize), (String, &'static str, Turns)>;

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Table>> {
    ensure!(plan.files.is_multiple_of(DIRECTORY), "--files: whole directories of {DIRECTORY}");
    let stands = Stand::all(plan)?;
    let mut disk = Table::new("Bytes of an entry on disk", &["where", "bytes"]);
    for stand in &stands {
        if !stand.is_filled() {
            fill(plan, stand).await?;
            say(&format!("scale-out, {}: filled", stand.name()));
            for (place, bytes) in stand.disk()? {
                let each = bytes as f64 / plan.files as f64;
                disk.row(vec![Cell::text(place), Cell::Number(each, 0)]);
            }
        }
    }
    disk.notes(&[format!(
        "{} files of {BYTES} bytes, their content among them, after the upload of all of them and a checkpoint; without \
         PostgreSQL's log.",
        plan.files
    )]);
    let mut measured = Measured::new();
    for round in 0..plan.rounds {
        for (number, stand) in stands.iter().enumerate() {
            say(&format!("scale-out, round {}, {}", round + 1, stand.name()));
            let nodes = stand.start()?;
            measure(plan, &nodes, round, (number, stand.name()), &mut measured).await?;
            nodes.stop()?;
        }
    }
    Ok(vec![figures(plan, measured), disk])
}

/// Directory and name of an entry.
fn place(number: u64) -> (String, String) {
    (format!("/d{:05}", number / DIRECTORY), format!("{number:09}.bin"))
}

/// The path of an entry.
fn path(number: u64, out: &mut Vec<u8>) {
    append(out, format_args!("/d{:05}/{number:09}.bin", number / DIRECTORY));
}

/// Uploads the entries, over all nodes.
async fn fill(plan: &Plan, stand: &Stand) -> anyhow::Result<()> {
    let nodes = stand.start()?;
    let session = Session::login(nodes.addresses()[0]).await?;
    let mut connection = Connection::open(nodes.addresses()[0]).await?;
    for number in (0..plan.files).step_by(usize::try_from(DIRECTORY)?) {
        session.make_dir(&mut connection, &place(number).0).await?;
    }
    let contents = Stamped::new(BYTES);
    let uploads = Uploads { session, place: &place, contents: &contents };
    let mut load = Load::spread(&nodes.addresses(), plan.connections)?;
    for from in (0..plan.files).step_by(usize::try_from(SAY_EVERY)?) {
        say(&format!("scale-out, {}: {from} of {}", stand.name(), plan.files));
        load.send(&uploads, from..(from + SAY_EVERY).min(plan.files))?;
    }
    nodes.stop()?;
    stand.settle()
}

/// Measures every work once on one stand.
async fn measure(
    plan: &Plan,
    nodes: &Nodes<'_>,
    round: u32,
    (stand, name): (usize, &'static str),
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let addresses = nodes.addresses();
    let session = Session::login(addresses[0]).await?;
    let contents = Stamped::new(BYTES);
    let mut turn =
        |place: usize, what: String, count: u64, connections: usize, script: &dyn Script| {
            let first = u64::from(round) << 32;
            let mut load = Load::spread(&addresses, connections)?;
            let warm = count / WARM_UP;
            load.send(script, first..first + warm)?;
            let before = nodes.spent()?;
            let shown = load.send(script, first + warm..first + warm + count)?;
            let spent = nodes.spent()?.since(&before);
            let known = measured.entry((place, stand));
            known.or_insert_with(|| (what, name, Vec::new())).2.push((shown, spent));
            anyhow::Ok(())
        };
    let mut connection = Connection::open(addresses[0]).await?;
    for (place, (connections, count)) in UPLOADS.into_iter().enumerate() {
        let directory = format!("/up-{stand}-{connections}-{round}");
        session.make_dir(&mut connection, &directory).await?;
        let at = |number| (directory.clone(), format!("{number:012}.bin"));
        let uploads = Uploads { session: session.clone(), place: &at, contents: &contents };
        let what = format!("upload, {connections} conn.");
        turn(place, what, plan.count(count), connections, &uploads)?;
    }
    let (connections, count) = READS;
    let count = plan.count(count);
    let get = Files4k { random: true, files: plan.files, path, contents: &contents };
    turn(3, format!("GET of any entry, {connections} conn."), count, connections, &get)?;
    turn(4, "GET of any entry, 1 conn.".to_owned(), count / 10, 1, &get)?;
    let token = session.token();
    let any = |number: u64| Random::new(number).next() % plan.files;
    let stat = Calls::new("stat", r#""code":0"#, |number, out| {
        append(out, format_args!(r#""token":"{token}","path":""#));
        path(any(number), out);
        append(out, format_args!(r#"","detail":true"#));
    });
    turn(5, format!("stat, {connections} conn."), count, connections, &stat)?;
    let (connections, count) = PAGES;
    let list = Calls::new("listFile", r#""code":0"#, |number, out| {
        let directory = place(any(number)).0;
        append(
            out,
            format_args!(
                r#""token":"{token}","path":"{directory}","pageSize":{DIRECTORY},"cookie":0,"stat":true"#
            ),
        );
    });
    let what = format!("page of {DIRECTORY} with stat, {connections} conn.");
    turn(6, what, plan.count(count), connections, &list)
}

/// The figures, a line a work and stand.
fn figures(plan: &Plan, measured: Measured) -> Table {
    let columns = [
        "work",
        "engine, nodes",
        "a second",
        "p50 ms",
        "p99 ms",
        "journeys",
        "statements",
        "rows",
        "again",
        "database ms",
        "nodes ms",
    ];
    let statements = if plan.named_statements { ", `statements=named`" } else { "" };
    let title = format!("{} entries of {BYTES} bytes{statements}", plan.files);
    let mut table = Table::new(title, &columns);
    for (what, stand, turns) in measured.into_values() {
        let (shown, spent): (Vec<Shown>, Vec<Spent>) = turns.into_iter().unzip();
        let (all, spent) = (Shown::together(shown), Spent::together(spent));
        let each = |sum: f64| sum / all.requests as f64;
        let far = |sum: u64, decimals| match spent.database {
            Some(_) => Cell::Number(each(sum as f64), decimals),
            None => Cell::Empty,
        };
        let (work, groups) = (&spent.catalog, spent.catalog.groups + spent.catalog.conflicts);
        let again = match spent.database {
            Some(_) if groups > 0 => Cell::Number(work.conflicts as f64 / groups as f64, 2),
            _ => Cell::Empty,
        };
        let millis = |time: std::time::Duration| each(time.as_secs_f64() * 1e3);
        table.row(vec![
            Cell::text(what),
            Cell::text(stand),
            Cell::Number(all.rate(), 0),
            Cell::Number(all.latency_ms(500), 2),
            Cell::Number(all.latency_ms(990), 2),
            far(work.round_trips, 2),
            far(work.statements, 2),
            far(work.rows, 1),
            again,
            spent.database.map_or(Cell::Empty, |time| Cell::Number(millis(time), 3)),
            Cell::Number(millis(spent.nodes), 3),
        ]);
    }
    table.notes(&[
        "Journeys (waits for the database), statements and rows (sent and received) of an operation as `headwater status` \
         counts them, CPU time of an operation in PostgreSQL and in all nodes; `again`: the part of the groups that were \
         run again because another node was in their way."
            .to_owned(),
    ]);
    table
}
