//! Sessions over time: expiry, what ends them, and what a token is worth (protocol.md, section 4).

use model::{Error, Secret};

use super::harness::{Bench, path};

#[tokio::test]
async fn a_session_lives_as_long_as_it_was_given() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    let hour = bench.login("anna").await.unwrap().token;
    let pw = Secret::new("pw");
    let root = path("/");
    let minute = bench.store.authenticate(None, "anna", &pw, 60, &root).await.unwrap().token;
    assert_eq!(
        bench.store.caller(hour.expose()).await,
        Err(Error::BadToken),
        "authenticate ends what came from login"
    );
    bench.clock.advance_secs(59);
    let caller = bench.store.caller(minute.expose()).await.unwrap();
    assert!((bench.store.age_secs(&caller) - 59.0).abs() < 0.001);
    bench.clock.advance_secs(1);
    assert_eq!(bench.store.caller(minute.expose()).await, Err(Error::BadToken));

    let hour = bench.login("anna").await.unwrap().token;
    bench.clock.advance_secs(3_599);
    assert!(bench.store.caller(hour.expose()).await.is_ok());
    bench.clock.advance_secs(1);
    assert_eq!(bench.store.caller(hour.expose()).await, Err(Error::BadToken));
}

#[tokio::test]
async fn updated_once_for_ever_or_for_a_while() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    let for_ever = bench.login("anna").await.unwrap();
    let for_a_while = bench.login("anna").await.unwrap();
    bench.store.update_session(&for_ever.caller, 0).await.unwrap();
    bench.store.update_session(&for_a_while.caller, 10).await.unwrap();
    assert_eq!(bench.store.update_session(&for_ever.caller, 5).await, Err(Error::AlreadyUpdated));
    bench.clock.advance_secs(11);
    assert_eq!(bench.store.caller(for_a_while.token.expose()).await, Err(Error::BadToken));
    bench.clock.advance_secs(1_000_000_000);
    assert!(bench.store.caller(for_ever.token.expose()).await.is_ok());
}

#[tokio::test]
async fn limited_to_a_directory_that_is_there() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    let anna = bench.login("anna").await.unwrap().caller;
    let (required, refused) = (ops::Parents::Required, ops::IfThere::Refused);
    bench.store.make_directory(&anna, &path("/d"), required, refused).await.unwrap();
    let pw = Secret::new("pw");
    let open = |subdir| {
        let (store, pw, subdir) = (bench.store.clone(), pw.clone(), path(subdir));
        async move { store.authenticate(None, "anna", &pw, 60, &subdir).await }
    };
    let limited = open("/d").await.unwrap().caller;
    assert_eq!(limited.absolute(&path("/x")), "/acme/d/x");
    assert_eq!(open("/missing").await.unwrap_err(), Error::InvalidSubdir);
    let bad = bench.store.authenticate(None, "anna", &pw, 0, &path("/")).await;
    assert_eq!(bad.unwrap_err(), Error::InvalidExpiry);
    let bad = bench.store.authenticate(None, "anna", &pw, 86_401, &path("/")).await;
    assert_eq!(bad.unwrap_err(), Error::InvalidExpiry);
}

#[tokio::test]
async fn ended_sessions_are_removed_and_others_stay() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    let ends = bench.login("anna").await.unwrap().token;
    bench.clock.advance_secs(3_000);
    let stays = bench.login("anna").await.unwrap().token;
    bench.clock.advance_secs(700);
    assert_eq!(bench.store.sweep_sessions(None).await.unwrap(), None);
    assert_eq!(bench.store.logout(ends.expose()).await, Err(Error::BadToken));
    bench.store.logout(stays.expose()).await.unwrap();
    assert_eq!(bench.store.logout(stays.expose()).await, Err(Error::BadToken));
}

#[tokio::test]
async fn a_new_password_or_a_closed_user_ends_sessions() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    let before = bench.login("anna").await.unwrap().token;
    bench.store.set_password("anna", &Secret::new("new")).await.unwrap();
    assert_eq!(bench.store.caller(before.expose()).await, Err(Error::BadToken));
    assert_eq!(bench.login("anna").await.unwrap_err(), Error::BadCredentials);
    let after = bench.store.login(None, "anna", &Secret::new("new")).await.unwrap().token;
    bench.store.set_active("anna", false).await.unwrap();
    assert_eq!(bench.store.caller(after.expose()).await, Err(Error::BadToken));
    let closed = bench.store.login(None, "anna", &Secret::new("new")).await;
    assert_eq!(closed.unwrap_err(), Error::BadCredentials);
    bench.store.set_active("anna", true).await.unwrap();
    assert_eq!(bench.store.caller(after.expose()).await, Err(Error::BadToken), "ended is ended");
}

#[tokio::test]
async fn key_pairs_replace_each_other_and_are_stored_encrypted() {
    let bench = Bench::new();
    bench.add_user("anna", |_| {}).await;
    let anna = bench.login("anna").await.unwrap().caller;
    let first = bench.store.init_key_pair(&anna).await.unwrap();
    let second = bench.store.init_key_pair(&anna).await.unwrap();
    assert_ne!(first.access_key, second.access_key);
    assert_eq!((second.access_key.len(), second.secret_key.expose().len()), (32, 64));
    let token = bench.login("anna").await.unwrap().token;
    let Bench { store, dir, blobs, clock: _ } = bench;
    drop((store, blobs));
    for secret in [first.secret_key.expose(), second.secret_key.expose(), token.expose()] {
        assert!(!holds(dir.path(), secret.as_bytes()), "a secret stands on disk as it is");
    }
    assert!(holds(dir.path(), second.access_key.as_bytes()), "the search finds what is there");
}

/// Whether any file below `dir` holds these bytes.
fn holds(dir: &std::path::Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            holds(&path, wanted)
        } else {
            std::fs::read(&path).unwrap().windows(wanted.len()).any(|part| part == wanted)
        }
    })
}
