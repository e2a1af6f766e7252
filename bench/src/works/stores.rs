//! Stores with many entries, made once for all works of a run: `/entries` with files of one byte, and one file of 4 KiB beside
//! it. Uploads over 128 connections are the quickest way to make them.

use std::{collections::HashMap, time::Instant};

use crate::{
    api::{self, Session},
    content::Stamped,
    http::Connection,
    load::Load,
    plan::Plan,
    requests::Uploads,
    server::Home,
    table::say,
};

/// Where the entries are.
pub(super) const ENTRIES: &str = "/entries";
/// The file of 4 KiB.
pub(super) const HOT: &str = "/hot.bin";
/// Entries of the small store.
pub(super) const FEW: u64 = 10_000;
/// Entries of the largest.
pub(super) const TEN_MILLION: u64 = 10_000_000;
const SAY_EVERY: u64 = 200_000;

/// The stores of a run, by the number of their entries.
#[derive(Default)]
pub(crate) struct Stores {
    made: HashMap<u64, Home>,
}

impl Stores {
    /// Makes the store with so many entries, if there is none yet. Nothing serves it.
    pub(super) async fn make(&mut self, plan: &Plan, entries: u64) -> anyhow::Result<()> {
        if self.made.contains_key(&entries) {
            return Ok(());
        }
        let home = Home::new(plan)?;
        let server = home.serve_with("warn", &[])?;
        let session = Session::login(server.address).await?;
        let mut connection = Connection::open(server.address).await?;
        session.make_dir(&mut connection, ENTRIES).await?;
        let mut request = Vec::new();
        session.upload("/", &HOT[1..], 4096, &mut request);
        request.extend_from_slice(&Stamped::new(4096).whole(1));
        api::uploaded(connection.exchange(&request).await?, 4096)?;

        let byte = Stamped::new(1);
        let uploads = Uploads { session, place: &place, contents: &byte };
        let (begun, mut load) = (Instant::now(), Load::open(server.address, plan.connections)?);
        for from in (0..entries).step_by(usize::try_from(SAY_EVERY)?) {
            let seconds = begun.elapsed().as_secs_f64();
            say(&format!("making {entries} entries: {from} after {seconds:.0} s"));
            load.send(&uploads, from..(from + SAY_EVERY).min(entries))?;
        }
        server.stop()?;
        self.made.insert(entries, home);
        Ok(())
    }

    /// The store with so many entries, if it was made.
    pub(super) fn get(&self, entries: u64) -> anyhow::Result<&Home> {
        self.made.get(&entries).ok_or_else(|| anyhow::anyhow!("no store of {entries} entries"))
    }
}

/// The stores that are compared differ, and hold full pages.
pub(super) fn ensure_enough(plan: &Plan) -> anyhow::Result<()> {
    anyhow::ensure!(plan.files > FEW, "--files: more than {FEW} for listing and scale");
    Ok(())
}

/// Directory and name of an entry.
fn place(number: u64) -> (String, String) {
    (ENTRIES.to_owned(), format!("file-{number:08}.txt"))
}

/// The path of an entry.
pub(super) fn path(number: u64, out: &mut Vec<u8>) {
    api::append(out, format_args!("{ENTRIES}/file-{number:08}.txt"));
}

/// `1000000` as `1 M`.
pub(super) fn short(entries: u64) -> String {
    match entries {
        n if n >= 1_000_000 && n.is_multiple_of(1_000_000) => format!("{} M", n / 1_000_000),
        n if n >= 1000 && n.is_multiple_of(1000) => format!("{} k", n / 1000),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_short() {
        let shown = [10_000_000, 1_000_000, 20_000, 1234].map(super::short);
        assert_eq!(shown, ["10 M", "1 M", "20 k", "1234"]);
    }
}
