//! The law of multipart uploads by chance: random transactions against plain maps.
//!
//! What lives here: a model that keeps uploads with their pieces in a list and derives every index and counter from it,
//! random changes, and the comparison after each transaction and after opening again.

use std::collections::BTreeMap;

use ::model::{AccountId, Error, Multipart, Piece, Result, UploadId, UploadState, UserId};
use proptest::prelude::*;

use super::model::{Fresh, by_chance};
use super::pieces::{arrived, piece};
use super::uploads::{id, upload};
use super::{Gate, Open, submit};
use crate::{Catalog, Read, Tx};

/// The uploads, users and accounts that sequences use: neighbours and extremes.
const IDS: [u8; 6] = [0, 1, 2, 128, 254, 255];
const USERS: [u32; 3] = [1, 256, u32::MAX];
const ACCOUNTS: [u32; 2] = [1, u32::MAX];
const NUMBERS: [u32; 4] = [1, 2, 256, u32::MAX];

/// One change.
#[derive(Debug, Clone)]
enum Change {
    Put { n: u8, user: u32, account: u32, seed: u64 },
    Remove { n: u8 },
    AddPiece { n: u8, number: u32, seed: u64 },
    PutPiece { n: u8, arrival: u64, seed: u64 },
}

/// Changes in one transaction, and whether it fails its rules at the end.
type Transaction = (Vec<Change>, bool);

fn change() -> impl Strategy<Value = Change> {
    let n = || prop::sample::select(&IDS[..]);
    let put = (n(), prop::sample::select(&USERS[..]), prop::sample::select(&ACCOUNTS[..]));
    prop_oneof![
        6 => (put, 0..1000_u64).prop_map(|((n, user, account), seed)| Change::Put { n, user, account, seed }),
        1 => n().prop_map(|n| Change::Remove { n }),
        5 => (n(), prop::sample::select(&NUMBERS[..]), any::<u64>())
            .prop_map(|(n, number, seed)| Change::AddPiece { n, number, seed }),
        2 => (n(), 1..4_u64, any::<u64>())
            .prop_map(|(n, arrival, seed)| Change::PutPiece { n, arrival, seed }),
    ]
}

fn wanted_upload(n: u8, user: u32, account: u32, seed: u64) -> Multipart {
    Multipart { account: AccountId(account), received: seed, number: seed, ..upload(n, user, seed) }
}

/// What should be there: uploads with their pieces in the order of arrival, and each user's last number.
#[derive(Debug, Clone, Default)]
struct Expected {
    uploads: BTreeMap<UploadId, (Multipart, Vec<Piece>)>,
    last: BTreeMap<UserId, u64>,
}

impl Expected {
    /// Makes a change; `None` when it is not allowed.
    fn apply(&mut self, change: &Change) -> Option<()> {
        match *change {
            Change::Put { n, user, account, seed } => {
                self.put(wanted_upload(n, user, account, seed));
            }
            Change::Remove { n } => drop(self.uploads.remove(&id(n))?),
            Change::AddPiece { n, number, seed } => {
                let (upload, pieces) = self.uploads.get_mut(&id(n))?;
                upload.received += 1;
                pieces.push(Piece { arrival: upload.received, ..piece(number, seed) });
            }
            Change::PutPiece { n, arrival, seed } => {
                let (_, pieces) = self.uploads.get_mut(&id(n))?;
                let old = pieces.iter_mut().find(|piece| piece.arrival == arrival)?;
                *old = Piece { arrival, ..piece(old.number, seed) };
            }
        }
        Some(())
    }

    fn put(&mut self, mut upload: Multipart) {
        if let Some((old, _)) = self.uploads.get_mut(&upload.id) {
            (upload.user, upload.account) = (old.user, old.account);
            (upload.number, upload.received) = (old.number, old.received);
            *old = upload;
        } else {
            let last = self.last.entry(upload.user).or_default();
            *last += 1;
            (upload.number, upload.received) = (*last, 0);
            self.uploads.insert(upload.id, (upload, Vec::new()));
        }
    }

    /// The uploads for which `wanted` holds, by id.
    fn filter(&self, wanted: impl Fn(&Multipart) -> bool) -> Vec<Multipart> {
        self.uploads.values().map(|(u, _)| u).filter(|u| wanted(u)).cloned().collect()
    }
}

fn apply(tx: &mut dyn Tx, change: &Change) -> Result<()> {
    match *change {
        Change::Put { n, user, account, seed } => {
            let stored = tx.put_upload(&wanted_upload(n, user, account, seed))?;
            assert_eq!(tx.upload(id(n))?, Some(stored));
            Ok(())
        }
        Change::Remove { n } => tx.remove_upload(id(n)),
        Change::AddPiece { n, number, seed } => {
            let stored = tx.add_piece(id(n), &piece(number, seed))?;
            assert_eq!(tx.piece(id(n), number)?, Some(stored));
            Ok(())
        }
        // The number is not the one that is there.
        Change::PutPiece { n, arrival, seed } => {
            tx.put_piece(id(n), &Piece { arrival, ..piece(7, seed) })
        }
    }
}

/// Reads all there is and compares it with what should be.
fn compare(read: &mut dyn Read, expected: &Expected) -> Result<()> {
    assert_eq!(read.uploads(None, 99)?, expected.filter(|_| true));
    for n in IDS {
        let at = expected.uploads.get(&id(n));
        assert_eq!(read.upload(id(n))?.as_ref(), at.map(|(upload, _)| upload));
        let after = expected.filter(|upload| upload.id > id(n));
        assert_eq!(read.uploads(Some(id(n)), 2)?, after[..after.len().min(2)]);
        let pieces = at.map_or(&[][..], |(_, pieces)| pieces);
        assert_eq!(arrived(read, id(n), 2)?, pieces, "pieces of {n}");
        for number in NUMBERS.into_iter().chain([0, 7]) {
            let last = pieces.iter().rfind(|piece| piece.number == number);
            assert_eq!(read.piece(id(n), number)?.as_ref(), last, "piece {number} of {n}");
        }
    }
    for user in USERS.map(UserId) {
        let mut all = expected.filter(|upload| upload.user == user);
        all.sort_by_key(|upload| upload.number);
        // After every number that is there or was: cookies of uploads that are gone stay good.
        for cookie in 0..=expected.last.get(&user).copied().unwrap_or(0) {
            let rest: Vec<_> = all.iter().filter(|u| u.number > cookie).take(2).cloned().collect();
            assert_eq!(read.uploads_of(user, cookie, 2)?, rest, "{user:?} after {cookie}");
        }
    }
    let joins = |u: &Multipart| matches!(u.state, UploadState::Complete | UploadState::Join);
    let joining: Vec<_> = expected.filter(joins).iter().map(|upload| upload.id).collect();
    assert_eq!(read.uploads_joining()?, joining);
    for account in ACCOUNTS.map(AccountId) {
        let unfinished = expected.filter(|u| u.account == account && u.state.is_unfinished());
        assert_eq!(read.unfinished_uploads(account)?, unfinished.len() as u64, "{account:?}");
    }
    Ok(())
}

/// Random transactions, several in a group, some failing, leave exactly what the model holds, then and after opening
/// the storage again, half-way and at the end.
pub(crate) fn random_uploads(fresh: Fresh<'_>) {
    let changes = prop::collection::vec(change(), 1..6);
    let transactions = prop::collection::vec((changes, prop::bool::weighted(0.2)), 1..40);
    by_chance(fresh, &transactions, run_case);
}

async fn run_case(open: Open<'_>, transactions: Vec<Transaction>) {
    let mut expected = Expected::default();
    let (first, second) = transactions.split_at(transactions.len() / 2);
    for half in [first, second] {
        let catalog = open();
        for group in half.chunks(4) {
            run_group(&catalog, &mut expected, group).await;
            let now = expected.clone();
            catalog.read(move |r| compare(r, &now)).await.unwrap();
        }
    }
    open().scan(move |r| compare(r, &expected)).await.unwrap();
}

/// Submits transactions so that they wait together, and checks what each of them answers.
async fn run_group(catalog: &Catalog, expected: &mut Expected, group: &[Transaction]) {
    let gate = Gate::close(catalog).await;
    let mut waiting = Vec::new();
    for (changes, fails) in group {
        // What is not allowed ends a transaction: often it is left out, so that others are seen too.
        let (mut after, mut made, mut allowed) = (expected.clone(), Vec::new(), true);
        for change in changes {
            let is_allowed = after.apply(change).is_some();
            if is_allowed || *fails {
                made.push(change.clone());
            }
            allowed &= is_allowed || !*fails;
            if !allowed {
                break;
            }
        }
        let (fails, now) = (*fails, after.clone());
        let write = catalog.write(move |tx| {
            made.iter().try_for_each(|change| apply(tx, change))?;
            compare(tx, &now)?;
            if fails { Err(Error::Denied) } else { Ok(()) }
        });
        waiting.push((submit(write).await, allowed, fails));
        if !fails {
            *expected = after;
        }
    }
    gate.open().await;
    for (write, allowed, fails) in waiting {
        let result = write.wait().await;
        match (allowed, fails) {
            (true, false) => assert_eq!(result, Ok(())),
            (true, true) => assert_eq!(result, Err(Error::Denied)),
            (false, _) => assert!(matches!(result, Err(Error::Storage(_))), "{result:?}"),
        }
    }
}
