//! `fetchFileHTTP` from other hosts (protocol.md, section 5): queued, transferred, retried, resumed, kept across restarts.
//!
//! What is refused is in `pull_refusals`; files of the own account are in `attributes`.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    harness::{
        Client, Remote, Server, Setup, noise,
        remote::{part, status, until_closed, whole},
        sha256, wait_until,
    },
    upload::count_files,
};

/// A server that may ask a remote, with more lines of `[pull]`.
pub(crate) fn puller(remote: &Remote, more: &str) -> Server {
    Server::start_with(Setup { config: Some(remote.config(more)), ..Setup::default() })
}

/// What the operator sees of all jobs.
pub(crate) fn jobs(server: &Server) -> Vec<Value> {
    server.admin_ok(&["jobs"], "").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for the only job to come to a state.
pub(crate) fn job_in(server: &Server, state: &str) -> Value {
    let mut job = Value::Null;
    wait_until(state, || {
        job = jobs(server).pop().unwrap_or_default();
        assert!(
            job["state"] == state || job["state"] == "queued" || job["state"] == "running",
            "{job}"
        );
        job["state"] == state
    });
    job
}

fn fetch(client: &Client, path: &str, uri: &str) {
    assert_eq!(client.call("fetchFileHTTP", json!([path, uri])), json!(0), "{uri}");
}

/// What a request asks to begin with.
fn range_of(head: &str) -> Option<usize> {
    let line = head.lines().find(|line| line.to_lowercase().starts_with("range:"))?;
    line.split_once("bytes=")?.1.strip_suffix('-')?.parse().ok()
}

/// A gate that a remote waits at.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn wait(&self) {
        wait_until("the gate", || self.0.load(Ordering::SeqCst));
    }
}

#[test]
fn a_file_is_pulled_with_its_directories() {
    let content: &'static [u8] = noise(1, 300_000).leak();
    let remote = Remote::start(move |_, _, stream| {
        whole(stream, "Content-Type: image/x-own\r\n", content);
    });
    let server = puller(&remote, "");
    let anna = server.login();
    let result =
        anna.call("fetchFileHTTP", json!(["/made/too/a", remote.url("/x%20y?key=hidden"), 1]));
    assert_eq!(result, json!(0));
    let job = job_in(&server, "done");
    assert_eq!(anna.content("/made/too/a"), content);
    assert_eq!(
        anna.stat("/made/too/a")["mimetype"],
        "image/x-own",
        "no extension: the remote tells"
    );
    assert_eq!((&job["path"], &job["account"]), (&json!("/made/too/a"), &json!("acme")));
    assert_eq!(
        (&job["attempts"], &job["bytes"], &job["error"]),
        (&json!(1), &json!(300_000), &json!(null))
    );
    assert_eq!(job["from"], remote.url("/x%20y"));
    let head = remote.heads()[0].to_lowercase();
    assert!(head.starts_with("get /x%20y?key=hidden http/1.1\r\n"), "{head}");
    assert!(head.contains("accept-encoding: identity"), "{head}");
    assert!(!server.log().contains("hidden"), "{}", server.log());

    // The name's extension tells before the remote does; small files go the short way.
    fetch(&anna, "/b.txt", &remote.url("/"));
    wait_until("/b.txt", || anna.code("stat", json!(["/b.txt"])) == 0);
    assert_eq!(anna.stat("/b.txt")["mimetype"], "text/plain");
    assert_eq!(server.admin_ok(&["jobs", "list", "--state", "queued"], ""), "");
    assert_eq!(
        server
            .admin_ok(&["jobs", "list", "--state", "done", "--account", "acme"], "")
            .lines()
            .count(),
        2
    );
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let remote = Remote::start(|n, head, stream| match (head.contains("/gone"), n) {
        (true, _) => status(stream, 404, ""),
        (false, 0) => status(stream, 503, "Retry-After: 0\r\n"),
        (false, 1) => {}
        (false, 2) => part(stream, "", 100, b"cut"),
        (false, 3) => status(stream, 429, ""),
        (false, _) => whole(stream, "", b"at last"),
    });
    let server = puller(&remote, "");
    let anna = server.login();
    fetch(&anna, "/a", &remote.url("/a"));
    let job = job_in(&server, "done");
    assert_eq!((anna.content("/a"), &job["attempts"]), (b"at last".to_vec(), &json!(5)));
    fetch(&anna, "/b", &remote.url("/gone"));
    let job = job_in(&server, "failed");
    assert_eq!(job["attempts"], 1);
    assert!(job["error"].as_str().unwrap().contains("404"), "{job}");
    assert_eq!(anna.code("stat", json!(["/b"])), -1);
}

#[test]
fn attempts_end() {
    let remote = Remote::start(|_, _, stream| status(stream, 503, ""));
    let server = puller(&remote, "attempts_max = 3");
    let anna = server.login();
    fetch(&anna, "/a", &remote.url("/a"));
    assert_eq!(job_in(&server, "failed")["attempts"], 3);
    assert_eq!(remote.heads().len(), 3);
}

#[test]
fn a_broken_transfer_goes_on() {
    let content: &'static [u8] = noise(2, 500_000).leak();
    let other: &'static [u8] = noise(3, 400_000).leak();
    let remote = Remote::start(move |_, head, stream| {
        match (head.contains("/changed"), range_of(head)) {
            // The content is another by the time the transfer goes on.
            (true, Some(_)) => whole(stream, "ETag: \"b\"\r\n", other),
            (_, None) => part(stream, "ETag: \"a\"\r\n", content.len(), &content[..200_000]),
            (false, Some(from)) => {
                assert!(head.to_lowercase().contains("if-range: \"a\""), "{head}");
                // Once more it breaks.
                let to = if from < 300_000 { 350_000 } else { content.len() };
                let (length, all) = (content.len() - from, content.len());
                let head = format!(
                    "HTTP/1.1 206 X\r\nContent-Range: bytes {from}-{}/{all}\r\nContent-Length: {length}\r\n\r\n",
                    all - 1
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&content[from..to]).unwrap();
            }
        }
    });
    let server = puller(&remote, "");
    let anna = server.login();
    fetch(&anna, "/a", &remote.url(&format!("/a#sha256={}", sha256(content))));
    assert_eq!(job_in(&server, "done")["attempts"], 1);
    assert_eq!(anna.content("/a"), content);
    let asked: Vec<_> = remote.heads().iter().map(|head| range_of(head)).collect();
    // How much of what was sent before the break is taken is the system's business.
    assert!(asked.len() >= 3 && asked[0].is_none() && asked[1..].is_sorted(), "{asked:?}");
    fetch(&anna, "/b", &remote.url("/changed"));
    job_in(&server, "done");
    assert_eq!(anna.content("/b"), other);
}

#[test]
fn a_wrong_checksum_leaves_the_old_file() {
    let remote = Remote::with(b"new");
    let server = puller(&remote, "");
    let anna = server.login();
    anna.put("/a", b"old");
    fetch(&anna, "/a", &remote.url(&format!("/#sha256={}", sha256(b"other"))));
    let job = job_in(&server, "failed");
    assert_eq!(job["attempts"], 1, "not tried again");
    assert!(job["error"].as_str().unwrap().contains("checksum"), "{job}");
    assert_eq!(anna.content("/a"), b"old");
    fetch(&anna, "/a", &remote.url(&format!("/#sha256={}", sha256(b"new").to_uppercase())));
    wait_until("the new file", || anna.stat("/a")["checksum"] == sha256(b"new"));
    assert_eq!(anna.content("/a"), b"new");
}

#[test]
fn a_cancelled_transfer_leaves_nothing_and_can_be_tried_again() {
    let closed = Gate::default();
    let seen = closed.clone();
    let remote = Remote::start(move |n, _, stream| {
        if n > 0 {
            return whole(stream, "", b"whole");
        }
        part(stream, "ETag: \"a\"\r\n", 1_000_000, &[7; 100_000]);
        until_closed(stream);
        seen.open();
    });
    let server = puller(&remote, "");
    let anna = server.login();
    fetch(&anna, "/a", &remote.url("/a"));
    wait_until("the request", || remote.heads().len() == 1);
    let id = job_in(&server, "running")["id"].as_str().unwrap().to_owned();
    for (verb, id) in [("retry", id.as_str()), ("cancel", "1.999"), ("cancel", "x"), ("retry", "")]
    {
        assert!(!server.admin(&["jobs", verb, id], "").status.success(), "{verb} {id}");
    }
    let said = server.admin_ok(&["jobs", "cancel", &id], "");
    assert_eq!(said.trim(), json!({"id": id, "state": "cancelled"}).to_string());
    closed.wait();
    assert_eq!(jobs(&server)[0]["state"], "cancelled");
    assert_eq!(server.admin_ok(&["jobs", "list"], ""), server.admin_ok(&["jobs"], ""));
    assert!(!server.admin(&["jobs", "cancel", &id], "").status.success(), "it is over");
    wait_until("an empty stage", || count_files(&server.data().join("stage")) == 0);
    assert_eq!(
        (anna.code("stat", json!(["/a"])), count_files(&server.data().join("blobs"))),
        (-1, 0)
    );
    server.admin_ok(&["jobs", "retry", &id], "");
    wait_until("/a", || anna.code("stat", json!(["/a"])) == 0);
    assert_eq!(anna.content("/a"), b"whole");
}

#[test]
fn a_killed_server_goes_on() {
    let content: &'static [u8] = noise(4, 300_000).leak();
    let remote = Remote::start(move |n, _, stream| {
        if n > 0 {
            return whole(stream, "", content);
        }
        part(stream, "ETag: \"a\"\r\n", content.len(), &content[..100_000]);
        until_closed(stream);
    });
    let mut server = puller(&remote, "");
    let anna = server.login();
    fetch(&anna, "/a", &remote.url("/a"));
    wait_until("the first request", || remote.heads().len() == 1);
    job_in(&server, "running");
    server.kill();
    server.start_again();
    let anna = Client { address: server.address(), ..anna };
    assert_eq!(job_in(&server, "done")["attempts"], 2);
    assert_eq!(anna.content("/a"), content);
    assert_eq!(count_files(&server.data().join("stage")), 0);
}

#[test]
fn credentials_go_to_the_remote_and_nowhere_else() {
    let gate = Gate::default();
    let held = gate.clone();
    let remote = Remote::start(move |_, _, stream| {
        held.wait();
        whole(stream, "", b"x");
    });
    let mut server = puller(&remote, "");
    let anna = server.login();
    let uri = remote.url("/a?key=hushhush");
    // The long form: token, path, uri, username, password, auth, callbackid, priority, flags, expose_egress.
    let long = json!(["/made/a", uri, "me", "swordfish", "basic", 0, 0, 1]);
    assert_eq!(anna.call("fetchFileHTTP", long), json!(0));
    let by_name = json!({"path": "/b", "uri": uri, "username": "me", "password": "swordfish"});
    assert_eq!(anna.call("fetchFileHTTP", by_name), json!(0));
    fetch(&anna, "/c", &uri.replace("://", "://me:swordfish@"));
    let list = server.admin_ok(&["jobs", "list"], "");
    gate.open();
    for path in ["/made/a", "/b", "/c"] {
        wait_until(path, || anna.code("stat", json!([path])) == 0);
    }
    for head in remote.heads() {
        assert!(head.to_lowercase().contains("authorization: basic bwu6c3dvcmrmaxno"), "{head}");
    }
    server.stop();
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(server.data().join("catalog")).unwrap() {
        stored.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    assert!(stored.windows(9).any(|w| w == b"127.0.0.1"), "the store was read");
    for (what, text) in
        [("list", list.as_bytes()), ("log", server.log().as_bytes()), ("store", &stored)]
    {
        for secret in ["swordfish", "hushhush", "c3dvcmRmaXNo"] {
            let found = text.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{secret} stands in the {what}");
        }
    }
}

#[test]
fn a_user_who_was_deactivated_pulls_nothing() {
    let gate = Gate::default();
    let held = gate.clone();
    let remote = Remote::start(move |_, _, stream| {
        held.wait();
        whole(stream, "", b"x");
    });
    let server = puller(&remote, "");
    server.add_user("otto", "acme", &[]);
    let (anna, otto) = (server.login(), server.login_as("otto", crate::harness::PASSWORD));
    fetch(&otto, "/a", &remote.url("/a"));
    wait_until("the request", || remote.heads().len() == 1);
    server.admin_ok(&["user", "disable", "otto"], "");
    gate.open();
    assert_eq!(job_in(&server, "failed")["attempts"], 1);
    assert_eq!(anna.code("stat", json!(["/a"])), -1);
    // Nor does one of his that was not begun: nobody is asked.
    let id = jobs(&server)[0]["id"].as_str().unwrap().to_owned();
    server.admin_ok(&["jobs", "retry", &id], "");
    wait_until("the end of it", || jobs(&server)[0]["state"] == "failed");
    assert_eq!(remote.heads().len(), 1);
}

#[test]
fn jobs_that_are_over_are_forgotten() {
    let remote = Remote::with(b"x");
    let mut server = puller(&remote, "keep_seconds = 0");
    let anna = server.login();
    fetch(&anna, "/a", &remote.url("/a"));
    wait_until("/a", || anna.code("stat", json!(["/a"])) == 0);
    // The sweeper walks at each start.
    thread::sleep(Duration::from_millis(5));
    server.stop();
    server.start_again();
    wait_until("an empty list", || jobs(&server).is_empty());
}
