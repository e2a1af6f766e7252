//! A copy of a store while files are deleted and the sweeper is at work.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use ops::{Parents, fsck};
use tokio::runtime::Handle;

use crate::harness::{Bench, path, put, spec};

const FILES: usize = 200;

/// What is deleted while it is copied is in the copy, with its bytes; after the copy the sweeper has its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_swept_away_under_a_copy() {
    let (from, to) = (Bench::new(), Bench::new());
    let caller = from.new_caller().await;
    let content = |i: usize| vec![u8::try_from(i % 251).unwrap(); 10_000 + i];
    let name = |i: usize| path(&format!("/f{i}"));
    for i in 0..FILES {
        put(&from.store, &caller, spec(&name(i), Parents::Required), &content(i)).await.unwrap();
    }
    assert_eq!(from.store.scrub_now(Some(0)).await.unwrap().pass, 1);
    let (told, swept) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let copied = from
        .store
        .copy_into(&to.store, |_| {
            // Once, after the first blobs: everything goes, and the sweeper looks.
            if told.fetch_add(1, Ordering::Relaxed) > 0 {
                return;
            }
            tokio::task::block_in_place(|| {
                Handle::current().block_on(async {
                    for i in 0..FILES {
                        from.store.delete_file(&caller, &name(i)).await.unwrap();
                    }
                    let removed = from.store.sweep_doomed().await.unwrap();
                    swept.lock().unwrap().push(removed);
                });
            });
        })
        .await
        .unwrap();
    assert!(told.into_inner() > 2, "the copy was in parts");
    assert_eq!((copied.blobs, &copied.damaged), (FILES as u64, &vec![]));
    assert_eq!(*swept.lock().unwrap(), [0], "nothing was removed meanwhile");
    let report = to.store.fsck(fsck::Options { deep: true, ..Default::default() }).await.unwrap();
    assert_eq!((report.left, report.counts.files), (0, FILES as u64), "{:?}", report.findings);
    assert_eq!(
        to.store.scrub_status().await.unwrap().pass,
        0,
        "how far scrubbing was is not copied"
    );
    let mut removed = 0;
    while removed < FILES {
        let some = from.store.sweep_doomed().await.unwrap();
        assert!(some > 0, "{removed} of {FILES} were removed");
        removed += some;
    }
}
