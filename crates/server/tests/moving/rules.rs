//! What is refused, what operators are told, and the ways back.

use std::fs;

use serde_json::Value;

use crate::{
    harness::{Client, Server, noise, wait_until},
    house::Place,
};

fn refused(output: &std::process::Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(why), "{output:?}");
}

/// The same session, wherever the store is.
fn at(client: &Client, server: &Server) -> Client {
    Client { address: server.address(), ..client.clone() }
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.admin_ok(&["status"], "")).unwrap()
}

#[test]
fn the_ways_back() {
    let (old, new, other) =
        (Place::new(false, false), Place::new(false, false), Place::new(false, false));
    let mut old = old.serve(None);
    let anna = old.server.login();
    anna.put("/a", &noise(1, 50_000));
    assert_eq!(status(&old.server)["move"], Value::Null);
    refused(&old.server.admin(&["migrate", "--abandon"], ""), "no move is on");
    refused(&old.server.admin(&["migrate", "--reopen"], ""), "is open");
    refused(&old.begin(&new, &["--from", "/nowhere"]).wait_with_output().unwrap(), "nowhere");

    old.move_to(&new, &[]);
    let said = status(&old.server)["move"].clone();
    assert_eq!((&said["stage"], &said["takes_changes"]), (&"gone".into(), &false.into()), "{said}");
    assert!(said["place"].as_str().unwrap().contains(new.data().to_str().unwrap()), "{said}");
    // It stays so over a start, and is not moved to a second place.
    old.server.stop();
    old.server.start_again();
    assert_eq!(at(&anna, &old.server).send(&anna.raw("/", "b").body("x")).told(), (503, -26));
    assert_eq!(at(&anna, &old.server).content("/a"), noise(1, 50_000));
    refused(&old.begin(&other, &[]).wait_with_output().unwrap(), "elsewhere");
    // Back, as long as nobody uses the new one.
    old.server.admin_ok(&["migrate", "--reopen"], "");
    assert_eq!(status(&old.server)["move"], Value::Null);
    at(&anna, &old.server).put("/b", b"x");
    // A store is no place to move to.
    refused(&old.begin(&new, &[]).wait_with_output().unwrap(), "a store already");
    old.move_to(&other, &[]);
    let other = other.serve(None);
    assert_eq!(at(&anna, &other.server).content("/b"), b"x");
    // A store that came from elsewhere may go on.
    let last = Place::new(false, false);
    other.move_to(&last, &[]);
    let last = last.serve(None);
    assert_eq!(at(&anna, &last.server).content("/a"), noise(1, 50_000));
    last.fsck();
}

#[test]
fn damage_is_told_and_a_move_is_given_up() {
    let (old, new) = (Place::new(false, false), Place::new(false, false));
    let mut old = old.serve(None);
    let anna = old.server.login();
    anna.put("/bad", &noise(2, 100_000));
    old.server.stop();
    let content = noise(2, 100_000);
    let blob = blobs_below(&old.server.data().join("blobs"));
    let blob = blob.iter().find(|path| fs::read(path).unwrap().starts_with(&content[..1000]));
    let mut bytes = fs::read(blob.unwrap()).unwrap();
    bytes[50_000] ^= 1;
    fs::write(blob.unwrap(), bytes).unwrap();
    old.server.start_again();
    refused(&old.begin(&new, &[]).wait_with_output().unwrap(), "damaged");
    // The store is where it was, and says that a move is on.
    let anna = at(&anna, &old.server);
    anna.put("/good", b"x");
    assert_eq!(status(&old.server)["move"]["stage"], "leaving");
    // What is not whole is not served.
    wait_until("the new place to be let go of, and refused", || {
        let output = Server::admin_at_output(&new.data(), &["account", "list"]);
        String::from_utf8_lossy(&output.stderr).contains("did not end")
    });
    // Without the file it goes on; or it is given up.
    assert_eq!(anna.code("deleteFile", serde_json::json!(["/bad"])), 0);
    old.server.admin_ok(&["migrate", "--abandon"], "");
    assert_eq!(status(&old.server)["move"], Value::Null);
    old.move_at_last(&new, &[]);
    let new = new.serve(None);
    assert_eq!(at(&anna, &new.server).content("/good"), b"x");
    new.fsck();
}

fn blobs_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(blobs_below(&path)) } else { found.push(path) }
    }
    found
}
