//! Several nodes on one database: nothing is lost, nothing is given twice, and each sees what the others were told.

use std::collections::HashSet;

use model::{Kind, Usage};

use super::{Storage, open};
use crate::Catalog;
use crate::suite::{ACCOUNT, ROOT, at, check_dir, file, page, with_root};

const TASKS: u64 = 8;
const EACH: u64 = 25;

/// Adds a file and counts it, as an upload does.
async fn add(catalog: &Catalog, name: String, size: u64) -> model::Result<u64> {
    catalog
        .write(move |tx| {
            let id = tx.fresh_id()?;
            tx.put_file(at(ROOT, &name), &file(size))?;
            let usage = tx.usage(ACCOUNT)?;
            let (files, bytes) = (usage.files + 1, usage.bytes + size);
            tx.put_usage(ACCOUNT, Usage { files, bytes, ..usage })?;
            Ok(id)
        })
        .await
}

/// Nodes that write the same directory and the same account lose nothing of each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost() {
    let storage = Storage::new();
    let nodes = [with_root(&|| storage.open()).await, storage.open(), storage.open()];
    let mut tasks = Vec::new();
    for task in 0..TASKS * nodes.len() as u64 {
        let node = nodes[usize::try_from(task).unwrap() % nodes.len()].clone();
        tasks.push(tokio::spawn(async move {
            let (mut ids, mut refused) = (Vec::new(), 0);
            for n in 0..EACH {
                // What was refused for other writes in the way was not done, and is asked for again.
                let id = loop {
                    match add(&node, format!("{task}-{n}"), n).await {
                        Ok(id) => break id,
                        Err(model::Error::Unavailable(_)) => refused += 1,
                        Err(e) => panic!("{e}"),
                    }
                };
                ids.push(id);
            }
            (ids, refused)
        }));
    }
    let (mut ids, mut refused) = (HashSet::new(), 0);
    for task in tasks {
        let (own, more) = task.await.unwrap();
        refused += more;
        assert!(own.into_iter().all(|id| ids.insert(id)), "an id was given twice");
    }
    let writes = TASKS * EACH * nodes.len() as u64;
    for node in &nodes {
        let usage = node.read(|r| r.usage(ACCOUNT)).await.unwrap();
        assert_eq!(usage.files, writes);
        assert_eq!(usage.bytes, writes / EACH * (0..EACH).sum::<u64>());
        let held = node.scan(|r| check_dir(r, ROOT)).await.unwrap();
        assert_eq!(held.len() as u64, writes);
        let numbers = node.scan(|r| page(r, ROOT, Kind::File, 0, usize::MAX)).await.unwrap();
        assert!(numbers.iter().map(|row| row.0).eq(1..=writes), "numbers without gaps");
        println!("{:?}", node.stats());
    }
    println!("{writes} writes on {} nodes, refused and asked for again: {refused}", nodes.len());
    assert_eq!(refused, 0, "a node tries again by itself often enough for that");
}

/// What one node was told is done is seen by all others at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sees_what_the_others_did() {
    let storage = Storage::new();
    let nodes = [with_root(&|| storage.open()).await, storage.open()];
    for n in 0..40_u64 {
        let even = n.is_multiple_of(2);
        let (writer, reader) = (&nodes[usize::from(even)], &nodes[usize::from(!even)]);
        add(writer, "one".to_owned() + &n.to_string(), n).await.unwrap();
        assert_eq!(reader.read(|r| r.usage(ACCOUNT)).await.unwrap().files, n + 1);
        let name = "one".to_owned() + &n.to_string();
        assert!(reader.read(move |r| r.node(at(ROOT, &name))).await.unwrap().is_some());
        assert!(reader.witnessed(|r| Ok(r.witness().is_none())).await.unwrap());
        assert!(reader.witnessed_now(|r| r.usage(ACCOUNT)).is_none(), "it has to wait");
    }
}

/// Two nodes that each look at what the other writes: one of them must have come first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_over_several_records_hold() {
    let storage = Storage::new();
    let nodes = [with_root(&|| storage.open()).await, storage.open()];
    for round in 0..20_u64 {
        let take = |node: Catalog, own: u64| {
            tokio::spawn(async move {
                node.write(move |tx| {
                    let other = tx.node(at(ROOT, &format!("{round}-{}", 1 - own)))?;
                    if other.is_some() {
                        return Err(model::Error::Exists);
                    }
                    tx.put_inline(ACCOUNT, model::InlineId(round * 2 + own), bytes::Bytes::new())?;
                    tx.put_file(at(ROOT, &format!("{round}-{own}")), &file(own))
                })
                .await
            })
        };
        let (a, b) = (take(nodes[0].clone(), 0), take(nodes[1].clone(), 1));
        let results = [a.await.unwrap(), b.await.unwrap()];
        let taken = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(taken, 1, "{results:?}");
    }
    drop(open(&storage.0.url()));
}
