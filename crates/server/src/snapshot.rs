//! `headwater export` and `headwater import snapshot`: a whole store into another directory.
//!
//! What is copied, and how it stays consistent, is said in `ops::backup`. What lives here: which directories may be written
//! to, and that a copy which is not whole is taken for nothing. A snapshot is a data directory: it can be checked with
//! `headwater fsck`, and served.
//!
//! ```text
//! unfinished    somebody copies into this directory, or did not end: nobody opens it
//! snapshot      this is a snapshot that nobody has served: the next export may replace it
//! secret.key    comes last: without it a directory with a catalog is not opened
//! ```

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use ops::{Store, backup::Copied, fsck};
use serde_json::{Value, json};

use crate::{
    admin::{Done, Notes, seconds_since},
    config::{self, Site, Wiring},
    key,
};

const UNFINISHED: &str = "unfinished";
const SNAPSHOT: &str = "snapshot";
/// Between two words of progress.
const PROGRESS_PAUSE: Duration = Duration::from_secs(2);

/// What a snapshot is made of.
pub(crate) struct Export {
    /// Where to; absolute.
    pub(crate) to: PathBuf,
    /// Whether every byte of the copy is read back.
    pub(crate) deep: bool,
}

/// Refuses a directory that a copy did not end in.
pub(crate) fn refuse_unfinished(data: &Path) -> anyhow::Result<()> {
    if data.join(UNFINISHED).exists() {
        bail!(
            "{}: an export or import into this directory did not end: do it again",
            data.display()
        );
    }
    Ok(())
}

/// Somebody serves this directory: it is no snapshot any more that may be replaced.
pub(crate) fn put_into_use(data: &Path) -> anyhow::Result<()> {
    remove(&data.join(SNAPSHOT))
}

/// Copies a store that is open, with its key, into a directory of its own.
pub(crate) async fn export(
    store: &Store,
    site: &Site,
    export: &Export,
    notes: &Notes,
) -> anyhow::Result<Done> {
    let to = &export.to;
    let own = site.data.canonicalize()?;
    if to.canonicalize().is_ok_and(|to| to.starts_with(&own)) || to.starts_with(&own) {
        bail!("{} is within the data directory", to.display());
    }
    let key = key::of(site)?;
    copy(store, &key, to, &[SNAPSHOT], export.deep, |text| notes.say(text)).await
}

/// Copies a snapshot into an empty data directory.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the answer to a command line")]
pub(crate) async fn restore(site: &Site, from: &Path, deep: bool) -> anyhow::Result<ExitCode> {
    if site.is_shared() {
        bail!("a snapshot is brought into a data directory, without --catalog");
    }
    if !from.join("catalog").exists() {
        bail!("{} is no snapshot", from.display());
    }
    let source = crate::open(&Site::within(from), Wiring::offline()?).await?;
    let key = key::read(from)?;
    let done = copy(&source.store, &key, &site.data, &[], deep, |text| eprintln!("{text}")).await?;
    println!("{}", done.answer);
    Ok(ExitCode::from(done.exit))
}

/// Copies a store into `to`, which is empty, or holds a copy that did not end or one of these marks.
async fn copy(
    store: &Store,
    key: &[u8; 32],
    to: &Path,
    marks: &[&str],
    deep: bool,
    say: impl Fn(String) + Send + Sync,
) -> anyhow::Result<Done> {
    let begun = Instant::now();
    may_replace(to, marks)?;
    let _lock = config::own_directory(to)?;
    fs::write(to.join(UNFINISHED), "")?;
    key::withdraw(to)?;
    remove(&to.join(SNAPSHOT))?;
    match fs::remove_dir_all(to.join("catalog")) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
        Ok(()) | Err(_) => {}
    }
    let target = crate::assemble(&Site::within(to), key, Wiring::offline()?)?;
    let mut said = begun;
    let copied = store
        .copy_into(&target, |copied| {
            if said.elapsed() >= PROGRESS_PAUSE {
                said = Instant::now();
                say(progress(copied, begun));
            }
        })
        .await
        .with_context(|| format!("copying into {}", to.display()))?;
    say("copied; checking the copy".to_owned());
    let report = target.fsck(fsck::Options { deep, ..Default::default() }).await?;
    drop(target);
    key::put(to, key)?;
    if marks.contains(&SNAPSHOT) {
        fs::write(to.join(SNAPSHOT), "")?;
    }
    remove(&to.join(UNFINISHED))?;
    let whole = copied.damaged.is_empty() && report.left == 0;
    Ok(Done { answer: answer(&copied, &report, begun), exit: u8::from(!whole) })
}

/// A directory of somebody's is not overwritten.
fn may_replace(to: &Path, marks: &[&str]) -> anyhow::Result<()> {
    let mut entries = match fs::read_dir(to) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("reading {}", to.display()))?,
    };
    let marked = marks.iter().chain([&UNFINISHED]).any(|mark| to.join(mark).exists());
    if !marked && entries.next().is_some() {
        bail!("{} is not empty", to.display());
    }
    Ok(())
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", file.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn progress(copied: &Copied, begun: Instant) -> String {
    let (bytes, secs) = (copied.blob_bytes / 1_000_000, begun.elapsed().as_secs().max(1));
    format!(
        "{} blobs, {bytes} MB ({} MB/s), {} of them there already, {} rows of the catalog",
        copied.blobs,
        bytes / secs,
        copied.kept,
        copied.rows,
    )
}

fn answer(copied: &Copied, report: &fsck::Report, begun: Instant) -> Value {
    let damaged = copied.damaged.iter().map(|(_, why)| why.as_str());
    json!({
        "rows": copied.rows, "blobs": copied.blobs, "blob_bytes": copied.blob_bytes,
        "kept": copied.kept, "damaged": damaged.collect::<Vec<_>>(),
        "files": report.counts.files, "findings": report.left,
        "seconds": seconds_since(begun),
    })
}
