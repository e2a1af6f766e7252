//! Leases: one holder, who knows when it is none any more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use model::Error;

use super::{Cluster, until};
use crate::harness::Bench;

#[tokio::test]
async fn one_node_holds_a_lease() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let held = one.store.hold("x").await.unwrap().unwrap();
    assert!(two.store.hold("x").await.unwrap().is_none());
    assert!(one.store.hold("x").await.unwrap().is_none(), "nor anybody else on the same node");
    let other = two.store.hold("y").await.unwrap();
    assert!(other.is_some() && !held.is_lost());
    assert!(two.store.is_served().await.unwrap());
    drop(held);
    until("given back", async || two.store.hold("x").await.unwrap().is_some()).await;
}

#[tokio::test]
async fn many_ask_at_once_and_one_gets_it() {
    let cluster = Cluster::new();
    let nodes: [_; 8] = cluster.nodes();
    for name in ["a", "b", "c"] {
        let asked = nodes.iter().map(|node| node.store.hold(name));
        let held = futures_util::future::join_all(asked).await;
        assert_eq!(held.iter().filter(|held| matches!(held, Ok(Some(_)))).count(), 1);
    }
}

#[tokio::test]
async fn what_a_dead_node_held_is_anybodys_when_it_has_run_out() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let held = one.store.hold("x").await.unwrap();
    one.way.set_away(true);
    cluster.clock.advance_secs(29);
    assert!(two.store.hold("x").await.unwrap().is_none());
    cluster.clock.advance_secs(1);
    assert!(two.store.hold("x").await.unwrap().is_some());
    drop(held);
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_before_others_begin() {
    let cluster = Cluster::with_short_leases();
    let [one, two] = cluster.nodes();
    let held = one.store.hold("x").await.unwrap().unwrap();
    one.way.set_away(true);
    let stopped = held.run(std::future::pending::<()>()).await;
    assert!(matches!(stopped, Err(Error::Unavailable(_))), "{stopped:?}");
    assert!(held.is_lost());
    // The clock stood still: by it, nobody else could have taken the lease yet.
    assert!(two.store.hold("x").await.unwrap().is_none());
    one.way.set_away(false);
    drop(held);
    // What was lost is not given back as if it were one's own still; it runs out.
    cluster.clock.advance_secs(1);
    assert!(two.store.hold("x").await.unwrap().is_some());
}

#[tokio::test]
async fn a_holder_learns_that_somebody_took_over() {
    let cluster = Cluster::with_short_leases();
    let [one, two] = cluster.nodes();
    let held = one.store.hold("x").await.unwrap().unwrap();
    one.way.hold_back();
    cluster.clock.advance_secs(60);
    let taken = two.store.hold("x").await.unwrap().unwrap();
    one.way.let_through();
    tokio::time::timeout(Duration::from_secs(30), held.lost()).await.unwrap();
    drop(held);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let [third] = cluster.nodes();
    assert!(third.store.hold("x").await.unwrap().is_none(), "not given back by who lost it");
    drop(taken);
}

#[tokio::test]
async fn work_moves_to_another_node_and_runs_on_one() {
    static RUNNING: AtomicU32 = AtomicU32::new(0);
    static BEGUN: AtomicU32 = AtomicU32::new(0);

    struct Running;
    impl Running {
        fn begin() -> Self {
            assert_eq!(RUNNING.fetch_add(1, Ordering::SeqCst), 0, "on one node at a time");
            BEGUN.fetch_add(1, Ordering::SeqCst);
            Self
        }
    }
    impl Drop for Running {
        fn drop(&mut self) {
            RUNNING.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let cluster = Cluster::with_short_leases();
    let nodes: [_; 3] = cluster.nodes();
    let tasks: Vec<_> = nodes
        .iter()
        .map(|node| {
            let store = node.store.clone();
            tokio::spawn(async move {
                let work = || async {
                    let _running = Running::begin();
                    std::future::pending::<()>().await;
                };
                store.alone("work", work).await;
            })
        })
        .collect();
    until("begun", async || BEGUN.load(Ordering::SeqCst) == 1).await;
    // Whoever it is loses the catalog: it stops, and when the lease has run out somebody else goes on.
    nodes.iter().for_each(|node| node.way.set_away(true));
    until("stopped", async || RUNNING.load(Ordering::SeqCst) == 0).await;
    cluster.clock.advance_secs(60);
    nodes[1..].iter().for_each(|node| node.way.set_away(false));
    until("taken over", async || BEGUN.load(Ordering::SeqCst) > 1).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_node_that_leaves_gives_back_what_it_has() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let held = [one.store.hold("x").await.unwrap(), one.store.hold("y").await.unwrap()];
    let theirs = two.store.hold("z").await.unwrap();
    one.store.leave().await.unwrap();
    assert!(two.store.hold("x").await.unwrap().is_some());
    assert!(two.store.hold("y").await.unwrap().is_some());
    assert!(one.store.hold("z").await.unwrap().is_none());
    drop((held, theirs));
}

#[tokio::test]
async fn over_a_catalog_of_ones_own_nothing_is_written() {
    let bench = Bench::new();
    let before = bench.store.status().catalog;
    let held = bench.store.hold("x").await.unwrap().unwrap();
    assert!(bench.store.hold("x").await.unwrap().is_none());
    assert_eq!(held.run(async { 5 }).await, Ok(5));
    drop(held);
    assert!(bench.store.hold("x").await.unwrap().is_some());
    bench.store.leave().await.unwrap();
    assert!(!bench.store.is_served().await.unwrap());
    assert_eq!(bench.store.status().catalog, before);
}

#[tokio::test]
async fn leases_that_ran_out_are_forgotten() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let held = one.store.hold("x").await.unwrap().unwrap();
    one.way.set_away(true);
    drop(held);
    cluster.clock.advance_secs(31);
    two.store.sweep_leases().await.unwrap();
    let count = async || two.store.leases().await.unwrap().len();
    assert_eq!(count().await, 1, "its holder may only be late");
    cluster.clock.advance_secs(60);
    two.store.sweep_leases().await.unwrap();
    assert_eq!(count().await, 0);
}
