//! Requests of an address and of a user, and uploads of an account at once (`[rate]`, `uploads_per_account`): over it,
//! 429 and -56 in each interface's form. The rates of these tests give nothing back while a test runs.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Connection, Form, PASSWORD, Server, Setup, ask, rpc_raw, wait_until,
};

fn server(config: &str) -> Server {
    Server::start_with(Setup { config: Some(config.to_owned()), ..Setup::default() })
}

fn per_address(burst: u32) -> String {
    format!("[rate]\nrequests_per_second_per_address = 0.001\nburst_per_address = {burst}\n")
}

fn per_user(burst: u32) -> String {
    format!("[rate]\nrequests_per_second_per_user = 0.001\nburst_per_user = {burst}\n")
}

/// 429 of the HTTP interface.
fn refused(answer: &Answer) {
    assert_eq!(answer.told(), (429, -56), "{answer:?}");
    assert_eq!(answer.reason, "too many requests");
    retry_after(answer, 1..=1000);
}

fn retry_after(answer: &Answer, secs: std::ops::RangeInclusive<u64>) {
    let said: u64 = answer.must("Retry-After").parse().unwrap();
    assert!(secs.contains(&said), "{said}");
}

#[test]
fn an_address_over_its_rate_is_refused_everywhere() {
    let server = server(&per_address(4));
    let anna = server.login();
    anna.put("/f", b"content");
    assert_eq!(anna.get("/acme/f").status, 200);
    assert_eq!(anna.get("/acme/missing").status, 404);

    for what in [anna.raw("/", "g"), anna.form(&Form::new().file("g", "x"))] {
        refused(&anna.send(&what));
    }
    let early = Connection::open(server.address())
        .expect(&anna.raw("/", "g").with("Content-Length", "1000000"));
    refused(&early);
    assert_eq!(early.header("Connection"), Some("close"));
    let directory = anna.send(&anna.post("/post/directory").with("X-Agile-Directory", "/d"));
    refused(&directory);
    assert_eq!(directory.json(), json!({"message": "too many requests", "code": -56}));
    refused(&anna.send(&ask("POST", "/account/login")));

    for method in ["GET", "HEAD"] {
        let answer = anna.send(&ask(method, "/acme/f"));
        assert_eq!(answer.status, 429, "{answer:?}");
        retry_after(&answer, 1..=1000);
        assert_eq!(answer.body.is_empty(), method == "HEAD");
    }
    for path in ["/jsonrpc", "/jsonrpc2"] {
        // What it is stays unread.
        let answer = rpc_raw(server.address(), path, "{");
        let error = json!({"code": -56, "message": "too many requests"});
        assert_eq!(answer.json(), json!({"jsonrpc": "2.0", "id": null, "error": error}));
        retry_after(&answer, 1..=1000);
    }
    assert!(anna.send(&ask("OPTIONS", "/post/raw")).status < 300, "costs nothing");

    let mut elsewhere = Connection::open_from([127, 0, 0, 2].into(), server.address());
    assert_eq!(elsewhere.ask(&ask("GET", "/acme/f")).body, b"content", "another address");
    assert_eq!(elsewhere.ask(&anna.raw("/", "g").body("x")).told(), (200, 0));
}

#[test]
fn a_user_over_their_rate_is_refused_in_each_call_s_form() {
    let server = server(&per_user(3));
    server.add_user("bert", "acme", &[]);
    let anna = server.login();
    anna.put("/f", b"content");
    for _ in 0..2 {
        assert_eq!(anna.code("checkToken", json!([])), 0);
    }
    assert_eq!(anna.call("makeDir", json!(["/d"])), json!(-56), "an operation");
    assert_eq!(anna.call("checkToken", json!([])), json!({"code": -56}), "a query");
    let stat = anna.call("stat", json!(["/f"]));
    assert_eq!(stat, json!({"uid": 0, "code": -56, "gid": 0, "checksum": ""}));
    refused(&anna.send(&anna.raw("/", "g").body("x")));
    let early = Connection::open(server.address())
        .expect(&anna.raw("/", "g").with("Content-Length", "1000000"));
    refused(&early);
    refused(&anna.send(&anna.form(&Form::new().file("g", "x"))));

    let again = server.login();
    assert_eq!(again.code("checkToken", json!([])), -56, "it is the user's, not the session's");
    let unusable = anna.with_token(&"0".repeat(36));
    assert_eq!(unusable.code("checkToken", json!([])), -10_001, "nobody's");
    assert_eq!(anna.get("/acme/f").status, 200, "without a user");
    let bert = server.login_as("bert", PASSWORD);
    assert_eq!(bert.names("/").1, ["f"], "another user");
}

#[test]
fn each_call_of_a_batch_counts() {
    let server = server(&per_user(4));
    let anna = server.login();
    let call =
        |id: u32| json!({"jsonrpc": "2.0", "method": "noop", "params": [anna.token], "id": id});
    let batch = || {
        let calls = Value::Array((1..=3).map(call).collect());
        let answers = rpc_raw(server.address(), "/jsonrpc2", calls.to_string()).json();
        let codes = answers.as_array().unwrap().iter().map(|a| a["result"]["code"].as_i64());
        codes.map(Option::unwrap).collect::<Vec<_>>()
    };
    assert_eq!((batch(), batch()), (vec![0, 0, 0], vec![0, -56, -56]));
}

#[test]
fn nothing_is_limited_unless_it_is_set() {
    let server = Server::start();
    let anna = server.login();
    let mut connection = Connection::open(server.address());
    let noop = json!({"method": "noop", "params": [anna.token], "id": 1}).to_string();
    for _ in 0..500 {
        let answer = connection.ask(&ask("POST", "/jsonrpc").body(noop.clone()));
        assert_eq!(answer.json()["result"]["code"], 0);
    }
}

/// An upload that the server has asked for the body of, ten bytes.
fn open(client: &Client, ask: &crate::harness::Ask) -> Connection {
    let mut connection = Connection::open(client.address);
    let asked = connection.expect(&ask.clone().with("Content-Length", "10"));
    assert_eq!(asked.status, 100, "{asked:?}");
    connection
}

#[test]
fn uploads_at_the_same_time() {
    let server = server("[limits]\nuploads_per_account = 2");
    server.admin_ok(&["account", "add", "zoo"], "");
    server.add_user("zoe", "zoo", &[]);
    let (anna, zoe) = (server.login(), server.login_as("zoe", PASSWORD));
    let mpid = anna.begin("/m");
    let mut raw = open(&anna, &anna.raw("/", "f"));
    let piece = open(&anna, &anna.piece(&mpid, 1));

    let another = |client: &Client| client.raw("/", "g").body("x");
    for ask in [anna.raw("/", "g"), anna.piece(&mpid, 2), anna.form_head()] {
        let answer = Connection::open(server.address()).expect(&ask.with("Content-Length", "10"));
        refused(&answer);
        retry_after(&answer, 1..=1);
    }
    assert_eq!(anna.code("makeDir", json!(["/d"])), 0, "no upload");
    assert_eq!(zoe.send(&another(&zoe)).told(), (200, 0), "another account");

    raw.send(b"0123456789").unwrap();
    assert_eq!(raw.answer("POST").unwrap().told(), (200, 0));
    assert_eq!(anna.send(&another(&anna)).told(), (200, 0), "a place is free");
    let form = open(&anna, &anna.form_head());
    refused(&anna.send(&another(&anna)));
    drop(piece);
    wait_until("the place of an upload that was cut", || {
        anna.send(&another(&anna)).told() == (200, 0)
    });
    drop(form);
    wait_until("both places", || {
        let mut held = Connection::open(server.address());
        let first = held.expect(&anna.raw("/", "h").with("Content-Length", "10"));
        first.status == 100 && anna.send(&another(&anna)).told() == (200, 0)
    });
}
