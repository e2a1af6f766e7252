//! The law of leases and of the other small records that nodes share.

use ::model::{Lease, NodeId, Scrub, Time};

use super::{Open, submit};
use crate::Tx;
use crate::audit::{Index, Row};

fn lease(holder: u64, until: u64) -> Lease {
    Lease { holder: NodeId(holder), until: Time(until) }
}

pub(crate) async fn leases(open: Open<'_>) {
    let catalog = open();
    catalog
        .write(|tx| {
            tx.put_lease("sweep", &lease(u64::MAX, 0))?;
            tx.put_lease("join/b", &lease(2, 5))?;
            tx.put_lease("join/a", &lease(1, u64::MAX))?;
            tx.put_lease("join", &lease(3, 3))?;
            tx.put_lease("", &lease(4, 4))?;
            tx.put_lease("gone", &lease(5, 5))?;
            tx.remove_lease("gone")?;
            tx.remove_lease("never")?;
            assert_eq!(tx.lease("sweep")?, Some(lease(u64::MAX, 0)), "a transaction sees itself");
            assert_eq!(tx.leases("join/")?.len(), 2);
            Ok(())
        })
        .await
        .unwrap();
    catalog.write(|tx| tx.put_lease("join/b", &lease(9, 9))).await.unwrap();
    drop(catalog);
    let catalog = open();
    catalog
        .read(|r| {
            let named = |leases: Vec<(String, Lease)>| -> Vec<(String, u64)> {
                leases.into_iter().map(|(name, lease)| (name, lease.holder.0)).collect()
            };
            let all = ["", "join", "join/a", "join/b", "sweep"].map(str::to_owned);
            let all: Vec<_> = all.into_iter().zip([4, 3, 1, 9, u64::MAX]).collect();
            assert_eq!(named(r.leases("")?), all);
            assert_eq!(named(r.leases("join/")?), all[2..4]);
            assert_eq!(named(r.leases("sweeper")?), []);
            assert_eq!((r.lease("gone")?, r.lease("joi")?), (None, None));
            assert_eq!(r.lease("join/b")?, Some(lease(9, 9)));
            Ok(())
        })
        .await
        .unwrap();
    let laid_open = catalog.audit(|audit| {
        let rows = audit.rows(Index::Meta, None).map(|row| row.unwrap());
        Ok(rows.filter(|row| matches!(row, Row::Lease(..) | Row::Unread(..))).collect::<Vec<_>>())
    });
    let rows = laid_open.await.unwrap();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[3], Row::Lease("join/b".to_owned(), lease(9, 9)));
}

/// Many take the same lease at once where it is free: one has it.
pub(crate) async fn a_lease_is_taken_once(open: Open<'_>) {
    let catalog = open();
    let mut takes = Vec::new();
    for node in 1..=20_u64 {
        let take = move |tx: &mut dyn Tx| {
            let of = tx.lease("one")?;
            let taken = of.is_none_or(|lease| lease.is_free_for(NodeId(node), Time(1)));
            if taken {
                tx.put_lease("one", &lease(node, 100))?;
            }
            Ok(taken)
        };
        takes.push(submit(catalog.write(take)).await);
    }
    let mut taken = 0;
    for take in takes {
        taken += u32::from(take.wait().await.unwrap());
    }
    assert_eq!(taken, 1);
}

pub(crate) async fn what_nodes_agree_on(open: Open<'_>) {
    let catalog = open();
    catalog
        .read(|r| {
            assert_eq!((r.key_check()?, r.orphans_swept()?, r.scrub()?), (None, None, None));
            Ok(())
        })
        .await
        .unwrap();
    let scrub = Scrub { pass: 3, bytes: 7, ..Scrub::default() };
    let put = scrub.clone();
    catalog
        .write(move |tx| {
            tx.put_key_check(&[0, 1, 255])?;
            tx.put_orphans_swept(Time(77))?;
            tx.put_row(&Row::Scrub(put.clone()))
        })
        .await
        .unwrap();
    drop(catalog);
    let catalog = open();
    let read = catalog.read(|r| Ok((r.key_check()?, r.orphans_swept()?, r.scrub()?)));
    let expected = (Some(vec![0, 1, 255]), Some(Time(77)), Some(scrub));
    assert_eq!(read.await.unwrap(), expected);
}
