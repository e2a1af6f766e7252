//! Measures the release binary of headwater over loopback, beside peers in the same run:
//! `cargo run --release -p bench -- small-uploads big-uploads million multipart backup`.
//!
//! What lives here: the command line and the list of works. A work is a file in `works`; it starts the servers it
//! compares (`server`), drives them (`load`, `http`, `api`) and returns tables (`table`). Nothing asserts a time: a work
//! fails on wrong answers alone, and figures are read by people, as ratios to a peer of the same run.

mod api;
mod bare;
mod content;
mod http;
mod load;
mod process;
mod server;
mod table;
mod works;

use std::{fs::File, path::PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::table::Table;

/// Measures headwater beside peers in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Be a peer: a bare HTTP server that reads and hashes what it is sent (the works start it themselves).
    Bare {
        /// Answer with the body that was sent instead of an empty one.
        #[arg(long)]
        echo: bool,
    },
}

/// What to measure.
#[derive(Debug, Args)]
struct Plan {
    /// The works, done in this order.
    #[arg(required = true, value_enum)]
    works: Vec<Work>,
    /// Write all figures to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the temporary data directories are made [default: the system's].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How often a work takes turns between headwater and its peer.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// small-uploads: requests of a turn (a quarter of it at one connection).
    #[arg(long, default_value_t = 40_000)]
    requests: u64,
    /// small-uploads: bytes of a file.
    #[arg(long, default_value_t = 4096)]
    bytes: usize,
    /// big-uploads: MiB of each of the three files.
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// million: files in the directory.
    #[arg(long, default_value_t = 1_000_000)]
    files: u64,
    /// million: connections that upload them.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// multipart: MiB of the file.
    #[arg(long, default_value_t = 5 * 1024)]
    multipart_mib: u64,
    /// multipart: pieces it is sent in.
    #[arg(long, default_value_t = 100)]
    pieces: u64,
    /// multipart: connections that send them in random order.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// backup: small files; there are half as many of 20 kB, and a thousandth of 64 MiB.
    #[arg(long, default_value_t = 40_000)]
    backup_files: u64,
    /// Take a build that is no release build: answers are checked, figures mean nothing.
    #[arg(long)]
    any_build: bool,
}

/// Every work there is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Work {
    /// Durable uploads of 4 KiB at 32, 1 and 128 connections, beside a server that only reads and hashes.
    SmallUploads,
    /// Three parallel uploads of 2 GiB, beside one core's SHA-256 and a server that only reads and hashes.
    BigUploads,
    /// A directory of a million files: listing, stat, memory, restart.
    Million,
    /// A file of 5 GiB in 100 pieces: in random order over 4 connections, and in order over one.
    Multipart,
    /// Imports of trees and archives, snapshots and the way back, beside `cp -r`.
    Backup,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.verb {
        Some(Verb::Bare { echo }) => bare::serve(echo),
        None => measure(&cli.plan),
    }
}

/// Does the works on one thread: the generator leaves the other cores to the server.
fn measure(plan: &Plan) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut tables = Vec::new();
    for work in &plan.works {
        let done = runtime.block_on(async {
            match work {
                Work::SmallUploads => works::small_uploads::run(plan).await,
                Work::BigUploads => works::big_uploads::run(plan).await,
                Work::Million => works::million::run(plan).await,
                Work::Multipart => works::multipart::run(plan).await,
                Work::Backup => works::backup::run(plan).await,
            }
        })?;
        done.iter().for_each(Table::print);
        tables.extend(done);
    }
    if let Some(path) = &plan.json {
        let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
        serde_json::to_writer_pretty(file, &table::json(&tables)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
