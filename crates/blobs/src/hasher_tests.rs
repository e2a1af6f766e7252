//! Which hash takes which part, together or apart, and when another joins.

use super::*;

fn of(bytes: &[u8]) -> ContentHash {
    let mut hash = ContentHash::new();
    hash.update(bytes);
    hash
}

fn chained(bytes: &[u8]) -> Chained {
    Chained { before: ContentHash::of(bytes), hash: of(bytes) }
}

#[tokio::test]
async fn what_is_handed_over_is_hashed_in_order() {
    let (hasher, mut whole) = (Hasher::default(), ContentHash::new());
    for n in 0..200_u8 {
        for f in 0..n % 4 {
            let frame = Bytes::from(vec![n; 40_000 * usize::from(f) + usize::from(n)]);
            whole.update(&frame);
            hasher.room().await.unwrap();
            hasher.push(frame);
        }
    }
    assert_eq!(hasher.end().await.unwrap().own.finish(), whole.finish());
}

#[tokio::test]
async fn it_goes_on_from_a_state() {
    let before = of(b"abc");
    let hasher = Hasher::from(before.clone());
    hasher.push(Bytes::from_static(b"d"));
    hasher.push(Bytes::from_static(b"ef"));
    assert_eq!(hasher.end().await.unwrap().own.finish(), ContentHash::of(b"abcdef"));
    let none = Hasher::from(before).end().await.unwrap();
    assert_eq!(none.own.finish(), ContentHash::of(b"abc"));
}

#[tokio::test]
async fn another_hash_joins_where_the_first_one_is() {
    let mut hasher = Hasher::default();
    let chain = hasher.chain();
    hasher.push(Bytes::from_static(b"de"));
    assert_eq!(chain.taken(), Some(2));
    assert!(!chain.join(0, &chained(b"abc")), "it is elsewhere");
    let joined = Chained { before: ContentHash::of(b"abc"), hash: of(b"abcde") };
    assert!(chain.join(2, &joined));
    assert!(chain.taken().is_none() && !chain.join(2, &chained(b"x")), "one joined");
    hasher.push(Bytes::from_static(b"f"));
    let hashes = hasher.end().await.unwrap();
    hasher.tell(&hashes);
    drop(hasher);
    let Hashes { own, chained } = chain.end().await.unwrap();
    let Chained { before, hash } = chained.unwrap();
    assert_eq!(own.finish(), ContentHash::of(b"def"));
    assert_eq!(before, ContentHash::of(b"abc"));
    assert_eq!(hash.finish(), ContentHash::of(b"abcdef"));
}

#[tokio::test]
async fn none_joins_what_is_over() {
    let mut hasher = Hasher::default();
    let chain = hasher.chain();
    assert!(hasher.end().await.unwrap().chained.is_none());
    assert!(chain.taken().is_none() && !chain.join(0, &chained(b"abc")));
    let mut dropped = Hasher::default();
    let chain = dropped.chain();
    drop(dropped);
    assert!(chain.taken().is_none() && !chain.join(0, &chained(b"abc")));
    assert!(chain.end().await.is_none());
}

#[tokio::test]
async fn it_is_waited_for_a_while() {
    let mut hasher = Hasher::default();
    assert!(!hasher.expects(0), "nobody asked");
    let chain = hasher.chain();
    assert!(hasher.expects(EXPECTING_BYTES_MAX - 1));
    assert!(chain.join(0, &chained(b"abc")));
    assert!(!hasher.expects(1), "it is here");
    let mut late = Hasher::default();
    let _chain = late.chain();
    assert!(!late.expects(EXPECTING_BYTES_MAX) && !late.expects(1), "it was waited for");
}

/// Two hashes and so many parts of a quarter of a MiB.
fn two(parts: usize) -> Inner {
    let mut inner = Inner::new(ContentHash::new());
    inner.chained = Some((ContentHash::of(b""), Head { parts: 0, hash: Some(of(b"")) }));
    (0..parts).for_each(|_| inner.push(Bytes::from(vec![7; 256 * 1024])));
    inner
}

#[test]
fn what_is_little_two_hashes_take_together() {
    let mut inner = two(5);
    inner.may_go_apart = true;
    for _ in 0..5 {
        let step = inner.next().unwrap();
        assert!(step.own.is_some() && step.chained.is_some());
        assert!(inner.next().is_none(), "no thread takes what another has");
        assert!(inner.end().is_none());
        inner.done(step);
    }
    assert!(inner.next().is_none() && inner.bytes == 0 && inner.waiting.is_empty());
    assert!(inner.end().unwrap().chained.is_some());
}

#[test]
fn what_is_much_each_takes_by_itself() {
    let mut inner = two(6);
    inner.may_go_apart = true;
    let (own, other) = (inner.next().unwrap(), inner.next().unwrap());
    assert!(own.chained.is_none() && other.own.is_none() && inner.next().is_none());
    inner.done(own);
    for left in (3..=5).rev() {
        let ahead = inner.next().unwrap();
        assert!(ahead.own.is_some(), "{left} wait for it");
        inner.done(ahead);
    }
    let ahead = inner.next().unwrap();
    inner.done(ahead);
    assert_eq!((inner.own.parts, inner.before), (5, 0));
    assert!(inner.next().is_none(), "little waits: the other gets there first");
    inner.done(other);
    for parts in 1..5 {
        let step = inner.next().unwrap();
        assert!(step.own.is_none() && inner.before == parts);
        inner.done(step);
    }
    let together = inner.next().unwrap();
    assert!(together.own.is_some() && together.chained.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn together_or_apart_the_hashes_are_the_same() {
    for (joins_at, may_go_apart) in [(0, true), (1, false), (7, true), (60, true), (60, false)] {
        let (mut hasher, mut all) = (Hasher::default(), Vec::new());
        hasher.line.inner().may_go_apart = may_go_apart;
        let chain = hasher.chain();
        for n in 0..90_usize {
            if n == joins_at {
                let hash = of(&[&b"abc"[..], &all].concat());
                let at = all.len() as u64;
                assert!(chain.join(at, &Chained { before: ContentHash::of(b"abc"), hash }));
            }
            let part = vec![n.to_le_bytes()[0]; 1 + n * 65_537 % 300_000];
            all.extend_from_slice(&part);
            hasher.room().await.unwrap();
            hasher.push(Bytes::from(part));
            if n % 30 == 29 {
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        }
        let Hashes { own, chained } = hasher.end().await.unwrap();
        assert_eq!(own.finish(), ContentHash::of(&all), "{joins_at}");
        let whole = [&b"abc"[..], &all].concat();
        assert_eq!(chained.unwrap().hash.finish(), ContentHash::of(&whole), "{joins_at}");
    }
}

#[test]
fn where_there_are_few_cores_hashes_stay_together() {
    let mut inner = two(12);
    inner.may_go_apart = false;
    let step = inner.next().unwrap();
    assert!(step.own.is_some() && step.chained.is_some());
}
