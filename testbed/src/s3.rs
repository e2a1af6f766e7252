//! An S3 server: Garage, one node, one bucket. One that the tests of all processes share (`shared`), each below a prefix of
//! its own, and servers of a test's own.

use std::{
    env,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::shared::Place;

/// Credentials of a server that lives as long as a test.
const KEY: &str = "GK0123456789abcdef01234567";
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const REGION: &str = "garage";
const BUCKET: &str = "headwater";
const MISSING: &str = "Garage (installed by scripts/setup test)";
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
    /// `None`: it is shared, and no test may stop it.
    process: Option<Child>,
    port: u16,
    dir: PathBuf,
    /// After the process: it goes when that is gone.
    #[expect(dead_code, reason = "a directory, held")]
    temporary: Option<TempDir>,
    /// While it is open, the server that is shared stays.
    held: Option<File>,
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
        let temporary = tempfile::tempdir_in(parent).expect("a directory");
        let dir = temporary.path().to_owned();
        let port = configure(&dir, durability);
        let process = Some(command(&dir).spawn().expect(MISSING));
        let mut server = Self { process, port, dir, temporary: Some(temporary), held: None };
        server.wait();
        server
    }

    /// The server that all tests share: each keeps to a prefix of its own, and none stops it.
    ///
    /// # Panics
    /// As [`S3::start`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(|| {
            let place = Place::take("garage");
            let (dir, note) = (place.data(), place.data().join("port"));
            let noted = fs::read_to_string(&note).ok().and_then(|port| port.parse().ok());
            let answering = noted.filter(|port| answers((Ipv4Addr::LOCALHOST, *port).into()));
            let port = answering.unwrap_or_else(|| {
                drop(fs::remove_dir_all(&dir));
                fs::create_dir_all(&dir).expect("a directory");
                let port = configure(&dir, Durability::None);
                place.watch(&command(&dir), &dir.join("log"));
                fs::write(&note, port.to_string()).expect("a note of its port");
                port
            });
            let mut server = Self { process: None, port, dir, temporary: None, held: None };
            server.wait();
            server.held = Some(place.keep());
            server
        })
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
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Starts it again after [`S3::kill`]. Blocks until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.process.is_some(), "it is shared");
        self.process = Some(command(&self.dir).spawn().expect(MISSING));
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
    ///
    /// # Panics
    /// When it is shared.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a process of our own").id()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("a signal to our own process");
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while !answers(self.address()) {
            let ended = self
                .process
                .as_mut()
                .and_then(|process| process.try_wait().expect("the state of our own process"));
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "Garage ended: {ended:?}\n{}", log());
            assert!(begun.elapsed() < READY_IN, "Garage does not answer\n{}", log());
            sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a request for the bucket is refused as it should be: without a signature, but with a bucket there.
fn answers(address: SocketAddr) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET /{BUCKET}/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    asked().is_ok_and(|answer| answer.starts_with("HTTP/1.1 403"))
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes its configuration, and returns its port.
fn configure(dir: &Path, durability: Durability) -> u16 {
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
        dir = dir.display(),
    );
    fs::write(dir.join("garage.toml"), config).expect("its configuration");
    port
}

fn command(dir: &Path) -> Command {
    let log = File::options().create(true).append(true).open(dir.join("log"));
    let mut command = Command::new(installed());
    command.arg("-c").arg(dir.join("garage.toml"));
    command.args(["server", "--single-node", "--default-bucket"]);
    command.env("GARAGE_DEFAULT_ACCESS_KEY", KEY).env("GARAGE_DEFAULT_SECRET_KEY", SECRET);
    command.env("GARAGE_DEFAULT_BUCKET", BUCKET).env("RUST_LOG", "garage=warn");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("its log"));
    command
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
