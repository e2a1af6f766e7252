//! A server under load, and the oracle over all that its clients know.

use std::{sync::Arc, sync::atomic::AtomicBool, thread, time::Duration};

use blobs::suite::Chance;

use crate::{caller::Caller, clients::Clients, harness::wait_until, node::Node};

/// A node, its clients and what they know.
pub(crate) struct World {
    pub(crate) node: Node,
    clients: Clients,
    chance: Chance,
    /// Set from a moment on to which clients shall not hear answers any more.
    pub(crate) deaf: Arc<AtomicBool>,
}

impl World {
    /// Founds a store with a node that was never started.
    pub(crate) fn found(mut node: Node, mut chance: Chance) -> Self {
        node.start();
        let clients = Clients::new(node.address(), &mut chance);
        let deaf = clients.deaf.clone();
        Self { node, clients, chance, deaf }
    }

    /// Lets all clients loose while `meanwhile` does something to the node; returns when they have all ended, which they
    /// do when it is gone.
    pub(crate) fn load<T>(&mut self, meanwhile: impl FnOnce(&mut Node, &mut Chance) -> T) -> T {
        let (node, chance) = (&mut self.node, &mut self.chance);
        self.clients.load(node.address(), None, || meanwhile(node, chance))
    }

    /// A session at the node.
    pub(crate) fn caller(&self) -> Caller {
        self.clients.caller(self.node.address())
    }

    /// The oracle, over a node that was just started; no stage is left.
    pub(crate) fn judge(&mut self, more: usize) {
        assert_eq!(self.node.files("stage"), 0, "the stage is emptied at the start");
        self.clients.judge(self.node.address(), more);
    }

    /// The oracle's last word: every byte of every file, and no file on disk that none of them lies in.
    pub(crate) fn finish(&mut self) {
        // Once without a start after it, which would sweep up what was forgotten.
        self.load(|_, _| thread::sleep(Duration::from_millis(300)));
        self.judge(100);
        let (node, expected) = (&self.node, self.clients.blobs());
        if node.engines.are_own() {
            let what = format!("{expected} files under blobs/, not {}", node.files("blobs"));
            wait_until(&what, || node.files("blobs") == expected);
            assert_eq!(node.files("stage"), 0);
        }
        self.node.kill_for_good();
        self.node.fsck();
    }

    /// Acknowledged changes so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.clients.acknowledged()
    }
}
