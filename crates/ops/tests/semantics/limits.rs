//! Quotas and rates where no client can steer what comes first: between the check and the commit, and around a signature.

use std::{num::NonZeroU32, time::Duration};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use model::{Error, TreePath};
use ops::{
    AccountChange, Limits, Parents,
    rate::{self, Rate},
    signature::Signed,
};
use sha2::Sha256;

use crate::harness::{Bench, path, put, spec};

const QUOTA: u64 = 100_000;

#[tokio::test]
async fn of_two_uploads_that_each_had_room_one_gets_it() {
    let bench = Bench::new();
    let (store, caller) = (&bench.store, bench.new_caller().await);
    let quota = AccountChange { quota_bytes: Some(Some(QUOTA)), ..AccountChange::default() };
    store.change_account(&caller.account_name, quota).await.unwrap();
    let mut uploads = Vec::new();
    for name in ["a", "dir/b"] {
        let spec = spec(&path(name), Parents::Created);
        let room = store.check_put(&caller, &spec, Some(60_000)).await.unwrap();
        let mut upload = store.upload(&caller).unwrap();
        upload.bound(room);
        upload.write(Bytes::from(vec![1; 60_000])).await.unwrap();
        uploads.push((upload, spec));
    }
    let mut outcomes = Vec::new();
    for (upload, spec) in uploads {
        outcomes.push(upload.commit(spec).await.map(|stored| stored.size));
    }
    assert_eq!(outcomes, [Ok(60_000), Err(Error::OverQuota)]);
    let info = store.accounts().await.unwrap();
    let usage = info.iter().find(|info| info.account.id == caller.account).unwrap().usage;
    assert_eq!(
        (usage.files, usage.directories, usage.bytes),
        (1, 0, 60_000),
        "nothing of it stays"
    );
    assert_eq!(
        put(store, &caller, spec(&path("c"), Parents::Required), &[0; 40_000]).await,
        Ok(())
    );
    let one_more = put(store, &caller, spec(&path("d"), Parents::Required), &[0]).await;
    assert_eq!(one_more, Err(Error::OverQuota));
    assert_eq!(
        store.room(&caller, &TreePath::root()).await.map(|_| ()),
        Ok(()),
        "bytes, not files"
    );
}

#[tokio::test]
async fn a_signature_that_came_too_early_can_be_used_later() {
    let every = Duration::from_millis(100);
    let per_user = Some(Rate { every, burst: NonZeroU32::MIN });
    let rate = rate::Limits { per_user, per_address: None };
    let bench = Bench::with(Limits { rate, ..Limits::default() });
    bench.add_user("anna", |_| {}).await;
    let caller = bench.login("anna").await.unwrap().caller;
    let pair = bench.store.init_key_pair(&caller).await.unwrap();
    let sign = |message: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(pair.secret_key.expose().as_bytes()).unwrap();
        mac.update(message.as_bytes());
        Signed {
            access_key: pair.access_key.clone(),
            expiry: 1_700_000_100,
            message: message.as_bytes().to_vec(),
            signature: mac.finalize().into_bytes().to_vec(),
        }
    };
    for message in ["one", "two", "three"] {
        while let Err(error) = bench.store.signed_caller(sign(message)).await {
            assert!(matches!(error, Error::RateLimited { .. }), "{error}");
            tokio::time::sleep(every / 10).await;
        }
    }
    let wrong = Signed { signature: vec![0; 32], ..sign("four") };
    assert_eq!(bench.store.signed_caller(wrong).await, Err(Error::BadToken), "counts for nobody");
}
