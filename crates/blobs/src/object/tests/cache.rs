//! The cache on this node's disk: bounded, believed in nothing, gone with its process.

use std::{fs, path::PathBuf};

use object_store::ObjectStoreExt as _;

use super::*;

const MIB: usize = 1 << 20;

fn engine(fixture: &Fixture, cache_bytes: u64) -> Object {
    let options = Options { memory_bytes: 0, cache_bytes, ..Options::new(fixture.scratch.path()) };
    Object::over(fixture.store.clone(), "", &options).unwrap()
}

fn files(fixture: &Fixture) -> Vec<PathBuf> {
    let nodes = fs::read_dir(fixture.scratch.path()).unwrap().flatten();
    let files = nodes.filter_map(|node| fs::read_dir(node.path()).ok()).flatten().flatten();
    files.map(|file| file.path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_blob_is_read_from_this_node_and_compared_again() {
    let fixture = Fixture::new();
    let engine = engine(&fixture, 64 << 20);
    let content = content(3 * MIB);
    let id = put(&engine, &content).await.unwrap();
    assert_eq!(whole(&engine, id).await.unwrap(), content);
    eventually("three chunks in files", async || files(&fixture).len() == 3).await;

    // Without the store, but what it says of itself is in memory still.
    let path = engine.shared.names.blob(id);
    let object = fixture.store.get(&path).await.unwrap().bytes().await.unwrap();
    fixture.store.delete(&path).await.unwrap();
    assert_eq!(whole(&engine, id).await.unwrap(), content);

    // Damage on this node's disk is neither served nor an error.
    for file in files(&fixture) {
        let mut bytes = fs::read(&file).unwrap();
        bytes[MIB / 2] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    assert!(whole(&engine, id).await.is_err(), "there is no store to read it again from");
    fixture.store.put(&path, object.into()).await.unwrap();
    assert_eq!(whole(&engine, id).await.unwrap(), content);
    eventually("three chunks in files again", async || files(&fixture).len() == 3).await;
    for file in files(&fixture) {
        fs::File::options().write(true).open(file).unwrap().set_len(1000).unwrap();
    }
    assert_eq!(whole(&engine, id).await.unwrap(), content, "cut short in the cache");
    files(&fixture).iter().for_each(|file| fs::remove_file(file).unwrap());
    assert_eq!(whole(&engine, id).await.unwrap(), content, "removed from the cache");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_to_no_more_than_was_allowed() {
    let fixture = Fixture::new();
    let engine = engine(&fixture, 16 << 20);
    for seed in 0..12 {
        let content = Chance::new(seed).bytes(4 * MIB);
        let id = put(&engine, &content).await.unwrap();
        for _ in 0..2 {
            assert!(whole(&engine, id).await.unwrap() == content);
        }
    }
    let on_disk =
        || -> u64 { files(&fixture).iter().map(|f| f.metadata().map_or(0, |m| m.len())).sum() };
    eventually("no more than 16 MiB", async || on_disk() <= 16 << 20).await;
    assert!(on_disk() >= 8 << 20, "{} bytes: it caches something", on_disk());
    let counted = || engine.shared.disk.as_ref().unwrap().bytes();
    eventually("what it counts is what there is", async || counted() == on_disk()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_processes_left_behind_is_removed_and_nothing_of_others() {
    let fixture = Fixture::new();
    let left = fixture.scratch.path().join("node-0123456789abcdef");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("chunk"), "left by a process that died").unwrap();
    fs::write(fixture.scratch.path().join("notes"), "not ours").unwrap();
    let first = engine(&fixture, 16 << 20);
    assert!(!left.exists());
    let second = engine(&fixture, 16 << 20);
    let content = content(MIB);
    let id = put(&first, &content).await.unwrap();
    for engine in [&first, &second] {
        assert_eq!(whole(engine, id).await.unwrap(), content);
    }
    let nodes = || fs::read_dir(fixture.scratch.path()).unwrap().count();
    assert_eq!(nodes(), 3, "two nodes side by side, and what is not ours");
    drop((first, second));
    eventually("nothing left but what is not ours", async || nodes() == 1).await;
}
