//! The law of listings: numbers are cookies that survive any change.

use std::collections::BTreeMap;

use ::model::{DirId, Kind};

use super::{ACCOUNT, Open, ROOT, at, check_dir, file, mkdir, page, with_root};

/// Pages come in the order of numbers, start after any number, and end where the directory does.
pub(crate) async fn pages_follow_numbers(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            for n in 1..=300_u64 {
                // Names in no order, in a directory beside others whose rows must not be seen.
                let name = format!("{:03}", n * 7 % 1000);
                tx.put_file(at(ROOT, &name), &file(n))?;
                mkdir(tx, ROOT, &format!("d{name}"), 1000 + n)?;
                if n % 50 == 0 {
                    tx.put_file(at(DirId(1000 + n), "beside"), &file(n))?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
    catalog
        .scan(|r| {
            for kind in [Kind::File, Kind::Directory] {
                let all = page(r, ROOT, kind, 0, usize::MAX)?;
                assert_eq!(
                    all.iter().map(|row| row.0).collect::<Vec<_>>(),
                    (1..=300).collect::<Vec<_>>()
                );
                assert_eq!(page(r, ROOT, kind, 100, 50)?, all[100..150]);
                assert_eq!(page(r, ROOT, kind, 299, 50)?, all[299..]);
                for (after, limit) in [(300, 9), (u64::MAX, 9), (u64::MAX - 1, 9), (0, 0)] {
                    assert_eq!(page(r, ROOT, kind, after, limit)?, []);
                }
            }
            let mut details = 0;
            r.list_directories(ACCOUNT, ROOT, 10, 20, true, &mut |number, _, record| {
                let record = record.expect("details were asked for");
                assert_eq!((record.number, record.id), (number, DirId(1000 + number)));
                details += 1;
            })?;
            assert_eq!(details, 20);
            assert_eq!(page(r, DirId(77), Kind::File, 0, 9)?, [], "a directory that is not there");
            Ok(())
        })
        .await
        .unwrap();
}

/// Whatever changes between two pages, an entry that is there all the time is returned exactly once.
pub(crate) async fn changes_between_pages(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            mkdir(tx, ROOT, "other", 2)?;
            for n in 1..=60_u64 {
                tx.put_file(at(ROOT, &format!("stays{n}")), &file(n))?;
                tx.put_file(at(ROOT, &format!("goes{n}")), &file(n))?;
                tx.put_file(at(DirId(2), &format!("comes{n}")), &file(n))?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let (mut after, mut seen) = (0, BTreeMap::new());
    for round in 1..=60_u64 {
        let rows = catalog.scan(move |r| page(r, ROOT, Kind::File, after, 7)).await.unwrap();
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (number, name) in rows {
            // A renamed file may show under either name, under one number.
            assert!(seen.insert(number, name).is_none(), "{number} came twice");
        }
        catalog
            .write(move |tx| {
                tx.remove_file(at(ROOT, &format!("goes{round}")))?;
                let far = 61 - round;
                let (old, new) = (format!("stays{far}"), format!("stayed{far}"));
                if far > round {
                    tx.move_entry(at(ROOT, &old), at(ROOT, &new))?;
                }
                tx.put_file(
                    at(ROOT, &format!("stays{}", 31 - round.min(30))),
                    &file(1000 + round),
                )?;
                let comes = format!("comes{round}");
                tx.move_entry(at(DirId(2), &comes), at(ROOT, &comes))?;
                tx.put_file(at(ROOT, &format!("new{round}")), &file(round))
            })
            .await
            .unwrap();
    }
    for n in 1..=60_u64 {
        let (old, new) = (format!("stays{n}"), format!("stayed{n}"));
        let times = seen.values().filter(|name| **name == old || **name == new).count();
        assert_eq!(times, 1, "{old}");
    }
    catalog.scan(|r| check_dir(r, ROOT).map(drop)).await.unwrap();
}

/// The number of an entry that left is not given again, not even the last one's, not even after opening again.
pub(crate) async fn numbers_are_never_reused(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            mkdir(tx, ROOT, "d", 2)?;
            for _ in 0..3 {
                tx.put_file(at(ROOT, "f"), &file(1))?;
                tx.remove_file(at(ROOT, "f"))?;
            }
            tx.put_file(at(ROOT, "f"), &file(1))?;
            tx.move_entry(at(ROOT, "f"), at(DirId(2), "f"))?;
            tx.move_entry(at(DirId(2), "f"), at(ROOT, "f"))?;
            tx.remove_file(at(ROOT, "f"))
        })
        .await
        .unwrap();
    drop(catalog);
    let catalog = open();
    catalog.write(|tx| tx.put_file(at(ROOT, "f"), &file(1))).await.unwrap();
    let rows = catalog.read(|r| page(r, ROOT, Kind::File, 0, 9)).await;
    assert_eq!(rows, Ok(vec![(6, "f".to_owned())]));
}
