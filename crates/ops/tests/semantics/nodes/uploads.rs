//! Multipart uploads whose pieces and ends come to different nodes, some of which die.

use bytes::Bytes;
use model::{Caller, Digest, UploadId, UploadState};
use ops::{Detect, MultipartSpec, Parents, PieceSpec, Stat, Store, TypeRule};
use sha2::{Digest as _, Sha256};

use super::{Cluster, Node, until};
use crate::harness::path;

const PIECE: usize = 30_000;

async fn begin(node: &Node, caller: &Caller) -> UploadId {
    let spec = MultipartSpec {
        path: path("f"),
        content_type: TypeRule::Detect(Detect::Auto),
        mtime: 0,
        checksum: None,
        parents: Parents::Required,
    };
    node.store.create_multipart(caller, &spec).await.unwrap().id
}

fn piece(number: u32) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); PIECE]
}

async fn send(node: &Node, caller: &Caller, upload: UploadId, number: u32) {
    let spec = PieceSpec { upload, number, checksum: None, len: None };
    let mut sent = node.store.upload_piece(caller, spec).await.unwrap();
    sent.write(Bytes::from(piece(number))).await.unwrap();
    sent.commit().await.unwrap();
}

fn joiner(store: &Store) -> tokio::task::JoinHandle<()> {
    let store = store.clone();
    tokio::spawn(async move { store.join_multiparts().await })
}

async fn state(node: &Node, caller: &Caller, id: UploadId) -> UploadState {
    node.store.multipart(caller, id).await.unwrap().state
}

async fn check(node: &Node, caller: &Caller, pieces: u32) {
    let stat = node.store.stat(caller, &path("f")).await.unwrap();
    let Stat::File(file) = stat else { panic!("a directory") };
    let all: Vec<u8> = (1..=pieces).flat_map(piece).collect();
    assert_eq!(file.size, all.len() as u64);
    assert_eq!(file.checksum, Digest(Sha256::digest(&all).into()));
}

#[tokio::test]
async fn each_piece_to_another_node_and_the_end_to_one_that_dies() {
    let cluster = Cluster::new();
    let nodes: [_; 3] = cluster.nodes();
    let caller = nodes[0].somebody().await;
    let joiners: Vec<_> = nodes[1..].iter().map(|node| joiner(&node.store)).collect();
    let id = begin(&nodes[0], &caller).await;
    for number in 1..=7 {
        send(&nodes[number as usize % 3], &caller, id, number).await;
    }
    // Nobody joins on the first node: it dies when it has answered.
    assert_eq!(nodes[0].store.complete_multipart(&caller, id).await, Ok(7));
    assert_eq!(state(&nodes[1], &caller, id).await, UploadState::Complete);
    for node in &nodes[1..] {
        node.store.resume_multiparts().await.unwrap();
    }
    until("joined", async || state(&nodes[2], &caller, id).await == UploadState::Success).await;
    check(&nodes[0], &caller, 7).await;
    joiners.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn what_a_node_puts_together_no_other_does_until_it_has_died() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    let id = begin(&one, &caller).await;
    send(&one, &caller, id, 1).await;
    // As the first node has it in the middle of its work.
    let held = one.store.hold(&format!("join/{}", id.to_hex())).await.unwrap();
    one.store.complete_multipart(&caller, id).await.unwrap();
    let joining = joiner(&two.store);
    two.store.resume_multiparts().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(state(&two, &caller, id).await, UploadState::Complete);
    one.way.set_away(true);
    cluster.clock.advance_secs(31);
    two.store.resume_multiparts().await.unwrap();
    until("joined", async || state(&two, &caller, id).await == UploadState::Success).await;
    check(&two, &caller, 1).await;
    joining.abort();
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_at_once_put_each_upload_together_once() {
    let cluster = Cluster::new();
    let nodes: [_; 3] = cluster.nodes();
    let caller = nodes[0].somebody().await;
    let joiners: Vec<_> = nodes.iter().map(|node| joiner(&node.store)).collect();
    for _ in 0..10 {
        let id = begin(&nodes[0], &caller).await;
        for number in 1..=3 {
            send(&nodes[number as usize % 3], &caller, id, number).await;
        }
        nodes[1].store.complete_multipart(&caller, id).await.unwrap();
        let resumed = nodes.iter().map(|node| node.store.resume_multiparts());
        futures_util::future::join_all(resumed).await;
        let joined = async || {
            // Whoever found it in other hands looks again in half a minute; here at once.
            for node in &nodes {
                node.store.resume_multiparts().await.unwrap();
            }
            state(&nodes[2], &caller, id).await == UploadState::Success
        };
        until("joined", joined).await;
        check(&nodes[0], &caller, 3).await;
    }
    joiners.iter().for_each(tokio::task::JoinHandle::abort);
}
