//! What nodes have to agree on: the first account, the key, checks, who scrubs.

use model::{Error, Secret};
use ops::{Parents, fsck};

use super::{Cluster, until};
use crate::harness::{Bench, path, put, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_first_starts_one_makes_the_account() {
    let cluster = Cluster::new();
    let nodes: [_; 6] = cluster.nodes();
    let founding = nodes.iter().map(|node| {
        let store = node.store.clone();
        tokio::spawn(async move { store.found("media", "admin", &Secret::new("pw")).await })
    });
    let mut founded = 0;
    for one in founding.collect::<Vec<_>>() {
        founded += u32::from(one.await.unwrap().unwrap().is_some());
    }
    assert_eq!(founded, 1);
    assert_eq!(nodes[3].store.accounts().await.unwrap().len(), 1);
    assert_eq!(nodes[4].store.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_with_another_key_is_told() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let other = cluster.node_with_key([2; 32]);
    assert!(one.store.is_right_key().await.unwrap());
    assert!(two.store.is_right_key().await.unwrap());
    assert!(!other.store.is_right_key().await.unwrap());
    assert!(one.store.is_right_key().await.unwrap());
}

#[tokio::test]
async fn a_catalog_that_others_serve_is_looked_at_and_not_repaired() {
    let cluster = Cluster::new();
    let [server, operator] = cluster.nodes();
    let caller = server.somebody().await;
    put(&server.store, &caller, spec(&path("f"), Parents::Required), &[1; 20_000]).await.unwrap();
    let repair = fsck::Options { repair: true, ..Default::default() };
    let held = server.store.hold("clean-up").await.unwrap();
    assert_eq!(operator.store.fsck(repair).await.map(drop), Err(Error::InvalidFlags));
    let report = operator.store.fsck(fsck::Options { deep: true, ..Default::default() }).await;
    assert_eq!(report.unwrap().left, 0);
    server.store.leave().await.unwrap();
    assert_eq!(operator.store.fsck(repair).await.unwrap().left, 0);
    drop(held);
}

#[tokio::test]
async fn a_pass_that_one_node_is_asked_for_is_made_by_whoever_scrubs() {
    let cluster = Cluster::with_short_leases();
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    put(&one.store, &caller, spec(&path("f"), Parents::Required), &[1; 50_000]).await.unwrap();
    let scrubbing = tokio::spawn({
        let store = one.store.clone();
        async move { store.scrub().await }
    });
    until("scrubs", async || two.store.leases().await.unwrap().len() == 1).await;
    let pass = two.store.start_scrub(Some(0)).await.unwrap();
    let ended = async || {
        let scrub = two.store.scrub_status().await.unwrap();
        scrub.pass == pass && scrub.ended.is_some() && scrub.bytes >= 50_000
    };
    until("scrubbed", ended).await;
    // One that would take for ever is given up for the next.
    let slow = two.store.start_scrub(Some(1)).await.unwrap();
    let pass = two.store.start_scrub(Some(0)).await.unwrap();
    assert_eq!(pass, slow + 1);
    until("scrubbed", async || {
        let scrub = two.store.scrub_status().await.unwrap();
        scrub.pass == pass && scrub.ended.is_some()
    })
    .await;
    scrubbing.abort();
}

#[tokio::test]
async fn a_copy_takes_neither_leases_nor_marks() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    put(&one.store, &caller, spec(&path("f"), Parents::Required), &[1; 20_000]).await.unwrap();
    let held = two.store.hold("x").await.unwrap();
    assert!(one.store.is_right_key().await.unwrap());
    let to = Bench::new();
    one.store.copy_into(&to.store, |_| ()).await.unwrap();
    assert_eq!(to.store.leases().await.unwrap(), []);
    assert!(to.store.is_right_key().await.unwrap());
    let deep = fsck::Options { deep: true, ..Default::default() };
    assert_eq!(to.store.fsck(deep).await.unwrap().left, 0);
    drop(held);
    let none = async || one.store.leases().await.unwrap().is_empty();
    until("all given back", none).await;
}
