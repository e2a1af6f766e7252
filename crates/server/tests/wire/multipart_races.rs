//! Multipart uploads under death, time and rivals: what was completed becomes a file whatever happens to the process, one
//! of those that exclude each other wins, and what nobody completes goes away.

use std::{sync::Barrier, thread, time::Duration};

use serde_json::json;

use crate::{
    harness::{Client, Server, Setup, noise, wait_until},
    multipart::{ABORT, NEW, SUCCESS},
    upload::count_files,
};

const EXPIRED: i64 = 11;

/// Completes by one interface or the other; the code.
fn complete(client: &Client, mpid: &str, by_http: bool) -> i64 {
    if !by_http {
        return client.code("completeMultipart", json!([mpid]));
    }
    let answer = client.send(&client.post("/multipart/complete").with("X-Agile-Multipart", mpid));
    assert_eq!(answer.status, if answer.code() == 0 { 200 } else { 400 }, "{answer:?}");
    answer.code()
}

fn together<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (start, act) = (Barrier::new(count), &act);
    thread::scope(|scope| {
        let all: Vec<_> = (0..count)
            .map(|i| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    act(i)
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn one_of_eight_completes() {
    let server = Server::start();
    let anna = server.login();
    for round in 0..6 {
        let path = format!("/f{round}");
        let mpid = anna.begin(&path);
        anna.send_piece(&mpid, 1, &noise(round, 50_000));
        anna.send_piece(&mpid, 2, b"end");
        let mut codes = together(8, |i| complete(&anna, &mpid, i % 2 == 0));
        codes.sort_unstable();
        assert_eq!(codes, [-8, -8, -8, -8, -8, -8, -8, 0]);
        anna.wait_for(&mpid, SUCCESS);
        assert!(anna.content(&path) == [noise(round, 50_000), b"end".to_vec()].concat());
    }
}

#[test]
fn complete_against_abort() {
    let server = Server::start();
    let anna = server.login();
    let (mut completed, mut aborted) = (0, 0);
    for round in 0..40 {
        let path = format!("/f{round}");
        let mpid = anna.begin(&path);
        anna.send_piece(&mpid, 1, b"whole");
        let codes = together(2, |i| match i {
            0 => complete(&anna, &mpid, round % 2 == 0),
            _ => anna.code("abortMultipart", json!([mpid])),
        });
        match codes[..] {
            [0, -18] => {
                anna.wait_for(&mpid, SUCCESS);
                assert_eq!(anna.content(&path), b"whole");
                completed += 1;
            }
            [-17, 0] => {
                assert_eq!((anna.state(&mpid), anna.code("stat", json!([path]))), (ABORT, -1));
                aborted += 1;
            }
            _ => panic!("both or neither: {codes:?}"),
        }
    }
    assert_eq!(completed + aborted, 40);
    // Small content that a piece brought is a blob until its file goes.
    wait_until("no bytes of aborted ones", || {
        count_files(&server.data().join("blobs")) == completed
    });
}

/// The same number sent by many at once: one of them counts, whole.
#[test]
fn rivals_for_a_number() {
    let server = Server::start();
    let anna = server.login();
    let mpid = anna.begin("/f");
    together(8, |i| anna.send_piece(&mpid, 1, &[b'a' + u8::try_from(i).unwrap(); 20_000]));
    let pieces = anna.pieces(&mpid);
    assert_eq!(pieces.iter().filter(|(_, state)| *state == NEW).count(), 1, "{pieces:?}");
    assert_eq!(
        (pieces.len(), pieces.last().unwrap().1),
        (8, NEW),
        "the last to arrive: {pieces:?}"
    );
    anna.finish(&mpid, 1);
    let content = anna.content("/f");
    assert!(content.len() == 20_000 && content.iter().all(|b| *b == content[0]));
}

/// Killed right after the answer: what was completed goes on after the next start.
#[test]
fn completed_survives_a_kill() {
    let mut server = Server::start();
    let mut anna = server.login();
    let body = |round: u64, i: u64, part: u64| noise(round * 100 + i * 10 + part, 6_000_000);
    for round in 0..8 {
        let mpids: Vec<String> = (0..3)
            .map(|i| {
                let mpid = anna.begin(&format!("/f{round}-{i}"));
                for part in 1..=2 {
                    anna.send_piece(&mpid, u32::try_from(part).unwrap(), &body(round, i, part));
                }
                mpid
            })
            .collect();
        let open = anna.begin(&format!("/open{round}"));
        anna.send_piece(&open, 1, b"taken before the kill");
        let codes = together(3, |i| complete(&anna, &mpids[i], false));
        server.kill();
        assert_eq!(codes, [0, 0, 0]);
        server.start_again();
        anna = Client { address: server.address(), ..anna };
        for (mpid, i) in mpids.iter().zip(0..) {
            anna.wait_for(mpid, SUCCESS);
            let whole = [body(round, i, 1), body(round, i, 2)].concat();
            assert!(anna.content(&format!("/f{round}-{i}")) == whole, "round {round}");
            assert_eq!(complete(&anna, mpid, true), -8);
        }
        assert_eq!((anna.state(&open), anna.pieces(&open)), (NEW, vec![(1, 1)]));
        anna.finish(&open, 1);
        assert_eq!(anna.content(&format!("/open{round}")), b"taken before the kill");
        if server.log().contains("going on with multipart uploads") {
            return;
        }
    }
    panic!("no kill came before the files were there");
}

#[test]
fn what_nobody_completes_expires() {
    let config = Some("[multipart]\nexpire_seconds = 1\nkeep_seconds = 3\n".to_owned());
    let mut server = Server::start_with(Setup { config, ..Setup::default() });
    let anna = server.login();
    let mpid = anna.begin("/f");
    anna.send_piece(&mpid, 1, &noise(1, 100_000));
    let done = anna.begin("/done");
    anna.send_piece(&done, 1, b"done");
    anna.finish(&done, 1);
    let blobs = server.data().join("blobs");
    assert_eq!(count_files(&blobs), 2);
    thread::sleep(Duration::from_millis(1200));
    // Passes are minutes apart; one comes at each start.
    server.stop();
    server.start_again();
    let anna = Client { address: server.address(), ..anna };
    anna.wait_for(&mpid, EXPIRED);
    assert_eq!(complete(&anna, &mpid, false), -8);
    assert_eq!(anna.code("abortMultipart", json!([mpid])), -18);
    assert_eq!(anna.code("restartMultipart", json!([mpid])), -22);
    assert_eq!(anna.send(&anna.piece(&mpid, 1).body("x")).told(), (400, -8));
    assert_eq!(anna.pieces(&mpid), [(1, 12)]);
    assert_eq!(anna.state(&done), SUCCESS, "a finished one stays listed for a while");
    wait_until("its bytes gone", || count_files(&blobs) == 1);
    thread::sleep(Duration::from_millis(3200));
    server.stop();
    server.start_again();
    let anna = Client { address: server.address(), ..anna };
    let gone = json!({"code": 0, "cookie": 0, "multipart": []});
    wait_until("their records gone", || anna.call("listMultipart", json!([])) == gone);
    assert_eq!(anna.call("getMultipartStatus", json!([done])), json!({"code": -2}));
    assert_eq!(anna.content("/done"), b"done", "the file stays");
}

#[test]
fn never_expiring() {
    let config = Some("[multipart]\nexpire_seconds = 0\n".to_owned());
    let mut server = Server::start_with(Setup { config, ..Setup::default() });
    let anna = server.login();
    let mpid = anna.begin("/f");
    anna.send_piece(&mpid, 1, b"x");
    thread::sleep(Duration::from_millis(1200));
    server.stop();
    server.start_again();
    let anna = Client { address: server.address(), ..anna };
    thread::sleep(Duration::from_millis(300));
    assert_eq!(anna.state(&mpid), NEW);
    anna.finish(&mpid, 1);
    assert_eq!(anna.content("/f"), b"x");
}
