//! What was answered is there after the process died, and what was not leaves nothing behind.

use std::time::Duration;

use serde_json::json;

use crate::{
    harness::{Client, Connection, PATIENCE, Server, USER, noise, sha256, wait_until},
    upload::count_files,
};

fn again(client: &Client, server: &Server) -> Client {
    Client { address: server.address(), ..client.clone() }
}

#[test]
fn answered_is_there_after_a_kill() {
    let mut server = Server::start();
    let mut anna = server.login();
    for round in 0..4_u64 {
        let dir = format!("/round{round}");
        anna.dir(&dir);
        let mut expected = Vec::new();
        for (i, size) in [0, 10, 8_192, 8_193, 400_000].into_iter().enumerate() {
            let (path, body) = (format!("{dir}/f{i}"), noise(round * 10 + i as u64, size));
            anna.put(&path, &body);
            expected.push((path, sha256(&body)));
        }
        let overwritten = noise(round + 100, 70_000);
        anna.put(&expected[1].0, &overwritten);
        expected[1].1 = sha256(&overwritten);
        assert_eq!(anna.code("copyFile", json!([expected[4].0, format!("{dir}/copy")])), 0);
        expected.push((format!("{dir}/copy"), expected[4].1.clone()));
        assert_eq!(anna.code("rename", json!([expected[0].0, format!("{dir}/renamed")])), 0);
        expected[0].0 = format!("{dir}/renamed");
        assert_eq!(anna.code("setContentType", json!([expected[2].0, "image/x-own"])), 0);
        assert_eq!(anna.code("setMTime", json!([expected[3].0, 4242])), 0);
        assert_eq!(anna.code("makeDir", json!([format!("{dir}/made")])), 0);
        // The last answer before the death.
        let last = noise(round + 200, 90_000);
        anna.put(&format!("{dir}/last"), &last);
        server.kill();
        expected.push((format!("{dir}/last"), sha256(&last)));

        server.start_again();
        anna = again(&anna, &server);
        for (path, checksum) in &expected {
            assert_eq!(sha256(&anna.content(path)), *checksum, "{path}");
        }
        assert_eq!(anna.stat(&expected[2].0)["mimetype"], "image/x-own");
        assert_eq!(anna.stat(&expected[3].0)["mtime"], 4242);
        let (dirs, files) = anna.names(&dir);
        assert_eq!((dirs, files.len()), (vec!["made".to_owned()], expected.len()));
        assert_eq!(anna.code("deleteFile", json!([format!("{dir}/last")])), 0);
        server.kill();
        server.start_again();
        anna = again(&anna, &server);
        assert_eq!(anna.code("stat", json!([format!("{dir}/last")])), -1, "a deletion lasts, too");
    }
}

/// Tokens are as durable as files: issued, prolonged, ended.
#[test]
fn sessions_survive() {
    let mut server = Server::start();
    let (anna, ended) = (server.login(), server.login());
    assert_eq!(ended.code("logout", json!([])), 0);
    let pair = anna.call("initKeyPair", json!([]));
    assert_eq!(pair["code"], 0);
    assert_eq!(anna.code("updateSession", json!([0])), 0);
    server.kill();
    server.start_again();
    let anna = again(&anna, &server);
    assert_eq!(anna.call("checkToken", json!([]))["username"], USER);
    assert_eq!(anna.call("updateSession", json!([0])), json!(-1), "once a session");
    assert_eq!(again(&ended, &server).code("checkToken", json!([])), -10_001);
    server.stop();
    server.start_again();
    assert_eq!(again(&anna, &server).code("checkToken", json!([])), 0);
}

/// Uploads that are on their way when the process dies leave nothing: no file, no stage, no blob.
#[test]
fn a_kill_leaves_no_bytes_behind() {
    let mut server = Server::start();
    let anna = server.login();
    anna.put("/old", &noise(1, 100_000));
    let running: Vec<_> = (0..4)
        .map(|i| {
            let mut connection = Connection::open(server.address());
            let ask = anna.raw("/", &format!("half{i}")).with("Content-Length", "5000000");
            connection.send_head(&ask);
            connection.send(&noise(i, 2_000_000)).unwrap();
            connection
        })
        .collect();
    let stage = server.data().join("stage");
    wait_until("uploads on their way", || count_files(&stage) >= 4);
    // Others end at just this moment, so that some are sealed and not yet referred to.
    let writers: Vec<_> = (0..4_u64)
        .map(|w| {
            let anna = anna.clone();
            std::thread::spawn(move || {
                for i in 0.. {
                    let mut connection = Connection::open(anna.address);
                    let body = noise(w * 1000 + i, 60_000);
                    let ask = anna.raw("/", &format!("w{w}-{i}")).with("Content-Length", "60000");
                    let sent = connection
                        .send(&ask.head(anna.address))
                        .and_then(|()| connection.send(&body));
                    if sent.is_err() || connection.answer("POST").is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    wait_until("some files", || anna.names("/").1.len() > 8);
    server.kill();
    drop(running);
    for writer in writers {
        // A writer whose connection was refused panics: the server is gone, as it should be.
        drop(writer.join());
    }
    server.start_again();
    let anna = again(&anna, &server);
    assert_eq!(count_files(&stage), 0, "the stage is emptied before the first request");
    let files = anna.names("/").1;
    assert!(files.iter().all(|name| !name.starts_with("half")), "{files:?}");
    for name in &files {
        anna.content(&format!("/{name}"));
    }
    wait_until("orphans gone", || count_files(&server.data().join("blobs")) == files.len());
}

/// SIGTERM: a running upload ends, its answer comes; nobody new is let in.
#[test]
fn an_orderly_stop_finishes_what_runs() {
    let mut server = Server::start();
    let anna = server.login();
    let body = noise(9, 5_000_000);
    let mut running = Connection::open(server.address());
    running.send_head(&anna.raw("/", "running").with("Content-Length", body.len().to_string()));
    running.send(&body[..2_500_000]).unwrap();
    let mut idle = Connection::open(server.address());
    assert_eq!(idle.ask(&crate::harness::ask("GET", "/missing")).status, 404);
    wait_until("the upload", || count_files(&server.data().join("stage")) == 1);
    server.ask_to_stop();
    assert!(idle.is_closed_by_server(), "an idle connection does not hold the stop");
    wait_until("a closed door", || std::net::TcpStream::connect(server.address()).is_err());
    running.send(&body[2_500_000..]).unwrap();
    let answer = running.answer("POST").unwrap();
    assert_eq!((answer.told(), answer.must("X-Agile-Checksum")), ((200, 0), &*sha256(&body)));
    assert!(server.wait_for_end().success());
    server.start_again();
    assert!(again(&anna, &server).content("/running") == body);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let config = "[limits]\nstop_seconds = 1\n".to_owned();
    let setup = crate::harness::Setup { config: Some(config), ..Default::default() };
    let mut server = Server::start_with(setup);
    let anna = server.login();
    let mut stuck = Connection::open(server.address());
    stuck.send_head(&anna.raw("/", "stuck").with("Content-Length", "5000000"));
    stuck.send(&noise(1, 2_500_000)).unwrap();
    wait_until("the upload", || count_files(&server.data().join("stage")) == 1);
    let begun = std::time::Instant::now();
    server.ask_to_stop();
    assert!(server.wait_for_end().success());
    assert!(begun.elapsed() < Duration::from_secs(10).min(PATIENCE), "{:?}", begun.elapsed());
    server.start_again();
    assert_eq!(again(&anna, &server).names("/").1, [] as [&str; 0]);
}

/// A client that leaves in the middle of an upload leaves nothing; the older file stays.
#[test]
fn a_client_that_leaves() {
    let server = Server::start();
    let anna = server.login();
    let old = noise(1, 120_000);
    anna.put("/f", &old);
    let stage = server.data().join("stage");
    for (framing, sent) in [
        (("Content-Length", "3000000"), noise(2, 2_500_000)),
        (("Content-Length", "3000000"), noise(2, 100_000)),
        (("Content-Length", "3000000"), noise(2, 100)),
        (("Transfer-Encoding", "chunked"), [b"400000\r\n".to_vec(), noise(3, 2_500_000)].concat()),
        (("Transfer-Encoding", "chunked"), b"5\r\nabcde\r\n".to_vec()),
    ] {
        for half in [false, true] {
            let mut connection = Connection::open(server.address());
            connection.send_head(&anna.raw("/", "f").with(framing.0, framing.1));
            connection.send(&sent).unwrap();
            if sent.len() > 2_000_000 {
                wait_until("the upload", || count_files(&stage) == 1);
            }
            if half {
                // It closes its half: the body is shorter than it said.
                connection.finish_sending();
                if let Ok(answer) = connection.answer("POST") {
                    assert!(answer.status >= 400 && answer.code() != 0, "{answer:?}");
                }
            }
            drop(connection);
            wait_until("an empty stage", || count_files(&stage) == 0);
            assert!(anna.content("/f") == old, "the older file stays");
        }
    }
    assert_eq!(count_files(&server.data().join("blobs")), 1);
}
