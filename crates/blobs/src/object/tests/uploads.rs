//! Uploads that end early, blobs that leave while they are read, and what the clean-up does about uploads nobody goes on with.

use std::time::Instant;

use model::Error;
use object_store::{
    Error as StoreError, ObjectStoreExt as _, PutPayload, multipart::MultipartStore,
};

use super::*;

/// Longer than a part.
const LONG: usize = 20 * 1024 * 1024;

/// The number at the store of the only upload that is running.
async fn upload(fixture: &Fixture) -> (BlobId, String) {
    let marks: Vec<String> =
        fixture.objects().await.into_iter().filter(|name| name.starts_with("stage/")).collect();
    let [mark] = marks.as_slice() else { panic!("{marks:?}") };
    let number = fixture.store.get(&mark.as_str().into()).await.unwrap().bytes().await.unwrap();
    let id = mark.strip_prefix("stage/").and_then(|name| BlobId::from_hex(&name[..32])).unwrap();
    (id, String::from_utf8(number.to_vec()).unwrap())
}

/// Whether the store knows of an upload.
async fn runs(fixture: &Fixture, id: BlobId, number: &String) -> bool {
    let path = fixture.engine().shared.names.blob(id);
    let part = fixture.store.put_part(&path, number, 0, PutPayload::from_static(b"x")).await;
    match part {
        Ok(_) => true,
        Err(StoreError::NotFound { .. } | StoreError::Generic { .. }) => false,
        Err(e) => panic!("{e}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_stage_that_is_dropped() {
    let fixture = Fixture::new();
    let engine = fixture.engine();
    let stage = staged(&engine, &content(LONG)).await;
    eventually("an upload in parts", async || fixture.objects().await.len() == 1).await;
    assert!(matches!(lying(&engine).await.as_slice(), [Lying::Staged(_)]));
    let (id, number) = upload(&fixture).await;
    drop(stage);
    eventually("aborted", async || fixture.objects().await.is_empty()).await;
    assert!(!runs(&fixture, id, &number).await);

    let finished = staged(&engine, &content(LONG)).await.finish().await.unwrap();
    eventually("an upload in parts", async || fixture.objects().await.len() == 1).await;
    drop(finished);
    eventually("aborted", async || fixture.objects().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_the_blob_is_left_of_one_that_is_sealed() {
    let fixture = Fixture::new();
    let engine = fixture.engine();
    let id = put(&engine, &content(LONG)).await.unwrap();
    eventually("its mark gone", async || fixture.objects().await.len() == 1).await;
    assert_eq!(lying(&engine).await, [Lying::Sealed(id)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_that_died_left_half_written_is_given_up() {
    let fixture = Fixture::new();
    let died = fixture.engine();
    let stage = staged(&died, &content(LONG)).await;
    eventually("an upload in parts", async || fixture.objects().await.len() == 1).await;
    std::mem::forget(stage);
    let (id, number) = upload(&fixture).await;
    let engine = fixture.engine();
    assert_eq!(engine.give_up_stages(Time(1000)).await.unwrap(), 0, "too young");
    assert!(runs(&fixture, id, &number).await);
    assert_eq!(engine.give_up_stages(LATER).await.unwrap(), 1);
    assert!(!runs(&fixture, id, &number).await);
    assert!(fixture.objects().await.is_empty());
    assert_eq!(engine.give_up_stages(LATER).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_was_given_up_meanwhile_is_never_sealed() {
    let fixture = Fixture::new();
    let engine = fixture.engine();
    let mut stage = staged(&engine, &content(LONG)).await;
    eventually("an upload in parts", async || fixture.objects().await.len() == 1).await;
    assert_eq!(engine.give_up_stages(LATER).await.unwrap(), 1);
    let written = stage.write(content(LONG).into()).await;
    let sealed = match written {
        Ok(()) => match stage.finish().await {
            Ok(staged) => staged.seal().await,
            Err(e) => Err(e),
        },
        Err(e) => Err(e),
    };
    assert!(sealed.is_err());
    eventually("nothing there", async || fixture.objects().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_leaves_for_good_when_its_readers_are_done() {
    let fixture = Fixture::new();
    let engine = Arc::new(fixture.engine());
    let content = content(2 * 1024 * 1024);
    let (id, other) =
        (put(&*engine, &content).await.unwrap(), put(&*engine, &content).await.unwrap());
    let reader = engine.open(id).await.unwrap();
    let removing = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { (engine.remove_all(vec![id, other]).await, Instant::now()) }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pieces(&*reader).await.unwrap(), content);
    assert!(!removing.is_finished(), "somebody reads still");
    let again = engine.open(id).await.map(|_| ());
    assert!(matches!(again, Err(Error::Damaged(_))), "{again:?}");
    let left = Instant::now();
    drop(reader);
    let (removed, at) = removing.await.unwrap();
    removed.unwrap();
    assert!(at >= left);
    assert!(fixture.objects().await.is_empty());
    assert!(engine.open(id).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_is_staged_again_under_its_id_is_the_new_one() {
    let fixture = Fixture::new();
    let options = Options { cache_bytes: 16 << 20, ..Options::new(fixture.scratch.path()) };
    let engine = Object::over(fixture.store.clone(), "", &options).unwrap();
    let id = put(&engine, &content(700_000)).await.unwrap();
    assert_eq!(whole(&engine, id).await.unwrap(), content(700_000));
    for len in [700_001, LONG] {
        let mut stage = engine.stage_as(id).await.unwrap();
        stage.write(content(len).into()).await.unwrap();
        assert_eq!(stage.finish().await.unwrap().seal().await.unwrap(), id);
        assert!(whole(&engine, id).await.unwrap() == content(len), "{len} bytes");
    }
}
