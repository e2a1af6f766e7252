//! The tree against a simple model: random sequences of operations, after each of which the answer, and at the end the
//! whole tree, must be what a map from paths to entries says (promises.md, 10).
//!
//! `PROPTEST_CASES` sets the number of sequences (10,000 is the promise; fewer run by default). A failure prints its
//! seed and the shortest sequence.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};

use blobs::Blobs;
use model::limits::INLINE_BYTES_MAX;
use model::{BlobId, Caller, Directory, Error, FileAttrs, Result, Time, TreePath, Usage};
use ops::{IfThere, Page, Parents, Positions, Rows, Stat, Store, Which};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::harness::{Bench, put, spec};

#[derive(Debug, Clone)]
enum Step {
    MakeDir(String, bool, bool),
    Delete(String, Option<bool>),
    Rename(String, String),
    Copy(String, String, bool),
    Put(String, usize, bool),
    Stat(String),
    Type(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Dir,
    File { content: Vec<u8>, html: bool },
}

/// What the tree should be: every path but the root, which is always there.
#[derive(Default)]
struct Model(BTreeMap<String, Node>);

/// How a path ends, as seen by somebody who may look at the map only.
enum End<'a> {
    Dir,
    File(&'a Node),
    Free,
    NoParent { file_above: bool },
}

impl Model {
    fn end(&self, path: &str) -> End<'_> {
        match self.0.get(path) {
            _ if path.is_empty() => End::Dir,
            Some(Node::Dir) => End::Dir,
            Some(file) => End::File(file),
            None => {
                let parents: Vec<&str> = path.match_indices('/').map(|(i, _)| &path[..i]).collect();
                let file_above =
                    parents.iter().any(|p| matches!(self.0.get(*p), Some(Node::File { .. })));
                if parents.iter().all(|p| self.0.get(*p) == Some(&Node::Dir)) {
                    End::Free
                } else {
                    End::NoParent { file_above }
                }
            }
        }
    }

    fn add_parents(&mut self, path: &str) {
        for (i, _) in path.match_indices('/') {
            self.0.entry(path[..i].to_owned()).or_insert(Node::Dir);
        }
    }

    fn is_empty_dir(&self, path: &str) -> bool {
        let below = format!("{path}/");
        !self.0.keys().any(|p| p.starts_with(&below))
    }

    fn make_dir(&mut self, path: &str, create: bool, fine: bool) -> Result<bool> {
        match self.end(path) {
            End::Dir if fine => return Ok(false),
            End::Dir | End::File(_) => return Err(Error::Exists),
            End::NoParent { .. } if !create => return Err(Error::ParentMissing),
            End::NoParent { file_above: true } => return Err(Error::NotDirectory),
            End::Free | End::NoParent { .. } => {}
        }
        self.add_parents(path);
        self.0.insert(path.to_owned(), Node::Dir);
        Ok(true)
    }

    fn delete(&mut self, path: &str, file: Option<bool>) -> Result<()> {
        match (self.end(path), file) {
            (End::Dir, Some(true)) => return Err(Error::IsDirectory),
            (End::Dir, _) if path.is_empty() => return Err(Error::Denied),
            (End::Dir, _) if !self.is_empty_dir(path) => return Err(Error::NotEmpty),
            (End::File(_), Some(false)) => return Err(Error::NotDirectory),
            (End::Dir | End::File(_), _) => {}
            (End::Free | End::NoParent { .. }, _) => return Err(Error::NotFound),
        }
        self.0.remove(path);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        match self.end(from) {
            End::Dir if from.is_empty() => return Err(Error::Denied),
            End::Free | End::NoParent { .. } => return Err(Error::NotFound),
            _ if from == to => return Err(Error::SamePath),
            End::Dir if !self.is_empty_dir(from) => return Err(Error::NotEmpty),
            End::Dir | End::File(_) => {}
        }
        if to.starts_with(&format!("{from}/")) {
            return Err(Error::ParentMissing);
        }
        match self.end(to) {
            End::Dir | End::File(_) => Err(Error::Exists),
            End::NoParent { .. } => Err(Error::ParentMissing),
            End::Free => {
                let node = self.0.remove(from).unwrap();
                self.0.insert(to.to_owned(), node);
                Ok(())
            }
        }
    }

    fn put(&mut self, path: &str, node: Node, create: bool) -> Result<()> {
        match self.end(path) {
            End::Dir => return Err(Error::IsDirectory),
            End::NoParent { .. } if !create => return Err(Error::ParentMissing),
            End::NoParent { file_above: true } => return Err(Error::NotDirectory),
            End::File(_) | End::Free | End::NoParent { .. } => {}
        }
        self.add_parents(path);
        self.0.insert(path.to_owned(), node);
        Ok(())
    }

    fn copy(&mut self, from: &str, to: &str, create: bool) -> Result<()> {
        let End::File(node) = self.end(from) else { return Err(Error::NotFound) };
        let node = node.clone();
        self.put(to, node, create)
    }
}

/// One engine for all cases; each case has an account of its own.
static ENGINE: LazyLock<(Runtime, Bench)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(async { Bench::new() });
    (runtime, bench)
});

/// Sequences to try.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

fn parents(create: bool) -> Parents {
    if create { Parents::Created } else { Parents::Required }
}

/// Content of a length, different for every path.
fn content(path: &str, len: usize) -> Vec<u8> {
    path.bytes().chain([b'#']).cycle().take(len).collect()
}

async fn read_all(store: &Store, caller: &Caller, path: &TreePath) -> Result<Vec<u8>> {
    let account = ops::AccountRef::Named(caller.account_name.clone());
    let candidate = ops::Candidate { account, path: path.clone(), account_in_path: true };
    let shown = ops::link::Shown::default();
    let ops::Found::File(opened) = store.get(vec![candidate], shown, true, true).await? else {
        panic!("nothing is arriving");
    };
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < opened.attrs().size {
        bytes.extend(opened.read(bytes.len() as u64, 1 << 20).await?);
    }
    Ok(bytes)
}

/// Does a step in the store and in the model; the answers must be the same.
async fn step(store: &Store, caller: &Caller, model: &mut Model, step: &Step) {
    let parse = |text: &str| TreePath::parse(text).unwrap();
    match step {
        Step::MakeDir(path, create, fine) => {
            let if_there = if *fine { IfThere::Fine } else { IfThere::Refused };
            let got = store.make_directory(caller, &parse(path), parents(*create), if_there).await;
            assert_eq!(got, model.make_dir(path, *create, *fine), "{step:?}");
        }
        Step::Delete(path, file) => {
            let got = match file {
                Some(true) => store.delete_file(caller, &parse(path)).await,
                Some(false) => store.delete_directory(caller, &parse(path)).await,
                None => store.delete_object(caller, &parse(path)).await,
            };
            assert_eq!(got, model.delete(path, *file), "{step:?}");
        }
        Step::Rename(from, to) => {
            let got = store.rename(caller, &parse(from), &parse(to)).await;
            assert_eq!(got, model.rename(from, to), "{step:?}");
        }
        Step::Copy(from, to, create) => {
            let got = store.copy(caller, &parse(from), &parse(to), parents(*create)).await;
            assert_eq!(got, model.copy(from, to, *create), "{step:?}");
        }
        Step::Put(path, len, create) => {
            let spec = spec(&parse(path), parents(*create));
            let got = put(store, caller, spec, &content(path, *len)).await;
            let node = Node::File { content: content(path, *len), html: false };
            assert_eq!(got, model.put(path, node, *create), "{step:?}");
        }
        Step::Stat(path) => {
            let got = store.stat(caller, &parse(path)).await;
            match (got, model.end(path)) {
                (Ok(Stat::Directory(_)), End::Dir) => {}
                (Ok(Stat::File(attrs)), End::File(Node::File { content, .. })) => {
                    assert_eq!(attrs.size, content.len() as u64, "{step:?}");
                }
                (Err(Error::NotFound), End::Free | End::NoParent { .. }) => {}
                (got, _) => panic!("{step:?}: {got:?}"),
            }
        }
        Step::Type(path) => {
            let html = model::ContentType::parse("text/html").unwrap();
            let got = store.set_content_type(caller, &parse(path), &html).await;
            let expected = match model.end(path) {
                End::Dir | End::File(_) => Ok(()),
                End::Free => Err(Error::NotFound),
                End::NoParent { .. } => Err(Error::ParentMissing),
            };
            if let Some(Node::File { html, .. }) = model.0.get_mut(path) {
                *html = true;
            }
            assert_eq!(got, expected, "{step:?}");
        }
    }
}

/// Names of a page, by kind.
#[derive(Default)]
struct Names(Vec<(String, Option<FileAttrs>)>);

impl Rows for Names {
    fn directory(&mut self, name: &str, details: Option<&Directory>) {
        assert!(details.is_some());
        self.0.push((name.to_owned(), None));
    }
    fn file(&mut self, name: &str, attrs: &FileAttrs) {
        self.0.push((name.to_owned(), Some(attrs.clone())));
    }
}

/// The whole tree through listings in pages of two, with every file's content.
async fn whole(store: &Store, caller: &Caller) -> BTreeMap<String, Node> {
    let mut found = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(dir) = open.pop() {
        let path = TreePath::parse(&dir).unwrap();
        let mut after = Positions::default();
        loop {
            let page = Page { which: Which::Both, after, size: 2, details: true };
            let (names, listed) = store.list(caller, &path, page, Names::default()).await.unwrap();
            for (name, attrs) in names.0 {
                let full = if dir.is_empty() { name } else { format!("{dir}/{name}") };
                let node = match attrs {
                    None => {
                        open.push(full.clone());
                        Node::Dir
                    }
                    Some(attrs) => {
                        let content = read_all(store, caller, &TreePath::parse(&full).unwrap())
                            .await
                            .unwrap();
                        assert_eq!(attrs.size, content.len() as u64);
                        Node::File { content, html: attrs.content_type.as_str() == "text/html" }
                    }
                };
                assert!(found.insert(full.clone(), node).is_none(), "{full} was listed twice");
            }
            after = listed.last;
            if listed.counts.directories < 2 && listed.counts.files < 2 {
                break;
            }
        }
    }
    found
}

/// Deletes the whole tree; nothing may be left: no count, no byte, no blob.
async fn clear(bench: &Bench, caller: &Caller, model: &Model) {
    for path in model.0.keys().rev() {
        bench.store.delete_object(caller, &TreePath::parse(path).unwrap()).await.unwrap();
    }
    let accounts = bench.store.accounts().await.unwrap();
    let mine = accounts.iter().find(|a| a.account.id == caller.account).unwrap();
    assert_eq!(mine.usage, Usage::default());
    while bench.store.sweep_doomed().await.unwrap() > 0 {}
    let (left, account) = (Arc::new(Mutex::new(Vec::new())), caller.account);
    let found = left.clone();
    let visit = Box::new(move |ids: Vec<BlobId>| {
        found.lock().unwrap().extend(ids.into_iter().filter(|id| id.account() == account));
    });
    bench.blobs.sealed_between(Time(0), Time(u64::MAX), visit).await.unwrap();
    assert_eq!(*left.lock().unwrap(), [], "blobs that nothing refers to");
}

fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..4).prop_map(|s| s.join("/"))
}

fn steps() -> impl Strategy<Value = Step> {
    let sizes = prop_oneof![3 => 0..40_usize, 1 => Just(INLINE_BYTES_MAX), 1 => INLINE_BYTES_MAX + 1..70_000_usize];
    prop_oneof![
        4 => (paths(), any::<bool>(), any::<bool>()).prop_map(|(p, c, f)| Step::MakeDir(p, c, f)),
        3 => (paths(), any::<Option<bool>>()).prop_map(|(p, f)| Step::Delete(p, f)),
        3 => (paths(), paths()).prop_map(|(f, t)| Step::Rename(f, t)),
        2 => (paths(), paths(), any::<bool>()).prop_map(|(f, t, c)| Step::Copy(f, t, c)),
        5 => (paths(), sizes, any::<bool>()).prop_map(|(p, l, c)| Step::Put(p, l, c)),
        1 => paths().prop_map(Step::Stat),
        1 => paths().prop_map(Step::Type),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn the_tree_is_what_a_map_says(sequence in prop::collection::vec(steps(), 50)) {
        let (runtime, bench) = &*ENGINE;
        runtime.block_on(async {
            let caller = bench.new_caller().await;
            let mut model = Model::default();
            for one in &sequence {
                step(&bench.store, &caller, &mut model, one).await;
            }
            assert_eq!(whole(&bench.store, &caller).await, model.0);
            let usage = bench.store.accounts().await.unwrap();
            let usage = usage.iter().find(|a| a.account.id == caller.account).unwrap().usage;
            let files = model.0.values().filter_map(|n| match n {
                Node::File { content, .. } => Some(content.len() as u64),
                Node::Dir => None,
            });
            assert_eq!(usage.bytes, files.clone().sum::<u64>());
            assert_eq!(usage.files, files.clone().count() as u64);
            assert_eq!(usage.directories, model.0.len() as u64 - usage.files);
            clear(bench, &caller, &model).await;
        });
    }
}
