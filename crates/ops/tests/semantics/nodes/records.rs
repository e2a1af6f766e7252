//! What is written through one node is what the next request finds on any other.

use bytes::Bytes;
use model::{Error, Secret};
use ops::{
    AccountChange, AccountRef, Candidate, Found, IfThere, Limits, Parents, Store,
    link::Shown,
    signature::{Signed, sign},
    throttle::SlowDown,
};

use super::Cluster;
use crate::harness::{path, put, spec};

async fn get(store: &Store, name: &str) -> Result<Bytes, Error> {
    let account = AccountRef::Named("acme".to_owned());
    let candidate = Candidate { account, path: path(name), account_in_path: true };
    match store.get(vec![candidate], Shown::default(), true, true).await? {
        Found::File(file) => file.read(0, usize::MAX).await,
        Found::Arriving(..) => panic!("nothing arrives"),
    }
}

#[tokio::test]
async fn files_and_directories() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let (one_s, two_s) = (&one.store, &two.store);
    let caller = one.somebody().await;
    for round in 0..20_u8 {
        // Small content and a blob, new, replaced, and from one node and the other.
        for len in [100, 20_000] {
            let (writer, reader) = if round % 2 == 0 { (one_s, two_s) } else { (two_s, one_s) };
            let content = vec![round; len];
            put(writer, &caller, spec(&path("f"), Parents::Required), &content).await.unwrap();
            assert_eq!(get(reader, "f").await.unwrap(), content);
            assert_eq!(get(writer, "f").await.unwrap(), content);
        }
    }
    let refused = IfThere::Refused;
    one_s.make_directory(&caller, &path("d"), Parents::Required, refused).await.unwrap();
    let twice = two_s.make_directory(&caller, &path("d"), Parents::Required, refused).await;
    assert_eq!(twice.map(|_| ()), Err(Error::Exists));
    two_s.rename(&caller, &path("f"), &path("d/g")).await.unwrap();
    assert_eq!(get(one_s, "f").await, Err(Error::NotFound));
    assert_eq!(get(one_s, "d/g").await.unwrap().len(), 20_000);
    one_s.delete_file(&caller, &path("d/g")).await.unwrap();
    assert_eq!(get(two_s, "d/g").await, Err(Error::NotFound));
}

#[tokio::test]
async fn sessions_passwords_and_users() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    one.somebody().await;
    let login = async |store: &Store, password: &str| {
        store.login(None, "anna", &Secret::new(password)).await.map(|done| done.token)
    };
    let first = login(&one.store, "pw").await.unwrap();
    // Asked on both, so that whatever would remember who it is does.
    for store in [&one.store, &two.store, &one.store, &two.store] {
        assert!(store.caller(first.expose()).await.is_ok());
    }
    two.store.logout(first.expose()).await.unwrap();
    assert_eq!(one.store.caller(first.expose()).await, Err(Error::BadToken));

    let second = login(&two.store, "pw").await.unwrap();
    assert!(one.store.caller(second.expose()).await.is_ok());
    one.store.set_password("anna", &Secret::new("new")).await.unwrap();
    assert_eq!(two.store.caller(second.expose()).await, Err(Error::BadToken));
    assert!(login(&two.store, "pw").await.is_err());
    let third = login(&two.store, "new").await.unwrap();
    assert!(one.store.caller(third.expose()).await.is_ok());
    two.store.set_active("anna", false).await.unwrap();
    assert_eq!(one.store.caller(third.expose()).await, Err(Error::BadToken));
    assert!(login(&one.store, "new").await.is_err());
}

#[tokio::test]
async fn the_private_flag() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    put(&one.store, &caller, spec(&path("f"), Parents::Required), b"x").await.unwrap();
    let set = async |store: &Store, private| {
        let change = AccountChange { private: Some(private), ..AccountChange::default() };
        store.change_account("acme", change).await.unwrap();
    };
    for _ in 0..5 {
        assert!(get(&two.store, "f").await.is_ok());
        set(&one.store, true).await;
        assert!(get(&two.store, "f").await.is_err());
        set(&two.store, false).await;
        assert!(get(&one.store, "f").await.is_ok());
        set(&two.store, true).await;
        assert!(get(&one.store, "f").await.is_err());
        set(&one.store, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_one_for_all_nodes() {
    let cluster = Cluster::new();
    let nodes: [_; 3] = cluster.nodes();
    let caller = nodes[0].somebody().await;
    let quota = AccountChange { quota_files: Some(Some(7)), ..AccountChange::default() };
    nodes[1].store.change_account("acme", quota).await.unwrap();
    let puts = (0..30).map(|n| {
        let (store, caller) = (nodes[n % 3].store.clone(), caller.clone());
        tokio::spawn(async move {
            let at = path(&format!("f{n}"));
            put(&store, &caller, spec(&at, Parents::Required), &vec![0; 10_000]).await
        })
    });
    let mut outcomes = Vec::new();
    for task in puts.collect::<Vec<_>>() {
        outcomes.push(task.await.unwrap());
    }
    assert_eq!(outcomes.iter().filter(|done| done.is_ok()).count(), 7);
    let refused = outcomes.iter().filter(|done| **done == Err(Error::OverQuota)).count();
    assert_eq!(refused, 23, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_is_used_once_by_fifty_at_once() {
    let cluster = Cluster::new();
    let nodes: [_; 2] = cluster.nodes();
    let caller = nodes[0].somebody().await;
    let pair = nodes[0].store.init_key_pair(&caller).await.unwrap();
    for message in ["one", "two"] {
        let signature = sign(&pair.secret_key, message.as_bytes()).unwrap().0.to_vec();
        let signed = Signed {
            access_key: pair.access_key.clone(),
            expiry: 1_700_000_100,
            message: message.as_bytes().to_vec(),
            signature,
        };
        let uses = (0..50).map(|n| {
            let (store, signed) = (nodes[n % 2].store.clone(), signed.clone());
            tokio::spawn(async move { store.signed_caller(signed).await })
        });
        let mut right = 0;
        for used in uses.collect::<Vec<_>>() {
            match used.await.unwrap() {
                Ok(who) => {
                    assert_eq!(who.user, caller.user);
                    right += 1;
                }
                Err(e) => assert_eq!(e, Error::BadToken),
            }
        }
        assert_eq!(right, 1);
    }
}

#[tokio::test]
async fn guessing_is_slowed_over_all_nodes() {
    let slow_down = SlowDown {
        free_per_user: 1,
        first_delay_ms: 20,
        longest_delay_ms: 20,
        ..SlowDown::default()
    };
    let cluster = Cluster::with(Limits { slow_down, ..Limits::default() });
    let [one, two, fresh] = cluster.nodes();
    one.somebody().await;
    let attempt = async |store: &Store, password: &str| {
        store.login(None, "anna", &Secret::new(password)).await.map(drop)
    };
    for store in [&one.store, &two.store] {
        for _ in 0..2 {
            assert!(attempt(store, "wrong").await.is_err());
        }
    }
    cluster.clock.advance_secs(1);
    assert!(attempt(&one.store, "wrong").await.is_err(), "takes the turn for 20 ms");
    assert!(attempt(&two.store, "pw").await.is_err(), "the clock stands still: it has no turn");
    assert!(attempt(&fresh.store, "pw").await.is_ok(), "a node that saw nothing yet");
    cluster.clock.advance_secs(1);
    assert!(attempt(&two.store, "pw").await.is_ok());
}

#[tokio::test]
async fn while_the_catalog_is_away_requests_fail_and_then_go_on() {
    let cluster = Cluster::new();
    let [one, two] = cluster.nodes();
    let caller = one.somebody().await;
    let token = one.store.login(None, "anna", &Secret::new("pw")).await.unwrap().token;
    put(&one.store, &caller, spec(&path("f"), Parents::Required), b"x").await.unwrap();
    one.way.set_away(true);
    let away = |e: Error| assert!(matches!(e, Error::Unavailable(_)), "{e:?}");
    away(get(&one.store, "f").await.unwrap_err());
    away(one.store.caller(token.expose()).await.map(drop).unwrap_err());
    away(one.store.stat(&caller, &path("f")).await.map(drop).unwrap_err());
    for _ in 0..20 {
        away(one.store.login(None, "anna", &Secret::new("pw")).await.map(drop).unwrap_err());
    }
    let spec = || spec(&path("g"), Parents::Required);
    away(put(&one.store, &caller, spec(), &[0; 20_000]).await.unwrap_err());
    assert!(get(&two.store, "f").await.is_ok());
    one.way.set_away(false);
    assert!(get(&one.store, "f").await.is_ok());
    put(&one.store, &caller, spec(), &[0; 20_000]).await.unwrap();
    let login = one.store.login(None, "anna", &Secret::new("pw")).await;
    assert!(login.is_ok(), "what could not be looked at was no wrong password");
}
