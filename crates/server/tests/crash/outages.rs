//! What nodes stand on goes away under load and comes back: clients are told what the contract names, and the nodes go on by
//! themselves. Nothing acknowledged is lost, also where PostgreSQL was set to acknowledge what it has not written yet.

use std::{thread::sleep, time::Duration};

use serde_json::json;
use testbed::{Mishap, Stop};

use crate::{
    caller::{Caller, Reply},
    clients::Clients,
    cluster::Cluster,
    effort::Effort,
    harness::{ask, noise},
    load::Faults,
};

/// What an operator may have set who wants a fast database; a commit that nobody waits for is written 10 seconds later.
const HASTY: &[&str] = &["synchronous_commit=off", "wal_writer_delay=10s"];

/// What is asked of a store that has these files.
const INLINE: (&str, usize) = ("/inline", 5_000);
const BLOB: (&str, usize) = ("/blob", 300_000);

/// A cluster, its clients, and two files that stay.
fn prepared(settings: &[&str], effort: &Effort) -> (Cluster, Clients, Caller) {
    let cluster = Cluster::start(settings);
    let mut clients = Clients::new(cluster.address(), &mut effort.chance(0));
    if !effort.is_full() {
        clients.without_pieces();
    }
    let mut caller = clients.caller(cluster.address());
    for (path, size) in [INLINE, BLOB] {
        assert_eq!(put(&mut caller, path, size), (200, 0));
    }
    (cluster, clients, caller)
}

/// Status and code of an upload.
fn put(caller: &mut Caller, path: &str, size: usize) -> (u16, i64) {
    let ask = caller.raw(path).body(noise(1, size));
    caller.ask(&ask).expect("an answer to an upload").told()
}

/// Status of a GET.
fn get(caller: &mut Caller, path: &str) -> u16 {
    caller.ask(&ask("GET", &format!("/acme{path}"))).expect("an answer to a GET").status
}

#[test]
fn the_database_restarts_under_load() {
    let mut effort = Effort::new("PostgreSQL away", 4, 60);
    let (mut cluster, mut clients, mut caller) = prepared(HASTY, &effort);
    let (address, mut chance, faults) = (cluster.address(), effort.chance(1), Faults::default());
    let mut round = 0;
    while effort.goes_on() {
        let stop = if round % 2 == 0 { Stop::Immediate } else { Stop::Fast };
        let database = &mut cluster.database;
        clients.load(address, Some(&faults), || {
            sleep(Duration::from_millis(200 + chance.below(400) as u64));
            database.stop(stop);
            for size in [INLINE.1, BLOB.1] {
                assert_eq!(put(&mut caller, "/other", size), (503, -26));
            }
            assert_eq!(get(&mut caller, INLINE.0), 503);
            for (method, params, code) in [
                ("stat", json!([INLINE.0]), -32_000),
                ("listFile", json!(["/", 10]), -32_000),
                ("deleteFile", json!([INLINE.0]), -32_000),
                ("createMultipart", json!(["/m"]), -27),
            ] {
                let reply = caller.rpc(method, params);
                assert!(
                    matches!(reply, Reply::No(200, told) if told == code),
                    "{method}: {reply:?}"
                );
            }
            sleep(Duration::from_millis(chance.below(1500) as u64));
            database.start();
            // Those who were refused ask again until they are not.
        });
        cluster.wait_until_well(&mut caller);
        cluster.wait_for_rest();
        clients.judge(address, 10);
        assert!(cluster.lives(), "a node ended");
        round += 1;
    }
    clients.judge(address, 100);
    cluster.finish();
    let (done, told) = (clients.acknowledged(), faults.told());
    assert!(!told.is_empty(), "no client was told anything");
    effort.report(&format!("{done} changes acknowledged; told besides: {told:?}"));
}

#[test]
fn the_object_store_is_away_under_load() {
    let mut effort = Effort::new("the object store away", 4, 60);
    let (mut cluster, mut clients, mut caller) = prepared(&[], &effort);
    let (address, faults) = (cluster.address(), Faults::default());
    let mut round = 0;
    while effort.goes_on() {
        let how = [Mishap::Reset, Mishap::Silence, Mishap::Fails][round % 3];
        let network = &cluster.network;
        clients.load(address, Some(&faults), || {
            sleep(Duration::from_millis(300));
            network.all(how);
            // On every node: small files, names and sessions go on, larger files are refused.
            for _ in 0..cluster.nodes.len() {
                assert_eq!(put(&mut caller, "/small", INLINE.1), (200, 0), "{how:?}");
                assert_eq!(get(&mut caller, INLINE.0), 200, "{how:?}");
                assert_eq!(put(&mut caller, "/large", BLOB.1), (503, -26), "{how:?}");
                caller.rpc("listFile", json!(["/", 10])).must("a listing");
            }
            network.all(Mishap::None);
        });
        cluster.wait_until_well(&mut caller);
        cluster.wait_for_rest();
        clients.judge(address, 10);
        assert_eq!(put(&mut caller, "/large", BLOB.1), (200, 0));
        assert_eq!(get(&mut caller, BLOB.0), 200);
        assert!(cluster.lives(), "a node ended");
        round += 1;
    }
    cluster.finish();
    let (done, told) = (clients.acknowledged(), faults.told());
    effort.report(&format!("{done} changes acknowledged; told besides: {told:?}"));
}
