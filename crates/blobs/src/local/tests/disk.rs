//! A disk that refuses: errors come out, nothing stays behind, and the next upload may go well.

use std::{fs, process::Command};

use bytes::Bytes;
use model::{Error, Result};

use super::{ACCOUNT, NOW, eventually, files, frame, path_of, store};
use crate::{Blobs, local::Local, suite::sealed};

const MIB: usize = 1024 * 1024;

/// Writes until an error comes; `finish` counts as the last write.
async fn fill(local: &Local, mib: usize) -> Result<()> {
    let mut stage = local.stage(ACCOUNT, NOW).await?;
    for _ in 0..mib {
        if let Err(first) = stage.write(frame(MIB)).await {
            let again = stage.write(Bytes::from_static(b"more")).await;
            assert_eq!(again.unwrap_err(), first, "a stage that failed stays failed");
            assert_eq!(stage.finish().await.map(|_| ()).unwrap_err(), first);
            return Err(first);
        }
    }
    stage.finish().await.map(|_| ())
}

#[tokio::test]
async fn a_stage_that_cannot_be_written_says_so_and_goes_on_saying_so() {
    let (dir, local) = store();
    let stage = dir.path().join("stage");
    fs::remove_dir(&stage).unwrap();
    assert!(matches!(fill(&local, 8).await, Err(Error::Storage(_))));
    assert!(matches!(fill(&local, 0).await, Err(Error::Storage(_))));
    fs::create_dir(&stage).unwrap();
    fill(&local, 3).await.unwrap();
    eventually("nothing is left", || files(dir.path()).is_empty()).await;
}

#[tokio::test]
async fn a_seal_that_fails_leaves_neither_file_nor_name() {
    let (dir, local) = store();
    let blobs = dir.path().join("blobs");
    let mut stage = local.stage(ACCOUNT, NOW).await.unwrap();
    stage.write(frame(1000)).await.unwrap();
    let staged = stage.finish().await.unwrap();
    fs::remove_dir(&blobs).unwrap();
    assert!(matches!(staged.seal().await, Err(Error::Storage(_))));
    assert!(files(dir.path()).is_empty());

    fs::create_dir(&blobs).unwrap();
    let id = sealed(&local, b"again", NOW).await;
    // The rename itself fails: the directory is known to be durable and yet not there.
    fs::remove_dir_all(&blobs).unwrap();
    for _ in 0..5 {
        let staged = local.stage(ACCOUNT, NOW).await.unwrap().finish().await.unwrap();
        assert!(matches!(staged.seal().await, Err(Error::Storage(_))));
    }
    assert!(files(dir.path()).is_empty());
    assert!(matches!(local.open(id).await.map(|_| ()), Err(Error::Damaged(_))));
}

/// Needs the right to mount; says so and passes where there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = Disk::mount() else {
        println!("skipped: no right to mount a tmpfs");
        return;
    };
    let local = Local::open(disk.dir.path()).unwrap();
    let kept = sealed(&local, &frame(MIB), NOW).await;
    for _ in 0..5 {
        assert!(matches!(fill(&local, 40).await, Err(Error::Full)));
        eventually("the space is free again", || local.free_bytes().unwrap() > 6 * MIB as u64)
            .await;
        assert_eq!(files(disk.dir.path()), [path_of(disk.dir.path(), kept)]);
    }
    // Full at each point of a blob's end: the last bytes, the checksums, the footer.
    let free = usize::try_from(local.free_bytes().unwrap()).unwrap();
    for short in (0..80).map(|n| n * 64 / 4) {
        let mut stage = local.stage(ACCOUNT, NOW).await.unwrap();
        let _ = stage.write(Bytes::from(vec![1; free - short])).await;
        match stage.finish().await {
            Ok(staged) => drop(staged),
            Err(e) => assert_eq!(e, Error::Full, "{short} bytes less than the disk has"),
        }
        eventually("the file is removed", || files(disk.dir.path()).len() == 1).await;
    }
    let read = local.open(kept).await.unwrap().read(0, MIB).await.unwrap();
    assert!(read == frame(MIB));
    fill(&local, 4).await.unwrap();
    local.remove(kept).await.unwrap();
}

/// An 8 MiB file system of its own.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self { dir })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).output();
    }
}
