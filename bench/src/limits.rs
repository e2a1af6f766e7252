//! What the machine itself can do, measured beside the servers: syncing a small append, SHA-256 on one core and on all.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use tempfile::NamedTempFile;

use crate::{
    content::{self, CHUNK, Long},
    load::{Shown, micros},
    plan::Plan,
};

/// A file in the directory where the data directories are, that grows by one synced append after the other: what a server
/// that does nothing else could not beat at one connection.
pub(crate) struct Appends {
    file: NamedTempFile,
    body: Vec<u8>,
}

impl Appends {
    /// Of so many bytes.
    pub(crate) fn new(plan: &Plan, bytes: usize) -> anyhow::Result<Self> {
        let within = plan.dir.clone().unwrap_or_else(std::env::temp_dir);
        let mut body = Vec::with_capacity(bytes);
        content::append(0, bytes, &mut body);
        Ok(Self { file: NamedTempFile::new_in(within)?, body })
    }

    /// Makes so many.
    pub(crate) fn make(&mut self, appends: u64) -> anyhow::Result<Shown> {
        let (mut latencies, all) = (Vec::new(), Instant::now());
        for _ in 0..appends {
            let begun = Instant::now();
            self.file.write_all(&self.body)?;
            self.file.as_file().sync_data()?;
            latencies.push(micros(begun));
        }
        Ok(Shown::new(all.elapsed(), appends, latencies))
    }
}

/// Bytes a second that one core hashes.
pub(crate) fn one_core(chunks: u64) -> f64 {
    let mut content = Long::new(0);
    let begun = Instant::now();
    content.checksum(chunks);
    (chunks * CHUNK as u64) as f64 / begun.elapsed().as_secs_f64()
}

/// Bytes a second that all cores hash together.
pub(crate) fn all_cores(chunks_each: u64) -> anyhow::Result<f64> {
    let cores = thread::available_parallelism()?.get();
    let begun = Instant::now();
    let threads: Vec<_> =
        (0..cores).map(|_| thread::spawn(move || one_core(chunks_each))).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("hashing"))?;
    }
    Ok((cores as u64 * chunks_each * CHUNK as u64) as f64 / begun.elapsed().as_secs_f64())
}

/// In milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
