//! What an account may hold (`account set --quota-bytes`, `--quota-files`): 503 and -22, before the body wherever that can
//! be known.

use serde_json::json;

use crate::{
    harness::{Answer, Ask, Client, Connection, Form, Server, Setup, noise, wait_until},
    multipart::{FAILED, SUCCESS},
    upload::count_files,
};

const QUOTA: usize = 100_000;

/// A server whose account may hold [`QUOTA`] bytes, and its user.
fn server() -> (Server, Client) {
    let server = Server::start();
    set(&server, "--quota-bytes", QUOTA);
    let anna = server.login();
    (server, anna)
}

fn set(server: &Server, quota: &str, max: usize) {
    server.admin_ok(&["account", "set", "acme", quota, &max.to_string()], "");
}

fn refused(answer: &Answer) {
    assert_eq!(answer.told(), (503, -22), "{answer:?}");
    assert_eq!(answer.reason, "account is over its quota");
    assert!(answer.header("Retry-After").is_none(), "waiting does not help");
}

/// What comes first when the client waits to be asked for so many bytes.
fn asked_for(client: &Client, ask: &Ask, len: usize) -> Answer {
    let ask = ask.clone().with("Content-Length", len.to_string());
    Connection::open(client.address).expect(&ask)
}

fn chunked(client: &Client, ask: &Ask) -> Answer {
    Connection::open(client.address).expect(&ask.clone().with("Transfer-Encoding", "chunked"))
}

#[test]
fn bytes_are_refused_before_they_come() {
    let (_server, anna) = server();
    anna.put("/a", &noise(1, 60_000));
    refused(&asked_for(&anna, &anna.raw("/", "b"), 40_001));
    assert_eq!(asked_for(&anna, &anna.raw("/", "b"), 40_000).status, 100);
    anna.put("/b", &noise(2, 40_000));
    // Full to the last byte.
    refused(&asked_for(&anna, &anna.raw("/", "c"), 1));
    refused(&chunked(&anna, &anna.raw("/", "c")));
    anna.put("/empty", b"");
    assert_eq!(anna.send(&anna.raw("/", "c").body("x")).told(), (503, -22), "and without Expect");
    anna.dir("/directories/count/nothing");

    // Replacing needs room for the difference.
    anna.put("/a", &noise(3, 60_000));
    refused(&asked_for(&anna, &anna.raw("/", "a"), 60_001));
    anna.put("/a", &noise(4, 50_000));
    refused(&asked_for(&anna, &anna.raw("/", "c"), 10_001));
    anna.put("/c", &noise(5, 10_000));
    assert_eq!(anna.content("/a"), noise(4, 50_000), "what was refused has changed nothing");

    // Deleting makes room at once.
    assert_eq!(anna.code("deleteFile", json!(["/b"])), 0);
    anna.put("/d", &noise(6, 40_000));
    refused(&asked_for(&anna, &anna.raw("/", "e"), 1));
}

#[test]
fn a_body_without_a_length_is_cut_when_it_has_taken_what_is_left() {
    let (server, anna) = server();
    anna.put("/a", &noise(1, 60_000));
    let mut connection = Connection::open(server.address());
    let ask = anna.raw("/", "b").with("Transfer-Encoding", "chunked");
    assert_eq!(connection.expect(&ask).status, 100);
    connection.send(format!("{:x}\r\n", 1_000_000).as_bytes()).unwrap();
    connection.send(&noise(2, 50_000)).unwrap();
    // The rest of it was never sent.
    refused(&connection.answer("POST").unwrap());
    wait_until("nothing staged", || count_files(&server.data().join("stage")) == 0);
    assert_eq!(anna.names("/").1, ["a"]);

    let body = noise(3, 40_000);
    let fits = anna.send(&anna.raw("/", "b").chunks(&body, 7_000));
    assert_eq!(fits.told(), (200, 0), "{fits:?}");
    let body = noise(4, 60_000);
    let replaces = anna.send(&anna.raw("/", "a").chunks(&body, 7_000));
    assert_eq!(replaces.told(), (200, 0), "{replaces:?}");
}

#[test]
fn files_are_counted_too() {
    let server = Server::start();
    set(&server, "--quota-files", 2);
    let anna = server.login();
    anna.put("/d/a", b"one");
    anna.put("/b", b"two");
    refused(&asked_for(&anna, &anna.raw("/", "c"), 3));
    refused(&asked_for(&anna, &anna.raw("/", "c"), 0));
    assert_eq!(anna.code("copyFile", json!(["/b", "/c"])), -22);
    assert_eq!(anna.call("createMultipart", json!(["/c"])), json!({"code": -22}));
    let create = anna.post("/multipart/create").with("X-Agile-Basename", "c").body("");
    refused(&anna.send(&create));
    refused(&anna.send(&anna.form(&Form::new().file("c", "three"))));

    anna.put("/b", b"replaced");
    anna.dir("/directories/count/nothing");
    assert_eq!(anna.code("renameFile", json!(["/b", "/c"])), 0);
    assert_eq!(anna.code("copyFile", json!(["/c", "/d/a"])), 0, "replaced");
    assert_eq!(anna.code("deleteFile", json!(["/c"])), 0);
    anna.put("/e", b"room again");
    set(&server, "--quota-files", 0);
    anna.put("/f", b"no limit");
}

#[test]
fn copies() {
    let (_server, anna) = server();
    anna.put("/a", &noise(1, 60_000));
    anna.put("/small", &noise(2, 20_000));
    assert_eq!(anna.code("copyFile", json!(["/a", "/b"])), -22);
    assert_eq!(anna.code("stat", json!(["/b"])), -1);
    assert_eq!(anna.code("copyFile", json!(["/small", "/b"])), 0);
    assert_eq!(anna.code("copyFile", json!(["/small", "/c"])), -22, "each name counts");
    assert_eq!(anna.code("copyFile", json!(["/small", "/b"])), 0, "replaced by as much");
    assert_eq!(anna.code("copyFile", json!(["/a", "/b"])), -22, "replaced by more");
    assert_eq!(anna.content("/b"), noise(2, 20_000));
    assert_eq!(anna.code("copyFile", json!(["/small", "/a"])), 0, "replaced by less");
    assert_eq!(anna.code("copyFile", json!(["/small", "/c"])), 0);
}

#[test]
fn forms() {
    let config = "[form]\nparts_max = 5\npart_header_bytes_max = 1024\nfields_bytes_max = 1024\n\
                  outside_bytes_max = 64";
    let server = Server::start_with(Setup { config: Some(config.to_owned()), ..Setup::default() });
    set(&server, "--quota-bytes", QUOTA);
    let anna = server.login();
    anna.put("/a", &noise(1, 60_000));
    let named =
        |name: &str| anna.form_head().with("X-Agile-Directory", "/").with("X-Agile-Basename", name);
    refused(&asked_for(&anna, &named("b"), 80_000));
    assert_eq!(asked_for(&anna, &named("b"), 40_500).status, 100);
    assert_eq!(asked_for(&anna, &named("a"), 80_000).status, 100, "replaces /a");

    let form = |name: &str, len: usize| Form::new().file(name, noise(2, len));
    refused(&anna.send(&anna.form(&form("b", 40_001))));
    refused(&anna.send(&anna.form(&form("a", 100_001))));
    refused(&anna.send(&anna.form(&form("c", 50_000).field("basename", "b"))));
    assert_eq!(anna.names("/").1, ["a"]);
    assert_eq!(anna.send(&anna.form(&form("a", 100_000))).told(), (200, 0));
    refused(&asked_for(&anna, &named("b"), 100));
    assert_eq!(anna.content("/a"), noise(2, 100_000));
}

#[test]
fn multipart_uploads() {
    let (_server, anna) = server();
    anna.put("/a", &noise(1, 20_000));
    let (first, second) = (anna.begin("/first"), anna.begin("/second"));
    for mpid in [&first, &second] {
        refused(&asked_for(&anna, &anna.piece(mpid, 1), 80_001));
        anna.send_piece(mpid, 1, &noise(2, 30_000));
        refused(&asked_for(&anna, &anna.piece(mpid, 2), 50_001));
        let chunks = anna.piece(mpid, 2).chunks(&noise(3, 60_000), 20_000);
        refused(&anna.send(&chunks));
        anna.send_piece(mpid, 2, &noise(3, 30_000));
    }
    refused(&asked_for(&anna, &anna.piece(&first, 2), 50_001));
    assert_eq!(asked_for(&anna, &anna.piece(&first, 2), 50_000).status, 100, "sent again");

    // Either has room by itself; only one of them has in the end.
    anna.finish(&first, 2);
    refused(&asked_for(&anna, &anna.piece(&second, 3), 1));
    let completed = anna.call("completeMultipart", json!([second]));
    assert_eq!(completed, json!({"code": 0, "numpieces": 2}));
    anna.wait_for(&second, FAILED);
    assert_eq!(anna.call("getMultipartStatus", json!([second]))["error"], -22);
    assert_eq!(anna.names("/").1, ["a", "first"]);
    assert_eq!(anna.code("deleteFile", json!(["/a"])), 0);
    assert_eq!(anna.call("restartMultipart", json!([second])), 0);
    anna.wait_for(&second, FAILED);
    assert_eq!(anna.code("deleteFile", json!(["/first"])), 0);
    assert_eq!(anna.call("restartMultipart", json!([second])), 0);
    anna.wait_for(&second, SUCCESS);
    assert_eq!(anna.content("/second"), [noise(2, 30_000), noise(3, 30_000)].concat());

    anna.put("/b", &noise(4, 40_000));
    assert_eq!(anna.call("createMultipart", json!(["/new"])), json!({"code": -22}), "full");
    let again = anna.begin("/b");
    anna.send_piece(&again, 1, &noise(5, 40_000));
    anna.finish(&again, 1);
    assert_eq!(anna.content("/b"), noise(5, 40_000), "replaced");
}

#[test]
fn a_quota_below_what_is_held() {
    let (server, anna) = server();
    anna.put("/a", &noise(1, 60_000));
    set(&server, "--quota-bytes", 1_000);
    refused(&asked_for(&anna, &anna.raw("/", "b"), 1));
    anna.put("/a", &noise(2, 60_000));
    anna.put("/a", &noise(3, 50_000));
    refused(&asked_for(&anna, &anna.raw("/", "a"), 50_001));
    assert_eq!(anna.code("renameFile", json!(["/a", "/c"])), 0);
    assert_eq!(anna.content("/c"), noise(3, 50_000));
    set(&server, "--quota-bytes", 0);
    anna.put("/b", &noise(4, 200_000));
}
