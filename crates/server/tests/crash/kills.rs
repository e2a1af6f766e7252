//! Promises 1 and 15: the process dies at random moments, or is asked to stop, under load.

use std::{
    thread::{sleep, spawn},
    time::Duration,
};

use blobs::suite::Chance;

use crate::{
    caller::Caller,
    device::place,
    effort::Effort,
    harness::{Connection, sha256},
    ledger::{Version, reads_as},
    node::Node,
    world::World,
};

/// Rounds over one data directory; then it is looked at to the last byte, and another begins.
const ROUNDS_A_STORE: usize = 25;

/// Up to 1.5 s, mostly much less.
fn moment(chance: &mut Chance) -> Duration {
    let part = chance.below(1000) as u64;
    Duration::from_millis(5 + 1495 * part * part * part / 1_000_000_000)
}

#[test]
fn sigkill_at_random_moments() {
    let mut effort = Effort::new("SIGKILL under load", 12, 500);
    let (mut acknowledged, mut slowest, mut early, mut stores) = (0, Duration::ZERO, 0, 0_u64);
    let mut more = effort.goes_on();
    while more {
        let dir = place();
        let node = Node::with_chosen_engines(&dir.path().join("data"));
        let mut world = World::found(node, effort.chance(stores));
        stores += 1;
        for _ in 0..ROUNDS_A_STORE {
            world.load(|node, chance| {
                sleep(moment(chance));
                node.kill();
                // Some die again while they recover.
                while chance.below(4) == 0 {
                    early += 1;
                    node.spawn();
                    sleep(Duration::from_millis(chance.below(150) as u64));
                    node.kill();
                }
                node.kill_for_good();
            });
            world.node.start();
            world.judge(10);
            more = effort.goes_on();
            if !more {
                break;
            }
        }
        world.finish();
        acknowledged += world.acknowledged();
        slowest = slowest.max(world.node.slowest_start);
    }
    effort.report(&format!(
        "{acknowledged} changes acknowledged, {early} deaths during recovery, slowest start {slowest:?}, {stores} stores"
    ));
}

#[test]
fn sigterm_under_load() {
    let mut effort = Effort::new("SIGTERM under load", 5, 50);
    let (mut round, dir) = (0, place());
    let node = Node::with_chosen_engines(&dir.path().join("data"));
    let mut world = World::found(node, effort.chance(7));
    while effort.goes_on() {
        // Uploads that the server has agreed to before the signal, and that end after it.
        let (caller, mut chance) = (world.caller(), effort.chance(round));
        let begun: Vec<_> = (0..4)
            .map(|n| {
                let (path, body) = (format!("/slow{round}-{n}"), chance.bytes(200_000));
                let ask = caller.raw(&path).with("Content-Length", body.len().to_string());
                let mut connection = Connection::open(caller.address);
                assert_eq!(connection.expect(&ask).status, 100);
                connection.send(&body[..100_000]).unwrap();
                (path, body, connection)
            })
            .collect();
        let (status, ended) = world.load(|node, chance| {
            sleep(Duration::from_millis(50 + chance.below(300) as u64));
            node.terminate();
            let slow = spawn(move || {
                sleep(Duration::from_millis(100));
                let end = |(path, body, mut connection): (String, Vec<u8>, Connection)| {
                    connection.send(&body[100_000..]).unwrap();
                    let answer = connection.answer("POST").expect("what had begun is answered");
                    assert_eq!(answer.told(), (200, 0), "{answer:?}");
                    assert_eq!(answer.must("X-Agile-Checksum"), sha256(&body));
                    (path, Version::of(&body))
                };
                begun.into_iter().map(end).collect::<Vec<_>>()
            });
            (node.ended(), slow.join().unwrap())
        });
        assert!(status.success(), "it ended with {status}");
        world.node.start();
        world.judge(10);
        let mut caller: Caller = world.caller();
        for (path, version) in ended {
            reads_as(&mut caller, &path, &version);
            caller.rpc("deleteFile", serde_json::json!([path])).must("delete");
        }
        round += 1;
    }
    world.finish();
    effort.report(&format!("{} changes acknowledged", world.acknowledged()));
}
