//! Finding sealed blobs: the walk over the fan-out that the sweeper compares with the catalog.
//!
//! What does not live here: the decision what is garbage. The invariant: every blob that was sealed before the walk
//! began, is still there, and fits the times asked for, is visited; a name that is not ours is left alone.

use std::{
    fs::{self, ReadDir},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use model::{BlobId, Result, Time};

use crate::{Lying, layout};

/// How many ids are handed over at a time.
const BATCH_IDS: usize = 1000;
/// Directories changed this long before `since` are walked too: their times come from the kernel's clock, which ticks
/// coarsely, and `since` from ours.
const SLACK_SECS: u64 = 10;

/// Visits the blobs under `blobs` that were staged before `before`, in directories changed since `since`. Blocks.
pub(super) fn sealed_between(
    blobs: &Path,
    since: Time,
    before: Time,
    visit: &mut dyn FnMut(Vec<BlobId>),
) -> Result<()> {
    let since_secs = since.secs().saturating_sub(SLACK_SECS);
    let mut batch = Vec::new();
    for first in fan_dirs(blobs)? {
        let outer = blobs.join(layout::fan_name(first));
        for second in fan_dirs(&outer)? {
            let inner = outer.join(layout::fan_name(second));
            if changed_secs(&inner)? < since_secs {
                continue;
            }
            for_names(&inner, |name| match layout::id_of(name) {
                Some(id) if layout::fan(id) == [first, second] => {
                    if id.staged_ms() < before.0 {
                        batch.push(id);
                    }
                    if batch.len() == BATCH_IDS {
                        visit(std::mem::take(&mut batch));
                    }
                }
                _ => unknown(&inner, name),
            })?;
        }
    }
    if !batch.is_empty() {
        visit(batch);
    }
    Ok(())
}

/// Visits everything that lies in the stage and under `blobs`. Blocks.
pub(super) fn survey(stage: &Path, blobs: &Path, visit: &mut dyn FnMut(Vec<Lying>)) -> Result<()> {
    let mut batch = Vec::new();
    for_names(stage, |name| batch.push(Lying::Staged(name.to_owned())))?;
    let stray = |dir: &Path, name: &str| Lying::Stray(dir.join(name).display().to_string());
    let mut outer = Vec::new();
    for_names(blobs, |name| match fan_byte(name) {
        Some(byte) => outer.push(byte),
        None => batch.push(stray(blobs, name)),
    })?;
    for first in outer {
        let dir = blobs.join(layout::fan_name(first));
        let mut inner = Vec::new();
        for_names(&dir, |name| match fan_byte(name) {
            Some(byte) => inner.push(byte),
            None => batch.push(stray(&dir, name)),
        })?;
        for second in inner {
            let dir = dir.join(layout::fan_name(second));
            for_names(&dir, |name| match layout::id_of(name) {
                Some(id) if layout::fan(id) == [first, second] => batch.push(Lying::Sealed(id)),
                _ => batch.push(stray(&dir, name)),
            })?;
            if batch.len() >= BATCH_IDS {
                visit(std::mem::take(&mut batch));
            }
        }
    }
    if !batch.is_empty() {
        visit(batch);
    }
    Ok(())
}

/// The byte that a directory of the fan-out is named after.
fn fan_byte(name: &str) -> Option<u8> {
    u8::from_str_radix(name, 16).ok().filter(|byte| layout::fan_name(*byte) == name)
}

/// The directories of one level of the fan-out.
fn fan_dirs(dir: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for_names(dir, |name| match fan_byte(name) {
        Some(byte) => bytes.push(byte),
        None => unknown(dir, name),
    })?;
    Ok(bytes)
}

/// When a directory last gained or lost a name; the past if it is gone.
fn changed_secs(dir: &Path) -> io::Result<u64> {
    match fs::metadata(dir) {
        Ok(meta) => Ok(u64::try_from(meta.mtime()).unwrap_or(0)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    }
}

fn for_names(dir: &Path, mut each: impl FnMut(&str)) -> io::Result<()> {
    let entries: ReadDir = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let name = entry?.file_name();
        each(&name.to_string_lossy());
    }
    Ok(())
}

fn unknown(dir: &Path, name: &str) {
    tracing::warn!(dir = %dir.display(), name, "not a blob of ours; left alone");
}
