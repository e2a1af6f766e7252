//! What is known of a file, and what of it is looked up again when it may have changed.

use std::collections::BTreeSet;

use bytes::Bytes;
use model::TreePath;
use ops::{AccountRef, Candidate, Known, Parents, Store};

use super::harness::{Bench, path, put, spec};

/// What everybody gets at `/f` of an account.
fn known(store: &Store, account: &str, before: Option<&Known>) -> Option<Known> {
    let account = AccountRef::Named(account.to_owned());
    let candidate = Candidate { account, path: path("/f"), account_in_path: true };
    store.get_now(vec![candidate], true, before)
}

fn content(known: &Known) -> Bytes {
    known.inline().cloned().unwrap()
}

/// Content is not looked up again where it is the same file's still; it is where another file, or another account's, stands
/// under that name.
#[tokio::test]
async fn content_is_looked_up_when_it_may_be_another() {
    let bench = Bench::new();
    let (anna, otto) = (bench.new_caller().await, bench.new_caller().await);
    let (store, f) = (&bench.store, path("/f"));
    let file = |at: &TreePath| spec(at, Parents::Required);
    put(store, &anna, file(&f), b"first").await.unwrap();
    put(store, &otto, file(&f), b"other").await.unwrap();
    let first = known(store, &anna.account_name, None).unwrap();
    assert!(store.is_current(&first));

    store.set_mtime(&anna, &f, 77).await.unwrap();
    assert!(!store.is_current(&first));
    let touched = known(store, &anna.account_name, Some(&first)).unwrap();
    assert!(store.is_current(&touched));
    assert_eq!(touched.attrs().mtime, 77);
    assert_eq!(content(&touched).as_ptr(), content(&first).as_ptr(), "the very same bytes");
    let again = known(store, &anna.account_name, None).unwrap();
    assert_ne!(content(&again).as_ptr(), content(&first).as_ptr(), "looked up");

    put(store, &anna, file(&f), b"later").await.unwrap();
    let later = known(store, &anna.account_name, Some(&touched)).unwrap();
    assert_eq!(content(&later), "later");
    let others = known(store, &otto.account_name, Some(&later)).unwrap();
    assert_eq!(content(&others), "other");
    store.delete_file(&anna, &f).await.unwrap();
    assert!(known(store, &anna.account_name, Some(&later)).is_none());
    let seen = [first, touched, again, later, others].map(|known| content(&known));
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 3);
}
