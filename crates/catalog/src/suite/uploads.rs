//! The law of multipart uploads: their order, cookies, numbers, and what is indexed and counted by state.
//!
//! What does not live here: the order of pieces (`pieces`) and long random sequences (`upload_model`).

use ::model::{
    AccountId, ContentType, Digest, Error, Multipart, Owner, Piece, Result, Time, TreePath,
    UploadId, UploadState, UserId,
};

use super::pieces::{arrived, piece};
use super::{ACCOUNT, OWNER, Open};
use crate::{Read, Tx};

/// The id of the upload `n`; 255 of them, the extremes among them.
pub(crate) fn id(n: u8) -> UploadId {
    UploadId([n; 16])
}

/// An upload of [`ACCOUNT`] that differs with its seed; every state comes up.
pub(crate) fn upload(n: u8, user: u32, seed: u64) -> Multipart {
    let half = TreePath::parse(&"今/".repeat(400)).unwrap();
    let few = u32::from(seed.to_le_bytes()[0]);
    Multipart {
        checksum: seed.is_multiple_of(3).then_some(Digest([n; 32])),
        id: id(n),
        account: ACCOUNT,
        user: UserId(user),
        owner: if seed.is_multiple_of(2) { OWNER } else { Owner { uid: u32::MAX, gid: 0 } },
        number: 0,
        // A join may be longer than any path a client can send.
        path: if seed.is_multiple_of(3) {
            half.join(&half)
        } else {
            TreePath::parse(&format!("d/{seed}")).unwrap()
        },
        content_type: seed
            .is_multiple_of(4)
            .then(|| ContentType::parse("video/mp4; a=\"b\"").unwrap()),
        mtime: seed / 2,
        created: Time(seed),
        changed: Time(seed.wrapping_mul(7)),
        state: UploadState::ALL[usize::from(seed.to_le_bytes()[0]) % UploadState::ALL.len()],
        error: if seed.is_multiple_of(5) { -27 } else { 0 },
        received: 0,
        pieces: few,
        highest: few + 1,
        bytes: seed.wrapping_mul(1 << 33),
    }
}

/// The same upload in a state.
fn in_state(n: u8, user: u32, state: UploadState) -> Multipart {
    Multipart { state, ..upload(n, user, n.into()) }
}

/// A user's uploads, read in pages: numbers and ids.
fn listed(read: &mut dyn Read, user: u32, page: usize) -> Result<Vec<(u64, UploadId)>> {
    let mut rows: Vec<(u64, UploadId)> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.0);
        let uploads = read.uploads_of(UserId(user), after, page)?;
        assert!(uploads.len() <= page);
        if uploads.is_empty() {
            return Ok(rows);
        }
        rows.extend(uploads.iter().map(|upload| (upload.number, upload.id)));
    }
}

/// A user's uploads are listed in the order of creation, whatever their ids; those of all users in the order of ids.
pub(crate) async fn in_order_of_creation(open: Open<'_>) {
    let catalog = open();
    let order = [200, 3, 255, 0, 100, 4];
    catalog
        .write(move |tx| {
            for (number, n) in (1..).zip(order) {
                let stored = tx.put_upload(&upload(n, 256, n.into()))?;
                assert_eq!(stored, Multipart { number, ..upload(n, 256, n.into()) });
                assert_eq!(tx.upload(id(n))?, Some(stored), "a transaction sees itself");
            }
            assert_eq!(tx.put_upload(&upload(50, 257, 1))?.number, 1, "each user has numbers");
            assert_eq!(tx.put_upload(&upload(51, 1, 1))?.number, 1);
            assert_eq!(listed(tx, 256, 4)?.len(), 6);
            Ok(())
        })
        .await
        .unwrap();
    drop(catalog);
    let read = move |r: &mut dyn Read| {
        let expected: Vec<_> = (1..).zip(order.map(id)).collect();
        for page in [1, 2, 5, 6, 99] {
            assert_eq!(listed(r, 256, page)?, expected);
        }
        assert_eq!((listed(r, 257, 9)?, listed(r, 1, 9)?), (vec![(1, id(50))], vec![(1, id(51))]));
        let whole = r.uploads_of(UserId(256), 2, 1)?;
        assert_eq!(whole, [Multipart { number: 3, ..upload(255, 256, 255) }]);
        for (after, limit) in [(0, 0), (6, 9), (u64::MAX, 9)] {
            assert_eq!(r.uploads_of(UserId(256), after, limit)?, []);
        }
        assert_eq!((r.uploads_of(UserId(0), 0, 9)?, r.upload(id(99))?), (vec![], None));
        let mut ids = |after: Option<u8>, limit| {
            r.uploads(after.map(id), limit).map(|all| all.iter().map(|u| u.id.0[0]).collect())
        };
        let all: Vec<u8> = ids(None, 99)?;
        assert_eq!(all, [0, 3, 4, 50, 51, 100, 200, 255]);
        assert_eq!((ids(Some(4), 2)?, ids(Some(60), 1)?), (vec![50, 51], vec![100]));
        assert_eq!((ids(Some(255), 9)?, ids(None, 0)?), (vec![], vec![]));
        Ok(())
    };
    open().scan(read).await.unwrap();
}

/// Whatever comes and goes between two pages, an upload that is there all the time is returned exactly once, and a
/// cookie stays good when the upload it stands for is gone. Numbers are not given again, not even the last one's.
pub(crate) async fn listings_while_others_come_and_go(open: Open<'_>) {
    let catalog = open();
    // Even ones stay, odd ones go.
    let first = (0..80).map(|n| in_state(n, 1, UploadState::New)).collect::<Vec<_>>();
    catalog
        .write(move |tx| first.iter().try_for_each(|u| tx.put_upload(u).map(drop)))
        .await
        .unwrap();
    let (mut after, mut seen) = (0, Vec::new());
    for round in 0..40_u8 {
        let rows = catalog.scan(move |r| r.uploads_of(UserId(1), after, 7)).await.unwrap();
        let Some(last) = rows.last().map(|upload| upload.number) else { break };
        assert!(rows.is_sorted_by_key(|upload| upload.number) && rows[0].number > after);
        after = last;
        seen.extend(rows.iter().map(|upload| upload.id));
        let cookie = rows.last().map(|upload| upload.id.0[0]).unwrap();
        let change = catalog.write(move |tx| {
            for gone in [cookie, 2 * round + 1] {
                if gone % 2 == 1 && tx.upload(id(gone))?.is_some() {
                    tx.remove_upload(id(gone))?;
                }
            }
            tx.put_upload(&in_state(78 - 2 * round, 1, UploadState::Failed))?;
            if round < 5 {
                tx.put_upload(&in_state(100 + round, 1, UploadState::New))?;
            }
            tx.put_upload(&in_state(150 + round, 2, UploadState::New)).map(drop)
        });
        change.await.unwrap();
    }
    for n in (0..80).step_by(2).chain(100..105) {
        assert_eq!(seen.iter().filter(|seen| **seen == id(n)).count(), 1, "{n}");
    }
    catalog.write(|tx| tx.remove_upload(id(104))).await.unwrap();
    drop(catalog);
    let again = open().write(|tx| tx.put_upload(&upload(104, 1, 1))).await.unwrap();
    assert_eq!(again.number, 86);
}

/// From any state to any other and out of it again: those to be put together and the unfinished are always told.
pub(crate) async fn every_change_of_state(open: Open<'_>) {
    use UploadState::{Complete, Failed, Join, New, Ready};
    let catalog = open();
    let check = |r: &mut dyn Read, state: Option<UploadState>| {
        let joins = matches!(state, Some(Complete | Join)).then_some(id(9));
        let expected: Vec<_> = [Some(id(2)), joins].into_iter().flatten().collect();
        assert_eq!(r.uploads_joining()?, expected, "{state:?}");
        let counts = matches!(state, Some(New | Ready | Complete | Join | Failed));
        assert_eq!(r.unfinished_uploads(ACCOUNT)?, 2 + u64::from(counts), "{state:?}");
        r.unfinished_uploads(AccountId(9)).map(|others| assert_eq!(others, 0))
    };
    catalog
        .write(|tx| {
            tx.put_upload(&in_state(1, 1, New))?;
            tx.put_upload(&in_state(2, 2, Join)).map(drop)
        })
        .await
        .unwrap();
    for from in UploadState::ALL {
        catalog
            .write(move |tx| {
                for to in UploadState::ALL {
                    for state in [from, to, to] {
                        tx.put_upload(&in_state(9, 1, state))?;
                        check(tx, Some(state))?;
                    }
                    tx.remove_upload(id(9))?;
                    check(tx, None)?;
                }
                tx.put_upload(&in_state(9, 1, from)).map(drop)
            })
            .await
            .unwrap();
        catalog.read(move |r| check(r, Some(from))).await.unwrap();
        catalog.write(|tx| tx.remove_upload(id(9))).await.unwrap();
        catalog.read(move |r| check(r, None)).await.unwrap();
    }
}

/// Numbers, arrivals and what an upload belongs to are the catalog's, whatever a record that is put says.
pub(crate) async fn what_belongs_to_the_catalog(open: Open<'_>) {
    let catalog = open();
    let stray = Multipart { number: 77, received: 77, ..upload(1, 1, 0) };
    let other = AccountId(300);
    catalog
        .write(move |tx| {
            let stored = tx.put_upload(&stray)?;
            assert_eq!((stored.number, stored.received), (1, 0));
            let late = tx.add_piece(id(1), &Piece { arrival: 9, ..piece(3, 1) })?;
            assert_eq!(late.arrival, 1);
            let (user, account) = (UserId(2), other);
            let moved = tx.put_upload(&Multipart { user, account, bytes: 5, ..stray.clone() })?;
            assert_eq!(moved, Multipart { received: 1, bytes: 5, ..stored });
            assert_eq!((tx.uploads_of(user, 0, 9)?, tx.unfinished_uploads(account)?), (vec![], 0));
            assert_eq!(tx.add_piece(id(1), &piece(3, 2))?.arrival, 2);
            tx.put_piece(id(1), &Piece { number: 4, size: 70, ..late })?;
            assert_eq!(tx.pieces(id(1), 0, 1)?, [Piece { size: 70, ..late }]);
            assert_eq!(tx.piece(id(1), 4)?, None);
            Ok(())
        })
        .await
        .unwrap();
}

/// Uploads and accounts whose ids stand next to each other share nothing, and an id may come back after removal.
pub(crate) async fn neighbours_do_not_meet(open: Open<'_>) {
    let catalog = open();
    let ids = [0, 1, 254, 255];
    catalog
        .write(move |tx| {
            for n in ids {
                let account = AccountId(n.into());
                tx.put_upload(&Multipart { account, ..in_state(n, 1, UploadState::Complete) })?;
                for number in [0, 1, 255, 256, u32::MAX] {
                    tx.add_piece(id(n), &piece(number, n.into()))?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
    let mut left = ids.to_vec();
    for gone in [1, 255, 0, 254] {
        left.retain(|n| *n != gone);
        catalog.write(move |tx| tx.remove_upload(id(gone))).await.unwrap();
        let left = left.clone();
        let read = move |r: &mut dyn Read| {
            for n in ids {
                let there = left.contains(&n);
                let here = |count: usize| if there { count } else { 0 };
                assert_eq!(r.upload(id(n))?.is_some(), there);
                assert_eq!(arrived(r, id(n), 9)?.len(), here(5));
                assert_eq!(r.piece(id(n), u32::MAX)?.is_some(), there);
                assert_eq!(r.unfinished_uploads(AccountId(n.into()))?, u64::from(there));
            }
            let ids: Vec<_> = left.iter().map(|n| id(*n)).collect();
            assert_eq!(r.uploads_joining()?, ids);
            Ok(())
        };
        catalog.read(read).await.unwrap();
    }
    catalog
        .write(|tx| {
            let again = tx.put_upload(&in_state(1, 1, UploadState::New))?;
            assert_eq!((again.number, again.received), (5, 0));
            assert_eq!((tx.pieces(id(1), 0, 9)?, tx.piece(id(1), 255)?), (vec![], None));
            assert_eq!(tx.add_piece(id(1), &piece(1, 1))?.arrival, 1);
            Ok(())
        })
        .await
        .unwrap();
}

type Everything = (Vec<Multipart>, Vec<Vec<Piece>>, Vec<UploadId>, u64);

fn everything(read: &mut dyn Read) -> Result<Everything> {
    let uploads = read.uploads(None, usize::MAX)?;
    assert_eq!(listed(read, 1, 3)?.len(), uploads.len(), "all are listed");
    let pieces = uploads.iter().map(|upload| arrived(read, upload.id, 9)).collect::<Result<_>>()?;
    Ok((uploads, pieces, read.uploads_joining()?, read.unfinished_uploads(ACCOUNT)?))
}

fn change_all_kinds(tx: &mut dyn Tx) -> Result<()> {
    let ids: Vec<u8> = tx.uploads(None, 99)?.iter().map(|upload| upload.id.0[0]).collect();
    let n = ids.last().map_or(1, |last| last + 1);
    tx.put_upload(&in_state(n, 1, UploadState::New))?;
    tx.put_upload(&in_state(n + 1, 1, UploadState::Complete))?;
    for number in [2, 1, 2] {
        tx.add_piece(id(n), &piece(number, n.into()))?;
        tx.add_piece(id(n + 1), &piece(number, 1))?;
    }
    tx.put_piece(id(n), &Piece { arrival: 1, ..piece(2, 9) })?;
    tx.put_upload(&in_state(n, 1, UploadState::Join))?;
    if let Some(first) = ids.first() {
        tx.remove_upload(id(*first))?;
    }
    Ok(())
}

/// What is not there is not changed, and whoever tries fails and leaves nothing.
pub(crate) async fn strays_change_nothing(open: Open<'_>) {
    let catalog = open();
    catalog.write(|tx| change_all_kinds(tx)).await.unwrap();
    let before = catalog.read(everything).await.unwrap();
    let wrong: [fn(&mut dyn Tx) -> Result<()>; 5] = [
        |tx| tx.add_piece(id(9), &piece(1, 1)).map(drop),
        |tx| tx.put_piece(id(9), &Piece { arrival: 1, ..piece(1, 1) }),
        |tx| tx.put_piece(id(2), &Piece { arrival: 4, ..piece(1, 1) }),
        |tx| tx.put_piece(id(2), &piece(1, 1)),
        |tx| tx.remove_upload(id(9)),
    ];
    for wrong in wrong {
        let refused = catalog.write(move |tx| change_all_kinds(tx).and_then(|()| wrong(tx))).await;
        assert!(matches!(refused, Err(Error::Storage(_))), "{refused:?}");
        assert_eq!(catalog.read(everything).await.unwrap(), before);
    }
}

/// An operation that fails after it changed all kinds of things leaves none of them.
pub(crate) async fn a_failed_operation_leaves_nothing(open: Open<'_>) {
    let catalog = open();
    for round in 1..=3 {
        let before = catalog.read(everything).await.unwrap();
        let failed = catalog.write(|tx| change_all_kinds(tx).and(Err::<(), _>(Error::Denied)));
        assert_eq!(failed.await, Err(Error::Denied));
        assert_eq!(catalog.read(everything).await.unwrap(), before);
        catalog.write(|tx| change_all_kinds(tx)).await.unwrap();
        let numbers = catalog.read(|r| listed(r, 1, 9)).await.unwrap();
        assert_eq!(numbers.last().map(|last| last.0), Some(2 * round), "no number was taken");
    }
}
