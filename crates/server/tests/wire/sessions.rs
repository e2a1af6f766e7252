//! Sessions by JSON-RPC (protocol.md, section 4).

use serde_json::{Value, json};

use crate::harness::{
    Client, PASSWORD, Server, Setup, USER, code_of, now_secs, rpc_raw, wait_until,
};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A token that looks right and is nobody's.
pub(crate) const STRANGER: &str = "00000000-0000-4000-8000-000000000000";

#[test]
fn login() {
    let server = Server::start();
    let nobody = Client::nobody(server.address());
    let by_name = json!({"username": USER, "password": PASSWORD, "detail": true});
    for (params, detail) in [
        (json!([USER, PASSWORD]), false),
        (json!([USER, PASSWORD, false]), false),
        (json!([USER, PASSWORD, 1]), true),
        (by_name, true),
    ] {
        for answer in [nobody.rpc("login", params.clone()), nobody.rpc_one("login", params)] {
            let result = &answer["result"];
            assert_eq!(result[0].as_str().unwrap().len(), 36, "{answer}");
            assert_eq!(result.as_array().unwrap().len(), 2, "{answer}");
            let expected: &[&str] = if detail { &["gid", "path", "uid"] } else { &["gid", "uid"] };
            assert_eq!(keys(&result[1]), expected, "{answer}");
            assert!(
                result[1]["uid"].as_u64().unwrap() > 0 && result[1]["gid"].as_u64().unwrap() > 0
            );
            if detail {
                assert_eq!(result[1]["path"], "/acme");
            }
        }
    }
    for params in [json!([USER, "wrong"]), json!(["nobody", PASSWORD]), json!(["Anna", PASSWORD])] {
        assert_eq!(nobody.rpc("login", params)["result"], json!([null, null]));
    }
    for (params, code) in [(json!(["", PASSWORD]), -40), (json!([USER, ""]), -41)] {
        assert_eq!(code_of(&nobody.rpc("login", params)["result"]), code);
    }
    let missing = [json!([]), json!([USER]), json!({"password": PASSWORD}), json!({})];
    for params in missing {
        let answer = nobody.rpc("login", params);
        assert_eq!(
            answer["error"],
            json!({"code": -32603, "message": "Internal error"}),
            "{answer}"
        );
    }
}

#[test]
fn authenticate() {
    let server = Server::start();
    let nobody = Client::nobody(server.address());
    let anna = server.login();
    anna.dir("/films/new");
    anna.put("/films/readme.txt", b"a file");

    let result = &nobody.rpc("authenticate", json!([USER, PASSWORD]))["result"];
    assert_eq!(keys(result), ["code", "gid", "path", "token", "uid"]);
    assert_eq!((&result["code"], &result["path"]), (&json!(0), &json!("/acme")));
    let limited =
        json!({"username": USER, "password": PASSWORD, "expiry": "60", "subdir": "films/"});
    let result = &nobody.rpc("authenticate", limited)["result"];
    assert_eq!((&result["code"], &result["path"]), (&json!(0), &json!("/acme/films")));
    let inside = anna.with_token(result["token"].as_str().unwrap());
    assert_eq!(inside.names("/"), (vec!["new".to_owned()], vec!["readme.txt".to_owned()]));
    assert_eq!(inside.code("stat", json!(["/films"])), -1);
    assert_eq!(inside.code("stat", json!(["/../films"])), -1);

    let refused = |params: Value, code: i64, subdir: &str| {
        let result = nobody.rpc("authenticate", params.clone())["result"].clone();
        let expected = json!({"code": code, "token": null, "uid": 0, "gid": 0, "path": subdir});
        assert_eq!(result, expected, "{params}");
    };
    for expiry in [json!(0), json!(86_401), json!(-1), json!("x"), json!(1.5), json!({})] {
        refused(json!([USER, PASSWORD, expiry, "/films"]), -34, "/films");
    }
    for expiry in [json!(1), json!(86_400), json!(60.0), Value::Null] {
        let result = &nobody.rpc("authenticate", json!([USER, PASSWORD, expiry]))["result"];
        assert_eq!(result["code"], 0, "{expiry}");
    }
    refused(json!(["", PASSWORD, 60, "/x"]), -40, "/x");
    refused(json!([USER, "", 60]), -41, "/");
    for subdir in ["/missing", "/films/readme.txt", "/films/..", "/x/..", "a\u{0}"] {
        refused(json!([USER, PASSWORD, 60, subdir]), -47, subdir);
    }
    refused(json!([USER, "wrong", 60, "/films"]), -10_001, "/films");
    refused(json!(["nobody", PASSWORD]), -10_001, "/");
    refused(json!([]), -10_001, "/");
    refused(json!({"username": USER, "subdir": "/films"}), -10_001, "/films");
}

#[test]
fn authenticate_ends_the_tokens_of_login() {
    let server = Server::start();
    server.add_user("ben", "acme", &[]);
    let (ben, first, second) = (server.login_as("ben", PASSWORD), server.login(), server.login());
    assert_eq!(first.code("checkToken", json!([])), 0);
    let authenticated = || {
        let result = first.rpc("authenticate", json!([USER, PASSWORD]))["result"].clone();
        first.with_token(result["token"].as_str().unwrap())
    };
    let failed = first.rpc("authenticate", json!([USER, "wrong"]));
    assert_eq!(failed["result"]["code"], -10_001);
    assert_eq!(first.code("checkToken", json!([])), 0, "a failed authenticate ends nothing");
    let (third, fourth) = (authenticated(), authenticated());
    for (client, code) in
        [(&first, -10_001), (&second, -10_001), (&third, 0), (&fourth, 0), (&ben, 0)]
    {
        assert_eq!(client.code("checkToken", json!([])), code);
    }
}

#[test]
fn logout_and_unusable_tokens() {
    let server = Server::start();
    let anna = server.login();
    assert_eq!(anna.call("logout", json!([])), json!(0));
    assert_eq!(anna.call("logout", json!([])), json!(-1));
    assert_eq!(anna.with_token(STRANGER).call("logout", json!([])), json!(-1));
    for token in [anna.token.as_str(), STRANGER, "", "x", &"y".repeat(100_000)] {
        let client = anna.with_token(token);
        let failed_stat = json!({"uid": 0, "code": -10_001, "gid": 0, "checksum": ""});
        assert_eq!(client.call("stat", json!(["/"])), failed_stat);
        for (operation, params) in [
            ("makeDir", json!(["/a"])),
            ("makeDir2", json!(["/a"])),
            ("deleteDir", json!(["/a"])),
            ("deleteFile", json!(["/a"])),
            ("deleteObject", json!(["/a"])),
            ("rename", json!(["/a", "/b"])),
            ("renameFile", json!(["/a", "/b"])),
            ("copyFile", json!(["/a", "/b"])),
            ("setMTime", json!(["/a", 1])),
            ("setContentType", json!(["/a", "text/plain"])),
            ("fetchFileHTTP", json!(["/a", "http://acme/b"])),
            ("updateSession", json!([])),
            ("initKeyPair", json!([])),
        ] {
            assert_eq!(client.call(operation, params), json!(-10_001), "{operation}");
        }
        for (query, params) in [
            ("checkToken", json!([])),
            ("noop", json!([])),
            ("listDir", json!(["/"])),
            ("listFile", json!(["/"])),
            ("listPath", json!(["/"])),
        ] {
            assert_eq!(client.call(query, params), json!({"code": -10_001}), "{query}");
        }
        let result = client.call("mediaVaultUrl", json!(["/a"]));
        assert_eq!(result["code"], -10_001);
        assert!(result["message"].is_string(), "{result}");
    }
}

#[test]
fn check_token_noop_ping() {
    let server = Server::start();
    let anna = server.login();
    let result = anna.call("checkToken", json!([]));
    assert_eq!(keys(&result), ["age", "code", "gid", "path", "uid", "username"]);
    assert_eq!((&result["username"], &result["path"]), (&json!(USER), &json!("/acme")));
    let age = result["age"].as_f64().unwrap();
    assert!((0.0..30.0).contains(&age), "{age}");
    wait_until("a token grows older", || {
        anna.call("checkToken", json!([]))["age"].as_f64().unwrap() > age
    });

    assert_eq!(anna.call("noop", json!([])), json!({"code": 0, "operation": "pong"}));
    let nobody = Client::nobody(anna.address);
    assert_eq!(nobody.rpc("ping", json!([]))["result"], json!({"code": 0, "operation": "pong"}));
    let anything =
        [json!("x"), json!(null), json!({"a": [1, 2.5, "\u{1f600}"]}), json!([]), json!(-7)];
    for operation in anything {
        let expected = json!({"code": 0, "operation": operation});
        assert_eq!(anna.call("noop", json!([operation])), expected);
        assert_eq!(nobody.rpc("ping", json!({"operation": operation}))["result"], expected);
    }
    let exact = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[12345678901234567890123.50]}"#;
    let body = rpc_raw(anna.address, "/jsonrpc2", exact).body;
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("12345678901234567890123.50"), "{body}");
}

#[test]
fn update_session() {
    let server = Server::start();
    let update = |params: Value| {
        let client = server.login();
        let code = client.code("updateSession", params);
        (client, code)
    };
    for expire in [json!(-1), json!("x"), json!(1.5), json!("-1"), json!({}), json!("1e3")] {
        let (client, code) = update(json!([expire]));
        assert_eq!(code, -34, "{expire}");
        assert_eq!(client.code("updateSession", json!([60])), 0, "a refused call does not count");
    }
    for params in [json!([]), json!([0]), json!([null]), json!(["3600"]), json!({"expire": 86_400})]
    {
        let (client, code) = update(params.clone());
        assert_eq!(code, 0, "{params}");
        assert_eq!(client.call("updateSession", params), json!(-1), "once a session");
        assert_eq!(client.code("checkToken", json!([])), 0);
    }
    let (client, code) = update(json!([1]));
    assert_eq!(code, 0);
    wait_until("the end of the session", || client.code("checkToken", json!([])) == -10_001);
}

#[test]
fn a_session_ends_by_itself() {
    let server = Server::start();
    let anna = server.login();
    let before = now_secs();
    let result = anna.rpc("authenticate", json!([USER, PASSWORD, 2]))["result"].clone();
    let short = anna.with_token(result["token"].as_str().unwrap());
    assert_eq!(short.code("makeDir", json!(["/while-it-lasts"])), 0);
    wait_until("the end of the session", || short.code("checkToken", json!([])) == -10_001);
    assert!(now_secs() > before, "it ended too early");
    let answer = short.send(&short.raw("/", "late").body("x"));
    assert_eq!(answer.told(), (403, -10_001));
}

#[test]
fn key_pairs() {
    let server = Server::start();
    server.add_user("rita", "acme", &["--read-only"]);
    let anna = server.login();
    let (first, second) =
        (anna.call("initKeyPair", json!([])), anna.call("initKeyPair", json!([])));
    for pair in [&first, &second] {
        assert_eq!(keys(pair), ["access_key", "code", "secret_key"]);
        assert_eq!(pair["code"], 0);
        for key in ["access_key", "secret_key"] {
            let hex = pair[key].as_str().unwrap();
            assert!(hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{pair}");
        }
    }
    assert_ne!(first["access_key"], second["access_key"]);
    assert_ne!(first["secret_key"], second["secret_key"]);
    assert_eq!(server.login_as("rita", PASSWORD).call("initKeyPair", json!([])), json!(-10_004));
}

/// Wrong passwords for one user delay that user and nobody else.
#[test]
fn wrong_passwords_slow_down_one_user() {
    let config = "[login]\nfree_per_user = 1\nfirst_delay_ms = 3000\n".to_owned();
    let server = Server::start_with(Setup { config: Some(config), ..Setup::default() });
    server.add_user("ben", "acme", &[]);
    let address = server.address();
    for _ in 0..2 {
        let wrong = Client::nobody(address).rpc("login", json!([USER, "wrong"]));
        assert_eq!(wrong["result"], json!([null, null]));
    }
    let slowed = std::thread::spawn(move || {
        Client::login(address, USER, PASSWORD);
        std::time::Instant::now()
    });
    server.login_as("ben", PASSWORD);
    let other = std::time::Instant::now();
    assert!(slowed.join().unwrap() > other, "the slowed user came first");
}

#[test]
fn secrets_are_never_logged() {
    let server = Server::start_with(Setup { log: "trace", ..Setup::default() });
    let anna = server.login();
    anna.put("/a.bin", &[7; 100_000]);
    let pair = anna.call("initKeyPair", json!([]));
    let wrong = anna.rpc("login", json!([USER, "nearly right"]));
    assert_eq!(wrong["result"], json!([null, null]));
    anna.get(&format!("/acme/a.bin?token={}&h=0123456789abcdef-signed", anna.token));
    server.admin_ok(&["user", "passwd", USER], "another secret word\n");
    let renewed = server.login_as(USER, "another secret word");
    renewed.send(
        &renewed
            .post("/account/login")
            .with("X-Agile-Username", USER)
            .with("X-Agile-Password", "by header"),
    );
    renewed.code("logout", json!([]));
    let log = server.log();
    assert!(log.lines().count() > 5, "{log}");
    let secrets = [
        PASSWORD,
        "nearly right",
        "another secret word",
        "by header",
        &anna.token,
        &renewed.token,
        pair["secret_key"].as_str().unwrap(),
        "0123456789abcdef-signed",
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "the log holds {secret:?}");
    }
}
