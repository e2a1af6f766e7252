//! Three nodes, each request at another one: what one acknowledged all show at once, and one that dies under load takes
//! nothing with it.

use std::{thread::sleep, time::Duration};

use serde_json::json;

use crate::{
    caller::{Caller, Reply},
    clients::Clients,
    cluster::Cluster,
    effort::Effort,
    harness::{ask, sha256},
    ledger::{Version, reads_as},
    load::Faults,
};

#[test]
fn a_node_dies_under_load() {
    let mut effort = Effort::new("SIGKILL of one of three nodes", 4, 100);
    let mut cluster = Cluster::start(&[]);
    let (address, mut chance) = (cluster.address(), effort.chance(0));
    let mut clients = Clients::new(address, &mut chance);
    if !effort.is_full() {
        clients.without_pieces();
    }
    let faults = Faults::default();
    while effort.goes_on() {
        let victim = chance.below(cluster.nodes.len());
        clients.load(address, Some(&faults), || {
            sleep(Duration::from_millis(100 + chance.below(500) as u64));
            cluster.nodes[victim].kill();
            // The others go on, and take what it left.
            sleep(Duration::from_millis(300));
        });
        cluster.wait_for_rest();
        clients.judge(address, 10);
        cluster.nodes[victim].start();
    }
    clients.load(address, None, || sleep(Duration::from_millis(300)));
    clients.judge(address, 100);
    cluster.finish();
    effort.report(&format!(
        "{} changes acknowledged; told besides: {:?}",
        clients.acknowledged(),
        faults.told()
    ));
}

/// What a node remembered of a record that another has changed would be seen here.
#[test]
fn what_one_node_acknowledged_the_others_show_at_once() {
    let mut effort = Effort::new("reads of what another node wrote", 3, 1000);
    let cluster = Cluster::start(&[]);
    let mut callers: Vec<Caller> = Vec::new();
    for node in &cluster.nodes {
        let token = callers.first().map(|caller| caller.token.clone());
        let new = || Caller::login(node.address());
        callers.push(token.map_or_else(new, |token| Caller::new(node.address(), &token)));
    }
    let mut chance = effort.chance(1);
    callers[0].rpc("makeDir", json!(["/d"])).must("a directory");
    let (paths, mut round) = (["/d/small", "/d/large"], 0);
    while effort.goes_on() {
        for (n, path) in paths.iter().enumerate() {
            let nodes = callers.len();
            let (writer, readers) = (round % nodes, [(round + 1) % nodes, (round + 2) % nodes]);
            // Each node has just read the old version, and has it wherever it may keep such things.
            let size = [500 + chance.below(3000), 20_000][n];
            let body = chance.bytes(size);
            let ask = callers[writer].raw(path).body(body.clone());
            callers[writer].send(&ask).must(path);
            for reader in readers {
                reads_as(&mut callers[reader], path, &Version::of(&body));
                let page = callers[reader].rpc("listFile", json!(["/d", 10, null, true]));
                let page = page.must("a listing");
                let mut listed = page["list"].as_array().unwrap().iter();
                let listed = listed.any(|entry| entry["stat"]["checksum"] == sha256(&body));
                assert!(listed, "{path}: {page}");
            }
            if chance.below(4) == 0 {
                callers[writer].rpc("deleteFile", json!([path])).must("delete");
                for reader in readers {
                    let stat = callers[reader].rpc("stat", json!([path]));
                    assert!(matches!(stat, Reply::No(200, -1)), "{path}: {stat:?}");
                    let got = callers[reader].ask(&ask_for(path)).unwrap();
                    assert_eq!(got.status, 404, "{path}: {got:?}");
                }
            }
        }
        session_ends_everywhere(&mut callers, round);
        round += 1;
    }
    effort.report("no node showed an older record");
}

fn ask_for(path: &str) -> crate::harness::Ask {
    ask("GET", &format!("/acme{path}"))
}

/// A token counts on every node from the moment it is told, and on none from the moment it is ended.
fn session_ends_everywhere(callers: &mut [Caller], round: usize) {
    let nodes = callers.len();
    let token = callers[round % nodes].new_token().must("login");
    let mut session: Vec<Caller> =
        callers.iter().map(|caller| Caller::new(caller.address, &token)).collect();
    for (node, caller) in session.iter_mut().enumerate() {
        assert!(caller.rpc("checkToken", json!([])).is_ok(), "node {node}");
    }
    session[(round + 1) % nodes].rpc("logout", json!([])).must("logout");
    for (node, caller) in session.iter_mut().enumerate() {
        let answer = caller.rpc("checkToken", json!([]));
        assert!(matches!(answer, Reply::No(200, -10_001)), "node {node}: {answer:?}");
    }
}
