//! The section `[pull]` of the configuration file: which servers may be asked, and within what limits.

use std::time::Duration;

use anyhow::{Context, anyhow};
use ops::fetch::Limits;
use outbound::{Client, HostRule, Rules, Timeouts};
use serde::Deserialize;

use super::limits::SECONDS_MAX;

/// The section as written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenPull {
    allow: Vec<WrittenHost>,
    pub(super) workers: usize,
    queued_max: u64,
    file_bytes_max: u64,
    attempts_max: u32,
    first_delay_seconds: u64,
    longest_delay_seconds: u64,
    keep_seconds: u64,
    connect_seconds: u64,
    answer_seconds: u64,
    idle_seconds: u64,
    post_seconds: u64,
}

impl Default for WrittenPull {
    fn default() -> Self {
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        Self {
            allow: Vec::new(),
            workers: 2,
            queued_max: limits.unfinished_max,
            file_bytes_max: limits.bytes_max,
            attempts_max: limits.attempts_max,
            first_delay_seconds: limits.first_delay_ms / 1000,
            longest_delay_seconds: limits.longest_delay_ms / 1000,
            keep_seconds: limits.keep_secs,
            connect_seconds: timeouts.connect.as_secs(),
            answer_seconds: timeouts.first_byte.as_secs(),
            idle_seconds: timeouts.idle.as_secs(),
            post_seconds: timeouts.post.as_secs(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct WrittenHost {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    private: bool,
}

impl WrittenPull {
    /// What must be in bounds: key, value, least, most.
    pub(super) fn bounds(&self) -> [(&'static str, u64, u64, u64); 11] {
        let any = u64::MAX;
        [
            ("[pull] workers", u64::try_from(self.workers).unwrap_or(any), 1, 1000),
            ("[pull] queued_max", self.queued_max, 1, any),
            ("[pull] file_bytes_max", self.file_bytes_max, 1, any),
            ("[pull] attempts_max", self.attempts_max.into(), 1, any),
            ("[pull] longest_delay_seconds", self.longest_delay_seconds, 0, SECONDS_MAX),
            ("[pull] first_delay_seconds", self.first_delay_seconds, 0, self.longest_delay_seconds),
            ("[pull] keep_seconds", self.keep_seconds, 0, SECONDS_MAX),
            ("[pull] connect_seconds", self.connect_seconds, 1, SECONDS_MAX),
            ("[pull] answer_seconds", self.answer_seconds, 1, SECONDS_MAX),
            ("[pull] idle_seconds", self.idle_seconds, 1, SECONDS_MAX),
            ("[pull] post_seconds", self.post_seconds, 1, SECONDS_MAX),
        ]
    }

    /// What the operations are told.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            unfinished_max: self.queued_max,
            bytes_max: self.file_bytes_max,
            attempts_max: self.attempts_max,
            first_delay_ms: self.first_delay_seconds.saturating_mul(1000),
            longest_delay_ms: self.longest_delay_seconds.saturating_mul(1000),
            keep_secs: self.keep_seconds,
        }
    }

    /// How long is waited for other servers.
    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(self.connect_seconds),
            first_byte: Duration::from_secs(self.answer_seconds),
            idle: Duration::from_secs(self.idle_seconds),
            post: Duration::from_secs(self.post_seconds),
        }
    }

    /// What may be asked.
    fn rules(&self) -> anyhow::Result<Rules> {
        let rule = |written: &WrittenHost| {
            HostRule::parse(&written.host, written.port, written.private)
                .map_err(|why| anyhow!("[pull] allow, host {:?}: {why}", written.host))
        };
        Ok(Rules { allow: self.allow.iter().map(rule).collect::<anyhow::Result<_>>()? })
    }

    /// A client that may ask what is allowed.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Client::new(self.rules()?, self.timeouts()).context("preparing requests to other servers")
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
        assert!(read("").rules().unwrap().is_empty());
        assert_eq!(read("").limits(), Limits::default());
        let some = read(
            "allow = [{ host = \"*.example.com\" }, { host = \"10.0.0.5\", port = 80, private = true }]",
        );
        assert_eq!(some.rules().unwrap().allow.len(), 2);
        assert!(read("allow = [{ host = \"*\", private = true }]").rules().is_err());
        assert!(toml::from_str::<WrittenPull>("allow = [{ hots = \"x\" }]").is_err());
        let limits = read("first_delay_seconds = 2\nqueued_max = 3").limits();
        assert_eq!((limits.first_delay_ms, limits.unfinished_max), (2_000, 3));
    }
}
