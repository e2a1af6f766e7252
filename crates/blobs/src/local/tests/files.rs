//! Which files exist when: nothing is left behind, nothing of ours is open to others, nothing of others is touched.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};

use model::{BlobId, Time};

use super::{ACCOUNT, Duration, NOW, eventually, files, frame, path_of, store};
use crate::{
    Blobs,
    local::{Local, LocalOptions},
    suite::{listed, sealed},
};

const MIB: usize = 1024 * 1024;

/// Runs `work` and then ends its runtime, which waits for the threads that are still writing.
fn run_to_the_end(work: impl Future) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work);
    drop(runtime);
}

#[test]
fn a_dropped_stage_leaves_no_file() {
    let (dir, local) = store();
    for (frames, finish) in [(0, false), (0, true), (1, false), (1, true), (5, false), (5, true)] {
        run_to_the_end(async {
            let mut stage = local.stage(ACCOUNT, NOW).await.unwrap();
            for _ in 0..frames {
                stage.write(frame(MIB)).await.unwrap();
            }
            if finish {
                let staged = stage.finish().await.unwrap();
                assert_eq!(files(dir.path()).len(), 1, "a whole stage is one file");
                drop(staged);
            }
            // Else it is dropped here, perhaps with a batch being written.
        });
        assert!(files(dir.path()).is_empty(), "{frames} frames, finish: {finish}");
    }
}

/// A long file is given back bit by bit when it is removed: not while somebody has it open, in whatever way.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_blob_that_is_removed_is_read_to_its_end() {
    let (dir, local) = store();
    let content = frame(9 * MIB);
    for sent in [false, true] {
        let id = sealed(&local, &content, NOW).await;
        let blob = local.open(id).await.unwrap();
        let span = blob.in_file().unwrap().verified(0, 1000).await.unwrap();
        local.remove_all(vec![id]).await.unwrap();
        assert!(files(dir.path()).is_empty());
        let len = if sent {
            drop(blob);
            span.file.metadata().unwrap().len()
        } else {
            drop(span);
            let read = blob.read(8 * MIB as u64, MIB).await.unwrap();
            assert_eq!(read, content[8 * MIB..]);
            blob.len()
        };
        assert!(len >= content.len() as u64, "{len} are left");
    }
}

#[test]
fn a_dropped_stage_is_removed_while_the_server_runs() {
    let (dir, local) = store();
    run_to_the_end(async {
        let mut stage = local.stage(ACCOUNT, NOW).await.unwrap();
        for _ in 0..3 {
            stage.write(frame(MIB)).await.unwrap();
        }
        eventually("the stage has a file", || files(dir.path()).len() == 1).await;
        drop(stage);
        eventually("the file is removed", || files(dir.path()).is_empty()).await;
    });
}

#[test]
fn a_write_or_finish_given_up_leaves_no_file() {
    let (dir, local) = store();
    for round in 0..20 {
        run_to_the_end(async {
            let mut stage = local.stage(ACCOUNT, NOW).await.unwrap();
            let patience = std::time::Duration::from_micros(300 * round);
            let _ = tokio::time::timeout(patience, async {
                for _ in 0..8 {
                    stage.write(frame(MIB)).await.unwrap();
                }
                stage.finish().await.map(|_| ())
            })
            .await;
        });
        assert!(files(dir.path()).is_empty(), "round {round}");
    }
}

#[test]
fn a_stage_dropped_without_a_runtime_leaves_no_file() {
    let (dir, local) = store();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (stage, staged) = runtime.block_on(async {
        let mut stage = local.stage(ACCOUNT, NOW).await.unwrap();
        for _ in 0..3 {
            stage.write(frame(MIB)).await.unwrap();
        }
        let staged = local.stage(ACCOUNT, NOW).await.unwrap().finish().await.unwrap();
        (stage, staged)
    });
    drop(runtime);
    assert_eq!(files(dir.path()).len(), 2);
    drop((stage, staged));
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_seal_leaves_one_file_of_known_name_and_rights() {
    let (dir, local) = store();
    let id = sealed(&local, &frame(100), NOW).await;
    assert_eq!(files(dir.path()), [path_of(dir.path(), id)]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = path_of(dir.path(), id);
    assert_eq!(mode(&path), 0o600);
    for above in path.ancestors().skip(1).take(3).chain([&*dir.path().join("stage")]) {
        assert_eq!(mode(above), 0o700, "{}", above.display());
    }
    assert_eq!(fs::read(&path).unwrap()[..100], frame(100), "plain tools find the bytes");
}

#[tokio::test]
async fn opening_empties_the_stage_and_keeps_the_blobs() {
    let (dir, local) = store();
    let id = sealed(&local, &frame(100), NOW).await;
    drop(local);
    fs::write(dir.path().join("stage").join("left by a crash"), "x").unwrap();
    let local = Local::open(dir.path()).unwrap();
    assert_eq!(files(dir.path()), [path_of(dir.path(), id)]);
    assert_eq!(local.open(id).await.unwrap().read(0, 100).await.unwrap(), frame(100));
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let (dir, local) = store();
    let stage = local.stage(ACCOUNT, NOW).await.unwrap();
    let second = Local::open(dir.path()).map(|_| ());
    assert!(second.unwrap_err().to_string().contains("another process"));
    drop(local);
    Local::open(dir.path()).unwrap();
    drop(stage);
    assert!(Local::open(dir.path().join("no/such/parent")).is_err());
}

#[tokio::test]
async fn the_walk_goes_by_directory_time_in_batches_and_skips_strangers() {
    let (dir, local) = store();
    let mut ids = Vec::new();
    for n in 0..2500_u32 {
        let [_, _, hi, lo] = n.to_be_bytes();
        let id = BlobId::new(ACCOUNT, NOW.0 + u64::from(n), [9, 9, 9, lo, 0xab, hi & 1]);
        let path = path_of(dir.path(), id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        ids.push(id);
    }
    ids.sort();
    let old = path_of(dir.path(), ids[0]);
    let home = old.parent().unwrap();
    fs::write(home.join("notes.txt"), "").unwrap();
    fs::write(home.join(ids[0].to_hex().to_uppercase() + "0"), "").unwrap();
    fs::create_dir(dir.path().join("blobs/lost+found")).unwrap();
    fs::write(dir.path().join("blobs/AB"), "").unwrap();
    // A blob under a directory that is not its own would not be found by its id.
    let stray = BlobId::new(ACCOUNT, NOW.0, [0; 6]);
    fs::write(home.join(stray.to_hex()), "").unwrap();

    assert_eq!(listed(&local, Time(0), NOW.plus_secs(100)).await, ids);
    assert_eq!(listed(&local, Time(0), Time(NOW.0 + 1234)).await, ids[..1234]);

    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::open(home).unwrap().set_modified(long_ago).unwrap();
    let there = |id: &BlobId| path_of(dir.path(), *id).parent() == Some(home);
    let left: Vec<_> = ids.iter().copied().filter(|id| !there(id)).collect();
    assert!(!left.is_empty() && left.len() < ids.len());
    assert_eq!(listed(&local, Time::from_secs(1_000_011), NOW.plus_secs(100)).await, left);
    assert_eq!(listed(&local, Time::from_secs(1_000_010), NOW.plus_secs(100)).await, ids);
}

#[tokio::test]
async fn a_visitor_that_panics_is_an_error() {
    let (_dir, local) = store();
    sealed(&local, b"x", NOW).await;
    let visited = Arc::new(Mutex::new(0));
    let count = Arc::clone(&visited);
    let visit = Box::new(move |ids: Vec<BlobId>| {
        *count.lock().unwrap() += ids.len();
        panic!("on purpose");
    });
    assert!(local.sealed_between(Time(0), NOW.plus_secs(1), visit).await.is_err());
    assert!(
        matches!(visited.lock(), Err(e) if **e.get_ref() == 1) || *visited.lock().unwrap() == 1
    );
}

#[test]
fn free_space_is_that_of_the_file_system() {
    let (_dir, local) = store();
    let free = local.free_bytes().unwrap();
    assert!(free > 0 && free < 1 << 60, "{free}");
}

/// No thread that may block waits for work that needs another one: however few there are, all uploads come to their ends.
#[test]
fn one_thread_is_enough_for_many_long_uploads() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    for direct_from in [u64::MAX, 1_000_000] {
        let dir = tempfile::tempdir().unwrap();
        let options = LocalOptions { reserve_bytes: 0, direct_from };
        let local = Local::open_with(dir.path(), options).unwrap();
        let upload = async || {
            let mut stage = local.stage(ACCOUNT, NOW).await.unwrap();
            // Longer than what is written before write-back begins.
            for _ in 0..10 {
                stage.write(frame(MIB)).await.unwrap();
            }
            stage.finish().await.unwrap().seal().await.unwrap()
        };
        let all = futures_util::future::join_all((0..4).map(|_| upload()));
        let ids = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), all).await.expect("they come to an end")
        });
        assert_eq!(ids.len(), 4);
    }
}
