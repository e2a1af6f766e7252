//! The corpus of bad input (promises.md) as tables: a row an input, with what must come back.
//!
//! After each row the server lives, answers a good request, and the tree is what it was, unless the row says what it
//! adds. At the end: no panic, no fault of the server, no secret in its log. What lives here: rows and how they are
//! run; the rows themselves are in the files below, one a part of the corpus.

mod authorization;
mod bodies;
mod framing;
mod paths;
mod rpc;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Connection, PASSWORD, Server, Setup, ask};

/// What goes over the wire.
pub(crate) enum Bytes {
    /// As it is.
    Whole(Vec<u8>),
    /// A beginning, then one byte so many times.
    Endless(Vec<u8>, u8, usize),
}

/// What must come back.
#[derive(Clone)]
pub(crate) enum Want {
    /// This status, whatever else.
    Status(u16),
    /// One of these, or a connection that is closed without an answer.
    StatusOrClosed(&'static [u16]),
    /// Of the HTTP interface: status and code.
    Told(u16, i64),
    /// Of JSON-RPC: one of these codes, in a result or an error.
    Code(Vec<i64>),
    /// Of JSON-RPC: this result.
    Result(Value),
    /// No answer: the connection is closed.
    Closed,
    /// No success, whatever the front end calls it.
    Refused,
    /// An answer that is no fault of the server's.
    Anything,
}

/// What is there afterwards that was not there before.
pub(crate) enum Then {
    /// Nothing.
    Same,
    /// A file or an empty directory of this path; it is taken away again.
    Has(String),
}

/// One bad input.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) bytes: Bytes,
    pub(crate) want: Want,
    pub(crate) then: Then,
}

/// A row that changes nothing.
pub(crate) fn row(what: impl Into<String>, bytes: impl Into<Vec<u8>>, want: Want) -> Row {
    Row { what: what.into(), bytes: Bytes::Whole(bytes.into()), want, then: Then::Same }
}

/// A row that adds an entry.
pub(crate) fn adds(what: impl Into<String>, bytes: Vec<u8>, want: Want, path: &str) -> Row {
    Row { then: Then::Has(path.to_owned()), ..row(what, bytes, want) }
}

/// A server with something in it, and what it must look like.
pub(crate) struct Stand {
    pub(crate) server: Server,
    pub(crate) anna: Client,
    /// Over which everything is asked that is no row.
    control: Connection,
    tree: String,
    rows: usize,
}

/// A file that is there all the time, and what it holds.
pub(crate) const KEPT: (&str, &[u8]) = ("/dir/kept", b"kept");

impl Stand {
    /// A server with more configuration, where it is needed.
    pub(crate) fn start(config: &str) -> Self {
        let free = "[login]\nfree_per_user = 1000000\nfree_per_address = 1000000\n";
        let config = format!("{free}{config}");
        Self::over(Server::start_with(Setup { config: Some(config), ..Setup::default() }))
    }

    /// Over a server that runs.
    pub(crate) fn over(server: Server) -> Self {
        let anna = server.login();
        anna.put(KEPT.0, KEPT.1);
        anna.dir("/dir/empty");
        let mut control = Connection::open(server.address());
        let tree = tree(&mut control, &anna.token, "/");
        Self { server, anna, control, tree, rows: 0 }
    }

    /// The bytes of a request.
    pub(crate) fn bytes(&self, ask: &crate::harness::Ask) -> Vec<u8> {
        ask.bytes(self.server.address())
    }

    /// Runs rows, and tells of all that went wrong together.
    pub(crate) fn run(&mut self, rows: Vec<Row>) {
        let mut wrong = Vec::new();
        for row in rows {
            self.rows += 1;
            let (answer, more) = self.send(&row);
            if let Err(complaint) = fits(&row.want, answer.as_ref()) {
                wrong.push(format!("{}: {complaint}: {answer:?}", row.what));
            }
            if more {
                wrong.push(format!("{}: more came after the answer {answer:?}", row.what));
            }
            assert!(self.server.lives(), "{}: the server died", row.what);
            let good = self.control.ask(&ask("GET", &format!("/acme{}", KEPT.0)));
            assert_eq!((good.status, &good.body[..]), (200, KEPT.1), "after {}", row.what);
            if let Then::Has(path) = &row.then {
                let code = self.anna.code("deleteObject", json!([path]));
                if code != 0 {
                    wrong.push(format!("{}: {path:?} is not there ({code}): {answer:?}", row.what));
                }
            }
            let now = tree(&mut self.control, &self.anna.token, "/");
            if matches!(row.then, Then::Same) && now != self.tree {
                wrong.push(format!("{}: {} became {now}: {answer:?}", row.what, self.tree));
            }
            self.tree = now;
        }
        assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Sends a row's bytes and ends the sending; the answer, and whether anything came after it.
    fn send(&self, row: &Row) -> (Option<Answer>, bool) {
        let mut connection = Connection::open(self.server.address());
        // The server may have closed before all was sent.
        let method = match &row.bytes {
            Bytes::Whole(bytes) => {
                let _sent = connection.send(bytes);
                bytes
            }
            Bytes::Endless(bytes, byte, count) => {
                let _sent = connection.send(bytes);
                let block = vec![*byte; 1 << 20];
                let mut left = *count;
                while left > 0 && connection.send(&block[..left.min(block.len())]).is_ok() {
                    left -= left.min(block.len());
                }
                bytes
            }
        };
        let method = if method.starts_with(b"HEAD ") { "HEAD" } else { "POST" };
        connection.finish_sending();
        let Ok(answer) = connection.answer(method) else { return (None, false) };
        assert_ne!(answer.status / 100, 1);
        answer.check_invariants();
        let more = !connection.is_closed_by_server();
        (Some(answer), more)
    }

    /// Ends the run: what must hold of the whole of it.
    pub(crate) fn finish(mut self, what: &str, secrets: &[&str]) {
        assert!(self.server.lives());
        self.server.stop();
        let log = self.server.log();
        for bad in ["panicked", "\"ERROR\""] {
            let line = log.lines().find(|line| line.contains(bad));
            assert!(line.is_none(), "in the log: {line:?}");
        }
        for secret in [&[PASSWORD, &self.anna.token][..], secrets].concat() {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "a secret in the log: {line:?}");
        }
        println!("{what}: {} bad inputs", self.rows);
    }
}

/// All there is, as listings show it.
fn tree(control: &mut Connection, token: &str, path: &str) -> String {
    let params = json!([token, path, 10_000, null, true]);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "listPath", "params": params});
    let page = control.ask(&ask("POST", "/jsonrpc2").body(call.to_string())).json();
    let page = &page["result"];
    assert_eq!(page["code"], 0, "{path}: {page}");
    let mut text = format!("{path} {page}\n");
    for dir in page["dirs"].as_array().unwrap() {
        let below = format!("{}/{}", path.trim_end_matches('/'), dir["name"].as_str().unwrap());
        text.push_str(&tree(control, token, &below));
    }
    text
}

/// The codes of an answer of JSON-RPC: one a member of a batch.
fn rpc_codes(answer: &Answer) -> Result<Vec<i64>, String> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    // What was passed may come back; serde_json as it is built here reads less than JSON allows.
    let text = text.replace("1e400", "1").replace("\\ud800", "?").replace("\\udc00", "?");
    if text.contains(&"[".repeat(200)) {
        // Nested deeper than it reads.
        let refused = text.contains(r#""error":{"code":-3"#);
        return Ok(vec![if refused { -32_600 } else { 0 }]);
    }
    let found: Value = serde_json::from_str(&text).map_err(|e| format!("{e} in {text:.300}"))?;
    let all = found.as_array().cloned().unwrap_or_else(|| vec![found]);
    all.iter()
        .map(|one| match one.get("error").filter(|error| !error.is_null()) {
            Some(error) => error["code"].as_i64(),
            None => one["result"].as_i64().or_else(|| one["result"]["code"].as_i64()).or(
                // `login` answers a list: a token, or nulls where it was refused.
                one["result"].as_array().map(|list| if list[0].is_null() { -10_001 } else { 0 }),
            ),
        })
        .map(|code| code.ok_or_else(|| format!("no code in {text:.300}")))
        .collect()
}

fn fits(want: &Want, answer: Option<&Answer>) -> Result<(), String> {
    let Some(answer) = answer else {
        return match want {
            Want::Closed | Want::StatusOrClosed(_) | Want::Refused | Want::Anything => Ok(()),
            _ => Err("closed without an answer".to_owned()),
        };
    };
    let status = answer.status;
    // Not the server's fault: what is not built, the version, and by the contract a piece that is shorter than it said
    // and a file for which there is no room.
    let told = (status, answer.header("X-Agile-Status"));
    let by_contract = [(500, Some("-49")), (503, Some("-22"))].contains(&told);
    if status >= 500 && ![501, 505].contains(&status) && !by_contract {
        return Err(format!("{status} is a fault of the server"));
    }
    let is = |fits: bool, wanted: String| if fits { Ok(()) } else { Err(wanted) };
    match want {
        Want::Closed => Err("an answer".to_owned()),
        Want::Status(wanted) => is(status == *wanted, format!("wanted {wanted}")),
        Want::StatusOrClosed(wanted) => is(wanted.contains(&status), format!("wanted {wanted:?}")),
        Want::Told(wanted, code) => is(
            status == *wanted && answer.header("X-Agile-Status") == Some(&code.to_string()),
            format!("wanted {wanted}, {code}"),
        ),
        Want::Code(wanted) => {
            let codes = rpc_codes(answer)?;
            let fits = status == 200 && codes.iter().all(|code| wanted.contains(code));
            is(fits, format!("{codes:?}, wanted {wanted:?}"))
        }
        Want::Result(wanted) => {
            let found = answer.json()["result"].clone();
            is(found == *wanted, format!("wanted {wanted}"))
        }
        Want::Refused if status == 200 => {
            let codes = rpc_codes(answer)?;
            is(codes.iter().all(|code| *code < 0), "a success".to_owned())
        }
        Want::Refused => is(status >= 400, "a success".to_owned()),
        Want::Anything => Ok(()),
    }
}

/// A call of JSON-RPC 2.0 as bytes, with `params` as they are.
pub(crate) fn call(stand: &Stand, method: &str, params: &str) -> Vec<u8> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    stand.bytes(&ask("POST", "/jsonrpc2").body(body))
}

/// The same in version 1.0.
pub(crate) fn call_one(stand: &Stand, method: &str, params: &str) -> Vec<u8> {
    let body = format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#);
    stand.bytes(&ask("POST", "/jsonrpc").body(body))
}
