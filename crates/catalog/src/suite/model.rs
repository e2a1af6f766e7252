//! The law by chance: random transactions against a plain map.
//!
//! What lives here: a model of the tree in `BTreeMap`s, random changes, and the comparison after each transaction and
//! after opening again. What does not: sizes and speeds. A failing run prints the changes it shrank to and the seed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use ::model::{BlobId, DirId, Error, InlineId, Lease, Node, NodeId, Result, Time};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::{ACCOUNT, Gate, Open, ROOT, at, check_dir, directory, file, submit, with_root};
use crate::{Catalog, Read, Tx};

/// Ids of directories that sequences use; the first is the root.
const DIRS: u64 = 6;

/// One change. Directories and names are few, so that changes meet.
#[derive(Debug, Clone)]
enum Change {
    AddDirectory { dir: u64, name: u8, id: u64 },
    RemoveDirectory { dir: u64, name: u8 },
    Touch { dir: u64, mtime: u64 },
    PutFile { dir: u64, name: u8, seed: u64 },
    RemoveFile { dir: u64, name: u8 },
    Move { dir: u64, name: u8, to: u64, new: u8 },
    PutInline { id: u64, len: usize },
    RemoveInline { id: u64 },
    Refs { blob: u8, refs: u32 },
    Doom { blob: u8, at: u64 },
    Forget { blob: u8 },
    PutLease { name: u8, holder: u64 },
    RemoveLease { name: u8 },
}

/// Changes in one transaction, and whether it fails its rules at the end.
type Transaction = (Vec<Change>, bool);

fn change() -> impl Strategy<Value = Change> {
    let (dir, name) = (|| 1..=DIRS, || 0..5_u8);
    prop_oneof![
        3 => (dir(), name(), 2..=DIRS).prop_map(|(dir, name, id)| Change::AddDirectory { dir, name, id }),
        1 => (dir(), name()).prop_map(|(dir, name)| Change::RemoveDirectory { dir, name }),
        1 => (dir(), any::<u64>()).prop_map(|(dir, mtime)| Change::Touch { dir, mtime }),
        4 => (dir(), name(), 0..1000_u64).prop_map(|(dir, name, seed)| Change::PutFile { dir, name, seed }),
        2 => (dir(), name()).prop_map(|(dir, name)| Change::RemoveFile { dir, name }),
        3 => (dir(), name(), dir(), name())
            .prop_map(|(dir, name, to, new)| Change::Move { dir, name, to, new }),
        1 => (0..4_u64, 0..5000_usize).prop_map(|(id, len)| Change::PutInline { id, len }),
        1 => (0..4_u64).prop_map(|id| Change::RemoveInline { id }),
        1 => (0..4_u8, 0..3_u32).prop_map(|(blob, refs)| Change::Refs { blob, refs }),
        1 => (0..4_u8, any::<u64>()).prop_map(|(blob, at)| Change::Doom { blob, at }),
        1 => (0..4_u8).prop_map(|blob| Change::Forget { blob }),
        1 => (name(), any::<u64>()).prop_map(|(name, holder)| Change::PutLease { name, holder }),
        1 => name().prop_map(|name| Change::RemoveLease { name }),
    ]
}

/// What should be there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Expected {
    dirs: BTreeMap<u64, ::model::Directory>,
    entries: BTreeMap<(u64, String), Entry>,
    inline: BTreeMap<u64, Bytes>,
    refs: BTreeMap<u8, u32>,
    doomed: BTreeMap<u8, u64>,
    leases: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Directory(u64),
    File(::model::File),
}

fn name_of(name: u8) -> String {
    ["a", "aa", "今", "a\n", "\u{1}"][usize::from(name)].to_owned()
}

fn content(id: u64, len: usize) -> Bytes {
    Bytes::from(vec![id.to_le_bytes()[0]; len])
}

fn blob_id(blob: u8) -> BlobId {
    BlobId([blob; 16])
}

impl Expected {
    /// Counts an entry in and returns its number; `None` when the directory is not there.
    fn receive(&mut self, dir: u64, is_file: bool) -> Option<u64> {
        let dir = self.dirs.get_mut(&dir)?;
        let (count, last) = if is_file {
            (&mut dir.files, &mut dir.last_file)
        } else {
            (&mut dir.directories, &mut dir.last_directory)
        };
        (*count, *last) = (*count + 1, *last + 1);
        Some(*last)
    }

    fn release(&mut self, key: &(u64, String)) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        let dir = self.dirs.get_mut(&key.0)?;
        match entry {
            Entry::Directory(_) => dir.directories -= 1,
            Entry::File(_) => dir.files -= 1,
        }
        Some(entry)
    }

    /// Makes a change; `None` when it is not allowed.
    fn apply(&mut self, change: &Change) -> Option<()> {
        match *change {
            Change::AddDirectory { dir, name, id } => self.add_directory((dir, name_of(name)), id),
            Change::RemoveDirectory { dir, name } => self.remove_directory((dir, name_of(name))),
            Change::Touch { dir, mtime } => self.dirs.get_mut(&dir).map(|dir| dir.mtime = mtime),
            Change::PutFile { dir, name, seed } => self.put_file((dir, name_of(name)), seed),
            Change::RemoveFile { dir, name } => {
                let key = (dir, name_of(name));
                let Entry::File(_) = self.entries.get(&key)? else { return None };
                self.release(&key).map(drop)
            }
            Change::Move { dir, name, to, new } => {
                self.move_entry((dir, name_of(name)), (to, name_of(new)))
            }
            Change::PutInline { id, len } => {
                self.inline.insert(id, content(id, len));
                Some(())
            }
            Change::RemoveInline { id } => {
                self.inline.remove(&id);
                Some(())
            }
            Change::Refs { blob, refs } => {
                self.refs.insert(blob, refs);
                Some(())
            }
            Change::Doom { blob, at } => {
                self.doomed.insert(blob, at);
                Some(())
            }
            Change::Forget { blob } => {
                self.doomed.remove(&blob);
                Some(())
            }
            Change::PutLease { name, holder } => {
                self.leases.insert(name_of(name), holder);
                Some(())
            }
            Change::RemoveLease { name } => {
                self.leases.remove(&name_of(name));
                Some(())
            }
        }
    }

    fn add_directory(&mut self, key: (u64, String), id: u64) -> Option<()> {
        if self.entries.contains_key(&key) || self.dirs.contains_key(&id) {
            return None;
        }
        let number = self.receive(key.0, false)?;
        self.dirs.insert(id, ::model::Directory { number, ..directory(id) });
        self.entries.insert(key, Entry::Directory(id));
        Some(())
    }

    fn remove_directory(&mut self, key: (u64, String)) -> Option<()> {
        let Entry::Directory(id) = *self.entries.get(&key)? else { return None };
        if !self.dirs.get(&id)?.is_empty() {
            return None;
        }
        self.release(&key)?;
        self.dirs.remove(&id).map(drop)
    }

    fn put_file(&mut self, key: (u64, String), seed: u64) -> Option<()> {
        let number = match self.entries.get(&key) {
            Some(Entry::File(old)) => old.number,
            Some(Entry::Directory(_)) => return None,
            None => self.receive(key.0, true)?,
        };
        self.entries.insert(key, Entry::File(::model::File { number, ..file(seed) }));
        Some(())
    }

    fn move_entry(&mut self, from: (u64, String), to: (u64, String)) -> Option<()> {
        if !self.dirs.contains_key(&to.0) || self.entries.contains_key(&to) {
            return None;
        }
        if from.0 == to.0 {
            let entry = self.entries.remove(&from)?;
            self.entries.insert(to, entry);
            return Some(());
        }
        let mut entry = self.release(&from)?;
        let number = self.receive(to.0, matches!(entry, Entry::File(_)))?;
        match &mut entry {
            Entry::File(file) => file.number = number,
            Entry::Directory(id) => self.dirs.get_mut(id)?.number = number,
        }
        self.entries.insert(to, entry);
        Some(())
    }

    /// Whether a move would put a directory below itself, which operations never ask for.
    fn makes_a_loop(&self, change: &Change) -> bool {
        let Change::Move { dir, name, to, .. } = *change else { return false };
        let Some(Entry::Directory(moved)) = self.entries.get(&(dir, name_of(name))) else {
            return false;
        };
        let mut at = to;
        while at != *moved {
            let above = self.entries.iter().find(|(_, entry)| **entry == Entry::Directory(at));
            let Some(((dir, _), _)) = above else { return false };
            at = *dir;
        }
        true
    }
}

fn apply(tx: &mut dyn Tx, change: &Change) -> Result<()> {
    match *change {
        Change::AddDirectory { dir, name, id } => {
            tx.add_directory(at(DirId(dir), &name_of(name)), directory(id)).map(drop)
        }
        Change::RemoveDirectory { dir, name } => {
            tx.remove_directory(at(DirId(dir), &name_of(name)))
        }
        Change::Touch { dir, mtime } => tx.touch_directory(ACCOUNT, DirId(dir), mtime),
        Change::PutFile { dir, name, seed } => {
            tx.put_file(at(DirId(dir), &name_of(name)), &file(seed))
        }
        Change::RemoveFile { dir, name } => tx.remove_file(at(DirId(dir), &name_of(name))),
        Change::Move { dir, name, to, new } => {
            tx.move_entry(at(DirId(dir), &name_of(name)), at(DirId(to), &name_of(new)))
        }
        Change::PutInline { id, len } => tx.put_inline(ACCOUNT, InlineId(id), content(id, len)),
        Change::RemoveInline { id } => tx.remove_inline(ACCOUNT, InlineId(id)),
        Change::Refs { blob, refs } => tx.put_blob_refs(blob_id(blob), refs),
        Change::Doom { blob, at } => tx.doom(blob_id(blob), Time(at)),
        Change::Forget { blob } => tx.forget_doomed(blob_id(blob)),
        Change::PutLease { name, holder } => {
            tx.put_lease(&name_of(name), &Lease { holder: NodeId(holder), until: Time(holder) })
        }
        Change::RemoveLease { name } => tx.remove_lease(&name_of(name)),
    }
}

/// Reads all there is and compares it with what should be.
fn compare(read: &mut dyn Read, expected: &Expected) -> Result<()> {
    for dir in 1..=DIRS {
        assert_eq!(
            read.directory(ACCOUNT, DirId(dir))?.as_ref(),
            expected.dirs.get(&dir),
            "directory {dir}"
        );
        if !expected.dirs.contains_key(&dir) {
            continue;
        }
        let mut held = BTreeMap::new();
        for (name, node) in check_dir(read, DirId(dir))? {
            let entry = match node {
                Node::File(file) => Entry::File(file),
                Node::Directory(below) => Entry::Directory(below.id.0),
            };
            held.insert((dir, name), entry);
        }
        let all = expected.entries.iter().filter(|((d, _), _)| *d == dir);
        assert_eq!(held, all.map(|(k, v)| (k.clone(), v.clone())).collect(), "directory {dir}");
        for name in (0..5).map(name_of) {
            let is_there = read.node(at(DirId(dir), &name))?.is_some();
            assert_eq!(is_there, expected.entries.contains_key(&(dir, name)));
        }
    }
    for id in 0..4 {
        assert_eq!(
            read.inline(ACCOUNT, InlineId(id))?.as_ref(),
            expected.inline.get(&id),
            "inline {id}"
        );
    }
    for blob in 0..4 {
        assert_eq!(read.blob_refs(blob_id(blob))?, expected.refs.get(&blob).copied().unwrap_or(0));
    }
    let doomed: Vec<_> = expected.doomed.iter().map(|(b, at)| (blob_id(*b), Time(*at))).collect();
    assert_eq!(read.doomed(None, 100)?, doomed);
    let leases: BTreeMap<_, _> =
        read.leases("")?.into_iter().map(|(name, lease)| (name, lease.holder.0)).collect();
    assert_eq!(leases, expected.leases);
    Ok(())
}

/// Random transactions, several in a group, some failing, leave exactly what the model holds, then and after opening
/// the storage again. Each case begins with an empty storage, which `fresh` makes.
pub(crate) fn random_changes(fresh: Fresh<'_>) {
    let changes = prop::collection::vec(change(), 1..6);
    let transactions = prop::collection::vec((changes, prop::bool::weighted(0.2)), 1..40);
    by_chance(fresh, &transactions, run_case);
}

/// Makes empty storages: what opens one, again each time; and which share of the cases that proptest runs by default is
/// worth its time.
pub(crate) type Fresh<'a> = (&'a dyn Fn() -> Box<dyn Fn() -> Catalog>, u32);

/// Runs a case on values of a strategy, each with an empty storage, and shrinks the first that fails.
pub(crate) fn by_chance<S: Strategy>(
    fresh: Fresh<'_>,
    values: &S,
    case: impl AsyncFn(Open<'_>, S::Value),
) {
    // Each case opens a storage again. `PROPTEST_CASES` asks for more.
    let (fresh, share) = fresh;
    let cases = Config::default().cases / share;
    let run = |value: S::Value| {
        let open = fresh();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(case(&*open, value));
        });
        Ok(())
    };
    let defaults = Config::default();
    let seed = match defaults.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(()),
    };
    println!("random changes: PROPTEST_RNG_SEED={seed} runs these again");
    let rng_seed = RngSeed::Fixed(seed);
    let mut runner =
        TestRunner::new(Config { cases, rng_seed, failure_persistence: None, ..defaults });
    if let Err(e) = runner.run(values, run) {
        panic!("{e}");
    }
}

async fn run_case(open: Open<'_>, transactions: Vec<Transaction>) {
    let catalog = with_root(open).await;
    let mut expected =
        Expected { dirs: BTreeMap::from([(ROOT.0, directory(ROOT.0))]), ..Expected::default() };
    for group in transactions.chunks(4) {
        run_group(&catalog, &mut expected, group).await;
        let now = expected.clone();
        catalog.read(move |r| compare(r, &now)).await.unwrap();
    }
    drop(catalog);
    open().scan(move |r| compare(r, &expected)).await.unwrap();
}

/// Submits transactions so that they wait together, and checks what each of them answers.
async fn run_group(catalog: &Catalog, expected: &mut Expected, group: &[Transaction]) {
    let gate = Gate::close(catalog).await;
    let mut waiting = Vec::new();
    for (wanted, fails) in group {
        let (mut after, mut changes, mut allowed) = (expected.clone(), Vec::new(), true);
        for change in wanted {
            let mut next = after.clone();
            let is_allowed = !after.makes_a_loop(change) && next.apply(change).is_some();
            // What is not allowed stands in transactions that fail anyway: the others get somewhere.
            if allowed && (is_allowed || (*fails && !after.makes_a_loop(change))) {
                changes.push(change.clone());
                (after, allowed) = (next, is_allowed);
            }
        }
        let (fails, now) = (*fails, after.clone());
        let write = catalog.write(move |tx| {
            changes.iter().try_for_each(|change| apply(tx, change))?;
            compare(tx, &now)?;
            if fails { Err(Error::Denied) } else { Ok(()) }
        });
        waiting.push((submit(write).await, allowed, fails));
        if allowed && !fails {
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
