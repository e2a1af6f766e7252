//! A session: a token, and the calls that most tests make with it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Answer, Ask, ask, sha256};

/// A session at a server.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

/// Posts a body to one of the two JSON-RPC paths; checks what holds for every answer there.
pub(crate) fn rpc_raw(address: SocketAddr, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let answer = ask("POST", path).body(body).send(address);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/json;charset=utf-8"));
    answer
}

/// The code in a result: an operation's integer or a query's `code`.
pub(crate) fn code_of(result: &Value) -> i64 {
    result
        .as_i64()
        .or_else(|| result.get("code").and_then(Value::as_i64))
        .unwrap_or_else(|| panic!("no code in {result}"))
}

impl Client {
    /// Somebody without a session.
    pub(crate) fn nobody(address: SocketAddr) -> Self {
        Self { address, token: String::new() }
    }

    /// Logs in by JSON-RPC.
    pub(crate) fn login(address: SocketAddr, user: &str, password: &str) -> Self {
        let answer = Self::nobody(address).rpc("login", json!([user, password]));
        let token = answer["result"][0].as_str();
        let token = token.unwrap_or_else(|| panic!("{user} cannot log in: {answer}")).to_owned();
        Self { address, token }
    }

    /// The same session with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { address: self.address, token: token.to_owned() }
    }

    /// A call of version 2.0, parameters as they are; the whole answer.
    pub(crate) fn rpc(&self, method: &str, params: Value) -> Value {
        let id = format!("{method}-1");
        let call = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": id});
        let answer = rpc_raw(self.address, "/jsonrpc2", call.to_string()).json();
        assert_eq!(answer["id"], id, "{answer}");
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
        answer
    }

    /// A call of version 1.0, parameters as they are; the whole answer.
    pub(crate) fn rpc_one(&self, method: &str, params: Value) -> Value {
        let call = json!({"method": method, "params": params, "id": 1});
        let answer = rpc_raw(self.address, "/jsonrpc", call.to_string()).json();
        let members: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["error", "id", "result"], "{answer}");
        assert_eq!(answer["id"], 1);
        answer
    }

    /// Calls a method with the token in front of (or beside) `params`; the result.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.rpc(method, self.with_own_token(params));
        answer.get("result").unwrap_or_else(|| panic!("{method}: {answer}")).clone()
    }

    /// The same; the code in the result.
    pub(crate) fn code(&self, method: &str, params: Value) -> i64 {
        code_of(&self.call(method, params))
    }

    /// The same for a call that fails in the protocol; the error's code.
    pub(crate) fn error(&self, method: &str, params: Value) -> i64 {
        let answer = self.rpc(method, self.with_own_token(params));
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{method}: {answer}"))
    }

    fn with_own_token(&self, params: Value) -> Value {
        match params {
            Value::Array(mut list) => {
                list.insert(0, json!(self.token));
                Value::Array(list)
            }
            Value::Object(mut map) => {
                map.insert("token".to_owned(), json!(self.token));
                Value::Object(map)
            }
            other => panic!("parameters are a list or an object: {other}"),
        }
    }

    /// A request with the token.
    pub(crate) fn post(&self, target: &str) -> Ask {
        ask("POST", target).token(&self.token)
    }

    /// A request for `/post/raw` to a directory and name.
    pub(crate) fn raw(&self, directory: &str, name: &str) -> Ask {
        self.post("/post/raw").with("X-Agile-Directory", directory).with("X-Agile-Basename", name)
    }

    /// Sends a request to this session's server.
    pub(crate) fn send(&self, ask: &Ask) -> Answer {
        ask.send(self.address)
    }

    /// Uploads a file, making its directories; it must succeed.
    pub(crate) fn put(&self, path: &str, body: &[u8]) {
        let (directory, name) = path.rsplit_once('/').unwrap();
        let encoded =
            |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
        let ask = if path.is_ascii() {
            self.raw(directory, name)
        } else {
            self.raw(&encoded(directory), &encoded(name)).with("X-Agile-Encoding", "UTF8")
        };
        let ask = ask.with("X-Agile-Recursive", "true").body(body);
        let answer = self.send(&ask);
        assert_eq!(answer.told(), (200, 0), "{path}: {answer:?}");
        assert_eq!(answer.must("X-Agile-Checksum"), sha256(body), "{path}");
        assert_eq!(answer.must("X-Agile-Size"), body.len().to_string(), "{path}");
    }

    /// Makes a directory and what is above it; it must succeed.
    pub(crate) fn dir(&self, path: &str) {
        assert_eq!(self.code("makeDir2", json!([path])), 0, "{path}");
    }

    /// GET of an absolute path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&ask("GET", path))
    }

    /// `stat` with detail.
    pub(crate) fn stat(&self, path: &str) -> Value {
        self.call("stat", json!([path, true]))
    }

    /// What is stored under a path, seen in all three ways: they must agree.
    pub(crate) fn content(&self, path: &str) -> Vec<u8> {
        self.content_at(path, &format!("/acme{path}"))
    }

    /// The same for a path that has to be encoded in a URL.
    pub(crate) fn content_at(&self, path: &str, target: &str) -> Vec<u8> {
        let (stat, got) = (self.stat(path), self.get(target));
        assert_eq!(got.status, 200, "{path}: {got:?}");
        assert_eq!(stat["checksum"], sha256(&got.body), "{path}");
        assert_eq!(stat["size"], got.body.len(), "{path}");
        assert_eq!(got.must("X-Agile-Checksum"), sha256(&got.body), "{path}");
        got.body
    }

    /// The names in a directory, sorted: directories, files.
    pub(crate) fn names(&self, path: &str) -> (Vec<String>, Vec<String>) {
        let page = self.call("listPath", json!([path, 10_000]));
        assert_eq!((&page["code"], &page["cookie"]), (&json!(0), &Value::Null), "{page}");
        let names = |key: &str| {
            let list = page[key].as_array().unwrap().iter();
            let mut names: Vec<_> = list.map(|e| e["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        (names("dirs"), names("files"))
    }
}
