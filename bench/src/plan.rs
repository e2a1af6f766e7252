//! What to measure and how much of it: the command line. What a work does with it stands in `works`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Of the full counts, `--quick` does this part.
const QUICK: u64 = 20;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The works, done in this order; `all` is all of them.
    #[arg(required = true, value_enum)]
    pub(crate) works: Vec<Work>,
    /// Everything in small: whether it works, and a first idea of the figures.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also with directories of ten million entries: uploading them takes a quarter of an hour and more.
    #[arg(long)]
    pub(crate) ten_million: bool,
    /// Write all figures, those of each turn too, to this file, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Write tables and targets to this file, as Markdown.
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
    /// Where the temporary data directories are made [default: the system's].
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// headwater's binary [default: the one beside this program].
    #[arg(long)]
    pub(crate) headwater: Option<PathBuf>,
    /// nginx's binary [default: the one in PATH or /usr/sbin; without one its columns stay empty].
    #[arg(long)]
    pub(crate) nginx: Option<PathBuf>,
    /// What headwater logs where nothing else is said: info writes a line a request, to a file.
    #[arg(long, default_value = "info")]
    pub(crate) log: String,
    /// How often a work takes turns between headwater and its peers.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Durable uploads of 4 KiB a second of a Garage that was measured by itself on this machine
    /// [default: the figure the targets were set with].
    #[arg(long)]
    pub(crate) garage: Option<f64>,
    /// get-million, listing, scale, million, scale-out: files.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) files: u64,
    /// Connections that upload them.
    #[arg(long, default_value_t = 128)]
    pub(crate) connections: usize,
    /// big-uploads, get-large: MiB of a large file.
    #[arg(long, default_value_t = 1024)]
    pub(crate) mib: u64,
    /// multipart: MiB of the file.
    #[arg(long, default_value_t = 1024)]
    pub(crate) multipart_mib: u64,
    /// multipart: pieces it is sent in.
    #[arg(long, default_value_t = 8)]
    pub(crate) pieces: u64,
    /// multipart: connections that send them in random order.
    #[arg(long, default_value_t = 4)]
    pub(crate) workers: usize,
    /// backup: small files; there are half as many of 20 kB, and a thousandth of 64 MiB.
    #[arg(long, default_value_t = 40_000)]
    pub(crate) backup_files: u64,
    /// scale-out: prepared statements, which need a way to the database without a pooler.
    #[arg(long)]
    pub(crate) named_statements: bool,
    /// Take a build that is no release build: answers are checked, figures mean nothing.
    #[arg(long)]
    pub(crate) any_build: bool,
}

/// Every work there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Every one of those below but `scale-out`, which needs other servers.
    All,
    /// One file of 4 KiB: GET, HEAD, 304, with and without access log, beside nginx and a bare server.
    GetHot,
    /// A million files of 4 KiB, at random, beside nginx on the same files.
    GetMillion,
    /// Files of 1 MiB and 1 GiB, ranges of 64 KiB, beside nginx with sendfile.
    GetLarge,
    /// Durable uploads of 4 KiB, 64 KiB and 1 MiB at 1, 32 and 128 connections, beside a bare server.
    SmallUploads,
    /// The longest waits of uploads while others overwrite and delete and the catalog compacts.
    Tails,
    /// Uploads of 1 GiB, one and four at a time, beside one core's SHA-256 and a bare server.
    BigUploads,
    /// A file of 1 GiB in 8 pieces, over 4 connections and over one, beside both cores' SHA-256.
    Multipart,
    /// JSON-RPC calls at 32 connections, beside a bare server with the same answers.
    Rpc,
    /// Pages of 100 and 10,000 entries, beside serializing the same from memory.
    Listing,
    /// The same at ten thousand and at a million entries (or ten); start, memory, idle connections.
    Scale,
    /// A directory of a million files: every name listed once, after a kill.
    Million,
    /// Imports of trees and archives, snapshots and the way back, beside `cp -r`.
    Backup,
    /// The engines of one machine beside those of many, with one node and with three: PostgreSQL and an S3 server, which
    /// must be installed (`scripts/setup test`).
    ScaleOut,
}

/// The works that `all` is not.
const APART: [Work; 2] = [Work::All, Work::ScaleOut];

impl Plan {
    /// What follows from `--quick` and `all`.
    pub(crate) fn settle(&mut self) {
        if self.works.contains(&Work::All) {
            let all = Work::value_variants().iter().copied();
            self.works = all.filter(|work| !APART.contains(work)).collect();
        }
        if self.quick {
            self.rounds = self.rounds.min(2);
            self.files = self.files.min(20_000);
            self.mib = self.mib.min(128);
            self.multipart_mib = self.multipart_mib.min(128);
            self.backup_files = self.backup_files.min(2000);
        }
        self.rounds = self.rounds.max(1);
    }

    /// The command line that does the same, but for where things are.
    pub(crate) fn command(&self) -> String {
        let names = self.works.iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|name| name.get_name().to_owned()).collect();
        let all = self.works.len() + APART.len() == Work::value_variants().len();
        let mut line = String::from("cargo run --release -p bench -- ");
        line += &if all { "all".to_owned() } else { names.join(" ") };
        for (given, option) in [(self.quick, " --quick"), (self.ten_million, " --ten-million")] {
            line += if given { option } else { "" };
        }
        let page = if self.is_scale_out() {
            line += &format!(" --files {}", self.files);
            line += if self.named_statements { " --named-statements" } else { "" };
            "SCALE-OUT"
        } else {
            "RESULTS"
        };
        line + &format!(" --rounds {} --markdown bench/{page}.md", self.rounds)
    }

    /// Whether that is all: its page is another.
    pub(crate) fn is_scale_out(&self) -> bool {
        self.works == [Work::ScaleOut]
    }

    /// So many, or fewer of them in a quick run.
    pub(crate) fn count(&self, full: u64) -> u64 {
        if self.quick { (full / QUICK).max(1) } else { full }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        plan: Plan,
    }

    fn plan(words: &str) -> Plan {
        let mut plan = Line::parse_from(words.split(' ')).plan;
        plan.settle();
        plan
    }

    #[test]
    fn all_is_every_work_once() {
        let works = plan("bench rpc all").works;
        assert_eq!(works.len(), Work::value_variants().len() - APART.len());
        assert!(!works.contains(&Work::All));
        assert_eq!(plan("bench rpc scale").works, [Work::Rpc, Work::Scale]);
        let command = plan("bench rpc scale --quick").command();
        assert!(command.contains("bench -- rpc scale --quick --rounds 2 "), "{command}");
        let command = plan("bench scale-out --files 5").command();
        assert!(command.ends_with("scale-out --files 5 --rounds 3 --markdown bench/SCALE-OUT.md"));
        let command = plan("bench rpc all --ten-million").command();
        assert!(command.contains("bench -- all --ten-million --rounds 3 "), "{command}");
    }

    #[test]
    fn quick_is_less_and_never_nothing() {
        let quick = plan("bench --quick --rounds 0 all");
        assert_eq!((quick.rounds, quick.count(4), quick.count(200)), (1, 1, 10));
        assert!(quick.files < plan("bench all").files);
        assert_eq!(plan("bench all").count(200), 200);
    }
}
