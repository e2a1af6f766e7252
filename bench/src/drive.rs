//! The generator by itself, on any server: GET of one path, so that it can be laid beside another generator.

use std::net::SocketAddr;

use anyhow::ensure;
use clap::Args;

use crate::{
    http::Answer,
    load::{Load, Script},
};

/// What to send, and where.
#[derive(Debug, Args)]
pub(crate) struct Drive {
    /// Where the server listens.
    address: SocketAddr,
    /// The path.
    path: String,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[arg(long, default_value_t = 300_000)]
    requests: u64,
}

struct Get {
    request: Vec<u8>,
}

impl Script for Get {
    fn request(&self, _number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn streams(&self) -> bool {
        true
    }

    fn check(&self, _number: u64, answer: Answer<'_>) -> anyhow::Result<()> {
        ensure!(answer.status == 200, "{}", answer.describe());
        Ok(())
    }
}

impl Drive {
    /// Sends it all, and prints what was seen.
    #[expect(clippy::print_stdout, reason = "the figure is what it is for")]
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let request = format!("GET {} HTTP/1.1\r\nHost: bench\r\n\r\n", self.path).into_bytes();
        let get = Get { request };
        let shown = Load::open(self.address, self.connections)?.send(&get, 0..self.requests)?;
        let [p50, p99] = [500, 990].map(|per_mille| shown.latency_ms(per_mille));
        println!("{:.0} requests/s, p50 {p50:.2} ms, p99 {p99:.2} ms", shown.rate());
        Ok(())
    }
}
