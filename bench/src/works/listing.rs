//! `listing`: pages of 100 and of 10,000 files with stat, from `listFile` and `listPath`, at places all over directories of ten
//! thousand, a million and (asked for) ten million entries, beside serializing the same JSON from memory.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    api::Session,
    compare::{Comparison, Role, Row, Turn, Unit, median},
    http::Connection,
    limits::ms,
    load::Shown,
    plan::Plan,
    report::Part,
    server::Home,
    table::say,
    target::{Against, Target},
    works::stores::{ENTRIES, FEW, Stores, TEN_MILLION, ensure_enough, short},
};

const LONG: u64 = 10_000;
/// Pages of a turn: of 100 entries, of 10,000.
const SHORT_TIMES: u64 = 600;
const LONG_TIMES: u64 = 40;
/// Pages that are walked to find places to list from.
const PLACES: usize = 30;
const TARGETS: [Target; 1] = [Target::at_most(Against::Limit, 3.0, 2.0)];

/// Does the work.
pub(crate) async fn run(plan: &Plan, stores: &mut Stores) -> anyhow::Result<Vec<Part>> {
    ensure_enough(plan)?;
    let mut sizes = vec![FEW, plan.files];
    if plan.ten_million {
        sizes.push(TEN_MILLION);
    }
    let mut comparison = Comparison::new("listing: a page with stat, one connection");
    comparison.notes.push(
        "Ours: from the first byte sent to the last received, median of a turn. The limit: \
         `serde_json::to_vec` of the same page from structs in memory."
            .to_owned(),
    );
    for entries in sizes {
        stores.make(plan, entries).await?;
        list(plan, stores.get(entries)?, entries, &mut comparison).await?;
    }
    Ok(vec![Part::Comparison(comparison)])
}

async fn list(
    plan: &Plan,
    home: &Home,
    entries: u64,
    comparison: &mut Comparison,
) -> anyhow::Result<()> {
    let server = home.serve()?;
    let session = Session::login(server.address).await?;
    for method in ["listFile", "listPath"] {
        let connection = Connection::open(server.address).await?;
        let mut lister = Lister { connection, session: &session, method, cookies: Vec::new() };
        lister.find_places().await?;
        for (size, times, targets) in
            [(100, SHORT_TIMES, &[][..]), (LONG, LONG_TIMES, &TARGETS[..])]
        {
            let work = format!("{method} {size} of {}", short(entries));
            let mut row = Row::new(&work, Unit::Millis, targets);
            for round in 0..plan.rounds {
                say(&format!("{work}, round {}", round + 1));
                lister.connection = Connection::open(server.address).await?;
                lister.turn(size, plan.count(times), &mut row).await?;
            }
            comparison.rows.push(row);
        }
    }
    server.stop()
}

struct Lister<'a> {
    connection: Connection,
    session: &'a Session,
    method: &'a str,
    /// Of long pages that are full.
    cookies: Vec<Value>,
}

impl Lister<'_> {
    async fn page(
        &mut self,
        cookie: &Value,
        size: u64,
        stat: bool,
    ) -> anyhow::Result<(Value, Duration, usize)> {
        let params = json!({ "path": ENTRIES, "pageSize": size, "cookie": cookie, "stat": stat });
        let called = self.session.call(&mut self.connection, self.method, params).await?;
        Ok((called.result, called.took, called.bytes))
    }

    fn entries<'p>(&self, page: &'p Value) -> anyhow::Result<&'p Vec<Value>> {
        let key = if self.method == "listPath" { "files" } else { "list" };
        page[key].as_array().with_context(|| format!("{}: no list", self.method))
    }

    async fn find_places(&mut self) -> anyhow::Result<()> {
        let mut next = if self.method == "listPath" { Value::Null } else { json!(0) };
        while self.cookies.len() < PLACES {
            let (mut page, ..) = self.page(&next, LONG, false).await?;
            if (self.entries(&page)?.len() as u64) < LONG {
                break;
            }
            self.cookies.push(std::mem::replace(&mut next, page["cookie"].take()));
        }
        ensure!(!self.cookies.is_empty(), "{}: no full page", self.method);
        Ok(())
    }

    /// Pages in turns with serializing them.
    async fn turn(&mut self, size: u64, times: u64, row: &mut Row) -> anyhow::Result<()> {
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        for number in 0..times {
            let place = usize::try_from(number)? % self.cookies.len();
            let cookie = self.cookies[place].clone();
            let (page, took, bytes) = self.page(&cookie, size, true).await?;
            ensure!(self.entries(&page)?.len() as u64 == size, "{}: a short page", self.method);
            let serialize = match self.method {
                "listPath" => serialize::<PathPage>,
                _ => serialize::<FilePage>,
            };
            let (from_memory, length) = serialize(page)?;
            // What is around a result is some 40 bytes long.
            ensure!(bytes.abs_diff(length) < 100, "{bytes} bytes, from memory {length}");
            ours.push(took);
            limit.push(ms(from_memory));
        }
        let micros = |took: &Duration| u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let waits = ours.iter().map(micros).collect();
        let shown = Shown::new(ours.iter().sum(), times, waits);
        let turn = Turn {
            value: median(ours.iter().map(|took| ms(*took))).unwrap_or(0.0),
            waits: Some([500, 990, 999].map(|per_mille| shown.latency_ms(per_mille))),
            ..Turn::default()
        };
        row.turn(Role::Ours, "headwater", turn);
        row.value(Role::Limit, "from memory", median(limit.into_iter()).unwrap_or(0.0));
        Ok(())
    }
}

/// How long it takes to serialize a page, and how long it is.
fn serialize<P: Serialize + DeserializeOwned>(page: Value) -> anyhow::Result<(Duration, usize)> {
    let page: P = serde_json::from_value(page).context("a page")?;
    let begun = Instant::now();
    let text = serde_json::to_vec(&page)?;
    Ok((begun.elapsed(), text.len()))
}

/// A page of `listFile`: everything it may hold, so that none of it is left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePage {
    code: i64,
    cookie: u64,
    list: Vec<FileRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRow {
    name: String,
    #[serde(rename = "type")]
    kind: u8,
    stat: Stat,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stat {
    uid: u64,
    gid: u64,
    ctime: i64,
    mtime: i64,
    size: u64,
    checksum: String,
    mimetype: String,
}

/// A page of `listPath`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PathPage {
    code: i64,
    cookie: Option<String>,
    dirs: Vec<Value>,
    files: Vec<PathRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PathRow {
    name: String,
    uid: u64,
    gid: u64,
    ctime: i64,
    mtime: i64,
    size: u64,
    checksum: String,
    mimetype: String,
}
