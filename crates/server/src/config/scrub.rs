//! Scrubbing: the section `[scrub]` of the configuration file, and `headwater scrub` on the command line.

use clap::{Args, Subcommand};
use ops::scrub::Limits;
use serde::Deserialize;

use super::{limits::SECONDS_MAX, site::SiteArgs};
use crate::admin::Command;

/// The section as written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenScrub {
    /// 0: never by itself.
    period_seconds: u64,
    bytes_per_second_max: u64,
}

impl Default for WrittenScrub {
    fn default() -> Self {
        let Limits { period_secs, bytes_per_second_max } = Limits::default();
        Self { period_seconds: period_secs, bytes_per_second_max }
    }
}

impl WrittenScrub {
    /// What must be in bounds: key, value, least, most.
    pub(super) fn bounds(&self) -> [(&'static str, u64, u64, u64); 2] {
        [
            ("[scrub] period_seconds", self.period_seconds, 0, SECONDS_MAX),
            ("[scrub] bytes_per_second_max", self.bytes_per_second_max, 1024, u64::MAX),
        ]
    }

    /// What the operations are told.
    pub(super) fn limits(&self) -> Limits {
        let Self { period_seconds, bytes_per_second_max } = *self;
        Limits { period_secs: period_seconds, bytes_per_second_max }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ScrubVerb {
    /// Show how far it is, and what is damaged.
    Status(SiteArgs),
    /// Begin a pass now; without a server, make one.
    Start(StartArgs),
}

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// Bytes a second for this pass; 0: as fast as it goes [default: what ends within the period].
    #[arg(long)]
    rate: Option<u64>,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    data: SiteArgs,
}

impl ScrubVerb {
    pub(super) fn read(self) -> (SiteArgs, Command) {
        match self {
            ScrubVerb::Status(data) => (data, Command::ScrubStatus),
            ScrubVerb::Start(StartArgs { rate, wait, data }) => {
                (data, Command::ScrubStart { rate, wait })
            }
        }
    }
}
