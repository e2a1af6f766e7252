//! A client of a server that may die: what it asks is answered, refused, answered with a fault, or cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::harness::{Answer, Ask, Connection, Form, PASSWORD, USER, ask, form_type};

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// It was acknowledged.
    Ok(T),
    /// Status and code of something else.
    No(u16, i64),
    /// No answer came.
    Cut,
}

impl<T> Reply<T> {
    /// What was acknowledged; for requests to a server that is well.
    pub(crate) fn must(self, what: &str) -> T {
        match self {
            Reply::Ok(value) => value,
            Reply::No(status, code) => panic!("{what}: {status}, {code}"),
            Reply::Cut => panic!("{what}: no answer"),
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        matches!(self, Reply::Ok(_))
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Reply::Ok(value) => Reply::Ok(f(value)),
            Reply::No(status, code) => Reply::No(status, code),
            Reply::Cut => Reply::Cut,
        }
    }
}

/// Whether an answer says that the server is at fault, and so nothing about what it did.
pub(crate) fn is_fault(status: u16, code: i64) -> bool {
    status >= 500 || code == -32_000 || code == -27
}

/// A session with a connection that is kept.
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    connection: Option<Connection>,
    /// Once it is set, answers are as good as none.
    pub(crate) deaf: Arc<AtomicBool>,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned(), connection: None, deaf: Arc::default() }
    }

    /// Logs in at a server that is well.
    pub(crate) fn login(address: SocketAddr) -> Self {
        let mut nobody = Self::new(address, "");
        let token = nobody.new_token().must("login");
        Self::new(address, &token)
    }

    /// A token of another session.
    pub(crate) fn new_token(&mut self) -> Reply<String> {
        self.call("login", json!([USER, PASSWORD])).map(|v| v[0].as_str().unwrap().to_owned())
    }

    /// Asks; `None`: no answer came.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::try_open(self.address).ok()?,
        };
        let answer = connection.try_ask(ask).ok()?;
        if self.deaf.load(Ordering::SeqCst) {
            return None;
        }
        // A body that was refused may not have been read to its end: then a balancer that answered `keep-alive` closes all the
        // same (nginx without request buffering, 590 times of 600 after a MB that nobody wanted).
        let half_read = ask.has_body() && answer.status >= 400;
        if answer.header("Connection") != Some("close") && !half_read {
            self.connection = Some(connection);
        }
        Some(answer)
    }

    /// Asks the HTTP interface.
    pub(crate) fn send(&mut self, ask: &Ask) -> Reply<Answer> {
        match self.ask(ask) {
            None => Reply::Cut,
            Some(answer) if answer.told() == (200, 0) => Reply::Ok(answer),
            Some(answer) => Reply::No(answer.status, answer.code()),
        }
    }

    /// Calls a method; `params` is a list that gets the token in front.
    pub(crate) fn rpc(&mut self, method: &str, mut params: Value) -> Reply<Value> {
        params.as_array_mut().unwrap().insert(0, json!(self.token));
        self.call(method, params)
    }

    fn call(&mut self, method: &str, params: Value) -> Reply<Value> {
        let call = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
        let Some(answer) = self.ask(&ask("POST", "/jsonrpc2").body(call.to_string())) else {
            return Reply::Cut;
        };
        let answer = answer.json();
        if let Some(code) = answer["error"]["code"].as_i64() {
            return Reply::No(200, code);
        }
        let result = &answer["result"];
        match result.as_i64().or_else(|| result["code"].as_i64()).unwrap_or(0) {
            0 => Reply::Ok(result.clone()),
            code => Reply::No(200, code),
        }
    }

    /// A request for `/post/raw`.
    pub(crate) fn raw(&self, path: &str) -> Ask {
        let (directory, name) = path.rsplit_once('/').unwrap();
        let ask = ask("POST", "/post/raw").token(&self.token);
        ask.with("X-Agile-Directory", directory).with("X-Agile-Basename", name)
    }

    /// A request for `/post/file`.
    pub(crate) fn form(&self, path: &str, body: &[u8]) -> Ask {
        let (directory, name) = path.rsplit_once('/').unwrap();
        let form = Form::new().field("directory", directory).file(name, body);
        let ask = ask("POST", "/post/file").token(&self.token).with("Content-Type", form_type());
        ask.body(form.bytes())
    }

    /// A request for `/multipart/piece`.
    pub(crate) fn piece(&self, mpid: &str, number: usize, body: &[u8]) -> Ask {
        let ask = ask("POST", "/multipart/piece").token(&self.token);
        let ask = ask.with("X-Agile-Multipart", mpid).with("X-Agile-Part", number.to_string());
        ask.body(body)
    }
}
