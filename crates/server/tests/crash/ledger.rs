//! The oracle: what a name space may look like, given what was asked and what was answered.
//!
//! What lives here: the rules of the tree as a small model, and the comparison with a server that runs again. What does
//! not: who asks what (`load`, `script`). The invariant: after an acknowledgement only trees that hold it are legal;
//! what was not answered, or with a fault, is done or not done, as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use blobs::suite::Chance;
use serde_json::{Value, json};

use crate::{
    caller::{Caller, Reply, is_fault},
    harness::{ask, sha256, wait_until},
};

/// Content up to this size lies in the catalog.
pub(crate) const INLINE_MAX: usize = 8192;

/// The content of a file. As all content is chance, the same digest is the same bytes on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) size: usize,
    pub(crate) sha: String,
    /// Blobs it lies in.
    pub(crate) blobs: usize,
}

impl Version {
    pub(crate) fn of(body: &[u8]) -> Self {
        Self { size: body.len(), sha: sha256(body), blobs: usize::from(body.len() > INLINE_MAX) }
    }
}

/// What stands under a path; `None`: a directory.
pub(crate) type Tree = BTreeMap<String, Option<Version>>;

/// A change of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Put(String, Version),
    Rename(String, String),
    Copy(String, String),
    Delete(String),
    MakeDir(String),
    DeleteDir(String),
}

impl Op {
    /// The tree after it; `None`: the rules refuse it.
    fn apply(&self, tree: &Tree) -> Option<Tree> {
        let is_file = |path: &String| matches!(tree.get(path), Some(Some(_)));
        let is_dir = |path: &str| matches!(tree.get(path), Some(None));
        let has_parent = |path: &String| is_dir(path.rsplit_once('/').unwrap().0);
        let mut after = tree.clone();
        let legal = match self {
            Op::Put(path, version) => {
                after.insert(path.clone(), Some(version.clone()));
                has_parent(path) && !is_dir(path)
            }
            Op::Rename(from, to) => {
                let moved = after.remove(from).flatten();
                after.insert(to.clone(), moved);
                is_file(from) && has_parent(to) && !tree.contains_key(to)
            }
            Op::Copy(from, to) => {
                after.insert(to.clone(), tree.get(from).cloned().flatten());
                is_file(from) && has_parent(to) && !is_dir(to)
            }
            Op::Delete(path) => {
                after.remove(path);
                is_file(path)
            }
            Op::MakeDir(path) => {
                after.insert(path.clone(), None);
                has_parent(path) && !tree.contains_key(path)
            }
            Op::DeleteDir(path) => {
                after.remove(path);
                let below = format!("{path}/");
                is_dir(path) && !tree.keys().any(|other| other.starts_with(&below))
            }
        };
        legal.then_some(after)
    }

    /// The first path it names.
    pub(crate) fn path(&self) -> &str {
        match self {
            Op::Put(path, _) | Op::Delete(path) | Op::MakeDir(path) | Op::DeleteDir(path) => path,
            Op::Rename(from, _) | Op::Copy(from, _) => from,
        }
    }

    fn paths(&self) -> Vec<String> {
        match self {
            Op::Rename(a, b) | Op::Copy(a, b) => vec![a.clone(), b.clone()],
            Op::Put(path, _) | Op::Delete(path) | Op::MakeDir(path) | Op::DeleteDir(path) => {
                vec![path.clone()]
            }
        }
    }

    /// Asks for it, uploads aside.
    pub(crate) fn ask(&self, caller: &mut Caller) -> Reply<()> {
        let (method, paths) = match self {
            Op::Put(..) => panic!("uploads bring bytes"),
            Op::Rename(..) => ("rename", self.paths()),
            Op::Copy(..) => ("copyFile", self.paths()),
            Op::Delete(_) => ("deleteFile", self.paths()),
            Op::MakeDir(_) => ("makeDir", self.paths()),
            Op::DeleteDir(_) => ("deleteDir", self.paths()),
        };
        caller.rpc(method, json!(paths)).map(|_| ())
    }
}

/// A multipart upload that is not known to be over.
#[derive(Clone)]
struct Multipart {
    mpid: String,
    path: String,
    /// Bytes of each piece, and whether it was acknowledged.
    pieces: Vec<(Vec<u8>, bool)>,
    /// Whether its completion was acknowledged.
    completed: bool,
}

/// What an answer said of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Done,
    /// The rules refuse it.
    Refused,
    /// Nothing: it is done or not.
    Nothing,
}

/// One client's name space.
#[derive(Clone)]
pub(crate) struct Ledger {
    root: String,
    /// What is there,
    base: Tree,
    /// changed by these, from the first one on that is not known to be done.
    since: Vec<(Op, Said)>,
    uploads: Vec<Multipart>,
    /// Tokens and whether they must, or may, be usable.
    sessions: Vec<(String, Option<bool>)>,
    /// What was touched since it was last compared byte for byte.
    touched: BTreeSet<String>,
    /// Acknowledged changes.
    pub(crate) acknowledged: usize,
}

impl Ledger {
    /// An empty directory `root`, which is made at a server that is well.
    pub(crate) fn new(root: &str, caller: &mut Caller) -> Self {
        caller.rpc("makeDir", json!([root])).must(root);
        let base = Tree::from([(root.to_owned(), None)]);
        let root = root.to_owned();
        let (since, uploads, sessions, touched) = Default::default();
        Self { root, base, since, uploads, sessions, touched, acknowledged: 0 }
    }

    /// Its directory.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The tree, where only one is legal.
    pub(crate) fn tree(&self) -> &Tree {
        assert!(self.since.is_empty(), "what is there is not known");
        &self.base
    }

    /// Notes what came of a change that was asked for.
    pub(crate) fn note<T>(&mut self, op: &Op, reply: Reply<T>) -> Reply<()> {
        self.touched.extend(op.paths());
        let said = match &reply {
            Reply::Ok(_) => Said::Done,
            Reply::No(status, code) if !is_fault(*status, *code) => Said::Refused,
            Reply::No(..) | Reply::Cut => Said::Nothing,
        };
        let next = (op.clone(), said);
        if !self.since.is_empty() || said == Said::Nothing {
            // What was tried again and again is done once, or not at all.
            if self.since.last() != Some(&next) {
                self.since.push(next);
            }
        } else {
            let after = op.apply(&self.base);
            assert_eq!(after.is_some(), said == Said::Done, "{next:?} to {:#?}", self.base);
            self.base = after.unwrap_or_else(|| std::mem::take(&mut self.base));
        }
        self.acknowledged += usize::from(reply.is_ok());
        reply.map(|_| ())
    }

    /// Puts a small file over itself until that is acknowledged, `tries` times at most.
    pub(crate) fn put_at_last(&mut self, caller: &mut Caller, path: &str, tries: usize) -> bool {
        (0..tries).any(|n| {
            std::thread::sleep(Duration::from_millis(if n == 0 { 0 } else { 100 }));
            self.put(caller, path, b"at last", false).is_ok()
        })
    }

    /// Asks for a change that brings no bytes.
    pub(crate) fn change(&mut self, caller: &mut Caller, op: &Op) -> Reply<()> {
        let reply = op.ask(caller);
        self.note(op, reply)
    }

    /// Uploads a file by stream, or by form.
    pub(crate) fn put(
        &mut self,
        caller: &mut Caller,
        path: &str,
        body: &[u8],
        form: bool,
    ) -> Reply<()> {
        let op = Op::Put(path.to_owned(), Version::of(body));
        let ask = if form { caller.form(path, body) } else { caller.raw(path).body(body) };
        let reply = caller.send(&ask);
        if let Reply::Ok(answer) = &reply {
            assert_eq!(answer.must("X-Agile-Checksum"), sha256(body), "{path}");
        }
        self.note(&op, reply)
    }

    /// A whole multipart upload. What is left half-way is gone on with when the ledger is judged.
    pub(crate) fn multipart(
        &mut self,
        caller: &mut Caller,
        path: &str,
        parts: Vec<Vec<u8>>,
    ) -> Reply<()> {
        let mpid = match caller.rpc("createMultipart", json!([path])) {
            Reply::Ok(made) => made["mpid"].as_str().unwrap().to_owned(),
            failed => return failed.map(|_| ()),
        };
        let (path, pieces) = (path.to_owned(), Vec::new());
        self.uploads.push(Multipart { mpid: mpid.clone(), path, pieces, completed: false });
        let upload = self.uploads.last_mut().unwrap();
        for (i, part) in parts.into_iter().enumerate() {
            let ask = caller.piece(&mpid, i + 1, &part);
            upload.pieces.push((part, false));
            let reply = caller.send(&ask);
            upload.pieces[i].1 = reply.is_ok();
            if !reply.is_ok() {
                return reply.map(|_| ());
            }
        }
        let reply = caller.rpc("completeMultipart", json!([mpid]));
        upload.completed = reply.is_ok();
        if !reply.is_ok() {
            return reply.map(|_| ());
        }
        // A catalog that writes nothing any more leaves it as it is: then it is gone on with after the restart.
        let end = Instant::now() + Duration::from_secs(1);
        loop {
            match state(caller, &mpid) {
                Reply::Ok(SUCCESS) => break,
                Reply::Ok(FAILED) => return Reply::No(200, -32_000),
                Reply::Ok(_) if Instant::now() > end => return Reply::No(200, -32_000),
                Reply::Ok(_) => std::thread::sleep(Duration::from_millis(2)),
                failed => return failed.map(|_| ()),
            }
        }
        let upload = self.uploads.pop().unwrap();
        self.note(&upload.op(), Reply::Ok(()))
    }

    /// Logs in and out again.
    pub(crate) fn session(&mut self, caller: &mut Caller) -> Reply<()> {
        let token = match caller.new_token() {
            Reply::Ok(token) => token,
            failed => return failed.map(|_| ()),
        };
        self.sessions.push((token.clone(), Some(true)));
        let ended = Caller::new(caller.address, &token).rpc("logout", json!([]));
        self.sessions.last_mut().unwrap().1 = if ended.is_ok() { Some(false) } else { None };
        ended.map(|_| ())
    }

    /// Compares what is there with what may be. What was touched is read, and `more` of a hundred other files.
    pub(crate) fn judge(&mut self, caller: &mut Caller, chance: &mut Chance, more: usize) {
        for upload in std::mem::take(&mut self.uploads) {
            if let Some(op) = upload.go_on(caller) {
                // It may have been put in its place before the crash, and before other changes only if they waited.
                self.touched.extend(op.paths());
                self.since.push((op, Said::Done));
            }
        }
        for (token, usable) in std::mem::take(&mut self.sessions) {
            let answer = Caller::new(caller.address, &token).rpc("checkToken", json!([]));
            assert!(usable.is_none_or(|usable| usable == answer.is_ok()), "a session: {answer:?}");
        }
        let found = listed(caller, &self.root);
        let Some(tree) = fitting(self.base.clone(), &self.since, &found) else {
            let changes = difference(&self.base, &found);
            panic!("{}, changed by {:#?}\n{changes}", self.root, self.since);
        };
        for (path, entry) in &tree {
            if let Some(version) = entry
                && (self.touched.contains(path) || chance.below(100) < more)
            {
                reads_as(caller, path, version);
            }
        }
        self.touched.clear();
        (self.base, self.since) = (tree, Vec::new());
    }

    /// The blobs its files lie in, by content.
    pub(crate) fn blobs(&self) -> BTreeMap<String, usize> {
        let files = self.tree().values().flatten();
        files.map(|version| (version.sha.clone(), version.blobs)).collect()
    }
}

const COMPLETE: i64 = 3;
const JOIN: i64 = 5;
const SUCCESS: i64 = 6;
const FAILED: i64 = 12;

fn state(caller: &mut Caller, mpid: &str) -> Reply<i64> {
    let status = caller.rpc("getMultipartStatus", json!([mpid]));
    status.map(|status| status["state"].as_i64().unwrap())
}

impl Multipart {
    /// What it becomes with the pieces that are there.
    fn op(&self) -> Op {
        let whole: Vec<u8> = self.pieces.iter().flat_map(|(body, _)| body.clone()).collect();
        let blobs = self.pieces.len();
        Op::Put(self.path.clone(), Version { blobs, ..Version::of(&whole) })
    }

    /// After a crash: what was acknowledged is there; goes on with it to its end.
    fn go_on(mut self, caller: &mut Caller) -> Option<Op> {
        let mpid = self.mpid.clone();
        let pieces = caller.rpc("listMultipartPiece", json!([mpid, 0, 1000])).must("its pieces");
        let listed = pieces["pieces"].as_array().unwrap();
        let acknowledged = self.pieces.iter().filter(|(_, acknowledged)| *acknowledged).count();
        assert!(
            (acknowledged..=self.pieces.len()).contains(&listed.len()),
            "{acknowledged} pieces were acknowledged, {pieces} are there"
        );
        self.pieces.truncate(listed.len());
        for (piece, (body, _)) in listed.iter().zip(&self.pieces) {
            assert_eq!(piece["size"], body.len(), "{pieces}");
        }
        let now = state(caller, &mpid).must("its state");
        if ![COMPLETE, JOIN, SUCCESS, FAILED].contains(&now) {
            assert!(!self.completed, "its completion was acknowledged, and it is {now}");
            if self.pieces.is_empty() {
                caller.rpc("abortMultipart", json!([mpid])).must("abort");
                return None;
            }
            caller.rpc("completeMultipart", json!([mpid])).must("complete");
        } else if now == FAILED {
            caller.rpc("restartMultipart", json!([mpid])).must("restart");
        }
        wait_until("a multipart upload", || state(caller, &mpid).must("state") == SUCCESS);
        Some(self.op())
    }
}

/// Everything below a directory, and itself, as listings have it.
fn listed(caller: &mut Caller, root: &str) -> Found {
    let mut found = BTreeMap::from([(root.to_owned(), None)]);
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let page = caller.rpc("listPath", json!([dir, 10_000, null, true])).must(&dir);
        for entry in page["dirs"].as_array().unwrap() {
            let path = format!("{dir}/{}", entry["name"].as_str().unwrap());
            found.insert(path.clone(), None);
            open.push(path);
        }
        for entry in page["files"].as_array().unwrap() {
            let path = format!("{dir}/{}", entry["name"].as_str().unwrap());
            assert!(
                found.insert(path.clone(), Some(seen(entry))).is_none(),
                "{path} is listed twice"
            );
        }
    }
    found
}

fn seen(entry: &Value) -> (usize, String) {
    let size = entry["size"].as_u64().unwrap();
    (usize::try_from(size).unwrap(), entry["checksum"].as_str().unwrap().to_owned())
}

/// What a stat and a GET say of a file must be what was put there.
pub(crate) fn reads_as(caller: &mut Caller, path: &str, version: &Version) {
    let stat = caller.rpc("stat", json!([path, true])).must(path);
    assert_eq!(seen(&stat), (version.size, version.sha.clone()), "{path}");
    let got = caller.ask(&ask("GET", &format!("/acme{path}"))).expect("an answer to a GET");
    assert_eq!((got.status, got.body.len()), (200, version.size), "{path}: {got:?}");
    assert_eq!(sha256(&got.body), version.sha, "{path}: a body that is not what was put there");
    assert_eq!(got.must("X-Agile-Checksum"), version.sha, "{path}");
}

/// What a file is now; `None`: it is not there.
pub(crate) fn look(caller: &mut Caller, path: &str) -> Option<(usize, String)> {
    match caller.rpc("stat", json!([path, true])) {
        Reply::Ok(stat) => Some(seen(&stat)),
        Reply::No(200, -1) => None,
        other => panic!("{path}: {other:?}"),
    }
}

/// What listings show, in the same form.
type Found = BTreeMap<String, Option<(usize, String)>>;

fn agrees(entry: Option<&Option<Version>>, found: Option<&Option<(usize, String)>>) -> bool {
    match (entry, found) {
        (Some(Some(version)), Some(Some((size, sha)))) => {
            (version.size, &version.sha) == (*size, sha)
        }
        (Some(None), Some(None)) | (None, None) => true,
        _ => false,
    }
}

/// The tree after these changes that is what was found, if there is one. A way is given up as soon as a path that no
/// later change touches is not what it should be.
fn fitting(tree: Tree, changes: &[(Op, Said)], found: &Found) -> Option<Tree> {
    let Some(((op, said), later)) = changes.split_first() else {
        let same = tree.len() == found.len()
            && tree.iter().all(|(path, entry)| agrees(Some(entry), found.get(path)));
        return same.then_some(tree);
    };
    let after = op.apply(&tree);
    let ways = match said {
        Said::Done => vec![after?],
        Said::Refused => vec![after.is_none().then_some(tree)?],
        Said::Nothing => after.into_iter().chain([tree]).collect(),
    };
    let touched_later = |path: &String| later.iter().any(|(op, _)| op.paths().contains(path));
    let last: Vec<String> = op.paths().into_iter().filter(|path| !touched_later(path)).collect();
    ways.into_iter()
        .filter(|way| last.iter().all(|path| agrees(way.get(path), found.get(path))))
        .find_map(|way| fitting(way, later, found))
}

fn difference(tree: &Tree, found: &Found) -> String {
    let mut text = String::new();
    for path in tree.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        let (wanted, is) = (tree.get(path), found.get(path));
        if !agrees(wanted, is) {
            text += &format!("{path} was {wanted:?} and is {is:?}\n");
        }
    }
    text
}
