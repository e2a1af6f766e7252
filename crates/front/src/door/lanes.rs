//! Lanes: where connections are served. Each is a runtime with one thread that has connections of its own and asks the
//! system about no others.
//!
//! Why: in one runtime with many threads one of them asks the system about all connections and hands requests on to the others,
//! which takes longer than answering most of them. What does not live here: accepting, and what a connection does.

use std::{
    io,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::runtime::{Builder, Handle, Runtime};

/// Runtimes that connections are served on.
pub struct Lanes(Vec<Lane>);

struct Lane {
    /// `None` only at its end.
    runtime: Option<Runtime>,
    handle: Handle,
    /// Connections on it.
    load: Load,
}

type Load = Arc<AtomicUsize>;

impl Drop for Lane {
    fn drop(&mut self) {
        // Wherever that is: dropping the runtime itself would wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection's place on a lane, until it is dropped.
pub(super) struct Place(Load);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    /// One for each core; together they have so many threads that wait for disks, at most.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(blocking_threads_max: usize) -> io::Result<Self> {
        let lanes = thread::available_parallelism().map_or(1, NonZero::get);
        let lane = |number: usize| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(blocking_threads_max.div_ceil(lanes))
                .thread_name(format!("lane-{number}"))
                .enable_all()
                .build()?;
            let handle = runtime.handle().clone();
            Ok(Lane { runtime: Some(runtime), handle, load: Load::default() })
        };
        Ok(Self((0..lanes).map(lane).collect::<io::Result<_>>()?))
    }

    /// The lane with the fewest connections, and a place on it.
    pub(super) fn choose(&self) -> Option<(&Handle, Place)> {
        let lane = self.0.iter().min_by_key(|lane| lane.load.load(Ordering::Relaxed))?;
        lane.load.fetch_add(1, Ordering::Relaxed);
        Some((&lane.handle, Place(Arc::clone(&lane.load))))
    }

    /// Ends them, waiting so long for those of their threads that wait for a disk. Not to be called where waiting is not allowed.
    pub fn close(mut self, patience: Duration) {
        for runtime in self.0.iter_mut().filter_map(|lane| lane.runtime.take()) {
            runtime.shutdown_timeout(patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_and_run() {
        let lanes = Lanes::open(4).unwrap();
        let loads =
            || lanes.0.iter().map(|lane| lane.load.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let count = lanes.0.len();
        let mut places: Vec<Place> = (0..count).map(|_| lanes.choose().unwrap().1).collect();
        assert_eq!(loads(), vec![1; count], "one on each");
        places.remove(count / 2);
        let (lane, place) = lanes.choose().unwrap();
        assert_eq!(loads(), vec![1; count], "on the one that had none");
        let (said, heard) = std::sync::mpsc::sync_channel(1);
        lane.spawn(async move {
            said.send(thread::current().name().map(str::to_owned)).unwrap();
            drop(place);
        });
        assert_eq!(heard.recv().unwrap(), Some(format!("lane-{}", count / 2)));
        lanes.close(Duration::from_secs(5));
        assert!(places.iter().all(|place| place.0.load(Ordering::Relaxed) == 1));
    }
}
