//! What a check makes of bytes that are on their way: damage or garbage where nobody writes, nothing of note where others do.
//!
//! What does not live here: each kind of finding (tests/fsck of crate `server`).

use blobs::Blobs;
use bytes::Bytes;
use model::{AccountId, Time};
use ops::fsck::{Kind, Options, Report};

use crate::harness::Bench;

async fn look(bench: &Bench, online: bool) -> Vec<Kind> {
    let options = Options { deep: true, online, ..Options::default() };
    let report: Report = bench.store.fsck(options).await.unwrap();
    report.kinds.keys().copied().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_on_its_way_is_no_damage() {
    let bench = Bench::new();
    let caller = bench.new_caller().await;
    let mut upload = bench.store.upload(&caller).unwrap();
    for _ in 0..40 {
        upload.write(Bytes::from(vec![7; 100_000])).await.unwrap();
    }
    assert_eq!(look(&bench, true).await, []);
    assert_eq!(look(&bench, false).await, [Kind::StageLeft]);
    drop(upload);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_nobody_refers_to_yet_is_no_garbage() {
    let bench = Bench::new();
    bench.new_caller().await;
    let before = Time(1_600_000_000_000);
    for (staged, online, offline) in [
        (Time(1_700_000_000_000), vec![], vec![Kind::BlobOrphan]),
        (before, vec![Kind::BlobOrphan], vec![Kind::BlobOrphan]),
    ] {
        let mut stage = bench.blobs.stage(AccountId(1), staged).await.unwrap();
        stage.write(Bytes::from_static(b"nobody's yet")).await.unwrap();
        stage.finish().await.unwrap().seal().await.unwrap();
        assert_eq!(look(&bench, true).await, online);
        assert_eq!(look(&bench, false).await, offline);
    }
    let repair = Options { repair: true, ..Options::default() };
    let report = bench.store.fsck(repair).await.unwrap();
    assert_eq!((report.total(), report.left), (2, 0), "{report:?}");
    assert!(report.findings.iter().all(|finding| finding.mended), "{report:?}");
    assert_eq!(look(&bench, false).await, []);
    let both = Options { repair: true, online: true, ..Options::default() };
    assert!(bench.store.fsck(both).await.is_err(), "nothing is mended while others write");
}
