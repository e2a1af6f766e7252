//! A server under load, and the oracle over all that its clients know.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use blobs::suite::Chance;

use crate::{
    caller::Caller,
    harness::wait_until,
    load::{Shared, Writer},
    node::Node,
};

const WRITERS: usize = 16;

/// A node, its clients and what they know.
pub(crate) struct World {
    pub(crate) node: Node,
    writers: Vec<Writer>,
    shared: Vec<Shared>,
    token: String,
    chance: Chance,
    /// Set from a moment on to which clients shall not hear answers any more.
    pub(crate) deaf: Arc<AtomicBool>,
}

impl World {
    /// Founds a store in `data`.
    pub(crate) fn found(data: &Path, mut chance: Chance) -> Self {
        let mut node = Node::new(data);
        node.start();
        let mut caller = Caller::login(node.address());
        let mut writer = |n| {
            let seed = u64::from_le_bytes(chance.bytes(8).try_into().unwrap());
            Writer::new(n, &mut caller, Chance::new(seed))
        };
        let writers = (0..WRITERS).map(&mut writer).collect();
        let shared = (0..4).map(|n| Shared::new(&format!("/shared{n}"))).collect();
        Self { node, writers, shared, token: caller.token, chance, deaf: Arc::default() }
    }

    /// Lets all clients loose while `meanwhile` does something to the node; returns when they have all ended, which they
    /// do when it is gone.
    pub(crate) fn load<T>(&mut self, meanwhile: impl FnOnce(&mut Node, &mut Chance) -> T) -> T {
        let stop = AtomicBool::new(false);
        let (address, shared) = (self.node.address(), &self.shared);
        self.deaf.store(false, Ordering::SeqCst);
        thread::scope(|scope| {
            for writer in &mut self.writers {
                let (mut caller, stop) = (Caller::new(address, &self.token), &stop);
                caller.deaf = self.deaf.clone();
                scope.spawn(move || writer.run(caller, shared, stop));
            }
            let result = meanwhile(&mut self.node, &mut self.chance);
            stop.store(true, Ordering::Relaxed);
            result
        })
    }

    /// A session at the node.
    pub(crate) fn caller(&self) -> Caller {
        Caller::new(self.node.address(), &self.token)
    }

    /// The oracle, over a node that was just started: nothing acknowledged is lost, nothing is torn, no stage is left.
    pub(crate) fn judge(&mut self, more: usize) {
        assert_eq!(self.node.files("stage"), 0, "the stage is emptied at the start");
        let (address, token, shared) = (self.node.address(), &self.token, &self.shared);
        let few = self.writers.len().div_ceil(2);
        thread::scope(|scope| {
            for some in self.writers.chunks_mut(few) {
                scope.spawn(move || {
                    let mut caller = Caller::new(address, token);
                    for writer in some {
                        let seed = writer.ledger.acknowledged as u64;
                        writer.ledger.judge(&mut caller, &mut Chance::new(seed), more);
                    }
                });
            }
        });
        let mut caller = Caller::new(address, token);
        for shared in shared {
            shared.judge(&mut caller);
        }
    }

    /// The oracle's last word: every byte of every file, and no file on disk that none of them lies in.
    pub(crate) fn finish(&mut self) {
        // Once without a start after it, which would sweep up what was forgotten.
        self.load(|_, _| thread::sleep(Duration::from_millis(300)));
        self.judge(100);
        let mut blobs: BTreeMap<String, usize> = BTreeMap::new();
        for writer in &self.writers {
            blobs.extend(writer.ledger.blobs());
        }
        let shared = self.shared.iter().filter_map(Shared::version);
        blobs.extend(shared.map(|version| (version.sha, version.blobs)));
        let expected: usize = blobs.values().sum();
        let node = &self.node;
        wait_until(&format!("{expected} files under blobs/, not {}", node.files("blobs")), || {
            node.files("blobs") == expected
        });
        assert_eq!(node.files("stage"), 0);
        self.node.kill();
        self.node.fsck();
    }

    /// Acknowledged changes so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.writers.iter().map(|writer| writer.ledger.acknowledged).sum()
    }
}
