//! One operation of each kind, one after the other, over a small store that is prepared once and copied.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{
    caller::{Caller, Reply},
    device::place,
    harness::noise,
    ledger::{Ledger, Op, Version},
    node::{Node, copy_store},
};

type Step = (&'static str, fn(&mut Ledger, &mut Caller) -> Reply<()>);

fn text(path: &str) -> String {
    path.to_owned()
}

/// The operations, with names for messages.
pub(crate) const STEPS: &[Step] = &[
    ("inline", |l, c| l.put(c, "/s/inline", &noise(1, 100), false)),
    ("blob", |l, c| l.put(c, "/s/blob", &noise(2, 70_000), false)),
    ("form", |l, c| l.put(c, "/s/form", &noise(3, 20_000), true)),
    ("empty", |l, c| l.put(c, "/s/nothing", &[], false)),
    ("multipart", |l, c| l.multipart(c, "/s/m", vec![noise(4, 9_000), noise(5, 500)])),
    ("overwrite a blob", |l, c| l.put(c, "/s/old-blob", &noise(6, 30_000), false)),
    ("overwrite inline", |l, c| l.put(c, "/s/old-inline", &noise(7, 8_193), false)),
    ("copy", |l, c| l.change(c, &Op::Copy(text("/s/still"), text("/s/copy")))),
    ("copy over", |l, c| l.change(c, &Op::Copy(text("/s/still-inline"), text("/s/older")))),
    ("rename", |l, c| l.change(c, &Op::Rename(text("/s/oldest"), text("/s/d/renamed")))),
    ("delete", |l, c| l.change(c, &Op::Delete(text("/s/gone")))),
    ("delete a copy", |l, c| l.change(c, &Op::Delete(text("/s/copied")))),
    ("makeDir", |l, c| l.change(c, &Op::MakeDir(text("/s/made")))),
    ("deleteDir", |l, c| l.change(c, &Op::DeleteDir(text("/s/empty")))),
    ("session", |l, c| l.session(c)),
];

/// A store to begin with, and what is known of it.
pub(crate) struct Prepared {
    _dir: TempDir,
    store: PathBuf,
    pub(crate) ledger: Ledger,
    token: String,
}

impl Prepared {
    /// Makes one. Its process was killed: the catalog's log holds all of it.
    pub(crate) fn new() -> Self {
        let dir = place();
        let store = dir.path().canonicalize().unwrap().join("prepared");
        let mut node = Node::new(&store);
        node.start();
        let mut caller = Caller::login(node.address());
        let mut ledger = Ledger::new("/s", &mut caller);
        let c = &mut caller;
        for (n, (path, size)) in [
            ("/s/still", 50_000),
            ("/s/still-inline", 700),
            ("/s/old-blob", 60_000),
            ("/s/old-inline", 900),
            ("/s/older", 20_000),
            ("/s/oldest", 10_000),
            ("/s/gone", 15_000),
        ]
        .into_iter()
        .enumerate()
        {
            ledger.put(c, path, &noise(100 + n as u64, size), false).must(path);
        }
        for op in [
            Op::MakeDir(text("/s/d")),
            Op::MakeDir(text("/s/empty")),
            Op::Copy(text("/s/still"), text("/s/copied")),
        ] {
            ledger.change(c, &op).must("prepare");
        }
        node.kill();
        Self { _dir: dir, store, ledger, token: caller.token }
    }

    /// A node over a copy of it, which has this name; what was there under it before is gone.
    pub(crate) fn copy(&self, name: &str) -> Node {
        let data = self.store.with_file_name(name);
        if data.exists() {
            std::fs::remove_dir_all(&data).unwrap();
        }
        copy_store(&self.store, &data);
        Node::new(&data)
    }

    /// Takes what such a node left behind as what is copied from now on.
    pub(crate) fn adopt(&mut self, data: &Path, ledger: Ledger) {
        data.clone_into(&mut self.store);
        self.ledger = ledger;
    }

    /// The session at a node.
    pub(crate) fn caller(&self, node: &Node) -> Caller {
        Caller::new(node.address(), &self.token)
    }

    /// A file that no step touches.
    pub(crate) fn still() -> (&'static str, Version) {
        ("/s/still", Version::of(&noise(100, 50_000)))
    }
}

/// Files that should lie under `blobs/`.
pub(crate) fn blobs(ledger: &Ledger) -> usize {
    ledger.blobs().values().sum()
}
