//! `backup`: bringing trees and archives in, snapshots and the way back, beside `cp` of the same tree with a sync at its
//! end. Two trees: many small files, few large ones. What is not here: whether it is right (the tests of the server).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use crate::{
    content::{CHUNK, Long, append},
    plan::Plan,
    server::{Home, USER},
    table::{Cell, Table, say},
};

/// Bytes of a small file: it lives in the catalog.
const SMALL: usize = 4096;
/// Bytes of a file that just does not.
const MIDDLE: usize = 20_000;
/// Chunks of a large file.
const LARGE: u64 = 64;
/// Files in a directory.
const DIRECTORY: u64 = 1000;

const COLUMNS: [&str; 6] = ["tree", "step", "files/s", "MB/s", "seconds", "of cp's time"];

/// Does the work.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::new("backup: in and out, beside cp -r and sync", &COLUMNS);
    let (small, large) = (plan.backup_files, plan.backup_files / 1000);
    ensure!(large > 0, "--backup-files below 1000");
    for (name, files, make) in [
        ("4 KiB", small, make_small as Make),
        ("20 kB", small / 2, make_middle),
        ("64 MiB", large, make_large),
    ] {
        measure(plan, name, files, make, &mut table)?;
    }
    Ok(vec![table])
}

type Make = fn(&Path, u64) -> anyhow::Result<u64>;

fn measure(
    plan: &Plan,
    name: &str,
    files: u64,
    make: Make,
    table: &mut Table,
) -> anyhow::Result<()> {
    let home = Home::new(plan)?;
    let source = home.beside("source");
    say(&format!("backup, {name}: making {files} files"));
    let bytes = make(&source, files)?;
    let copied = timed(|| copy(&source, &home.beside("copy")))?;
    let mut row = |step: &str, took: Duration| {
        say(&format!("backup, {name}: {step}, {took:.1?}"));
        let secs = took.as_secs_f64();
        table.row(vec![
            Cell::text(name),
            Cell::text(step),
            Cell::Number(files as f64 / secs, 0),
            Cell::Number(bytes as f64 / 1e6 / secs, 1),
            Cell::Number(secs, 2),
            Cell::Number(secs / copied.as_secs_f64(), 2),
        ]);
    };
    row("cp -r, sync", copied);
    let (source, archive) = (text(&source)?, home.beside("source.tar"));
    done(
        Command::new("tar")
            .args(["--create", "--directory", &source, "--file"])
            .arg(&archive)
            .arg("."),
    )?;
    let (archive, snapshot) = (text(&archive)?, text(&home.beside("snapshot"))?);
    let server = home.serve()?;
    let import = |kind: &str, from: &str, to: &str, more: &[&str]| {
        let args = [&["import", kind, from, "--user", USER, "--to", to], more].concat();
        timed(|| done(home.command(&args).arg("--data").arg(home.data())))
    };
    row("import tree", import("tree", &source, "/tree", &[])?);
    row("import tree, all there", import("tree", &source, "/tree", &[])?);
    row("import tree --verify, all there", import("tree", &source, "/tree", &["--verify"])?);
    row("import tar", import("tar", &archive, "/tar", &[])?);
    // From here on there is everything twice.
    let export =
        || timed(|| done(home.command(&["export", &snapshot]).arg("--data").arg(home.data())));
    row("export (two trees)", export()?);
    row("export, up to date (two trees)", export()?);
    server.stop()?;
    let restored = home.beside("restored");
    let restore = timed(|| {
        done(home.command(&["import", "snapshot", &snapshot]).arg("--data").arg(&restored))
    });
    row("import snapshot (two trees)", restore?);
    row(
        "fsck --deep (two trees)",
        timed(|| done(home.command(&["fsck", "--deep"]).arg("--data").arg(&restored)))?,
    );
    let scrub = || {
        let args = ["scrub", "start", "--rate", "0", "--wait"];
        done(home.command(&args).arg("--data").arg(&restored))
    };
    row("scrub as fast as it goes (two trees)", timed(scrub)?);
    Ok(())
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?}: {}\n{said}", command.get_program(), output.status);
    Ok(())
}

/// The limit: the file system's own work for the same files.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    done(Command::new("cp").arg("-r").arg(from).arg(to))?;
    done(Command::new("sync").arg("-f").arg(to))
}

fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is not UTF-8")?.to_owned())
}

fn make_small(root: &Path, files: u64) -> anyhow::Result<u64> {
    make_all(root, files, SMALL)
}

fn make_middle(root: &Path, files: u64) -> anyhow::Result<u64> {
    make_all(root, files, MIDDLE)
}

fn make_all(root: &Path, files: u64, size: usize) -> anyhow::Result<u64> {
    let mut body = Vec::new();
    for number in 0..files {
        let dir: PathBuf = root.join((number / DIRECTORY).to_string());
        fs::create_dir_all(&dir)?;
        body.clear();
        append(number, size, &mut body);
        fs::write(dir.join(number.to_string()), &body)?;
    }
    Ok(files * size as u64)
}

fn make_large(root: &Path, files: u64) -> anyhow::Result<u64> {
    use std::io::Write;

    fs::create_dir_all(root)?;
    for number in 0..files {
        let mut file = fs::File::create(root.join(number.to_string()))?;
        let mut long = Long::new(number);
        for chunk in 0..LARGE {
            file.write_all(long.chunk(chunk))?;
        }
    }
    Ok(files * LARGE * CHUNK as u64)
}
