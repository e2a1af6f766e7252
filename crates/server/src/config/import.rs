//! The command line of `headwater export` and `headwater import`: what may be typed, and what it asks for.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Plan, site::SiteArgs};
use crate::{
    admin::Command,
    import::{From, Import},
};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The directory to make the snapshot in: empty, or one with an earlier snapshot, which is then brought up to date.
    to: PathBuf,
    /// Read every byte of the snapshot back.
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    data: SiteArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum ImportVerb {
    /// A snapshot that `headwater export` made, into an empty data directory.
    Snapshot {
        /// The snapshot.
        from: PathBuf,
        /// Read every byte of the copy back.
        #[arg(long)]
        deep: bool,
        #[command(flatten)]
        data: SiteArgs,
    },
    /// A directory and all below it. Symbolic links are told of, not followed.
    Tree(ImportArgs),
    /// A tar archive; `-` is standard input.
    Tar(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Where the files are.
    from: PathBuf,
    /// The user in whose name they are put, and whose they are.
    #[arg(long)]
    user: String,
    /// The directory they go below, relative to the user's.
    #[arg(long, default_value = "/")]
    to: String,
    /// A list of SHA-256 sums of the files, as sha256sum writes it.
    #[arg(long)]
    checksums: Option<PathBuf>,
    /// Read and compare also the files that are there already with the same size and time.
    #[arg(long)]
    verify: bool,
    /// Files on their way at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    couriers: u8,
    #[command(flatten)]
    data: SiteArgs,
}

impl ExportArgs {
    pub(super) fn plan(self) -> anyhow::Result<Plan> {
        // A server that carries it out is somewhere else.
        let (to, deep) = (std::path::absolute(self.to)?, self.deep);
        Ok(Plan::Admin { site: self.data.site()?, command: Command::Export { to, deep } })
    }
}

impl ImportVerb {
    pub(super) fn plan(self) -> anyhow::Result<Plan> {
        let (from, args): (fn(PathBuf) -> From, _) = match self {
            Self::Snapshot { from, deep, data } => {
                return Ok(Plan::Restore { site: data.site()?, from, deep });
            }
            Self::Tree(args) => (From::Tree, args),
            Self::Tar(args) => (From::Tar, args),
        };
        let ImportArgs { from: source, user, to, checksums, verify, couriers, data } = args;
        let from = from(source);
        let import = Import { from, user, to, checksums, verify, couriers: couriers.into() };
        Ok(Plan::Import { site: data.site()?, import })
    }
}
