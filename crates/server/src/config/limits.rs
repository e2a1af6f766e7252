//! Limits as the configuration file has them: sections, keys, defaults, what is refused, and what becomes of them.
//!
//! Defaults stand where the limits are used and are only copied here; docs/configuration.md repeats them, and a test
//! compares. Invariant: whatever passes [`Written::check`] can be used without overflow.

use std::{num::NonZeroU32, time::Duration};

use anyhow::bail;
use ops::{multipart, rate, throttle::SlowDown};
use serde::Deserialize;

use super::file::Written;

/// Longest time that can be set where something waits for it, in seconds: a year.
pub(super) const SECONDS_MAX: u64 = 31_536_000;
/// Rates that can be set, in requests a second, and bursts.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1_000_000.0;
const BURST_MAX: u32 = 1_000_000;
/// Most headers of a request that can be set: a map of headers holds some 24,000.
const HEADERS_MAX: u64 = 10_000;
/// Largest head of a request that can be set, in bytes: what a connection buffers.
const HEAD_BYTES_MAX: u64 = 256 * 1024;

/// `[limits]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct General {
    connections: usize,
    request_head_bytes: usize,
    request_headers: usize,
    header_seconds: u64,
    body_idle_seconds: u64,
    answer_idle_seconds: u64,
    tls_handshake_seconds: u64,
    stop_seconds: u64,
    rpc_body_bytes: usize,
    upload_bytes_max: u64,
    uploads_per_account: u32,
    signature_seconds: u64,
}

impl Default for General {
    fn default() -> Self {
        let (front, ops) = (front::Settings::default(), ops::Limits::default());
        Self {
            connections: front.connections_max,
            request_head_bytes: front.request_head_bytes_max,
            request_headers: front.request_headers_max,
            header_seconds: front.header_read_timeout.as_secs(),
            body_idle_seconds: front.body_idle_timeout.as_secs(),
            answer_idle_seconds: front.answer_idle_timeout.as_secs(),
            tls_handshake_seconds: front.tls_handshake_timeout.as_secs(),
            stop_seconds: 30,
            rpc_body_bytes: front.rpc_body_bytes_max,
            upload_bytes_max: front.upload_bytes_max,
            uploads_per_account: ops.uploads_per_account,
            signature_seconds: ops.signature_secs_max,
        }
    }
}

/// `[rate]`: requests a second; 0: no limit.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rates {
    requests_per_second_per_address: f64,
    burst_per_address: u32,
    requests_per_second_per_user: f64,
    burst_per_user: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests_per_second_per_address: 0.0,
            burst_per_address: 100,
            requests_per_second_per_user: 0.0,
            burst_per_user: 100,
        }
    }
}

/// `[form]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Form {
    parts_max: usize,
    part_header_bytes_max: usize,
    field_bytes_max: usize,
    fields_bytes_max: usize,
    outside_bytes_max: usize,
}

impl Default for Form {
    fn default() -> Self {
        let front::FormLimits {
            parts_max,
            part_header_bytes_max,
            field_bytes_max,
            fields_bytes_max,
            outside_bytes_max,
        } = front::FormLimits::default();
        Self {
            parts_max,
            part_header_bytes_max,
            field_bytes_max,
            fields_bytes_max,
            outside_bytes_max,
        }
    }
}

/// `[login]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Login {
    free_per_user: u32,
    free_per_address: u32,
    first_delay_ms: u64,
    longest_delay_ms: u64,
    forget_after_seconds: u64,
    waiting_max: u32,
}

impl Default for Login {
    fn default() -> Self {
        let default = SlowDown::default();
        Self {
            free_per_user: default.free_per_user,
            free_per_address: default.free_per_address,
            first_delay_ms: default.first_delay_ms,
            longest_delay_ms: default.longest_delay_ms,
            forget_after_seconds: default.forget_after_ms / 1000,
            waiting_max: default.waiting_max,
        }
    }
}

/// `[multipart]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Multipart {
    pieces_max: u32,
    piece_bytes_max: u64,
    upload_bytes_max: u64,
    unfinished_max: u64,
    /// 0: never.
    expire_seconds: u64,
    keep_seconds: u64,
}

impl Default for Multipart {
    fn default() -> Self {
        let default = multipart::Limits::default();
        Self {
            pieces_max: default.pieces_max,
            piece_bytes_max: default.piece_bytes_max,
            upload_bytes_max: default.upload_bytes_max,
            unfinished_max: default.unfinished_max,
            expire_seconds: default.expire_secs.unwrap_or(0),
            keep_seconds: default.keep_secs,
        }
    }
}

/// `[events]`
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Events {
    callbacks_max: usize,
    age_seconds: u64,
    first_delay_seconds: u64,
    longest_delay_seconds: u64,
}

impl Default for Events {
    fn default() -> Self {
        let default = ops::event::Limits::default();
        Self {
            callbacks_max: default.callbacks_max,
            age_seconds: default.age_secs,
            first_delay_seconds: default.first_delay_secs,
            longest_delay_seconds: default.longest_delay_secs,
        }
    }
}

impl Written {
    /// Refuses values that make no sense.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Written {
            listen: _,
            storage: _,
            limits,
            rate,
            form,
            login,
            multipart,
            egress: _,
            pull,
            pull_through,
            events,
            scrub,
        } = self;
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let any = u64::MAX;
        for (key, value, least, most) in [
            ("[limits] connections", bytes(limits.connections), 1, any),
            ("[limits] request_head_bytes", bytes(limits.request_head_bytes), 1024, HEAD_BYTES_MAX),
            ("[limits] request_headers", bytes(limits.request_headers), 1, HEADERS_MAX),
            ("[limits] header_seconds", limits.header_seconds, 1, SECONDS_MAX),
            ("[limits] body_idle_seconds", limits.body_idle_seconds, 1, SECONDS_MAX),
            ("[limits] answer_idle_seconds", limits.answer_idle_seconds, 1, SECONDS_MAX),
            ("[limits] tls_handshake_seconds", limits.tls_handshake_seconds, 1, SECONDS_MAX),
            ("[limits] stop_seconds", limits.stop_seconds, 0, SECONDS_MAX),
            ("[limits] rpc_body_bytes", bytes(limits.rpc_body_bytes), 1, any),
            ("[limits] upload_bytes_max", limits.upload_bytes_max, 1, i64::MAX.cast_unsigned()),
            ("[limits] signature_seconds", limits.signature_seconds, 1, SECONDS_MAX),
            ("[rate] burst_per_address", rate.burst_per_address.into(), 1, BURST_MAX.into()),
            ("[rate] burst_per_user", rate.burst_per_user.into(), 1, BURST_MAX.into()),
            ("[form] parts_max", bytes(form.parts_max), 1, any),
            ("[form] part_header_bytes_max", bytes(form.part_header_bytes_max), 1024, any),
            ("[form] field_bytes_max", bytes(form.field_bytes_max), 1, any),
            ("[form] fields_bytes_max", bytes(form.fields_bytes_max), 1, any),
            // Every form ends with a line break or two.
            ("[form] outside_bytes_max", bytes(form.outside_bytes_max), 4, any),
            ("[login] longest_delay_ms", login.longest_delay_ms, 0, SECONDS_MAX * 1000),
            ("[login] first_delay_ms", login.first_delay_ms, 0, login.longest_delay_ms),
            ("[login] forget_after_seconds", login.forget_after_seconds, 1, SECONDS_MAX),
            ("[login] waiting_max", login.waiting_max.into(), 1, any),
            ("[multipart] pieces_max", multipart.pieces_max.into(), 1, any),
            ("[multipart] piece_bytes_max", multipart.piece_bytes_max, 1, any),
            ("[multipart] upload_bytes_max", multipart.upload_bytes_max, 1, any),
            ("[multipart] unfinished_max", multipart.unfinished_max, 1, any),
            ("[multipart] expire_seconds", multipart.expire_seconds, 0, SECONDS_MAX),
            ("[multipart] keep_seconds", multipart.keep_seconds, 0, SECONDS_MAX),
            ("[events] callbacks_max", bytes(events.callbacks_max), 1, 1000),
            ("[events] age_seconds", events.age_seconds, 1, SECONDS_MAX),
            ("[events] longest_delay_seconds", events.longest_delay_seconds, 0, SECONDS_MAX),
            (
                "[events] first_delay_seconds",
                events.first_delay_seconds,
                0,
                events.longest_delay_seconds,
            ),
        ]
        .into_iter()
        .chain(pull.bounds())
        .chain(pull_through.bounds())
        .chain(scrub.bounds())
        {
            if value < least {
                bail!("{key} = {value}: it must be at least {least}");
            }
            if value > most {
                bail!("{key} = {value}: it must be at most {most}");
            }
        }
        self.check_rates()
    }

    fn check_rates(&self) -> anyhow::Result<()> {
        let rate = &self.rate;
        for (key, value) in [
            ("requests_per_second_per_address", rate.requests_per_second_per_address),
            ("requests_per_second_per_user", rate.requests_per_second_per_user),
        ] {
            // Not a number is neither.
            if !(value == 0.0 || (RATE_MIN..=RATE_MAX).contains(&value)) {
                bail!(
                    "[rate] {key} = {value}: it must be 0 (no limit), or {RATE_MIN} to {RATE_MAX}"
                );
            }
        }
        Ok(())
    }

    /// What the front is told.
    pub(super) fn settings(&self) -> front::Settings {
        let Written { limits, form, egress, .. } = self;
        front::Settings {
            sandbox: egress.sandbox,
            answers_bytes: egress.answers_bytes(),
            rpc_body_bytes_max: limits.rpc_body_bytes,
            connections_max: limits.connections,
            request_head_bytes_max: limits.request_head_bytes,
            request_headers_max: limits.request_headers,
            upload_bytes_max: limits.upload_bytes_max,
            form: front::FormLimits {
                parts_max: form.parts_max,
                part_header_bytes_max: form.part_header_bytes_max,
                field_bytes_max: form.field_bytes_max,
                fields_bytes_max: form.fields_bytes_max,
                outside_bytes_max: form.outside_bytes_max,
            },
            header_read_timeout: Duration::from_secs(limits.header_seconds),
            body_idle_timeout: Duration::from_secs(limits.body_idle_seconds),
            answer_idle_timeout: Duration::from_secs(limits.answer_idle_seconds),
            tls_handshake_timeout: Duration::from_secs(limits.tls_handshake_seconds),
        }
    }

    /// What the operations are told.
    pub(super) fn operations(&self) -> ops::Limits {
        let Written { limits, rate, login, multipart, events, scrub, .. } = self;
        ops::Limits {
            slow_down: SlowDown {
                free_per_user: login.free_per_user,
                free_per_address: login.free_per_address,
                first_delay_ms: login.first_delay_ms,
                longest_delay_ms: login.longest_delay_ms,
                forget_after_ms: login.forget_after_seconds.saturating_mul(1000),
                waiting_max: login.waiting_max,
            },
            signature_secs_max: limits.signature_seconds,
            events: ops::event::Limits {
                callbacks_max: events.callbacks_max,
                age_secs: events.age_seconds,
                first_delay_secs: events.first_delay_seconds,
                longest_delay_secs: events.longest_delay_seconds,
            },
            pull: self.pull.limits(),
            scrub: scrub.limits(),
            lease: ops::lease::Limits::default(),
            sweep: ops::sweep::Limits::default(),
            multipart: multipart::Limits {
                pieces_max: multipart.pieces_max,
                piece_bytes_max: multipart.piece_bytes_max,
                upload_bytes_max: multipart.upload_bytes_max,
                unfinished_max: multipart.unfinished_max,
                expire_secs: Some(multipart.expire_seconds).filter(|secs| *secs > 0),
                keep_secs: multipart.keep_seconds,
            },
            rate: rate::Limits {
                per_address: one_rate(rate.requests_per_second_per_address, rate.burst_per_address),
                per_user: one_rate(rate.requests_per_second_per_user, rate.burst_per_user),
            },
            uploads_per_account: limits.uploads_per_account,
        }
    }

    /// How long running requests may take after a signal to stop.
    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.limits.stop_seconds)
    }
}

/// A rate, unless it is 0.
fn one_rate(per_second: f64, burst: u32) -> Option<rate::Rate> {
    let burst = NonZeroU32::new(burst)?;
    let every = Duration::try_from_secs_f64(1.0 / per_second).ok()?;
    Some(rate::Rate { every, burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Written {
        let written: Written = toml::from_str(text).unwrap();
        written.check().unwrap_or_else(|e| panic!("{text}: {e}"));
        written
    }

    #[test]
    fn of_multipart_uploads() {
        let limits = |text: &str| read(text).operations().multipart;
        let default = multipart::Limits::default();
        assert_eq!(limits(""), default);
        let changed = limits("[multipart]\npieces_max = 3\nexpire_seconds = 0\nkeep_seconds = 0");
        assert_eq!((changed.pieces_max, changed.expire_secs, changed.keep_secs), (3, None, 0));
        assert_eq!(limits("[multipart]\nexpire_seconds = 5").expire_secs, Some(5));
        assert_eq!(changed.piece_bytes_max, default.piece_bytes_max);
    }

    #[test]
    fn rates() {
        let rates = |text: &str| read(&format!("[rate]\n{text}")).operations().rate;
        assert_eq!(rates("burst_per_user = 3"), rate::Limits::default());
        let set = rates("requests_per_second_per_user = 5\nburst_per_user = 3");
        let (every, burst) = (Duration::from_millis(200), NonZeroU32::new(3).unwrap());
        assert_eq!(set.per_user, Some(rate::Rate { every, burst }));
        assert_eq!(set.per_address, None);
        let slow = rates("requests_per_second_per_address = 0.001").per_address.unwrap();
        assert_eq!((slow.every, slow.burst.get()), (Duration::from_secs(1000), 100));
    }

    #[test]
    fn everything_else_arrives() {
        let written = read(
            "[limits]\nconnections = 1\nrequest_head_bytes = 2000\nrequest_headers = 3\n\
             header_seconds = 4\nbody_idle_seconds = 5\nanswer_idle_seconds = 6\n\
             tls_handshake_seconds = 7\nstop_seconds = 8\nrpc_body_bytes = 9\n\
             upload_bytes_max = 10\nuploads_per_account = 11\nsignature_seconds = 12\n\
             [egress]\nsandbox = false\nmemory_bytes = 9\n\
             [form]\nparts_max = 13\npart_header_bytes_max = 1400\nfield_bytes_max = 15\n\
             fields_bytes_max = 16\noutside_bytes_max = 17\n\
             [login]\nfree_per_user = 18\nfree_per_address = 19\nfirst_delay_ms = 20\n\
             longest_delay_ms = 21\nforget_after_seconds = 22\nwaiting_max = 23",
        );
        let settings = written.settings();
        assert_eq!((settings.connections_max, settings.request_head_bytes_max), (1, 2000));
        assert_eq!((settings.request_headers_max, settings.rpc_body_bytes_max), (3, 9));
        let times = [
            settings.header_read_timeout,
            settings.body_idle_timeout,
            settings.answer_idle_timeout,
            settings.tls_handshake_timeout,
            written.drain(),
        ];
        assert_eq!(times.map(|time| time.as_secs()), [4, 5, 6, 7, 8]);
        let egress = (settings.sandbox, settings.answers_bytes);
        assert_eq!((settings.upload_bytes_max, egress), (10, (false, 9)));
        let form = settings.form;
        assert_eq!((form.parts_max, form.part_header_bytes_max), (13, 1400));
        let bytes = (form.field_bytes_max, form.fields_bytes_max, form.outside_bytes_max);
        assert_eq!(bytes, (15, 16, 17));
        let operations = written.operations();
        assert_eq!((operations.uploads_per_account, operations.signature_secs_max), (11, 12));
        let slow = operations.slow_down;
        assert_eq!((slow.free_per_user, slow.free_per_address, slow.waiting_max), (18, 19, 23));
        let times = (slow.first_delay_ms, slow.longest_delay_ms, slow.forget_after_ms);
        assert_eq!(times, (20, 21, 22_000));
    }

    #[test]
    fn values_without_sense_are_refused_by_name() {
        for (section, key, value) in [
            ("limits", "connections", "0"),
            ("limits", "request_head_bytes", "1023"),
            ("limits", "request_head_bytes", "262145"),
            ("limits", "request_headers", "0"),
            ("limits", "request_headers", "10001"),
            ("limits", "header_seconds", "0"),
            ("limits", "header_seconds", "9223372036854775807"),
            ("limits", "body_idle_seconds", "0"),
            ("limits", "answer_idle_seconds", "0"),
            ("limits", "tls_handshake_seconds", "0"),
            ("limits", "stop_seconds", "31536001"),
            ("limits", "rpc_body_bytes", "0"),
            ("limits", "upload_bytes_max", "0"),
            ("limits", "signature_seconds", "0"),
            ("rate", "requests_per_second_per_user", "-1"),
            ("rate", "requests_per_second_per_user", "nan"),
            ("rate", "requests_per_second_per_user", "0.0009"),
            ("rate", "requests_per_second_per_address", "inf"),
            ("rate", "burst_per_address", "0"),
            ("rate", "burst_per_user", "1000001"),
            ("form", "parts_max", "0"),
            ("form", "part_header_bytes_max", "10"),
            ("form", "field_bytes_max", "0"),
            ("form", "fields_bytes_max", "0"),
            ("form", "outside_bytes_max", "3"),
            ("login", "first_delay_ms", "8001"),
            ("login", "forget_after_seconds", "0"),
            ("login", "waiting_max", "0"),
            ("multipart", "pieces_max", "0"),
            ("multipart", "piece_bytes_max", "0"),
            ("multipart", "upload_bytes_max", "0"),
            ("multipart", "unfinished_max", "0"),
        ] {
            let text = format!("[{section}]\n{key} = {value}");
            let written: Written = toml::from_str(&text).unwrap();
            let said = written.check().expect_err(&text).to_string();
            assert!(said.starts_with(&format!("[{section}] {key} = ")), "{said}");
        }
        assert!(toml::from_str::<Written>("[limits]\nconnections = -1").is_err());
    }
}
