//! JSON-RPC around the calls (protocol.md, section 3): versions, ids, notifications, batches, coercion, protocol errors.

use serde_json::{Value, json};

use crate::harness::{Client, Server, ask, rpc_raw};

fn post(client: &Client, path: &str, body: &str) -> Value {
    rpc_raw(client.address, path, body).json()
}

fn error(client: &Client, path: &str, body: &str) -> i64 {
    let answer = post(client, path, body);
    assert!(answer["error"]["message"].is_string(), "{body}: {answer}");
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{body}: {answer}"))
}

#[test]
fn both_versions_in_both_forms() {
    let server = Server::start();
    let nobody = Client::nobody(server.address());
    let pong = json!({"code": 0, "operation": "pong"});
    assert_eq!(
        post(&nobody, "/jsonrpc", r#"{"method":"ping","params":[],"id":7}"#),
        json!({"result": pong, "error": null, "id": 7})
    );
    for path in ["/jsonrpc", "/jsonrpc2"] {
        for params in ["[]", "{}", r#"["pong"]"#, r#"{"operation":"pong"}"#] {
            let body = format!(r#"{{"jsonrpc":"2.0","method":"ping","params":{params},"id":7}}"#);
            let expected = json!({"jsonrpc": "2.0", "id": 7, "result": pong});
            assert_eq!(post(&nobody, path, &body), expected);
        }
        let bare = r#"{"jsonrpc":"2.0","method":"ping","id":7}"#;
        assert_eq!(post(&nobody, path, bare)["result"], pong, "params may be left out");
    }
    let one = r#"{"method":"nonsense","params":[],"id":7}"#;
    let expected =
        json!({"result": null, "error": {"code": -32601, "message": "Method not found"}, "id": 7});
    assert_eq!(post(&nobody, "/jsonrpc", one), expected);
    assert_eq!(error(&nobody, "/jsonrpc2", one), -32600);
}

#[test]
fn ids_come_back_unchanged() {
    let server = Server::start();
    let nobody = Client::nobody(server.address());
    for id in [
        "1",
        "-1",
        "123456789012345678901234567890",
        "1.50",
        "1e400",
        "\"\"",
        r#""a\u0000\ud83d\ude00b""#,
        "null",
        "true",
        r#"{"a":[1,2.50]}"#,
        "[]",
    ] {
        for (path, version) in [("/jsonrpc", ""), ("/jsonrpc2", r#""jsonrpc":"2.0","#)] {
            let body = format!(r#"{{{version}"method":"ping","params":[],"id":{id}}}"#);
            let answer = String::from_utf8(rpc_raw(nobody.address, path, body).body).unwrap();
            let compact: String = answer.split_whitespace().collect();
            assert!(compact.contains(&format!(r#""id":{id}"#)), "{id}: {answer}");
        }
    }
}

#[test]
fn notifications_are_done_and_not_answered() {
    let server = Server::start();
    let anna = server.login();
    let notify = |method: &str, path: &str| {
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":["{}","{path}"]}}"#, anna.token)
    };
    for (endpoint, body) in [
        ("/jsonrpc", notify("makeDir", "/one")),
        ("/jsonrpc2", notify("makeDir", "/two")),
        ("/jsonrpc2", format!("[{},{}]", notify("makeDir", "/three"), notify("makeDir", "/four"))),
        ("/jsonrpc2", notify("noSuchMethod", "/x")),
        ("/jsonrpc2", notify("ping", "too many")),
    ] {
        let answer = rpc_raw(anna.address, endpoint, body.clone());
        assert!(answer.body.is_empty(), "{body}: {answer:?}");
    }
    assert_eq!(anna.names("/").0, ["four", "one", "three", "two"]);
}

#[test]
fn protocol_errors() {
    let server = Server::start();
    let anna = server.login();
    let deep = "[".repeat(100_000);
    let deep_object = r#"{"a":"#.repeat(50_000);
    for body in
        ["", "x", "{", "[1,", "{\"method\":}", "\u{0}", "{'method':'ping'}", &deep, &deep_object]
    {
        for path in ["/jsonrpc", "/jsonrpc2"] {
            assert_eq!(error(&anna, path, body), -32700, "{}", &body[..body.len().min(20)]);
        }
    }
    assert_eq!(error(&anna, "/jsonrpc2", "[]"), -32700, "an empty batch");
    for body in ["5", "null", "\"x\"", "{}", r#"{"params":[],"id":1}"#, r#"{"method":5,"id":1}"#] {
        assert_eq!(error(&anna, "/jsonrpc", body), -32600, "{body}");
        assert_eq!(error(&anna, "/jsonrpc2", body), -32600, "{body}");
    }
    for version in ["", r#""jsonrpc":"1.0","#, r#""jsonrpc":"3.0","#, r#""jsonrpc":2.0,"#] {
        let body = format!(r#"{{{version}"method":"ping","params":[],"id":1}}"#);
        assert_eq!(error(&anna, "/jsonrpc2", &body), -32600, "{version}");
    }
    let batch = r#"[{"jsonrpc":"2.0","method":"ping","id":1}]"#;
    assert_eq!(error(&anna, "/jsonrpc", batch), -32600, "a batch at /jsonrpc");
    for method in ["nonsense", "_x", "_login", "", "PING", "login ", "rpc.discover", "__init__"] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":[],"id":1}}"#);
        assert_eq!(error(&anna, "/jsonrpc", &body), -32601, "{method:?}");
        assert_eq!(error(&anna, "/jsonrpc2", &body), -32601, "{method:?}");
    }
    for (method, params) in [
        ("makeDir", json!([])),
        ("makeDir", json!([anna.token])),
        ("makeDir", json!([anna.token, "/x", "/y"])),
        ("makeDir", json!({"token": anna.token})),
        ("makeDir", json!({"token": anna.token, "path": "/x", "mode": 7})),
        ("makeDir", json!({"token": anna.token, "Path": "/x"})),
        ("makeDir", json!("x")),
        ("makeDir", json!(5)),
        ("makeDir", json!(true)),
        ("listDir", json!([anna.token, "/", 1, 0, true, 1])),
        ("checkToken", json!([])),
    ] {
        let answer = anna.rpc(method, params.clone());
        let expected = json!({"code": -32602, "message": "Invalid params"});
        assert_eq!(answer["error"], expected, "{method} {params}");
    }
    assert_eq!(anna.names("/").0, [] as [&str; 0], "nothing of it was done");
}

#[test]
fn messages() {
    let server = Server::start();
    let nobody = Client::nobody(server.address());
    for (body, code, message) in [
        ("x", -32700, "Parse Error"),
        ("{}", -32600, "Invalid Request"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, -32601, "Method not found"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"noop"}"#, -32602, "Invalid params"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"login"}"#, -32603, "Internal error"),
        ("[1,2,3,4]", -32099, "Batch Error"),
    ] {
        let answer = post(&nobody, "/jsonrpc2", body);
        assert_eq!(answer["error"], json!({"code": code, "message": message}), "{body}");
        assert_eq!(answer["jsonrpc"], "2.0");
    }
}

#[test]
fn batches() {
    let server = Server::start();
    let anna = server.login();
    let call = |method: &str, params: Value, id: Value| json!({"jsonrpc": "2.0", "method": method, "params": params, "id": id});
    let make = |path: &str, id: i64| call("makeDir", json!([anna.token, path]), json!(id));
    let send = |batch: Value| post(&anna, "/jsonrpc2", &batch.to_string());
    let by_id = |answers: &Value, id: Value| {
        let all = answers.as_array().unwrap_or_else(|| panic!("{answers}"));
        let found: Vec<_> = all.iter().filter(|a| a["id"] == id).collect();
        assert_eq!(found.len(), 1, "{answers}");
        found[0].clone()
    };
    let one = send(json!([make("/one", 1)]));
    assert_eq!(one, json!([{"jsonrpc": "2.0", "id": 1, "result": 0}]));
    let three = send(json!([
        call("nonsense", json!([]), json!("a")),
        make("/two", 2),
        call("makeDir", json!([]), json!(null)),
    ]));
    assert_eq!(three.as_array().unwrap().len(), 3);
    assert_eq!(by_id(&three, json!("a"))["error"]["code"], -32601);
    assert_eq!(by_id(&three, json!(2))["result"], 0, "a failing member does not stop the others");
    assert_eq!(by_id(&three, Value::Null)["error"]["code"], -32602);
    let mixed = send(json!([5, make("/three", 3), [make("/never", 9)]]));
    let errors = mixed.as_array().unwrap().iter().filter(|a| a["error"]["code"] == -32600).count();
    assert_eq!((errors, by_id(&mixed, json!(3))["result"].clone()), (2, json!(0)));
    let without_version =
        send(json!([{"method": "ping", "params": [], "id": 4}, make("/four", 5)]));
    assert_eq!(by_id(&without_version, json!(4))["error"]["code"], -32600);
    assert_eq!(by_id(&without_version, json!(5))["result"], 0);
    let silent = json!({"jsonrpc": "2.0", "method": "makeDir", "params": [anna.token, "/five"]});
    let with_notification = send(json!([silent, make("/six", 6)]));
    assert_eq!(with_notification, json!([{"jsonrpc": "2.0", "id": 6, "result": 0}]));
    assert_eq!(anna.names("/").0, ["five", "four", "one", "six", "three", "two"]);

    for refused in [
        json!([make("/x", 1), make("/y", 2), make("/z", 3), make("/w", 4)]),
        json!([make("/x", 1), make("/y", 1)]),
        json!([make("/x", 1), make("/y", 2), call("ping", json!([]), json!(1))]),
    ] {
        let answer = send(refused);
        assert_eq!(answer["error"], json!({"code": -32099, "message": "Batch Error"}), "{answer}");
    }
    assert_eq!(anna.names("/").0.len(), 6, "nothing of a refused batch was done");
}

/// All seen in real clients: what an integer, a boolean and a string parameter also take.
#[test]
fn coercion() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/a");
    anna.dir("/b");
    for size in [json!(1), json!("1"), json!(1.0), json!(true)] {
        let page = anna.call("listDir", json!(["/", size]));
        assert_eq!(page["list"].as_array().unwrap().len(), 1, "{size}: {page}");
    }
    let page = anna.call("listDir", json!(["/", null, "1"]));
    assert_eq!(page["list"].as_array().unwrap().len(), 1, "{page}");
    let (yes, no) = (
        json!(["true", "TRUE", "yes", "Yes", "1", 1, true]),
        json!(["false", "No", "0", 0, false, null]),
    );
    for (words, detailed) in [(yes, true), (no, false)] {
        for word in words.as_array().unwrap() {
            let stat = anna.call("stat", json!(["/a", word]));
            assert_eq!(stat.get("checksum").is_some(), detailed, "{word}: {stat}");
        }
    }
    for wrong in [json!(2), json!("on"), json!({}), json!([]), json!(""), json!(1.5)] {
        assert_eq!(anna.error("stat", json!(["/a", wrong])), -32602, "{wrong}");
        assert_eq!(anna.error("listDir", json!(["/a", 1, 0, wrong])), -32602, "{wrong}");
    }
    let escaped = format!(
        r#"{{"jsonrpc":"2.0","id":1,"meth\u006fd":"st\u0061t","params":{{"t\u006fken":"{}","path":"\u002fa"}}}}"#,
        anna.token
    );
    assert_eq!(post(&anna, "/jsonrpc2", &escaped)["result"]["code"], 0);
}

/// The content type does not matter, nor a byte order mark, nor how the body is framed.
#[test]
fn what_clients_send_around_it() {
    let server = Server::start();
    let address = server.address();
    let body = r#"{"method":"ping","params":[],"id":1}"#;
    for content_type in
        ["", "text/plain", "application/x-www-form-urlencoded", "application/json-rpc"]
    {
        let answer =
            ask("POST", "/jsonrpc").with("Content-Type", content_type).body(body).send(address);
        assert_eq!(answer.json()["result"]["code"], 0, "{content_type}");
    }
    let chunked = ask("POST", "/jsonrpc").chunks(body.as_bytes(), 5).send(address);
    assert_eq!(chunked.json()["result"]["code"], 0);
    let query = ask("POST", "/jsonrpc?x=y").body(body).send(address);
    assert_eq!((query.status, &query.json()["result"]["code"]), (200, &json!(0)));
    let marked = rpc_raw(address, "/jsonrpc", format!("\u{feff}{body}"));
    assert!(marked.json().is_object());
}
