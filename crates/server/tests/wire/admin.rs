//! The operator's commands, against a running server and over the data of a stopped one, and what they do to clients.

use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{Client, PASSWORD, Server, Setup, USER, ask};

fn rows(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refused(output: &Output, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.to_lowercase().contains(word), "{word:?} is not in: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// Everything an operator does in the life of an account, told to a server that runs or not.
fn accounts_and_users(server: &Server) {
    let added = rows(&server.admin_ok(&["account", "add", "zoo"], ""));
    assert_eq!(added[0]["account"], "zoo");
    let accounts = rows(&server.admin_ok(&["account", "list"], ""));
    let names: Vec<_> = accounts.iter().map(|a| a["account"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "zoo"]);
    let user = server.admin_ok(
        &[
            "user",
            "add",
            "zoe",
            "--account",
            "zoo",
            "--uid",
            "4711",
            "--gid",
            "12",
            "--directory",
            "/a/b",
        ],
        "a password with spaces \nanother line\n",
    );
    assert_eq!(rows(&user), [json!({"user": "zoe", "uid": 4711, "gid": 12})]);
    let users = rows(&server.admin_ok(&["user", "list"], ""));
    let zoe = users.iter().find(|u| u["user"] == "zoe").unwrap();
    assert_eq!((&zoe["account"], &zoe["directory"]), (&json!("zoo"), &json!("/a/b")));
    assert_eq!((&zoe["active"], &zoe["read_only"]), (&json!(true), &json!(false)));
    for (args, stdin, word) in [
        (&["account", "add", "zoo"][..], "", "exists"),
        (&["account", "add", "a/b"], "", "name"),
        (&["account", "add", "jsonrpc"], "", "name"),
        (&["user", "add", "zoe", "--account", "zoo"], "x\n", "exists"),
        (&["user", "add", "new", "--account", "nowhere"], "x\n", "no such account"),
        (&["user", "add", "new", "--account", "zoo"], "", "password"),
        (&["user", "add", "new", "--account", "zoo", "--uid", "0"], "x\n", "positive"),
        (&["user", "add", "new", "--account", "zoo", "--directory", "/.."], "x\n", "path"),
        (&["user", "passwd", "nobody"], "x\n", "no such user"),
        (&["user", "passwd", "zoe"], "\n", "password"),
        (&["user", "disable", "nobody"], "", "no such user"),
    ] {
        refused(&server.admin(args, stdin), word);
    }
    assert_eq!(rows(&server.admin_ok(&["user", "list"], "")).len(), 2);
}

#[test]
fn commands_to_a_running_server() {
    let server = Server::start();
    accounts_and_users(&server);
    let zoe = server.login_as("zoe", "a password with spaces ");
    assert_eq!(zoe.call("checkToken", json!([]))["path"], "/zoo/a/b");
    assert_eq!(rows(&server.admin_ok(&["status"], "")).len(), 1);
}

#[test]
fn commands_over_a_stopped_server() {
    let mut server = Server::start();
    server.stop();
    accounts_and_users(&server);
    server.start_again();
    let zoe = server.login_as("zoe", "a password with spaces ");
    let own = zoe.call("checkToken", json!([]));
    assert_eq!(
        (&own["path"], &own["uid"], &own["gid"]),
        (&json!("/zoo/a/b"), &json!(4711), &json!(12))
    );
}

#[test]
fn what_an_account_holds() {
    let server = Server::start();
    let anna = server.login();
    anna.dir("/a/b");
    anna.put("/a/f", &[1; 30_000]);
    anna.put("/a/g", &[2; 5]);
    anna.code("copyFile", json!(["/a/f", "/copy"]));
    let account = &rows(&server.admin_ok(&["account", "list"], ""))[0];
    let held = json!({"files": 3, "directories": 2, "bytes": 60_005});
    for key in ["files", "directories", "bytes"] {
        assert_eq!(account[key], held[key], "{key}: {account}");
    }
    for (method, path) in [("deleteFile", "/a/f"), ("deleteFile", "/copy"), ("deleteDir", "/a/b")] {
        assert_eq!(anna.code(method, json!([path])), 0);
    }
    let account = &rows(&server.admin_ok(&["account", "list"], ""))[0];
    assert_eq!(
        (&account["files"], &account["directories"], &account["bytes"]),
        (&json!(1), &json!(1), &json!(5))
    );
}

#[test]
fn a_new_password_ends_sessions() {
    let server = Server::start();
    server.add_user("ben", "acme", &[]);
    let (anna, ben) = (server.login(), server.login_as("ben", PASSWORD));
    server.admin_ok(&["user", "passwd", USER], "another\n");
    assert_eq!(anna.code("checkToken", json!([])), -10_001);
    assert_eq!(ben.code("checkToken", json!([])), 0, "nobody else's");
    assert_eq!(anna.rpc("login", json!([USER, PASSWORD]))["result"], json!([null, null]));
    let anna = server.login_as(USER, "another");
    assert_eq!(anna.code("checkToken", json!([])), 0);
}

#[test]
fn a_deactivated_user_has_no_usable_token() {
    let server = Server::start();
    server.add_user("ben", "acme", &[]);
    let (anna, ben) = (server.login(), server.login_as("ben", PASSWORD));
    assert_eq!(ben.code("updateSession", json!([0])), 0, "a token that never expires");
    server.admin_ok(&["user", "disable", "ben"], "");
    assert_eq!(ben.code("checkToken", json!([])), -10_001);
    assert_eq!(ben.call("makeDir", json!(["/x"])), json!(-10_001));
    assert_eq!(ben.send(&ben.raw("/", "f").body("x")).told(), (403, -10_001));
    assert_eq!(ben.rpc("login", json!(["ben", PASSWORD]))["result"], json!([null, null]));
    let result = ben.rpc("authenticate", json!(["ben", PASSWORD]))["result"].clone();
    assert_eq!(result["code"], -10_001);
    let by_http = ask("POST", "/account/login").with("X-Agile-Username", "ben");
    let answer = ben.send(&by_http.with("X-Agile-Password", PASSWORD));
    assert_eq!(answer.told(), (400, -10_001));
    assert_eq!(anna.code("checkToken", json!([])), 0);
    server.admin_ok(&["user", "enable", "ben"], "");
    assert_eq!(ben.code("checkToken", json!([])), -10_001, "the old token stays dead");
    assert_eq!(server.login_as("ben", PASSWORD).code("checkToken", json!([])), 0);
}

#[test]
fn a_made_up_password_is_printed_once() {
    let mut server = Server::start_with(Setup { password: None, ..Setup::default() });
    let printed = server.printed();
    let line = "password (shown once): ";
    let made_up =
        printed.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_else(|| panic!("{printed}"));
    assert!(made_up.len() >= 16, "{printed}");
    let anna = Client::login(server.address(), USER, made_up);
    assert_eq!(anna.call("checkToken", json!([]))["path"], "/acme");
    server.kill();
    server.start_again();
    assert!(!server.printed().contains("password"), "{}", server.printed());
    assert!(!server.log().contains(made_up));
    Client::login(server.address(), USER, made_up);
    let secret = made_up.to_owned();
    for entry in ["secret.key", "lock"] {
        let bytes = std::fs::read(server.data().join(entry)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(&secret), "{entry}");
    }
}

#[test]
fn a_data_directory_has_one_server() {
    let mut server = Server::start();
    let second = server.admin(&["serve", "--listen", "127.0.0.1:0"], "");
    refused(&second, "in use");
    assert!(server.lives());
    assert_eq!(server.login().code("checkToken", json!([])), 0);
}

#[test]
fn the_data_directory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    server.login().put("/f", &[1; 50_000]);
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.data()), 0o700);
    assert_eq!(mode(&server.data().join("secret.key")), 0o600);
    assert_eq!(mode(&server.data().join("admin.sock")), 0o600);
}

#[test]
fn commands_need_a_data_directory() {
    let server = Server::start();
    let elsewhere = server.scratch().join("elsewhere");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_headwater"))
        .args(["user", "list", "--data"])
        .arg(&elsewhere)
        .output()
        .unwrap();
    refused(&output, "no data directory");
    assert!(!elsewhere.exists(), "a question makes nothing");
}
