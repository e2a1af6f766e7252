//! Damage on disk, and rows that cannot be read.
//!
//! What does not live here: damage that readers meet, and bit flips (tests/damage).

use std::{
    fs,
    path::{Path, PathBuf},
};

use ops::fsck::Kind;
use rocksdb::{ColumnFamilyDescriptor, DB, Options};

use crate::{
    harness::{noise, sha256},
    store::{Store, fsck, has, server},
};

/// The kinds that are seeded here.
pub(crate) const KINDS: &[Kind] = &[
    Kind::IndexUnreadable,
    Kind::RecordUnreadable,
    Kind::BlobMissing,
    Kind::BlobDamaged,
    Kind::BlobOrphan,
    Kind::StrayFile,
    Kind::StageLeft,
];

/// All files below a directory, in an order that stays.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The largest blob: that of `/a/f7`, `/a/copy`, or near it.
fn blob(store: &Store) -> PathBuf {
    let len = |path: &PathBuf| fs::metadata(path).unwrap().len();
    files(&store.data().join("blobs")).into_iter().max_by_key(len).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut raw = fs::read(path).unwrap();
    raw[at] ^= 4;
    fs::write(path, raw).unwrap();
}

#[test]
fn blobs() {
    let store = Store::make();
    type Damage = fn(&Store);
    let table: &[(Kind, bool, bool, Damage)] = &[
        (Kind::BlobMissing, false, false, |store| fs::remove_file(blob(store)).unwrap()),
        (Kind::BlobDamaged, false, false, |store| {
            let file = fs::File::options().write(true).open(blob(store)).unwrap();
            file.set_len(1000).unwrap();
        }),
        (Kind::BlobDamaged, true, false, |store| flip(&blob(store), 70_000)),
        (Kind::BlobOrphan, false, true, |store| {
            let id = model::BlobId::new(model::AccountId(1), 1, [7; 6]).to_hex();
            let dir = store.data().join("blobs").join(&id[28..30]).join(&id[30..]);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(id), noise(1, 5_000)).unwrap();
        }),
        (Kind::StrayFile, false, false, |store| {
            fs::write(store.data().join("blobs/notes"), "mine").unwrap();
        }),
        (Kind::StrayFile, false, false, |store| {
            let at = blob(store);
            fs::copy(&at, at.with_file_name("ab".repeat(16))).unwrap();
        }),
    ];
    for (kind, deep, mended, damage) in table {
        let (name, store) = (kind.name(), store.copy());
        damage(&store);
        let args: &[&str] = if *deep { &["--deep"] } else { &[] };
        if *deep {
            assert_eq!(fsck(&store.data(), &[]).0, 0, "{name}: not seen without reading");
        }
        let (code, report) = fsck(&store.data(), args);
        assert!(code == 1 && has(&report, name) && report["total"] == 1, "{name}: {report:#}");
        let at = report["findings"][0]["at"].as_str().unwrap();
        if [Kind::BlobMissing, Kind::BlobDamaged].contains(kind) {
            assert!(at.contains("/acme/a/") || at.contains("/acme/a/b/"), "{name}: {at}");
        }
        let before = files(&store.data().join("blobs")).len();
        let (code, report) = fsck(&store.data(), &[args, &["--repair"]].concat());
        assert_eq!(code, i32::from(!mended), "{name}: {report:#}");
        assert_eq!(fsck(&store.data(), args).0, i32::from(!mended), "{name}");
        let after = files(&store.data().join("blobs")).len();
        assert_eq!(before - after, usize::from(*mended), "{name}: only garbage is removed");
    }
}

fn raw(store: &Store) -> DB {
    let path = store.data().join("catalog");
    let names = DB::list_cf(&Options::default(), &path).unwrap();
    let families = names.into_iter().map(|name| {
        let mut options = Options::default();
        if name == "inline" {
            options.set_enable_blob_files(true);
        }
        ColumnFamilyDescriptor::new(name, options)
    });
    DB::open_cf_descriptors(&Options::default(), path, families.collect::<Vec<_>>()).unwrap()
}

/// A record that cannot be read may be the one that refers to what seems to be nobody's: nothing is mended.
#[test]
fn an_unreadable_record() {
    let store = Store::make();
    for family in
        ["default", "names", "numbers", "dirs", "sessions", "blobs", "uploads", "pieces", "jobs"]
    {
        let store = store.copy();
        {
            let db = raw(&store);
            let family = db.cf_handle(family).unwrap();
            let mut rows = db.raw_iterator_cf(family);
            rows.seek_to_last();
            let (key, value) = (rows.key().unwrap().to_vec(), rows.value().unwrap().to_vec());
            drop(rows);
            db.put_cf(family, key, &value[..value.len() - 1]).unwrap();
            let nobodys = [b"\0\0\0\x01".as_slice(), &7_u64.to_be_bytes()].concat();
            db.put_cf(db.cf_handle("inline").unwrap(), nobodys, b"\x01nobody's").unwrap();
        }
        for args in [&[][..], &["--repair"]] {
            let (code, report) = fsck(&store.data(), args);
            assert!(code == 1 && has(&report, "record-unreadable"), "{family}: {report:#}");
            assert!(has(&report, "inline-orphan"), "{family}: {report:#}");
            assert_eq!(report["complete"], false, "{family}");
            let findings = report["findings"].as_array().unwrap();
            assert!(findings.iter().all(|f| f["mended"] == false && f["mendable"] == false));
        }
    }
}

/// A table that cannot be read is not a table without rows.
#[test]
fn an_unreadable_index() {
    let store = Store::make();
    let tables: Vec<PathBuf> = files(&store.data().join("catalog"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "sst"))
        .collect();
    assert!(!tables.is_empty());
    let mut seen = 0;
    for table in tables {
        let store = store.copy();
        flip(&store.data().join("catalog").join(table.file_name().unwrap()), 10);
        let (code, report) = fsck(&store.data(), &["--repair"]);
        assert!(code > 0, "{table:?}: {report:#}");
        seen += usize::from(code == 1 && has(&report, "index-unreadable"));
    }
    assert!(seen > 0, "some catalogs open, and are found damaged");
}

/// What could not be looked at has an exit code of its own.
#[test]
fn not_looked() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = fsck(&dir.path().join("none"), &[]);
    assert!(code == 2 && said.as_str().unwrap().contains("no data directory"), "{said}");
    let server = server();
    let anna = server.login();
    anna.put("/f", &noise(1, 30_000));
    let (code, said) = fsck(&server.data(), &["--repair"]);
    assert!(code == 2 && said.as_str().unwrap().contains("stop it to repair"), "{said}");
    let text = server.admin_ok(&["fsck"], "");
    assert!(text.ends_with("\nclean\n") && text.contains("1 files"), "{text}");
    assert_eq!(sha256(&anna.content("/f")), sha256(&noise(1, 30_000)));
}
