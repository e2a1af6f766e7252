//! The door between nodes: whoever closes it waits for those that have gone through, and nobody goes through after.

use std::sync::mpsc::sync_channel;

use model::{Error, Moving, Stage, Time};

use super::Storage;
use crate::Tx;
use crate::suite::{ROOT, at, file, submit, with_root};

/// A node's group has seen the door open, and is slow; another node closes it. The group is in what is noted when that
/// returns, or it was refused; without the lock it would commit after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_waits_for_those_who_write() {
    let storage = Storage::new();
    let (slow, closer) = (with_root(&|| storage.open()).await, storage.open());
    let moving = |stage| Moving { id: 1, place: String::new(), begun: Time(1), epoch: 1, stage };
    let leaving = moving(Stage::Leaving);
    closer.write_closed(move |tx| tx.put_moving(Some(&leaving))).await.unwrap();
    let (entered, inside) = sync_channel(1);
    let (go_on, wait) = sync_channel::<()>(1);
    let put = move |tx: &mut dyn Tx| {
        tx.put_file(at(ROOT, "f"), &file(1))?;
        // Nobody listens when it is run again.
        let _ = entered.try_send(());
        let _ = wait.recv();
        Ok(())
    };
    let write = submit(slow.write(put)).await;
    tokio::task::spawn_blocking(move || inside.recv().unwrap()).await.unwrap();
    let closed = moving(Stage::Closing);
    let closing = submit(closer.write_closed(move |tx| tx.put_moving(Some(&closed)))).await;
    let mut closing = Box::pin(closing.wait());
    let early = tokio::time::timeout(std::time::Duration::from_millis(500), &mut closing).await;
    assert!(!matches!(early, Ok(Ok(()))), "it did not wait");
    drop(go_on);
    let closed = match early {
        Ok(refused) => refused,
        Err(_) => closing.await,
    };
    let found = closer
        .audit(|audit| Ok((audit.moving()?, audit.changes(1, None, 100)?.len())))
        .await
        .unwrap();
    let written = write.wait().await;
    match (closed, written) {
        (Ok(()), Ok(())) => assert!(found.1 > 0, "{found:?}"),
        // Slow machines: the statement that waits has a limit.
        (Err(Error::Unavailable(_)), Ok(())) => {}
        (closed, written) => panic!("{closed:?} {written:?} {found:?}"),
    }
    let later = slow.write(|tx| tx.put_file(at(ROOT, "g"), &file(2))).await;
    let is_closed = closer.read(|r| r.moving()).await.unwrap().is_some_and(|it| it.is_closed());
    assert_eq!(later.is_err(), is_closed, "{later:?}");
}
