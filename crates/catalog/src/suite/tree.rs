//! The law of entries: directories, files, moves, names, and the walk along a path.

use ::model::{AccountId, DirId, Directory, Error, File, Kind, Node, Resolved, Result, TreePath};

use super::{ACCOUNT, OWNER, Open, ROOT, at, check_dir, directory, file, mkdir, page, with_root};
use crate::{Place, Read, Tx};

fn dir_at(read: &mut dyn Read, dir: DirId, name: &str) -> Result<Directory> {
    match read.node(at(dir, name))? {
        Some(Node::Directory(found)) => Ok(found),
        other => panic!("{name:?} is {other:?}"),
    }
}

fn file_at(read: &mut dyn Read, dir: DirId, name: &str) -> Result<File> {
    match read.node(at(dir, name))? {
        Some(Node::File(found)) => Ok(found),
        other => panic!("{name:?} is {other:?}"),
    }
}

/// Directories get numbers from 1, are counted, touched and removed.
pub(crate) async fn directories(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            assert_eq!(tx.directory(ACCOUNT, ROOT)?, Some(directory(ROOT.0)));
            let a = mkdir(tx, ROOT, "a", 2)?;
            assert_eq!((a.number, a.id, a.ctime), (1, DirId(2), directory(2).ctime));
            assert_eq!(mkdir(tx, ROOT, "b", 3)?.number, 2);
            assert_eq!(mkdir(tx, DirId(2), "a", 4)?.number, 1);
            Ok(())
        })
        .await
        .unwrap();
    catalog
        .write(|tx| {
            tx.touch_directory(ACCOUNT, DirId(2), 99)?;
            tx.remove_directory(at(ROOT, "b"))
        })
        .await
        .unwrap();
    catalog
        .read(|r| {
            let root = r.directory(ACCOUNT, ROOT)?.unwrap();
            assert_eq!(
                (root.directories, root.files, root.last_directory, root.last_file),
                (1, 0, 2, 0)
            );
            assert_eq!((root.number, root.owner, root.mtime), (0, OWNER, directory(1).mtime));
            let a = dir_at(r, ROOT, "a")?;
            assert_eq!(
                a,
                Directory {
                    number: 1,
                    mtime: 99,
                    directories: 1,
                    last_directory: 1,
                    ..directory(2)
                }
            );
            assert_eq!((r.node(at(ROOT, "b"))?, r.directory(ACCOUNT, DirId(3))?), (None, None));
            for dir in [ROOT, DirId(2), DirId(4)] {
                check_dir(r, dir)?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// Files of every kind of content come back; one that is replaced keeps its number and is not counted again.
pub(crate) async fn files(open: Open<'_>) {
    let catalog = with_root(open).await;
    let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
    let put = names.clone();
    catalog
        .write(move |tx| {
            (0..).zip(&put).try_for_each(|(seed, name)| tx.put_file(at(ROOT, name), &file(seed)))
        })
        .await
        .unwrap();
    let replacement = File { number: 999, ..file(1 << 60) };
    let put = replacement.clone();
    catalog
        .write(move |tx| {
            tx.put_file(at(ROOT, "f7"), &put)?;
            tx.remove_file(at(ROOT, "f3"))?;
            assert_eq!(file_at(tx, ROOT, "f7")?.number, 8, "a transaction sees itself");
            Ok(())
        })
        .await
        .unwrap();
    catalog
        .read(move |r| {
            for (seed, name) in (0..).zip(&names) {
                let expected = match seed {
                    3 => None,
                    7 => Some(Node::File(File { number: 8, ..replacement.clone() })),
                    _ => Some(Node::File(File { number: seed + 1, ..file(seed) })),
                };
                assert_eq!(r.node(at(ROOT, name))?, expected);
            }
            let root = r.directory(ACCOUNT, ROOT)?.unwrap();
            assert_eq!((root.files, root.last_file, root.directories), (19, 20, 0));
            assert_eq!(check_dir(r, ROOT)?.len(), 19);
            Ok(())
        })
        .await
        .unwrap();
}

/// A rename within a directory keeps the number, the counters and what a directory holds.
pub(crate) async fn moves_within_a_directory(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            tx.put_file(at(ROOT, "a"), &file(1))?;
            tx.put_file(at(ROOT, "b"), &file(2))?;
            mkdir(tx, ROOT, "d", 2)?;
            tx.put_file(at(DirId(2), "inside"), &file(3))
        })
        .await
        .unwrap();
    catalog
        .write(|tx| {
            tx.move_entry(at(ROOT, "a"), at(ROOT, "z"))?;
            tx.move_entry(at(ROOT, "d"), at(ROOT, "a"))
        })
        .await
        .unwrap();
    catalog
        .read(|r| {
            assert_eq!(page(r, ROOT, Kind::File, 0, 9)?, [(1, "z".into()), (2, "b".into())]);
            assert_eq!(file_at(r, ROOT, "z")?, File { number: 1, ..file(1) });
            assert_eq!((dir_at(r, ROOT, "a")?.number, r.node(at(ROOT, "d"))?), (1, None));
            assert_eq!(file_at(r, DirId(2), "inside")?.attrs, file(3).attrs);
            let root = r.directory(ACCOUNT, ROOT)?.unwrap();
            assert_eq!((root.last_file, root.last_directory), (2, 1));
            check_dir(r, ROOT).map(drop)
        })
        .await
        .unwrap();
}

/// A move to another directory takes the next number there and leaves a gap behind.
pub(crate) async fn moves_between_directories(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            mkdir(tx, ROOT, "from", 2)?;
            mkdir(tx, ROOT, "to", 3)?;
            tx.put_file(at(DirId(3), "x"), &file(1))?;
            tx.put_file(at(DirId(2), "f"), &file(2))?;
            mkdir(tx, DirId(3), "y", 4)?;
            mkdir(tx, DirId(2), "d", 5)?;
            tx.put_file(at(DirId(5), "deep"), &file(3))
        })
        .await
        .unwrap();
    catalog
        .write(|tx| {
            tx.move_entry(at(DirId(2), "f"), at(DirId(3), "f2"))?;
            tx.move_entry(at(DirId(2), "d"), at(DirId(3), "d"))
        })
        .await
        .unwrap();
    catalog
        .read(|r| {
            assert_eq!(file_at(r, DirId(3), "f2")?, File { number: 2, ..file(2) });
            let moved = dir_at(r, DirId(3), "d")?;
            assert_eq!((moved.number, moved.id, moved.files), (2, DirId(5), 1));
            assert_eq!(file_at(r, DirId(5), "deep")?.attrs, file(3).attrs);
            let from = r.directory(ACCOUNT, DirId(2))?.unwrap();
            assert_eq!(
                (from.files, from.directories, from.last_file, from.last_directory),
                (0, 0, 1, 1)
            );
            for dir in [ROOT, DirId(2), DirId(3), DirId(5)] {
                check_dir(r, dir)?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// A name is kept byte for byte, whatever it is.
pub(crate) async fn names_of_any_kind(open: Open<'_>) {
    let catalog = with_root(open).await;
    let names: Vec<String> = [
        &"a".repeat(4096),
        &"a".repeat(4095),
        &"今".repeat(1365),
        "line\nbreak",
        " ",
        "\u{1}",
        "\u{7f}",
        "e\u{301}",
        "\u{e9}",
        "\u{202e}gnp",
        "C:\\x",
        "%2e",
        "*",
        "a",
        "A",
        "\u{10ffff}",
    ]
    .iter()
    .map(|name| (*name).to_owned())
    .collect();
    let put = names.clone();
    catalog
        .write(move |tx| {
            mkdir(tx, ROOT, "dirs", 2)?;
            for (n, name) in (0..).zip(&put) {
                tx.put_file(at(ROOT, name), &file(n))?;
                mkdir(tx, DirId(2), name, 10 + n)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    catalog
        .scan(move |r| {
            let rows: Vec<(u64, String)> = (1..).zip(names.iter().cloned()).collect();
            assert_eq!(page(r, ROOT, Kind::File, 0, 100)?, rows);
            assert_eq!(page(r, DirId(2), Kind::Directory, 0, 100)?, rows);
            for (n, name) in (0..).zip(&names) {
                assert_eq!(file_at(r, ROOT, name)?, File { number: n + 1, ..file(n) });
                assert_eq!(dir_at(r, DirId(2), name)?.id, DirId(10 + n));
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// A walk ends at the deepest directory it reaches and shows the file after it.
pub(crate) async fn resolving(open: Open<'_>) {
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            mkdir(tx, ROOT, "a", 2)?;
            mkdir(tx, DirId(2), "b", 3)?;
            tx.put_file(at(DirId(3), "f"), &file(5))?;
            resolves(tx)
        })
        .await
        .unwrap();
    catalog.read(resolves).await.unwrap();
}

fn resolves(read: &mut dyn Read) -> Result<()> {
    let cases = [
        ("", 1, 0, 0, false),
        ("a", 2, 1, 1, false),
        ("a/b", 3, 2, 2, false),
        ("a/b/f", 3, 2, 3, true),
        ("a/b/f/x", 3, 2, 4, true),
        ("a/b/no", 3, 2, 3, false),
        ("a/no/no/no", 2, 1, 4, false),
        ("no", 1, 0, 1, false),
        ("A", 1, 0, 1, false),
    ];
    for (path, dir, depth, len, has_file) in cases {
        let path = TreePath::parse(path).unwrap();
        let found = read.resolve(ACCOUNT, ROOT, &path)?.expect("the root is there");
        let dir = read.directory(ACCOUNT, DirId(dir))?.unwrap();
        let file = has_file.then(|| File { number: 1, ..file(5) });
        assert_eq!(found, Resolved { dir, depth, len, file }, "{path}");
    }
    for (account, root) in [(ACCOUNT, DirId(77)), (AccountId(2), ROOT)] {
        for path in ["", "a", "a/b"] {
            assert_eq!(read.resolve(account, root, &TreePath::parse(path).unwrap())?, None);
        }
    }
    Ok(())
}

/// What operations must not ask for is refused as a fault, and nothing of it stays.
pub(crate) async fn misuse_changes_nothing(open: Open<'_>) {
    type Misuse = (&'static str, fn(&mut dyn Tx) -> Result<()>);
    let misuses: [Misuse; 15] = [
        ("a taken name", |tx| mkdir(tx, ROOT, "f", 9).map(drop)),
        ("a taken name", |tx| mkdir(tx, ROOT, "d", 9).map(drop)),
        ("a taken id", |tx| mkdir(tx, ROOT, "new", 2).map(drop)),
        ("no parent", |tx| mkdir(tx, DirId(9), "new", 8).map(drop)),
        ("a file without a parent", |tx| tx.put_file(at(DirId(9), "new"), &file(1))),
        ("a file over a directory", |tx| tx.put_file(at(ROOT, "d"), &file(1))),
        ("a root twice", |tx| tx.put_root(ACCOUNT, &directory(ROOT.0))),
        ("no such file", |tx| tx.remove_file(at(ROOT, "no"))),
        ("not a file", |tx| tx.remove_file(at(ROOT, "d"))),
        ("no such directory", |tx| tx.remove_directory(at(ROOT, "no"))),
        ("not a directory", |tx| tx.remove_directory(at(ROOT, "f"))),
        ("not empty", |tx| tx.remove_directory(at(ROOT, "d"))),
        ("no such directory to touch", |tx| tx.touch_directory(ACCOUNT, DirId(9), 1)),
        ("a move to a taken name", |tx| tx.move_entry(at(ROOT, "f"), at(ROOT, "d"))),
        ("a move into nowhere", |tx| tx.move_entry(at(ROOT, "f"), at(DirId(9), "f"))),
    ];
    let catalog = with_root(open).await;
    catalog
        .write(|tx| {
            tx.put_file(at(ROOT, "f"), &file(1))?;
            mkdir(tx, ROOT, "d", 2)?;
            tx.put_file(at(DirId(2), "f"), &file(2))
        })
        .await
        .unwrap();
    let state = |r: &mut dyn Read| {
        Ok((check_dir(r, ROOT)?, check_dir(r, DirId(2))?, r.directory(ACCOUNT, ROOT)?))
    };
    let before = catalog.read(state).await.unwrap();
    for (what, misuse) in misuses {
        let result = catalog.write(misuse).await;
        assert!(matches!(result, Err(Error::Storage(_))), "{what}: {result:?}");
        assert_eq!(catalog.read(state).await.unwrap(), before, "{what}");
    }
    let elsewhere = Place { account: AccountId(2), dir: ROOT, name: "f" };
    let result = catalog.write(move |tx| tx.move_entry(at(ROOT, "f"), elsewhere)).await;
    assert!(matches!(result, Err(Error::Storage(_))), "a move to another account: {result:?}");
}

/// The same ids and names in two accounts are two things.
pub(crate) async fn accounts_do_not_meet(open: Open<'_>) {
    let catalog = with_root(open).await;
    let other = AccountId(2);
    let there = Place { account: other, dir: ROOT, name: "f" };
    catalog
        .write(move |tx| {
            tx.put_root(other, &directory(ROOT.0))?;
            tx.put_file(at(ROOT, "f"), &file(1))?;
            tx.put_file(there, &file(2))?;
            tx.remove_file(at(ROOT, "f"))
        })
        .await
        .unwrap();
    catalog
        .read(move |r| {
            assert_eq!(r.node(at(ROOT, "f"))?, None);
            assert_eq!(r.node(there)?, Some(Node::File(File { number: 1, ..file(2) })));
            assert_eq!(page(r, ROOT, Kind::File, 0, 9)?, []);
            let mut rows = 0;
            r.list_files(other, ROOT, 0, 9, &mut |_, _, _| rows += 1)?;
            assert_eq!((rows, r.directory(other, ROOT)?.unwrap().files), (1, 1));
            Ok(())
        })
        .await
        .unwrap();
}
