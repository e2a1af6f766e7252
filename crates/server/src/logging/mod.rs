//! Where log lines go: standard error, readable on a terminal, JSON otherwise. The access log's go there, too, in the same
//! shapes, by a way of their own (`access`).

mod access;

use std::io::{IsTerminal, stderr};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

pub(crate) use access::Journal;
use access::Shape;

/// Starts logging. `HEADWATER_LOG` sets what is logged (`info` by default; directives as of `tracing_subscriber`). Returns
/// the access log, if that is on (target `access`, level `info`).
pub(crate) fn start() -> Option<Journal> {
    let filter =
        EnvFilter::try_from_env("HEADWATER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let shape = if stderr().is_terminal() {
        lines
            .with_target(false)
            .map_event_format(|format| Numbered { format, end: "\n", json: false })
            .init();
        Shape::Text
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_ansi(false)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(|format| Numbered { format, end: "}\n", json: true })
            .init();
        Shape::Json
    };
    tracing::enabled!(target: "access", Level::INFO).then(|| Journal::start(shape, stderr()))
}

/// Lines that say which request they are about, by the number its line in the access log has. A span would say so, too, and
/// cost each request more than the rest of its logging.
struct Numbered<F> {
    format: F,
    /// What a line ends in.
    end: &'static str,
    json: bool,
}

impl<S, N, F> FormatEvent<S, N> for Numbered<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let Some(id) = front::request_id() else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let begin = line.strip_suffix(self.end).unwrap_or(&line);
        let end = self.end;
        if self.json {
            write!(writer, r#"{begin},"request":"{id:x}"{end}"#)
        } else {
            write!(writer, "{begin} request={id:x}{end}")
        }
    }
}
