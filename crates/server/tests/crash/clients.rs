//! Many clients of one store, and the oracle over all that they know. Which process answers them, and what happens to it
//! meanwhile, is not known here.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use blobs::suite::Chance;

use crate::{
    caller::Caller,
    load::{Faults, Shared, Writer},
};

const WRITERS: usize = 16;

/// Clients, each with a directory of its own, and files that all of them write.
pub(crate) struct Clients {
    writers: Vec<Writer>,
    shared: Vec<Shared>,
    token: String,
    /// Set from a moment on to which clients shall not hear answers any more.
    pub(crate) deaf: Arc<AtomicBool>,
}

impl Clients {
    /// New ones, of a store that is well.
    pub(crate) fn new(address: SocketAddr, chance: &mut Chance) -> Self {
        let mut caller = Caller::login(address);
        let mut writer = |n| {
            let seed = u64::from_le_bytes(chance.bytes(8).try_into().unwrap());
            Writer::new(n, &mut caller, Chance::new(seed))
        };
        let writers = (0..WRITERS).map(&mut writer).collect();
        let shared = (0..4).map(|n| Shared::new(&format!("/shared{n}"))).collect();
        Self { writers, shared, token: caller.token, deaf: Arc::default() }
    }

    /// Lets all of them loose while `meanwhile` does something; returns when they have all ended. Each ends at its first
    /// request that was not answered as it should be; or, with `faults`, notes it there and asks for something again and
    /// again until it is acknowledged.
    pub(crate) fn load<T>(
        &mut self,
        address: SocketAddr,
        faults: Option<&Faults>,
        meanwhile: impl FnOnce() -> T,
    ) -> T {
        let stop = AtomicBool::new(false);
        let shared = &self.shared;
        self.deaf.store(false, Ordering::SeqCst);
        thread::scope(|scope| {
            for writer in &mut self.writers {
                let (mut caller, stop) = (Caller::new(address, &self.token), &stop);
                caller.deaf = self.deaf.clone();
                scope.spawn(move || match faults {
                    None => drop(writer.run(&mut caller, shared, stop)),
                    Some(faults) => writer.run_on(&mut caller, shared, stop, faults),
                });
            }
            let result = meanwhile();
            stop.store(true, Ordering::Relaxed);
            result
        })
    }

    /// A session.
    pub(crate) fn caller(&self, address: SocketAddr) -> Caller {
        Caller::new(address, &self.token)
    }

    /// The oracle, over a store that is well: nothing acknowledged is lost, nothing is torn. Reads what was touched and
    /// `more` of a hundred other files.
    pub(crate) fn judge(&mut self, address: SocketAddr, more: usize) {
        let (token, few) = (&self.token, self.writers.len().div_ceil(2));
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
        let mut caller = Caller::new(address, &self.token);
        for shared in &self.shared {
            shared.judge(&mut caller);
        }
    }

    /// After they were judged: how many blobs all files lie in.
    pub(crate) fn blobs(&self) -> usize {
        let mut blobs: BTreeMap<String, usize> = BTreeMap::new();
        for writer in &self.writers {
            blobs.extend(writer.ledger.blobs());
        }
        let shared = self.shared.iter().filter_map(Shared::version);
        blobs.extend(shared.map(|version| (version.sha, version.blobs)));
        blobs.values().sum()
    }

    /// Nobody uploads in pieces: what a node that dies has begun to put together, others leave to it for a minute.
    pub(crate) fn without_pieces(&mut self) {
        for writer in &mut self.writers {
            writer.in_pieces = false;
        }
    }

    /// Acknowledged changes so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.writers.iter().map(|writer| writer.ledger.acknowledged).sum()
    }
}
