//! pgbouncer in transaction mode: each transaction may run on another of its connections.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Server;
use crate::postgres::{hand_over, unprivileged};

/// A pooler.
pub struct Pooler {
    dir: TempDir,
    process: Child,
}

impl Pooler {
    /// In front of a server, with so many connections to it.
    pub fn start(server: &Server, connections: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        hand_over(dir.path());
        let (path, sockets) = (dir.path().display(), server.sockets().display());
        let config = format!(
            "[databases]\n* = host={sockets} user=postgres\n[pgbouncer]\nunix_socket_dir = {path}\n\
             listen_addr =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\n\
             max_client_conn = 500\nlogfile = {path}/log\n"
        );
        let file = dir.path().join("config");
        fs::write(&file, config).unwrap();
        let mut command = unprivileged("pgbouncer");
        command.arg("-q").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process =
            command.spawn().expect("pgbouncer is installed: scripts/setup test does that");
        let end = Instant::now() + Duration::from_secs(30);
        // The socket is there a moment before anybody listens.
        let socket = dir.path().join(".s.PGSQL.6432");
        while UnixStream::connect(&socket).is_err() {
            let log = || fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "pgbouncer does not start: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
        Self { dir, process }
    }

    /// How a database of the server is reached through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}&port=6432", self.dir.path().display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
    }
}
