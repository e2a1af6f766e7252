//! Calls that no client should make: every parameter of every method with values of every wrong kind, and bodies of every
//! wrong shape. Each is answered with HTTP 200 and a code of the contract (protocol.md, sections 3 to 5); the server lives.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, PASSWORD, Server, Setup, USER, ask, rpc_raw};

/// What a parameter takes, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
    Bool,
    /// `listPath`'s cookie.
    Pair,
    Any,
}
use Kind::{Any, Bool, Int, Pair, Text};

/// A protocol error, as a code.
const PARAMS: i64 = -32_602;

struct Param {
    valid: &'static str,
    kind: Kind,
    /// What a value that cannot be coerced may be answered with.
    bad: &'static [i64],
}

struct Method {
    name: &'static str,
    params: Vec<Param>,
    /// Codes of the method's row, beside 0.
    codes: &'static [i64],
}

const fn p(valid: &'static str, kind: Kind, bad: &'static [i64]) -> Param {
    Param { valid, kind, bad }
}

fn method(name: &'static str, codes: &'static [i64], params: Vec<Param>) -> Method {
    Method { name, params, codes }
}

/// A method whose first parameter is the token.
fn with_token(name: &'static str, codes: &'static [i64], rest: Vec<Param>) -> Method {
    let bad: &[i64] = if name == "logout" { &[-1, PARAMS] } else { &[-10_001, PARAMS] };
    let mut params = vec![p("TOKEN", Text, bad)];
    params.extend(rest);
    method(name, codes, params)
}

/// Where section 5 gives a call no code for an invalid path, its "missing" and -32602 both fit the text.
const GONE: &[i64] = &[-1, PARAMS];
const FLAG: &[i64] = &[PARAMS];

fn listing(
    name: &'static str,
    codes: &'static [i64],
    path: &'static [i64],
    cookie: Kind,
) -> Method {
    let first = if cookie == Pair { "null" } else { "0" };
    let params = vec![
        p(r#""/""#, Text, path),
        p("10", Int, &[-12]),
        p(first, cookie, &[-11]),
        p("true", Bool, FLAG),
    ];
    with_token(name, codes, params)
}

fn table() -> Vec<Method> {
    let path = |bad| p(r#""/none""#, Text, bad);
    let two = |one, other| vec![path(one), p(r#""/none2""#, Text, other)];
    let credentials = || {
        vec![p(r#""anna""#, Text, &[PARAMS, -10_001]), p(r#""wrong""#, Text, &[PARAMS, -10_001])]
    };
    let mut authenticate = credentials();
    authenticate.extend([p("60", Int, &[-34]), p(r#""/""#, Text, &[-47, PARAMS])]);
    vec![
        method("authenticate", &[-34, -40, -41, -47, -10_001], authenticate),
        with_token("checkToken", &[], vec![]),
        with_token("noop", &[], vec![p(r#""x""#, Any, &[])]),
        method("ping", &[], vec![p(r#""x""#, Any, &[])]),
        with_token("makeDir", &[-2, -3, -6, -8], vec![path(&[-8])]),
        with_token("makeDir2", &[-2, -6, -8], vec![path(&[-8])]),
        with_token("deleteDir", &[-1, -6, -7], vec![path(GONE)]),
        with_token("deleteFile", &[-1], vec![path(GONE)]),
        with_token("deleteObject", &[-1, -6, -7], vec![path(GONE)]),
        with_token("rename", &[-1, -2, -3, -6, -7], two(GONE, &[-1, -3, PARAMS])),
        with_token("renameFile", &[-1, -2, -3, -6, -7], two(GONE, &[-1, -3, PARAMS])),
        with_token("copyFile", &[-1, -2], two(GONE, &[-1, -2, PARAMS])),
        with_token("stat", &[-1], vec![path(GONE), p("true", Bool, FLAG)]),
        with_token("setMTime", &[-1, -8, -27], vec![path(&[-8]), p("1", Int, &[-27])]),
        with_token(
            "setContentType",
            &[-1, -3, -6, -8, -33],
            vec![path(&[-8]), p(r#""text/css""#, Text, &[-33])],
        ),
        listing("listDir", &[-1, -11, -12], GONE, Int),
        listing("listFile", &[-1, -11, -12], GONE, Int),
        listing("listPath", &[-1, -8, -11, -12], &[-8], Pair),
        with_token(
            "fetchFileHTTP",
            &[-4, -13, -14, -56],
            vec![
                path(&[-4, -14, PARAMS]),
                p(r#""http://acme/none""#, Text, &[-14]),
                // A fourth that is a string and no flag begins the long form (section 11).
                p("0", Int, &[-13, -14]),
            ],
        ),
        with_token(
            "mediaVaultUrl",
            &[-1, -2, -8, -34, -60],
            vec![path(&[-8, -60]), p("60", Int, &[-34, -60])],
        ),
        with_token("updateSession", &[-1, -34], vec![p("0", Int, &[-34])]),
        with_token("logout", &[-1, -2], vec![]),
    ]
}

/// Values of every wrong kind: as JSON, and which kinds can read them.
fn values() -> Vec<(String, &'static [Kind])> {
    let mut values: Vec<(String, &'static [Kind])> = [
        ("5", &[Int][..]),
        ("-1", &[Int]),
        ("{}", &[]),
        (r#"{"a":[1]}"#, &[]),
        ("[]", &[]),
        ("null", &[Text, Int, Bool, Pair]),
        ("true", &[Int, Bool]),
        (r#""x""#, &[Text]),
        ("1e400", &[]),
        ("-1e400", &[]),
        ("1.5", &[]),
        ("9223372036854775808", &[Int]),
        ("18446744073709551616", &[Int]),
        (r#""\ud800""#, &[]),
        (r#""a\u0000""#, &[Text]),
    ]
    .into_iter()
    .map(|(text, kinds)| (text.to_owned(), kinds))
    .collect();
    values.push((format!("\"{}\"", "y".repeat(1 << 20)), &[Text]));
    values.push(("9".repeat(1000), &[]));
    values
}

fn call(client: &Client, name: &str, params: &str) -> Value {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}","params":{params}}}"#);
    let answer = rpc_raw(client.address, "/jsonrpc2", body).body;
    // What was passed may come back; the reader of this test takes less than JSON allows.
    let nines = "9".repeat(1000);
    let text = String::from_utf8(answer).unwrap();
    let text = text.replace("1e400", "1").replace(r"\ud800", "?").replace(&nines, "9");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:.300}"))
}

/// The code of an answer: of its result or of its error.
fn code(answer: &Value) -> i64 {
    match answer.get("error") {
        Some(error) => error["code"].as_i64().unwrap_or_else(|| panic!("{answer}")),
        None => crate::harness::code_of(&answer["result"]),
    }
}

/// A server that does not slow down wrong passwords: here they are many, and not the point.
fn patient_server() -> Server {
    let config = "[login]\nfree_per_user = 100000\nfree_per_address = 100000\n".to_owned();
    Server::start_with(Setup { config: Some(config), ..Setup::default() })
}

fn check_alive(server: &mut Server) {
    assert!(server.lives(), "the server died");
    let anna = server.login();
    anna.put("/after", b"still here");
    assert_eq!(anna.content("/after"), b"still here");
    let log = server.log();
    for word in ["panicked", "\"ERROR\""] {
        let line = log.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "in the log: {line:?}");
    }
}

#[test]
fn every_wrong_value_for_every_parameter() {
    let mut server = patient_server();
    let anna = server.login();
    let values = values();
    let mut wrong = Vec::new();
    for method in table() {
        for (at, param) in method.params.iter().enumerate() {
            for (value, readable) in &values {
                // The token is new each time: some methods end or change the session.
                let token = if ["logout", "updateSession"].contains(&method.name) {
                    server.login().token
                } else {
                    anna.token.clone()
                };
                let list: Vec<String> = method
                    .params
                    .iter()
                    .enumerate()
                    .map(|(i, p)| {
                        if i == at {
                            value.clone()
                        } else {
                            p.valid.replace("TOKEN", &format!("\"{token}\""))
                        }
                    })
                    .collect();
                let answer = call(&anna, method.name, &format!("[{}]", list.join(",")));
                let code = code(&answer);
                let fits = if param.kind == Any {
                    code == 0
                } else if readable.contains(&param.kind) {
                    code == 0
                        || method.codes.contains(&code)
                        || (param.kind == Text && param.bad.contains(&code))
                        || (value == "null" && (code == PARAMS || param.bad.contains(&code)))
                        || (at == 0 && code == -10_001)
                } else {
                    param.bad.contains(&code)
                };
                if !fits {
                    let answer = answer.to_string();
                    wrong.push(format!(
                        "{}, parameter {at} = {value:.30}: {answer:.200}",
                        method.name
                    ));
                }
            }
        }
    }
    check_alive(&mut server);
    assert!(
        wrong.is_empty(),
        "{} answers are not in the contract:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The credentials of `login` and `authenticate`, where a wrong kind has no code of its own.
#[test]
fn every_wrong_value_for_credentials() {
    let mut server = patient_server();
    let nobody = Client::nobody(server.address());
    for (value, _) in values() {
        for list in [
            format!(r#"[{value},"{PASSWORD}"]"#),
            format!(r#"["{USER}",{value}]"#),
            format!(r#"{{"username":{value},"password":""}}"#),
        ] {
            let answer = call(&nobody, "login", &list);
            let refused = answer["result"] == json!([null, null])
                || [-40, -41, -32_602, -32_603].contains(&code(&answer));
            assert!(refused, "{list:.60}: {answer}");
        }
        let answer = call(&nobody, "login", &format!(r#"["{USER}","{PASSWORD}",{value}]"#));
        let fits = answer["result"][0].is_string() || answer["error"]["code"] == PARAMS;
        assert!(fits, "{value:.60}: {answer}");
    }
    check_alive(&mut server);
}

#[test]
fn bodies_of_every_wrong_shape() {
    let mut server = Server::start();
    let address = server.address();
    let member = |members: &str| format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
    let nested =
        |open: &str, close: &str, deep| format!("{}{}", open.repeat(deep), close.repeat(deep));
    let ping = r#""method":"ping","id":1"#;
    let bodies = vec![
        member(&format!(r#"{ping},"params":{}"#, nested("[", "]", 100))),
        member(&format!(r#""method":"ping","params":[],"id":{}"#, nested("[", "]", 100))),
        member(&format!(r#"{ping},"x":{}"#, nested(r#"{"a":"#, "}", 50_000))),
        nested("[", "]", 50_000),
        member(r#""method":"ping","method":"noop","id":1"#),
        member(r#""method":"ping","params":[],"params":["x"],"id":1"#),
        member(r#""method":"ping","id":1,"id":2"#),
        member(r#""method":"makeDir","params":{"token":"a","token":"b","path":"/x"},"id":1"#),
        member(&format!(r#"{ping},"params":[{}1]"#, "1,".repeat(300_000))),
        member(&format!(
            r#"{ping},"params":{{{}"operation":1}}"#,
            r#""operation":1,"#.repeat(50_000)
        )),
        format!("[{}1]", "1,".repeat(300_000)),
        format!("[{}]", vec![member(ping); 3].join(",")),
        "[[],[],[]]".to_owned(),
        format!("[[{}]]", member(ping)),
        format!("{} trailing", member(ping)),
        format!("{}{}", member(ping), member(ping)),
        "\u{feff}".to_owned(),
        "NaN".to_owned(),
        "[NaN]".to_owned(),
        format!("{}\u{0}", member(ping)),
    ];
    for path in ["/jsonrpc", "/jsonrpc2"] {
        for body in &bodies {
            let answer = rpc_raw(address, path, body.clone()).json();
            let all = answer.as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
            for one in all {
                let code = one["error"]["code"].as_i64().unwrap_or(0);
                let known = [0, -32_700, -32_600, -32_602, -32_099].contains(&code);
                assert!(known, "{path} {body:.80}: {one}");
            }
        }
    }
    // Deeper than most readers go: what comes back, comes back whole.
    let deep = nested("[", "]", 50_000);
    for body in [
        member(&format!(r#"{ping},"params":[{deep}]"#)),
        member(&format!(r#""method":"ping","params":[],"id":{deep}"#)),
    ] {
        let answer = String::from_utf8(rpc_raw(address, "/jsonrpc2", body).body).unwrap();
        let refused = answer.contains("-32700") || answer.contains("-32600");
        assert!(refused || answer.contains(&deep), "{answer:.200}");
    }
    check_alive(&mut server);
}

/// Larger than any call: refused without being taken in, and the client gets to read it.
#[test]
fn enormous_bodies() {
    let mut server = Server::start();
    let body = vec![b'['; 10 << 20];
    for ask in [
        ask("POST", "/jsonrpc").body(body.clone()),
        ask("POST", "/jsonrpc2").chunks(&body, 1 << 20),
        ask("POST", "/jsonrpc").with("Content-Length", (64_u64 << 20).to_string()),
    ] {
        let answer: Answer = ask.send(server.address());
        assert_eq!(answer.status, 200);
        assert!(answer.json()["error"]["code"].as_i64().is_some(), "{answer:?}");
    }
    check_alive(&mut server);
}
