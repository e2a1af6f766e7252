//! The section `[pull]` of the configuration file: which servers may be asked, and within what limits.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use ops::fetch::Limits;
use outbound::{HostRule, Rules, Timeouts};
use serde::Deserialize;

use super::Pull;

/// Transfers at the same time.
const WORKERS: usize = 2;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenPull {
    allow: Vec<WrittenHost>,
    workers: Option<usize>,
    queued_max: Option<u64>,
    file_bytes_max: Option<u64>,
    attempts_max: Option<u32>,
    first_delay_seconds: Option<u64>,
    longest_delay_seconds: Option<u64>,
    keep_seconds: Option<u64>,
    connect_seconds: Option<u64>,
    answer_seconds: Option<u64>,
    idle_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHost {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    private: bool,
}

impl WrittenPull {
    /// What the operations are told.
    pub(super) fn limits(&self) -> Limits {
        let default = Limits::default();
        let ms = |secs: Option<u64>, default| secs.map_or(default, |s| s.saturating_mul(1000));
        Limits {
            unfinished_max: self.queued_max.unwrap_or(default.unfinished_max),
            bytes_max: self.file_bytes_max.unwrap_or(default.bytes_max),
            attempts_max: self.attempts_max.unwrap_or(default.attempts_max),
            first_delay_ms: ms(self.first_delay_seconds, default.first_delay_ms),
            longest_delay_ms: ms(self.longest_delay_seconds, default.longest_delay_ms),
            keep_secs: self.keep_seconds.unwrap_or(default.keep_secs),
        }
    }

    /// What the client is told.
    pub(super) fn usable(&self) -> anyhow::Result<Pull> {
        let rule = |written: &WrittenHost| {
            HostRule::parse(&written.host, written.port, written.private)
                .map_err(|why| anyhow!("[pull] allow, host {:?}: {why}", written.host))
        };
        let allow = self.allow.iter().map(rule).collect::<anyhow::Result<Vec<_>>>()?;
        let workers = self.workers.unwrap_or(WORKERS);
        ensure!(workers > 0, "[pull] workers: at least 1");
        let default = Timeouts::default();
        let secs = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
        let timeouts = Timeouts {
            connect: secs(self.connect_seconds, default.connect),
            first_byte: secs(self.answer_seconds, default.first_byte),
            idle: secs(self.idle_seconds, default.idle),
            ..default
        };
        Ok(Pull { rules: Rules { allow }, timeouts, workers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> WrittenPull {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn nothing_is_allowed_unless_written() {
        assert!(read("").usable().unwrap().rules.is_empty());
        assert_eq!(read("").limits(), Limits::default());
        let some = read(
            "allow = [{ host = \"*.example.com\" }, { host = \"10.0.0.5\", port = 80, private = true }]",
        );
        assert_eq!(some.usable().unwrap().rules.allow.len(), 2);
        assert!(read("allow = [{ host = \"*\", private = true }]").usable().is_err());
        assert!(read("workers = 0").usable().is_err());
        assert!(toml::from_str::<WrittenPull>("allow = [{ hots = \"x\" }]").is_err());
        let limits = read("first_delay_seconds = 2\nqueued_max = 3").limits();
        assert_eq!((limits.first_delay_ms, limits.unfinished_max), (2_000, 3));
    }
}
