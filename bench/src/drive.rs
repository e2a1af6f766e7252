//! The generator by itself, on any server: GET of one path, so that it can be laid beside another generator, or of the files
//! that `get-million` uploaded, so that a server can be profiled on them.

use std::net::SocketAddr;

use anyhow::ensure;
use clap::Args;

use crate::{
    content::Stamped,
    http::Answer,
    load::{Load, Script},
    requests::Files4k,
    works::get_million,
};

/// What to send, and where.
#[derive(Debug, Args)]
pub(crate) struct Drive {
    /// Where the server listens.
    address: SocketAddr,
    /// The path; without one, those of `get-million`'s files.
    #[arg(required_unless_present = "files")]
    path: Option<String>,
    /// How many of those files there are, asked for at random.
    #[arg(long, conflicts_with = "path")]
    files: Option<u64>,
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
        let contents = Stamped::new(get_million::BYTES);
        let path = get_million::path;
        let script: Box<dyn Script + Sync> = match (&self.path, self.files) {
            (None, Some(files)) => {
                Box::new(Files4k { random: true, files, path, contents: &contents })
            }
            (path, _) => {
                let path = path.as_deref().unwrap_or("/");
                let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes();
                Box::new(Get { request })
            }
        };
        let shown = Load::open(self.address, self.connections)?.send(&*script, 0..self.requests)?;
        let [p50, p99] = [500, 990].map(|per_mille| shown.latency_ms(per_mille));
        println!("{:.0} requests/s, p50 {p50:.2} ms, p99 {p99:.2} ms", shown.rate());
        Ok(())
    }
}
