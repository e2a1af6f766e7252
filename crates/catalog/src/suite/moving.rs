//! The law of moves: while the door says so each change is noted with it, and behind a closed door nothing changes.

use ::model::{DirId, Error, Lease, Moving, NodeId, Stage, Time};

use super::{ACCOUNT, Gate, Open, ROOT, at, file, mkdir, submit, with_root};
use crate::audit::{Change, Index, Row};
use crate::{Catalog, Tx};

fn moving(epoch: u64, stage: Stage) -> Moving {
    Moving { id: 7, place: "elsewhere".to_owned(), begun: Time(1), epoch, stage }
}

async fn say(catalog: &Catalog, said: Option<Moving>) {
    catalog.write_closed(move |tx| tx.put_moving(said.as_ref())).await.unwrap();
}

/// What was noted, and what stands there now.
async fn noted(catalog: &Catalog, up_to: u64) -> Vec<(Change, Option<Row>)> {
    let look = move |audit: &dyn crate::audit::Audit| {
        // In pages.
        let mut changes: Vec<Change> = Vec::new();
        loop {
            let page = audit.changes(up_to, changes.last(), 3)?;
            if page.is_empty() {
                break;
            }
            changes.extend(page);
        }
        let rows = audit.rows_at(&changes)?;
        Ok(changes.into_iter().zip(rows).collect())
    };
    catalog.audit(look).await.unwrap()
}

fn has_file(noted: &[(Change, Option<Row>)], wanted: &str) -> bool {
    let names = |(_, row): &(Change, Option<Row>)| matches!(row, Some(Row::File(_, _, name, _)) if name == wanted);
    noted.iter().any(names)
}

pub(crate) async fn changes_are_noted(open: Open<'_>) {
    let catalog = with_root(open).await;
    let long = "é".repeat(2000);
    catalog.write(|tx| tx.put_file(at(ROOT, "before"), &file(1))).await.unwrap();
    assert!(noted(&catalog, u64::MAX - 1).await.is_empty());
    say(&catalog, Some(moving(1, Stage::Leaving))).await;
    let name = long.clone();
    catalog.write(move |tx| tx.put_file(at(ROOT, &name), &file(2))).await.unwrap();
    catalog.write(|tx| tx.remove_file(at(ROOT, "before"))).await.unwrap();
    // A rule that fails changes nothing, and so is not noted; nor is what belongs to the place.
    let refused = |tx: &mut dyn Tx| {
        tx.put_file(at(ROOT, "never"), &file(3))?;
        Err::<(), _>(Error::NotFound)
    };
    assert_eq!(catalog.write(refused).await, Err(Error::NotFound));
    let lease = Lease { holder: NodeId(1), until: Time(2) };
    catalog.write(move |tx| tx.put_lease("a", &lease)).await.unwrap();
    catalog.write(|tx| tx.fresh_id()).await.unwrap();
    drop(catalog);

    let catalog = open();
    let first = noted(&catalog, 1).await;
    // A name, its number, what stood there before, and the directory.
    assert_eq!(first.len(), 5, "{first:?}");
    assert!(has_file(&first, &long) && !has_file(&first, "never"));
    let gone = first.iter().filter(|(change, row)| change.is_in(Index::Names) && row.is_none());
    assert_eq!(gone.count(), 1, "{first:?}");
    // Under another number from now on, the same row as well.
    say(&catalog, Some(moving(2, Stage::Leaving))).await;
    catalog.write(|tx| mkdir(tx, ROOT, "d", 50).map(drop)).await.unwrap();
    assert_eq!(noted(&catalog, 1).await.len(), 5);
    assert_eq!(noted(&catalog, 2).await.len(), 5 + 4);
    let asked = Row::Directory(ACCOUNT, super::directory(50));
    let other = Row::Directory(ACCOUNT, super::directory(51));
    let are = catalog.audit(move |audit| audit.are_noted(&[other, asked], 2)).await;
    assert_eq!(are, Ok(vec![false, true]));
    let forgotten: Vec<Change> = first.into_iter().map(|(change, _)| change).collect();
    catalog.write_closed(move |tx| tx.forget_changes(&forgotten)).await.unwrap();
    assert_eq!(noted(&catalog, 1).await.len(), 0);
    assert_eq!(noted(&catalog, 2).await.len(), 4);
    say(&catalog, None).await;
    catalog.write(|tx| tx.put_file(at(DirId(50), "after"), &file(1))).await.unwrap();
    assert_eq!(noted(&catalog, u64::MAX - 1).await.len(), 4);
}

pub(crate) async fn behind_a_closed_door(open: Open<'_>) {
    let catalog = with_root(open).await;
    for stage in [Stage::Closing, Stage::Gone, Stage::Coming] {
        say(&catalog, Some(moving(3, stage))).await;
        let refused = catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert!(catalog.check_writable().is_err());
        assert!(catalog.read(|r| r.node(at(ROOT, "f"))).await.unwrap().is_none());
        assert_eq!(catalog.read(|r| r.moving()).await, Ok(Some(moving(3, stage))));
        // Whoever moves it still writes, also beside those who may not.
        let gate = Gate::close_passing(&catalog).await;
        let one = submit(catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1)))).await;
        let name = stage.name();
        let two =
            submit(catalog.write_closed(move |tx| tx.put_file(at(ROOT, name), &file(2)))).await;
        gate.open().await;
        assert!(matches!(one.wait().await, Err(Error::Unavailable(_))));
        two.wait().await.unwrap();
        assert!(catalog.read(move |r| r.node(at(ROOT, name))).await.unwrap().is_some());
    }
    drop(catalog);
    let catalog = open();
    let refused = catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    say(&catalog, Some(moving(3, Stage::Arrived))).await;
    catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await.unwrap();
    assert_eq!(catalog.check_writable(), Ok(()));
}

/// Writes that wait together with what closes the door: each is done and noted, or refused.
pub(crate) async fn a_door_that_closes_among_writes(open: Open<'_>) {
    let catalog = with_root(open).await;
    say(&catalog, Some(moving(1, Stage::Leaving))).await;
    let gate = Gate::close(&catalog).await;
    let put = |n: u64| catalog.write(move |tx| tx.put_file(at(ROOT, &format!("f{n}")), &file(n)));
    let mut writes = Vec::new();
    for n in 0..10 {
        writes.push(submit(put(n)).await);
    }
    let close = |tx: &mut dyn Tx| tx.put_moving(Some(&moving(2, Stage::Closing)));
    let closing = submit(catalog.write_closed(close)).await;
    for n in 10..20 {
        writes.push(submit(put(n)).await);
    }
    gate.open().await;
    closing.wait().await.unwrap();
    let mut done = Vec::new();
    for write in writes {
        done.push(write.wait().await.is_ok());
    }
    assert!(done[10..].iter().all(|done| !done), "{done:?}");
    let noted = noted(&catalog, 2).await;
    for (n, done) in done.iter().enumerate() {
        assert_eq!(has_file(&noted, &format!("f{n}")), *done, "f{n}");
    }
}
