//! Many clients at once on the same names: each call is all or nothing, exactly one of those that exclude each other wins.

use std::{sync::Barrier, thread};

use serde_json::json;

use crate::harness::{Client, Server, noise, sha256};

const CLIENTS: usize = 8;

/// Runs `act` in all clients at the same moment; what each made of it.
fn at_once<T: Send>(client: &Client, act: impl Fn(&Client, usize) -> T + Sync) -> Vec<T> {
    let (start, act) = (Barrier::new(CLIENTS), &act);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                let (client, start) = (client.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    act(&client, i)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

fn winners(codes: &[i64], loses: &[i64]) -> usize {
    assert!(codes.iter().all(|code| *code == 0 || loses.contains(code)), "{codes:?}");
    codes.iter().filter(|code| **code == 0).count()
}

#[test]
fn one_wins() {
    let server = Server::start();
    let anna = server.login();
    for round in 0..5 {
        let dir = format!("/round{round}");
        let made = at_once(&anna, |c, _| c.code("makeDir", json!([dir])));
        assert_eq!(winners(&made, &[-2]), 1, "{made:?}");
        let made = at_once(&anna, |c, _| c.code("makeDir2", json!([format!("{dir}/a/b/c")])));
        assert_eq!(winners(&made, &[]), CLIENTS, "{made:?}");
        anna.put(&format!("{dir}/file"), b"x");
        let moved = at_once(&anna, |c, i| {
            c.code("rename", json!([format!("{dir}/file"), format!("{dir}/to{i}")]))
        });
        assert_eq!(winners(&moved, &[-1]), 1, "{moved:?}");
        let (dirs, files) = anna.names(&dir);
        assert_eq!((dirs.len(), files.len()), (1, 1), "{dirs:?} {files:?}");
        let to = format!("{dir}/{}", files[0]);
        let ended = at_once(&anna, |c, _| c.code("deleteFile", json!([to])));
        assert_eq!(winners(&ended, &[-1]), 1, "{ended:?}");
        let files: Vec<String> = (0..CLIENTS).map(|i| format!("{dir}/from{i}")).collect();
        for file in &files {
            anna.put(file, b"x");
        }
        let moved =
            at_once(&anna, |c, i| c.code("rename", json!([files[i], format!("{dir}/one")])));
        assert_eq!(winners(&moved, &[-2]), 1, "{moved:?}");
    }
}

/// A directory that is deleted while something is put into it: one of the two, never a file without its directory.
#[test]
fn a_directory_goes_or_stays() {
    let server = Server::start();
    let anna = server.login();
    for round in 0..10 {
        let dir = format!("/d{round}");
        anna.dir(&dir);
        let told = at_once(&anna, |c, i| {
            if i % 2 == 0 {
                c.code("deleteDir", json!([dir]))
            } else {
                c.send(&c.raw(&dir, &format!("f{i}")).body("x")).code()
            }
        });
        let stored = told.iter().skip(1).step_by(2).filter(|code| **code == 0).count();
        if anna.code("stat", json!([dir])) == 0 {
            assert_eq!(anna.names(&dir).1.len(), stored, "{told:?}");
        } else {
            assert_eq!(stored, 0, "{told:?}");
        }
        let fits = |code: &i64| [0, -1, -3, -7].contains(code);
        assert!(told.iter().all(fits), "{told:?}");
    }
}

/// The last of many uploads under one name is there, whole, and nothing of the others is left on disk.
#[test]
fn uploads_under_one_name() {
    let server = Server::start();
    let anna = server.login();
    let bodies: Vec<Vec<u8>> = (0..CLIENTS).map(|i| noise(i as u64, 30_000 + i * 30_000)).collect();
    for _ in 0..3 {
        let told = at_once(&anna, |c, i| c.send(&c.raw("/", "f").body(bodies[i].clone())).told());
        assert_eq!(told, [(200, 0); CLIENTS]);
        let content = anna.content("/f");
        assert!(bodies.iter().any(|body| sha256(body) == sha256(&content)), "a mix");
    }
    assert_eq!(anna.names("/").1, ["f"]);
    let blobs = server.data().join("blobs");
    crate::harness::wait_until("one blob", || crate::upload::count_files(&blobs) == 1);
    let account = server.admin_ok(&["account", "list"], "");
    assert!(account.contains("\"files\":1,"), "{account}");
}
