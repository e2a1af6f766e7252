//! Paging through the directory, with `listFile` and `listPath`: every name exactly once, and how long pages take. How the
//! files were made stands in `mod`.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{LARGE, SMALL, SMALL_FILES, figure, ms};
use crate::{api::Session, http::Connection, table::Table};

const PAGE: u64 = 10_000;
/// How often a page is asked for, long or of ten; the median counts.
const PAGE_TIMES: usize = 9;
const TEN_TIMES: usize = 501;

/// Pages through the large directory with one method, checks it, and measures pages along the way.
pub(super) async fn list(
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
        let [took] = lister.medians([(LARGE, &cookies[at])], PAGE, PAGE_TIMES).await?;
        figure(table, &format!("{method}, {what} page, median"), ms(took), 1, "ms");
    }
    let (middle, first) = (&cookies[last / 2], first_cookie(method));
    let few = lister.medians([(LARGE, middle), (SMALL, &first)], SMALL_FILES, TEN_TIMES).await?;
    figure(table, &format!("{method}, ten from the middle, median"), ms(few[0]) * 1e3, 0, "us");
    figure(table, &format!("{method}, ten of ten, median"), ms(few[1]) * 1e3, 0, "us");
    let ratio = few[0].as_secs_f64() / few[1].as_secs_f64();
    figure(table, &format!("{method}, ten, large/small"), ratio, 3, "ratio");
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

    /// The median times of pages, asked for in turns.
    async fn medians<const N: usize>(
        &mut self,
        pages: [(&str, &Value); N],
        size: u64,
        times: usize,
    ) -> anyhow::Result<[Duration; N]> {
        let mut taken = [const { Vec::new() }; N];
        for _ in 0..times {
            for ((path, cookie), taken) in pages.into_iter().zip(&mut taken) {
                taken.push(self.page(path, cookie, size).await?.took);
            }
        }
        Ok(taken.map(|mut taken| {
            taken.sort_unstable();
            taken[times / 2]
        }))
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
