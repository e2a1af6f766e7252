//! What is not pulled (protocol.md, section 5; promises.md, "the network inside"): hosts and addresses that are not
//! allowed, content without an end, destinations that cannot be, more than the queue may hold.

use std::io::Write;

use serde_json::{Value, json};

use crate::{
    harness::{
        Client, PASSWORD, Remote, Server, Setup,
        remote::{status, whole},
        wait_until,
    },
    pull::{Gate, job_in, jobs, puller},
    upload::count_files,
};

fn fetch(client: &Client, uri: &str) -> Value {
    client.call("fetchFileHTTP", json!(["/x", uri]))
}

fn with_config(config: &str) -> Server {
    Server::start_with(Setup { config: Some(config.to_owned()), ..Setup::default() })
}

/// Addresses of the machine itself and of the network around it, in all spellings.
fn inside(port: u16) -> Vec<String> {
    let hosts = "127.0.0.1 127.1 2130706433 0x7f.1 0177.0.0.1 0 0.0.0.0 [::1] [::] [::ffff:7f00:1] \
                 [::ffff:127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] 169.254.169.254 10.0.0.1 172.16.0.1 \
                 192.168.1.1 100.64.0.1 224.0.0.1 255.255.255.255 [fe80::1] [fc00::1] [ff02::1]";
    hosts.split(' ').map(|host| format!("http://{host}:{port}/")).collect()
}

#[test]
fn nothing_is_pulled_unless_configured() {
    let remote = Remote::with(b"x");
    let server = Server::start();
    let anna = server.login();
    for uri in inside(remote.port()).iter().chain([&"https://example.com/".to_owned()]) {
        assert_eq!(fetch(&anna, uri), json!(-14), "{uri}");
    }
    assert_eq!((jobs(&server).len(), remote.heads().len()), (0, 0));
}

#[test]
fn no_rule_but_the_hosts_own_leads_inside() {
    let remote = Remote::with(b"x");
    let port = remote.port();
    let server = with_config(
        "[pull]\nallow = [{ host = \"*\" }, { host = \"127.0.0.1\", port = 1, private = true }]",
    );
    let anna = server.login();
    for uri in inside(port) {
        assert_eq!(fetch(&anna, &uri), json!(-14), "{uri}");
    }
    for uri in [
        "file:///etc/passwd",
        "file://127.0.0.1/etc/passwd",
        "ftp://host/x",
        "gopher://host/",
        "//host/x",
        "http://acme/%2e%2e/x",
        "http://ACME:81/x",
    ] {
        assert_eq!(fetch(&anna, uri), json!(-14), "{uri}");
    }
    assert_eq!(fetch(&anna, "http://host.example/#sha256=abc"), json!(-14));
    let digest = json!({"path": "/x", "uri": "http://host.example/", "username": "u", "password": "p", "auth": "digest"});
    assert_eq!(anna.call("fetchFileHTTP", digest), json!(-14));
    assert_eq!(jobs(&server).len(), 0);
    // A name passes until it is known what it stands for.
    assert_eq!(fetch(&anna, &format!("http://localhost:{port}/")), json!(0));
    let job = job_in(&server, "failed");
    assert_eq!(job["attempts"], 1);
    assert!(job["error"].as_str().unwrap().contains("forbidden"), "{job}");
    assert_eq!(remote.heads().len(), 0);
}

#[test]
fn redirects_do_not_lead_inside() {
    let other = Remote::with(b"secret");
    let to = other.port();
    let remote = Remote::start(move |_, head, stream| {
        let target = head.split_once("?to=").unwrap().1.split(' ').next().unwrap();
        status(stream, 302, &format!("Location: {target}\r\n"));
    });
    let server = puller(&remote, "");
    let anna = server.login();
    let mut targets = inside(to);
    targets.push(format!("http://localhost:{to}/"));
    targets.push("file:///etc/passwd".to_owned());
    for target in &targets {
        assert_eq!(fetch(&anna, &remote.url(&format!("/?to={target}"))), json!(0));
    }
    wait_until("all to fail", || jobs(&server).iter().all(|job| job["state"] == "failed"));
    let over = jobs(&server);
    assert_eq!(over.len(), targets.len());
    assert!(over.iter().all(|job| job["attempts"] == 1), "{over:?}");
    assert_eq!((remote.heads().len(), other.heads().len()), (targets.len(), 0));
    assert_eq!(anna.code("stat", json!(["/x"])), -1);
}

#[test]
fn content_is_bounded() {
    let remote = Remote::start(|n, _, stream| {
        if n == 0 {
            let _head = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while stream.write_all(&[7; 4096]).is_ok() {}
        } else {
            whole(stream, "", &[7; 100_001]);
        }
    });
    let server = puller(&remote, "file_bytes_max = 100000");
    let anna = server.login();
    for _ in 0..2 {
        assert_eq!(fetch(&anna, &remote.url("/")), json!(0));
        let job = job_in(&server, "failed");
        assert_eq!(job["attempts"], 1, "{job}");
        assert!(job["error"].as_str().unwrap().contains("longer"), "{job}");
    }
    assert_eq!(anna.code("stat", json!(["/x"])), -1);
    wait_until("an empty stage", || count_files(&server.data().join("stage")) == 0);
    assert_eq!(count_files(&server.data().join("blobs")), 0);
}

#[test]
fn a_remote_that_falls_silent_is_given_up() {
    let remote = Remote::start(|n, _, stream| {
        if n == 0 {
            let _head = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        }
        crate::harness::remote::until_closed(stream);
    });
    let server = puller(&remote, "attempts_max = 2\nidle_seconds = 1\nanswer_seconds = 1");
    let anna = server.login();
    assert_eq!(fetch(&anna, &remote.url("/")), json!(0));
    assert_eq!(job_in(&server, "failed")["attempts"], 2);
}

#[test]
fn destinations_that_cannot_be_are_refused_at_once() {
    let remote = Remote::with(b"x");
    let server = puller(&remote, "");
    server.add_user("rita", "acme", &["--read-only"]);
    let (anna, rita) = (server.login(), server.login_as("rita", PASSWORD));
    anna.dir("/dir");
    anna.put("/file", b"x");
    let uri = remote.url("/");
    for path in ["/missing/x", "/dir", "/", "/file/x", "/../x"] {
        assert_eq!(anna.call("fetchFileHTTP", json!([path, uri])), json!(-4), "{path}");
    }
    assert_eq!(anna.call("fetchFileHTTP", json!(["/file/x", uri, 1])), json!(-4));
    assert_eq!(anna.call("fetchFileHTTP", json!(["/x", uri, 2])), json!(-13));
    assert_eq!(rita.call("fetchFileHTTP", json!(["/x", uri])), json!(-4));
    assert_eq!((jobs(&server).len(), remote.heads().len()), (0, 0));
}

#[test]
fn an_account_queues_no_more_than_it_may() {
    let gate = Gate::default();
    let held = gate.clone();
    let remote = Remote::start(move |_, _, stream| {
        held.wait();
        whole(stream, "", b"x");
    });
    let server = puller(&remote, "queued_max = 3\nworkers = 1");
    server.admin_ok(&["account", "add", "zoo"], "");
    server.add_user("zoe", "zoo", &[]);
    let (anna, zoe) = (server.login(), server.login_as("zoe", PASSWORD));
    for code in [0, 0, 0, -56] {
        assert_eq!(fetch(&anna, &remote.url("/")), json!(code));
    }
    assert_eq!(fetch(&zoe, &remote.url("/")), json!(0), "each account has its own queue");
    wait_until("the only worker", || remote.heads().len() == 1);
    let states: Vec<_> = jobs(&server).iter().map(|job| job["state"].clone()).collect();
    assert_eq!(states.iter().filter(|state| **state == "running").count(), 1, "{states:?}");
    // One that is given up makes room.
    let queued = server.admin_ok(&["jobs", "list", "--state", "queued", "--account", "acme"], "");
    let queued: Value = serde_json::from_str(queued.lines().next().unwrap()).unwrap();
    server.admin_ok(&["jobs", "cancel", queued["id"].as_str().unwrap()], "");
    assert_eq!(
        (fetch(&anna, &remote.url("/")), fetch(&anna, &remote.url("/"))),
        (json!(0), json!(-56))
    );
    gate.open();
    wait_until("all but the cancelled one", || {
        jobs(&server).iter().filter(|job| job["state"] == "done").count() == 4
    });
    assert_eq!(fetch(&anna, &remote.url("/")), json!(0));
}

#[test]
fn a_rule_that_cannot_be_meant_stops_the_start() {
    let server = Server::start();
    let file = server.scratch().join("bad.toml");
    for rule in ["{ host = \"*\", private = true }", "{ host = \"a b\" }", "{ hots = \"a\" }"] {
        std::fs::write(&file, format!("[pull]\nallow = [{rule}]\n")).unwrap();
        let output = server.admin(&["serve", "--config", file.to_str().unwrap()], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.contains("in use"), "{rule}: {said}");
    }
}
