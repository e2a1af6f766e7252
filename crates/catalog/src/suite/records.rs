//! The law of everything that is no entry: accounts, users, sessions, key pairs, content, references, ids.

use std::collections::HashSet;

use ::model::{
    Account, AccountId, BlobId, Digest, DirId, Error, InlineId, KeyPair, Quota, Result, Secret,
    Session, SessionOrigin, Time, TokenHash, TreePath, Usage, User, UserId,
};
use bytes::Bytes;

use super::{ACCOUNT, LARGEST, Open};

pub(crate) fn account(id: u32, name: &str) -> Account {
    Account {
        id: AccountId(id),
        name: name.to_owned(),
        root: DirId(u64::from(id) << 40),
        gid: id + 7,
        quota: Quota { bytes: (id.is_multiple_of(2)).then_some(u64::MAX), files: Some(id.into()) },
        private: id.is_multiple_of(2),
        sealed_url_secrets: vec![vec![id.to_le_bytes()[0]; 70]; usize::from(id.is_multiple_of(3))],
    }
}

pub(crate) fn user(id: u32, name: &str) -> User {
    User {
        id: UserId(id),
        account: ACCOUNT,
        name: name.to_owned(),
        password_hash: Secret::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"),
        uid: id,
        gid: u32::MAX,
        directory: TreePath::parse("a/今日は").unwrap(),
        active: id == 256,
        read_only: id == 1,
    }
}

pub(crate) fn session(user: u32, path: TreePath) -> Session {
    Session {
        user: UserId(user),
        origin: if user == 1 { SessionOrigin::Login } else { SessionOrigin::Authenticate },
        subdir: path,
        created: Time(1_764_000_000_123),
        expires: (user == 1).then_some(Time(0)),
        updated: user == 2,
    }
}

/// Accounts are found by id and by exact name, listed by id, replaced, and hold what was last said.
pub(crate) async fn accounts(open: Open<'_>) {
    let catalog = open();
    let (a, b) = (account(300, "acme"), account(2, "Acme"));
    let all = [b.clone(), a.clone()];
    let (a2, b2) = (a.clone(), b.clone());
    catalog
        .write(move |tx| {
            tx.put_account(&a2)?;
            tx.put_account(&b2)?;
            assert_eq!(tx.account_by_name("acme")?, Some(a2.clone()), "a transaction sees itself");
            Ok(())
        })
        .await
        .unwrap();
    let id = a.id;
    catalog
        .read(move |r| {
            assert_eq!(r.account(id)?, Some(a.clone()));
            assert_eq!(r.account_by_name("acme")?, Some(a.clone()));
            assert_eq!(r.account_by_name("Acme")?, Some(b.clone()));
            assert_eq!((r.account_by_name("ACME")?, r.account(AccountId(3))?), (None, None));
            assert_eq!(r.accounts()?, all);
            for limit in 0..4 {
                assert_eq!(r.first_accounts(limit)?, all[..limit.min(2)]);
            }
            assert_eq!(r.usage(id)?, Usage::default());
            Ok(())
        })
        .await
        .unwrap();

    let renamed = Account { name: "renamed".to_owned(), gid: 9, ..account(300, "") };
    let usage = Usage { files: u64::MAX, directories: 1, bytes: 1 << 50 };
    let put = renamed.clone();
    catalog
        .write(move |tx| {
            tx.put_account(&put)?;
            tx.put_usage(id, usage)
        })
        .await
        .unwrap();
    let taken = catalog.write(|tx| tx.put_account(&account(5, "Acme"))).await;
    assert!(matches!(taken, Err(Error::Storage(_))), "two accounts of one name: {taken:?}");
    catalog
        .read(move |r| {
            assert_eq!(r.account_by_name("acme")?, None);
            assert_eq!(r.account_by_name("renamed")?, Some(renamed.clone()));
            assert_eq!(r.accounts()?.len(), 2);
            assert_eq!((r.usage(id)?, r.usage(AccountId(2))?), (usage, Usage::default()));
            Ok(())
        })
        .await
        .unwrap();
}

/// Users, likewise.
pub(crate) async fn users(open: Open<'_>) {
    let catalog = open();
    let all = [user(1, "jörg@example.com"), user(256, "b")];
    let put = all.clone();
    catalog.write(move |tx| put.iter().rev().try_for_each(|u| tx.put_user(u))).await.unwrap();
    let changed = User { active: true, password_hash: Secret::new("x"), ..all[0].clone() };
    let put = changed.clone();
    catalog.write(move |tx| tx.put_user(&put)).await.unwrap();
    let taken = catalog.write(|tx| tx.put_user(&user(3, "b"))).await;
    assert!(matches!(taken, Err(Error::Storage(_))), "two users of one name: {taken:?}");
    catalog
        .read(move |r| {
            assert_eq!(r.user(UserId(1))?, Some(changed.clone()));
            assert_eq!(r.user_by_name("jörg@example.com")?, Some(changed.clone()));
            assert_eq!((r.user_by_name("JÖRG@example.com")?, r.user(UserId(2))?), (None, None));
            assert_eq!(r.users()?, [changed.clone(), all[1].clone()]);
            Ok(())
        })
        .await
        .unwrap();
}

/// Sessions are found by hash and by user, replaced, and removed from both indices.
pub(crate) async fn sessions(open: Open<'_>) {
    let catalog = open();
    let hash = |n: u8| TokenHash([n; 32]);
    // A join may be longer than any path a client can send.
    let half = TreePath::parse(&"今/".repeat(400)).unwrap();
    let long = half.join(&half);
    let (one, two) = (session(1, long), session(2, TreePath::root()));
    let (put_one, put_two) = (one.clone(), two.clone());
    catalog
        .write(move |tx| {
            tx.put_session(&hash(3), &put_one)?;
            tx.put_session(&hash(1), &put_one)?;
            tx.put_session(&hash(2), &put_two)?;
            assert_eq!(tx.sessions_of(UserId(1))?.len(), 2, "a transaction sees itself");
            Ok(())
        })
        .await
        .unwrap();
    let replaced = Session { updated: true, expires: None, ..one.clone() };
    let put = replaced.clone();
    catalog
        .write(move |tx| {
            tx.put_session(&hash(3), &put)?;
            tx.remove_session(&hash(2))?;
            tx.remove_session(&hash(9))
        })
        .await
        .unwrap();
    catalog
        .read(move |r| {
            assert_eq!(r.session(&hash(3))?, Some(replaced.clone()));
            assert_eq!((r.session(&hash(2))?, r.session(&hash(9))?), (None, None));
            assert_eq!(
                r.sessions_of(UserId(1))?,
                [(hash(1), one.clone()), (hash(3), replaced.clone())]
            );
            assert_eq!(r.sessions_of(UserId(2))?, []);
            assert_eq!(
                r.sessions(None, 10)?,
                [(hash(1), one.clone()), (hash(3), replaced.clone())]
            );
            Ok(())
        })
        .await
        .unwrap();
}

/// All sessions come in the order of their hashes, page by page, the extremes included.
pub(crate) async fn sessions_in_pages(open: Open<'_>) {
    let catalog = open();
    let hash = |n: u8| TokenHash([n.wrapping_mul(51); 32]);
    catalog
        .write(move |tx| {
            (0..6).try_for_each(|n| tx.put_session(&hash(n), &session(2, TreePath::root())))
        })
        .await
        .unwrap();
    catalog
        .read(move |r| {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = r.sessions(after, 4)?;
                assert!(page.len() <= 4);
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                seen.extend(page.into_iter().map(|(token, _)| token));
            }
            assert_eq!(seen, (0..6).map(hash).collect::<Vec<_>>());
            assert_eq!(r.sessions(None, 0)?, []);
            Ok(())
        })
        .await
        .unwrap();
}

/// An account has one key pair; a new one ends the old.
pub(crate) async fn key_pairs(open: Open<'_>) {
    let catalog = open();
    let pair = |key: &str, account: u32| KeyPair {
        access_key: key.to_owned(),
        sealed_secret: vec![0, 0xff, 1],
        account: AccountId(account),
        user: UserId(9),
    };
    let (old, new, other) = (pair("aa", 1), pair("bb", 1), pair("cc", 2));
    let put = [old, other.clone(), new.clone()];
    catalog.write(move |tx| put.iter().try_for_each(|p| tx.put_key_pair(p))).await.unwrap();
    // The same again is no other pair.
    let same = new.clone();
    catalog.write(move |tx| tx.put_key_pair(&same)).await.unwrap();
    let stolen = pair("cc", 1);
    let taken = catalog.write(move |tx| tx.put_key_pair(&stolen)).await;
    assert!(matches!(taken, Err(Error::Storage(_))), "two pairs with one access key: {taken:?}");
    catalog
        .read(move |r| {
            assert_eq!(
                (r.key_pair("aa")?, r.key_pair("")?, r.key_pair_of(AccountId(3))?),
                (None, None, None)
            );
            assert_eq!(
                (r.key_pair("bb")?, r.key_pair_of(AccountId(1))?),
                (Some(new.clone()), Some(new.clone()))
            );
            assert_eq!(
                (r.key_pair("cc")?, r.key_pair_of(AccountId(2))?),
                (Some(other.clone()), Some(other.clone()))
            );
            Ok(())
        })
        .await
        .unwrap();
}

/// Content comes back byte for byte, for each account its own, until it is removed.
pub(crate) async fn inline_content(open: Open<'_>) {
    let catalog = open();
    let sizes = [0, 1, 1023, 1024, 4096, 16 * 1024];
    let content =
        |size: usize| Bytes::from_iter((0..size).map(|i| (i * 7 + size).to_le_bytes()[0]));
    catalog
        .write(move |tx| {
            for (id, size) in (0..).zip(sizes) {
                tx.put_inline(ACCOUNT, InlineId(id), content(size))?;
                assert_eq!(tx.inline(ACCOUNT, InlineId(id))?, Some(content(size)));
            }
            tx.put_inline(AccountId(2), InlineId(1), Bytes::from_static(b"other"))?;
            tx.put_inline(ACCOUNT, InlineId(LARGEST), Bytes::from_static(b"gone"))
        })
        .await
        .unwrap();
    catalog
        .write(|tx| {
            tx.remove_inline(ACCOUNT, InlineId(LARGEST))?;
            assert_eq!(tx.inline(ACCOUNT, InlineId(LARGEST))?, None);
            Ok(())
        })
        .await
        .unwrap();
    drop(catalog);
    open()
        .read(move |r| {
            for (id, size) in (0..).zip(sizes) {
                assert_eq!(r.inline(ACCOUNT, InlineId(id))?, Some(content(size)));
            }
            assert_eq!(r.inline(AccountId(2), InlineId(1))?.as_deref(), Some(&b"other"[..]));
            assert_eq!(r.inline(ACCOUNT, InlineId(LARGEST))?, None);
            Ok(())
        })
        .await
        .unwrap();
}

/// References are what was last set; none are 0.
pub(crate) async fn blob_references(open: Open<'_>) {
    let catalog = open();
    let blob = |n: u8| BlobId([n; 16]);
    catalog
        .write(move |tx| {
            assert_eq!(tx.blob_refs(blob(1))?, 0);
            tx.put_blob_refs(blob(1), 1)?;
            tx.put_blob_refs(blob(1), u32::MAX)?;
            tx.put_blob_refs(blob(2), 2)?;
            tx.put_blob_refs(blob(2), 0)?;
            assert_eq!((tx.blob_refs(blob(1))?, tx.blob_refs(blob(2))?), (u32::MAX, 0));
            Ok(())
        })
        .await
        .unwrap();
    let refs = catalog.read(move |r| Ok([r.blob_refs(blob(1))?, r.blob_refs(blob(2))?])).await;
    assert_eq!(refs, Ok([u32::MAX, 0]));
}

/// Used signatures are remembered by account, listed in order, and forgotten one by one.
pub(crate) async fn used_signatures(open: Open<'_>) {
    let catalog = open();
    let digest = |n: u8| Digest([n; 32]);
    let all = [(1, 0), (1, 255), (2, 0), (256, 7)];
    catalog
        .write(move |tx| {
            for (account, n) in all {
                tx.put_used_signature(AccountId(account), digest(n), Time(u64::from(n)))?;
            }
            assert!(tx.is_signature_used(AccountId(1), digest(255))?, "a transaction sees itself");
            tx.forget_used_signature(AccountId(2), digest(0))?;
            tx.forget_used_signature(AccountId(9), digest(0))
        })
        .await
        .unwrap();
    drop(catalog);
    let catalog = open();
    catalog
        .read(move |r| {
            assert!(r.is_signature_used(AccountId(1), digest(0))?);
            assert!(!r.is_signature_used(AccountId(2), digest(0))?);
            assert!(!r.is_signature_used(AccountId(256), digest(0))?);
            let row = |(account, n): (u32, u8)| (AccountId(account), digest(n), Time(n.into()));
            assert_eq!(r.used_signatures(None, 2)?, [row(all[0]), row(all[1])]);
            let after = Some((AccountId(1), digest(255)));
            assert_eq!(r.used_signatures(after, 9)?, [row(all[3])]);
            Ok(())
        })
        .await
        .unwrap();
}

/// Doomed blobs come in the order of their ids, page by page, the extremes included, until they are forgotten.
pub(crate) async fn doomed_blobs(open: Open<'_>) {
    let catalog = open();
    let blob = |n: u8| BlobId([n; 16]);
    let ids = [0, 1, 127, 128, 255];
    catalog
        .write(move |tx| {
            for n in ids {
                tx.doom(blob(n), Time(u64::from(n)))?;
            }
            tx.doom(blob(1), Time(77))
        })
        .await
        .unwrap();
    catalog
        .write(move |tx| {
            tx.forget_doomed(blob(127))?;
            tx.forget_doomed(blob(5))?;
            assert_eq!(
                tx.doomed(Some(blob(1)), 1)?,
                [(blob(128), Time(128))],
                "a transaction sees itself"
            );
            Ok(())
        })
        .await
        .unwrap();
    catalog
        .read(move |r| {
            let first = r.doomed(None, 2)?;
            assert_eq!(first, [(blob(0), Time(0)), (blob(1), Time(77))]);
            assert_eq!(
                r.doomed(Some(blob(1)), 9)?,
                [(blob(128), Time(128)), (blob(255), Time(255))]
            );
            assert_eq!(
                r.doomed(Some(blob(127)), 1)?,
                [(blob(128), Time(128))],
                "after one that is gone"
            );
            assert_eq!((r.doomed(Some(blob(255)), 9)?, r.doomed(None, 0)?), (vec![], vec![]));
            assert_eq!((r.doomed_at(blob(1))?, r.doomed_at(blob(127))?), (Some(Time(77)), None));
            Ok(())
        })
        .await
        .unwrap();
}

/// No id is given twice: not in a transaction, not among many, not after opening again.
pub(crate) async fn fresh_ids(open: Open<'_>) {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let catalog = open();
        for _ in 0..10 {
            let ids = catalog.write(|tx| Ok([tx.fresh_id()?, tx.fresh_id()?])).await.unwrap();
            for id in ids {
                assert!(id >= 1 && seen.insert(id), "{id} was given before");
            }
        }
        let failed: Result<()> = catalog.write(|tx| tx.fresh_id().and(Err(Error::Denied))).await;
        assert_eq!(failed, Err(Error::Denied));
    }
    assert_eq!(seen.len(), 60);
}
