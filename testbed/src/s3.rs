//! An S3 server: Garage, one node, one bucket.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Credentials of a server that lives as long as a test.
const KEY: &str = "GK0123456789abcdef01234567";
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const REGION: &str = "garage";
const BUCKET: &str = "headwater";
/// How long a server may take to answer.
const READY_IN: Duration = Duration::from_secs(60);

/// What the server does before it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing, as it comes.
    None,
    /// Syncs data and metadata, as an engine that is compared with a durable one must.
    Synced,
}

/// A running S3 server.
#[derive(Debug)]
pub struct S3 {
    process: Child,
    port: u16,
    /// After the process: it goes when that is gone.
    dir: TempDir,
}

impl S3 {
    /// Starts one. Blocks until it answers.
    ///
    /// # Panics
    /// When Garage is not installed, or does not come up.
    pub fn start(durability: Durability) -> Self {
        Self::start_in(durability, &env::temp_dir())
    }

    /// The same, with its data below `parent`.
    ///
    /// # Panics
    /// As [`S3::start`].
    pub fn start_in(durability: Durability, parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).expect("a directory");
        let [port, rpc] = free_ports();
        let synced = durability == Durability::Synced;
        let config = format!(
            r#"
metadata_dir = "{dir}/meta"
data_dir = "{dir}/data"
db_engine = "lmdb"
metadata_fsync = {synced}
data_fsync = {synced}
replication_factor = 1
compression_level = "none"
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{SECRET}"
[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{port}"
root_domain = ".s3.localhost"
"#,
            dir = dir.path().display(),
        );
        fs::write(dir.path().join("garage.toml"), config).expect("its configuration");
        let process = spawn(dir.path());
        let mut server = Self { process, port, dir };
        server.wait();
        server
    }

    /// Where its bucket is, for an engine.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What tells a client how to reach it, as the environment would.
    pub fn variables(&self) -> Vec<(String, String)> {
        Self::variables_at(self.address())
    }

    /// The same for whoever stands before it at `address`.
    pub fn variables_at(address: SocketAddr) -> Vec<(String, String)> {
        let endpoint = format!("http://{address}");
        [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL", &endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What must appear in no text: its credentials.
    pub fn secrets() -> [&'static str; 2] {
        [KEY, SECRET]
    }

    /// Ends the process at once, as a crash would. Its data stay.
    pub fn kill(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }

    /// Starts it again after [`S3::kill`]. Blocks until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        self.process = spawn(self.dir.path());
        self.wait();
    }

    /// Holds the process: connections stand, nothing is answered.
    pub fn hold(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a held process go on.
    pub fn release(&self) {
        self.signal(Signal::CONT);
    }

    /// Its process, to be measured.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("a signal to our own process");
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while !self.answers() {
            let ended = self.process.try_wait().expect("the state of our own process");
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "Garage ended: {ended:?}\n{}", log());
            assert!(begun.elapsed() < READY_IN, "Garage does not answer\n{}", log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Whether a request for the bucket is refused as it should be: without a signature, but with a bucket there.
    fn answers(&self) -> bool {
        let asked = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address())?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            write!(
                stream,
                "GET /{BUCKET}/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        asked().is_ok_and(|answer| answer.starts_with("HTTP/1.1 403"))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(dir: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log"));
    Command::new(installed())
        .arg("-c")
        .arg(dir.join("garage.toml"))
        .args(["server", "--single-node", "--default-bucket"])
        .env("GARAGE_DEFAULT_ACCESS_KEY", KEY)
        .env("GARAGE_DEFAULT_SECRET_KEY", SECRET)
        .env("GARAGE_DEFAULT_BUCKET", BUCKET)
        .env("RUST_LOG", "garage=warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("its log"))
        .spawn()
        .expect("Garage (installed by scripts/setup test)")
}

/// Where the set-up puts it, else wherever the system finds it.
fn installed() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let tool = cache.or_else(home).map(|cache| cache.join("headwater/tools/bin/garage"));
    tool.filter(|tool| tool.exists()).unwrap_or_else(|| "garage".into())
}

/// Ports that were free a moment ago, each another one.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}
