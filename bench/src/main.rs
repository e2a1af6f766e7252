//! Measures the release binary of headwater over loopback, beside peers in the same run:
//! `cargo run --release -p bench -- all`, or the names of works.
//!
//! What lives here: the command line's verbs and the list of works. A work is a file in `works`; it starts the servers it
//! compares (`server`, `nginx`, `bare`), drives them (`load` for requests in great number, `http` and `api` for single ones)
//! and returns comparisons (`compare`) or tables (`table`). Nothing asserts a time: a work fails on wrong answers alone, and
//! figures are read by people, as ratios to a peer of the same run.

mod api;
mod bare;
mod compare;
mod content;
mod drive;
mod http;
mod interrupt;
mod limits;
mod load;
mod machine;
mod nginx;
mod plan;
mod process;
mod report;
mod requests;
mod server;
mod table;
mod target;
mod works;

use anyhow::ensure;
use clap::{Parser, Subcommand};

use crate::{machine::Machine, plan::Plan, report::Part};

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
    /// Be a peer: a bare HTTP server that stores nothing (the works start it themselves).
    Bare(bare::Bare),
    /// Drive any server with the generator: GET of one path, to compare it with other generators.
    Drive(drive::Drive),
}

fn main() -> anyhow::Result<()> {
    let mut cli = Cli::parse();
    match &cli.verb {
        Some(Verb::Bare(bare)) => bare::serve(bare),
        Some(Verb::Drive(drive)) => drive.run(),
        None => {
            cli.plan.settle();
            measure(&cli.plan)
        }
    }
}

/// Does the works on one thread: the generator leaves the other cores to the server.
fn measure(plan: &Plan) -> anyhow::Result<()> {
    server::raise_limits();
    interrupt::watch()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let machine = Machine::describe(plan);
    let mut parts = Vec::new();
    let mut stores = works::stores::Stores::default();
    let mut failed = 0;
    for work in &plan.works {
        match runtime.block_on(works::run(*work, plan, &mut stores)) {
            Ok(done) => {
                done.iter().for_each(Part::print);
                parts.extend(done);
            }
            // What the others show is worth keeping.
            Err(e) => {
                failed += 1;
                table::say(&format!("{work:?} failed: {e:#}"));
            }
        }
    }
    report::finish(plan, &machine, &parts)?;
    ensure!(failed == 0, "works that failed: {failed}");
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
