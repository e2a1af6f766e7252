//! The access log's way out: lines are put together where requests are served and written by a thread of their own, many
//! at a time.
//!
//! A line through `tracing` costs a system call and a pass through a formatter: more than serving a small file does. The
//! price: a process that is killed takes the lines of its last hundredth of a second with it. What does not live here:
//! what is in a line (`front::AccessLine`).
//!
//! Lines wait in bounded memory. Where nobody takes them they are lost, and the log says how many: a log that stands still
//! must not stop the server.

use std::{
    io::Write,
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use front::{AccessLine, AccessLog};
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime as Clock},
};

/// How long lines wait for company.
const GATHER: Duration = Duration::from_millis(5);
/// Bytes of lines that may wait.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object a line.
    Json,
    /// For people.
    Text,
}

/// The access log. Dropping it writes what waits.
pub(crate) struct Journal {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Where lines are handed in.
struct Desk {
    shape: Shape,
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    /// The second that was put into words last, and the words.
    second: (u64, String),
    closed: bool,
}

impl Journal {
    /// Begins to write lines to `out`.
    pub(super) fn start(shape: Shape, out: impl Write + Send + 'static) -> Self {
        let desk = Arc::new(Desk { shape, waiting: Mutex::default(), came: Condvar::new() });
        let writing = Arc::clone(&desk);
        let named = thread::Builder::new().name("access-log".to_owned());
        let thread = named.spawn(move || writing.write_out(out)).ok();
        Self { desk, thread }
    }

    /// Where requests hand their lines in.
    pub(crate) fn desk(&self) -> Arc<dyn AccessLog> {
        Arc::clone(&self.desk) as _
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.came.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has ended either way.
            drop(thread.join());
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes until the log is closed. What cannot be written is lost: there is nobody to tell.
    fn write_out(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.lines.is_empty() && !waiting.closed {
                waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let closed = waiting.closed;
            if !closed {
                drop(waiting);
                thread::sleep(GATHER);
                waiting = self.lock();
            }
            std::mem::swap(&mut waiting.lines, &mut lines);
            let lost = std::mem::take(&mut waiting.lost);
            drop(waiting);
            drop(out.write_all(&lines).and_then(|()| out.flush()));
            lines.clear();
            if lost > 0 {
                tracing::warn!(lost, "lines of the access log were lost: nobody took them in time");
            }
            if closed {
                return;
            }
        }
    }
}

impl AccessLog for Desk {
    fn write(&self, line: &AccessLine<'_>) {
        #[expect(
            clippy::disallowed_methods,
            reason = "no rule depends on it: every line of the log says when it was written, to the microsecond"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut waiting = self.lock();
        let waiting = &mut *waiting;
        if waiting.lines.len() >= WAITING_BYTES_MAX {
            waiting.lost += 1;
            return;
        }
        if waiting.second.0 != now.as_secs() || waiting.second.1.is_empty() {
            waiting.second = (now.as_secs(), second());
        }
        let first = waiting.lines.is_empty();
        let put_down = match self.shape {
            Shape::Json => json,
            Shape::Text => text,
        };
        put_down(&mut waiting.lines, &waiting.second.1, now.subsec_micros(), line);
        if first {
            self.came.notify_one();
        }
    }
}

/// The time as every other line of the log has it, without its fraction.
fn second() -> String {
    let mut words = String::new();
    if Clock.format_time(&mut Writer::new(&mut words)).is_err() {
        words.clear();
    }
    words.truncate("2026-11-22T11:14:58".len());
    words
}

/// A line being put together: without the formatting machinery, which would cost as much as the rest of a small request.
struct Words<'a>(&'a mut Vec<u8>);

impl Words<'_> {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    fn time(&mut self, second: &str, micros: u32) -> &mut Self {
        let mut digits = *b".000000Z";
        let mut rest = micros;
        for digit in digits[1..7].iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        self.0.extend_from_slice(second.as_bytes());
        self.0.extend_from_slice(&digits);
        self
    }

    /// The request's number as other lines have it.
    fn id(&mut self, id: Option<u64>) -> &mut Self {
        let Some(id) = id else { return self.text("-") };
        let digits = (64 - (id | 1).leading_zeros()).div_ceil(4);
        for digit in (0..digits).rev() {
            self.0.push(
                b"0123456789abcdef"[usize::try_from(id >> (4 * digit) & 15).unwrap_or_default()],
            );
        }
        self
    }

    fn address(&mut self, address: Option<IpAddr>) -> &mut Self {
        match address {
            None => self.text("-"),
            Some(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                self.number(a).text(".").number(b).text(".").number(c).text(".").number(d)
            }
            // Writing to memory does not fail.
            Some(IpAddr::V6(address)) => {
                drop(write!(self.0, "{address}"));
                self
            }
        }
    }

    /// A text of others: it may hold anything that a request line can.
    fn quoted(&mut self, text: &str) -> &mut Self {
        if text.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\') {
            return self.text("\"").text(text).text("\"");
        }
        drop(serde_json::to_writer(&mut *self.0, text));
        self
    }
}

fn json(out: &mut Vec<u8>, second: &str, micros: u32, line: &AccessLine<'_>) {
    let mut words = Words(out);
    words.text("{\"timestamp\":\"").time(second, micros);
    words.text("\",\"level\":\"INFO\",\"message\":\"request\",\"id\":\"").id(line.id);
    words.text("\",\"from\":\"").address(line.from);
    words.text("\",\"method\":").quoted(line.method);
    words.text(",\"path\":").quoted(line.path);
    words.text(",\"status\":").number(line.status);
    words.text(",\"code\":").quoted(line.code.unwrap_or("-"));
    words.text(",\"bytes_in\":").number(line.bytes_in);
    words.text(",\"bytes_out\":").number(line.bytes_out);
    words.text(",\"ms\":").number(line.ms);
    if let Some(why) = line.why {
        words.text(",\"why\":").quoted(why);
    }
    words.text(",\"target\":\"access\"}\n");
}

fn text(out: &mut Vec<u8>, second: &str, micros: u32, line: &AccessLine<'_>) {
    let mut words = Words(out);
    words.time(second, micros).text("  INFO request id=").id(line.id);
    words.text(" from=").address(line.from);
    words.text(" method=").text(&line.method.escape_debug().to_string());
    words.text(" path=").text(&line.path.escape_debug().to_string());
    words.text(" status=").number(line.status).text(" code=").text(line.code.unwrap_or("-"));
    words.text(" bytes_in=").number(line.bytes_in).text(" bytes_out=").number(line.bytes_out);
    words.text(" ms=").number(line.ms);
    if let Some(why) = line.why {
        words.text(" why=").quoted(why);
    }
    words.text("\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(path: &str) -> AccessLine<'_> {
        AccessLine {
            id: Some(0x2a),
            from: Some([127, 0, 0, 1].into()),
            method: "GET",
            path,
            status: 200,
            code: None,
            bytes_in: 1,
            bytes_out: 2,
            ms: 3,
            why: None,
        }
    }

    fn written(shape: Shape, lines: &[AccessLine<'_>]) -> String {
        let page = Page::default();
        let journal = Journal::start(shape, page.clone());
        lines.iter().for_each(|line| journal.desk().write(line));
        drop(journal);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn every_line_is_an_object() {
        let refused = AccessLine { id: None, from: None, why: Some("a \"reason\""), ..line("-") };
        let all = written(Shape::Json, &[line("/a\"b\\c\u{7f}"), line("/x"), refused]);
        let lines: Vec<serde_json::Value> =
            all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["path"], "/a\"b\\c\u{7f}");
        assert_eq!((&lines[1]["id"], &lines[1]["from"]), (&"2a".into(), &"127.0.0.1".into()));
        assert_eq!((&lines[1]["status"], &lines[1]["code"]), (&200.into(), &"-".into()));
        assert_eq!((&lines[2]["id"], &lines[2]["why"]), (&"-".into(), &"a \"reason\"".into()));
        let time = lines[0]["timestamp"].as_str().unwrap();
        assert_eq!((time.len(), &time[10..11], &time[19..20], &time[26..]), (27, "T", ".", "Z"));
    }

    #[test]
    fn a_path_ends_no_line() {
        let all = written(Shape::Text, &[line("/a\nb"), line("/c")]);
        assert_eq!(all.lines().count(), 2, "{all}");
        assert!(all.contains(" path=/a\\nb status=200 code=- bytes_in=1 bytes_out=2 ms=3\n"));
    }

    #[test]
    fn a_log_that_nobody_takes_is_bounded() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _hung_up = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (go_on, stuck) = std::sync::mpsc::sync_channel(0);
        let journal = Journal::start(Shape::Json, Stuck(stuck));
        let long = "x".repeat(1 << 20);
        (0..40).for_each(|_| journal.desk().write(&line(&long)));
        assert!(journal.desk.lock().lost > 0);
        assert!(journal.desk.lock().lines.len() <= WAITING_BYTES_MAX + long.len() + 1000);
        drop(go_on);
        drop(journal);
    }
}
