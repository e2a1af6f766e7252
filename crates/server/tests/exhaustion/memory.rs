//! A memory limit that is not to be reached: uploads and downloads far larger than it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{
    disk::skipped,
    harness::{Connection, Server, ask, noise, wait_until},
};

const LIMIT_BYTES: u64 = 256 << 20;
const CONTROLLER: &str = "/sys/fs/cgroup/memory";

/// A control group with a memory limit. Dropping it removes it, once nobody is in it.
struct Limited {
    path: PathBuf,
}

impl Limited {
    fn new() -> Option<Self> {
        let name = format!("headwater-test-{}", std::process::id());
        let path = Path::new(CONTROLLER).join(name);
        if fs::create_dir(&path).is_err() {
            return skipped("no control group may be made");
        }
        let limited = Self { path };
        match fs::write(limited.path.join("memory.limit_in_bytes"), LIMIT_BYTES.to_string()) {
            Ok(()) => Some(limited),
            Err(_) => skipped("memory cannot be limited"),
        }
    }

    fn take(&self, server: &Server) {
        fs::write(self.path.join("cgroup.procs"), server.pid().to_string()).unwrap();
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Bytes to send: as many times one block as needed.
fn stream_bytes() -> u64 {
    let megabytes = std::env::var("HEADWATER_STREAM_MB").ok().and_then(|n| n.parse().ok());
    megabytes.unwrap_or(600_u64) * 1_000_000
}

/// One upload, one multipart of a thousand pieces, one download, all larger than the memory there is.
#[test]
fn a_stream_under_a_memory_limit() {
    let Some(limited) = Limited::new() else { return };
    let mut server = Server::start();
    limited.take(&server);
    let anna = server.login();
    anna.put("/warm", &noise(1, 3_000_000));
    let (before, block) = (rss_bytes(&server), noise(3, 1_000_000));
    let blocks = stream_bytes() / block.len() as u64;

    let mut upload = Connection::open(server.address());
    let length = (blocks * block.len() as u64).to_string();
    upload.send_head(&anna.raw("/", "long").with("Content-Length", length));
    let mut hash = Sha256::new();
    for _ in 0..blocks {
        upload.send(&block).unwrap();
        hash.update(&block);
    }
    let answer = upload.answer("POST").unwrap();
    assert_eq!(answer.told(), (200, 0), "{answer:?}");
    let checksum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer.must("X-Agile-Checksum"), checksum);

    let created = anna.send(
        &anna
            .post("/multipart/create")
            .with("X-Agile-Directory", "/")
            .with("X-Agile-Basename", "pieces"),
    );
    let id = created.must("X-Agile-Multipart").to_owned();
    let piece = noise(5, 100_000);
    for number in 1..=1000 {
        let one = anna
            .post("/multipart/piece")
            .with("X-Agile-Multipart", &*id)
            .with("X-Agile-Part", number.to_string());
        assert_eq!(anna.send(&one.body(&*piece)).told(), (200, 0));
    }
    let completed = anna.send(&anna.post("/multipart/complete").with("X-Agile-Multipart", &*id));
    assert_eq!(completed.told(), (200, 0), "{completed:?}");
    wait_until("the multipart upload", || anna.get("/acme/pieces").status == 200);

    let downloaded = download(&server, "/acme/long");
    assert_eq!(downloaded, checksum, "the same bytes come back");
    let after = rss_bytes(&server);
    assert!(server.lives(), "killed for its memory");
    let grown = after.saturating_sub(before) >> 20;
    println!(
        "{} MB streamed in and out under {} MiB: RSS grew by {grown} MiB",
        stream_bytes() / 1_000_000,
        LIMIT_BYTES >> 20
    );
    assert!(grown <= 48, "RSS grew by {grown} MiB");
}

/// Memory the server holds.
fn rss_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// SHA-256 of what comes.
fn download(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&ask("GET", path).with("Connection", "close").head(server.address())).unwrap();
    let (mut hash, mut buffer, mut head, mut in_body) =
        (Sha256::new(), vec![0; 1 << 20], Vec::new(), false);
    loop {
        let n = stream.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        if in_body {
            hash.update(&buffer[..n]);
            continue;
        }
        head.extend_from_slice(&buffer[..n]);
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            hash.update(&head[end + 4..]);
            in_body = true;
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
