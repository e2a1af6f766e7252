//! `million`: one directory with a million files, made through the API. The server is killed right after the last answer;
//! then every name must be listed exactly once. Measured: pages from the first to the last, `stat` beside `stat` in a
//! directory of ten, memory and time to be ready after a stop and after a kill.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    Plan, api,
    api::Session,
    content::Random,
    http::{Answer, Connection},
    load::{Load, Script},
    process::{self, Meter},
    server::{Home, Listening},
    table::{Cell, Table, say},
    works::mib,
};

const LARGE: &str = "/million";
const SMALL: &str = "/ten";
const SMALL_FILES: u64 = 10;
const PAGE: u64 = 10_000;
/// How often a page is asked for; the median counts.
const PAGE_TIMES: usize = 9;
/// `stat` calls on each directory, in blocks by turns.
const STATS: u64 = 10_000;
const STAT_BLOCK: u64 = 500;
/// Without work, before memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Table>> {
    let home = Home::new(plan.dir.as_deref())?;
    let mut table = Table::new(
        format!("million: {} files in one directory", plan.files),
        &["what", "figure", "unit"],
    );
    let server = home.serve()?;
    let session = Session::login(server.address).await?;
    create(plan, &home, &server, &session, &mut table).await?;

    say("million, kill and restart");
    server.kill()?;
    let server = ready(&home, &session, "ready after kill -9 amid load", &mut table).await?;
    let mut connection = Connection::open(server.address).await?;
    for method in ["listFile", "listPath"] {
        say(&format!("million, {method}"));
        list(plan.files, &mut connection, &session, method, &mut table).await?;
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
        let script = Arc::new(Empty { session: session.clone(), directory });
        let mut load = Load::open(server.address, connections, script).await?;
        let before = home.commits()?;
        let meter = Meter::start(server.pid())?;
        let shown = load.send(0..files).await?;
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

/// Pages through the large directory with one method, checks it, and measures pages along the way.
async fn list(
    files: u64,
    connection: &mut Connection,
    session: &Session,
    method: &str,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut lister = Lister { connection, session, method };
    let mut seen = vec![false; usize::try_from(files)?];
    let (mut cookies, mut next) = (Vec::new(), first_cookie(method));
    let (mut slowest, mut all) = (Duration::ZERO, Duration::ZERO);
    loop {
        let page = lister.page(LARGE, &next, PAGE).await?;
        page.check(&mut seen)?;
        slowest = slowest.max(page.took);
        all += page.took;
        cookies.push(std::mem::replace(&mut next, page.cookie));
        if next == first_cookie(method) {
            break;
        }
        ensure!(cookies.len() as u64 <= files / PAGE + 1, "{method}: pages without end");
    }
    let missing = seen.iter().filter(|seen| !**seen).count();
    ensure!(missing == 0, "{method}: {missing} files were not listed");

    // The last page that holds anything: a full one is followed by an empty one.
    let last = cookies.len() - if files.is_multiple_of(PAGE) && files > 0 { 2 } else { 1 };
    figure(table, &format!("{method}, all pages of {PAGE} with stat"), all.as_secs_f64(), 2, "s");
    figure(table, &format!("{method}, the slowest of them"), ms(slowest), 1, "ms");
    for (what, at) in [("first", 0), ("middle", last / 2), ("last", last)] {
        let took = lister.median(LARGE, &cookies[at], PAGE).await?;
        figure(table, &format!("{method}, {what} page, median"), ms(took), 1, "ms");
    }
    let few = lister.median(LARGE, &cookies[last / 2], SMALL_FILES).await?;
    let ten = lister.median(SMALL, &first_cookie(method), SMALL_FILES).await?;
    figure(table, &format!("{method}, ten from the middle"), ms(few) * 1e3, 0, "us");
    figure(table, &format!("{method}, ten of ten"), ms(ten) * 1e3, 0, "us");
    Ok(())
}

/// Also what a last page carries.
fn first_cookie(method: &str) -> Value {
    if method == "listPath" { Value::Null } else { json!(0) }
}

struct Lister<'a> {
    connection: &'a mut Connection,
    session: &'a Session,
    method: &'a str,
}

struct Page {
    took: Duration,
    cookie: Value,
    entries: Vec<Value>,
}

impl Lister<'_> {
    async fn page(&mut self, path: &str, cookie: &Value, size: u64) -> anyhow::Result<Page> {
        let params = json!({ "path": path, "pageSize": size, "cookie": cookie, "stat": true });
        let called = self.session.call(self.connection, self.method, params).await?;
        let mut result = called.result;
        let key = if self.method == "listPath" { "files" } else { "list" };
        let cookie = result["cookie"].take();
        match result[key].take() {
            Value::Array(entries) => Ok(Page { took: called.took, cookie, entries }),
            _ => anyhow::bail!("{} {path}: {} bytes: {result}", self.method, called.bytes),
        }
    }

    /// The median time of a page.
    async fn median(&mut self, path: &str, cookie: &Value, size: u64) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..PAGE_TIMES {
            times.push(self.page(path, cookie, size).await?.took);
        }
        times.sort_unstable();
        Ok(times[PAGE_TIMES / 2])
    }
}

impl Page {
    /// Every entry is one of the files, was not listed before, and carries what `stat` says.
    fn check(&self, seen: &mut [bool]) -> anyhow::Result<()> {
        for entry in &self.entries {
            let number = entry["name"].as_str().and_then(|name| {
                name.strip_prefix("file-")?.strip_suffix(".txt")?.parse::<usize>().ok()
            });
            let place = number.and_then(|number| seen.get_mut(number));
            let place = place.with_context(|| format!("a file that was not made: {entry}"))?;
            ensure!(!*place, "listed twice: {entry}");
            *place = true;
            // Beside the name in `listPath`.
            let stat = entry.get("stat").unwrap_or(entry);
            let whole =
                stat["size"] == 0 && stat["checksum"].as_str().is_some_and(|c| c.len() == 64);
            ensure!(whole && stat["mtime"].is_u64(), "without stat: {entry}");
        }
        Ok(())
    }
}
