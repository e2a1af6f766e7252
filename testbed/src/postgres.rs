//! PostgreSQL: one server that the tests of all processes share (`shared`), and servers of a test's own.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::s3::free_ports;
use crate::shared::Place;

/// The port that names the sockets of servers without a network.
const PORT: u16 = 5432;
/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);
/// Where the server's programs are.
fn programs() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = versions
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").exists())
            .collect();
        found.sort();
        found.pop().expect("PostgreSQL is not installed: scripts/setup test does that")
    })
}

/// A command, as the unprivileged user where we are root: the server refuses to run as root.
pub(crate) fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = if getuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null()).current_dir("/");
    command
}

/// Lets the unprivileged user have a directory.
pub(crate) fn hand_over(dir: &Path) {
    if getuid().is_root() {
        let number = |what: &str| -> u32 {
            let output = Command::new("id").args([what, "postgres"]).output().unwrap();
            String::from_utf8(output.stdout)
                .unwrap()
                .trim()
                .parse()
                .expect("there is a user postgres")
        };
        chown(dir, Some(number("-u")), Some(number("-g"))).unwrap();
    }
    // Tests and servers are different users: all of them reach the socket.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

fn check(what: &str, output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {error}");
}

/// Makes an empty cluster in `data`.
fn initialize(data: &Path) {
    let mut initdb = unprivileged(programs().join("initdb"));
    initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"]);
    check("initdb", &initdb.arg(data).output().unwrap());
}

/// The server's command: sockets in `dir`, nothing on the network, every write synced as it is for operators; what `more`
/// says counts.
fn server(data: &Path, dir: &Path, log: &Path, more: &[String]) -> Vec<std::ffi::OsString> {
    let settings = [
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories={}", dir.display()),
        "max_connections=400".to_owned(),
        "fsync=on".to_owned(),
        "logging_collector=off".to_owned(),
        "shared_buffers=64MB".to_owned(),
    ];
    let mut words = vec![programs().join("postgres").into_os_string(), "-D".into(), data.into()];
    for setting in settings.iter().chain(more) {
        words.extend(["-c".into(), setting.into()]);
    }
    drop(File::create(log).unwrap());
    words
}

fn is_ready(dir: &Path, port: u16) -> bool {
    let mut ready = Command::new(programs().join("pg_isready"));
    ready.args(["-q", "-t", "1", "-p", &port.to_string(), "-h"]).arg(dir);
    ready.status().unwrap().success()
}

fn wait_until_ready(dir: &Path, log: &Path) {
    let end = Instant::now() + START;
    while !is_ready(dir, PORT) {
        let log = || fs::read_to_string(log).unwrap_or_default();
        assert!(Instant::now() < end, "PostgreSQL does not start: {}", log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// The server that all tests share, which they must not stop.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        let place = Place::take("postgres");
        let (dir, data) = (place.dir.clone(), place.data());
        hand_over(&dir);
        let log = dir.join("log");
        if !is_ready(&dir, PORT) {
            let _ = fs::remove_dir_all(&data);
            initialize(&data);
            let words = server(&data, &dir, &log, &[]);
            let mut command = unprivileged(&words[0]);
            command.args(&words[1..]);
            place.watch(&command, &log);
            wait_until_ready(&dir, &log);
        }
        let (settings, held) = (Vec::new(), Some(place.keep()));
        Server { dir, data, port: PORT, settings, process: None, held, temporary: None }
    })
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, transactions rolled back.
    Fast,
    /// All its processes end at once and write nothing more: the log is replayed at the next start.
    Immediate,
    /// As when the machine dies: the log is replayed at the next start.
    Kill,
}

/// A server.
pub struct Server {
    dir: PathBuf,
    data: PathBuf,
    port: u16,
    /// What is set otherwise than for the others, as `name=value`.
    settings: Vec<String>,
    process: Option<Child>,
    #[expect(dead_code, reason = "a lock, held")]
    held: Option<File>,
    temporary: Option<TempDir>,
}

impl Server {
    /// A server of the test's own, which it may stop and start.
    pub fn own() -> Self {
        Self::own_in(&std::env::temp_dir(), &[])
    }

    /// The same, with its data below `parent`, and with settings of its own.
    pub fn own_in(parent: &Path, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Self::build(parent, PORT, |_| settings)
    }

    /// A server of the test's own that is reached over the loopback interface as well, and there encrypted alone: it shows
    /// a certificate for `host`, from the [`Authority`] that is returned.
    pub fn encrypted(host: &str) -> (Self, Authority) {
        let mut authority = None;
        let port = free_ports::<1>()[0];
        let settings = |dir: &Path| {
            let made = Authority::new(dir);
            let (certificate, key) = made.certify(host);
            // The server reads a key that is its own alone.
            hand_over(&key);
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
            authority = Some(made);
            vec![
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
                "ssl=on".to_owned(),
                format!("ssl_cert_file={}", certificate.display()),
                format!("ssl_key_file={}", key.display()),
            ]
        };
        let own = Self::build(&std::env::temp_dir(), port, settings);
        (own, authority.unwrap())
    }

    fn build(parent: &Path, port: u16, settings: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let temporary = tempfile::tempdir_in(parent).unwrap();
        let dir = temporary.path().to_owned();
        hand_over(&dir);
        let data = dir.join("data");
        initialize(&data);
        let settings = settings(&dir);
        let (process, held, temporary) = (None, None, Some(temporary));
        let mut own = Self { dir, data, port, settings, process, held, temporary };
        own.start();
        own
    }

    /// Starts a server of the test's own that is not running.
    pub fn start(&mut self) {
        assert!(self.process.is_none() && self.temporary.is_some(), "it runs, or is not ours");
        let log = self.dir.join("log");
        let words = server(&self.data, &self.dir, &log, &self.settings);
        let end = Instant::now() + START;
        loop {
            let mut command = unprivileged(&words[0]);
            let log_file = File::options().append(true).open(&log).unwrap();
            command.args(&words[1..]).stdout(Stdio::null()).stderr(log_file);
            let mut process = command.spawn().unwrap();
            while process.try_wait().unwrap().is_none() {
                if is_ready(&self.dir, self.port) {
                    self.process = Some(process);
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
            // The children of one that was killed have not all noticed yet.
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < end, "PostgreSQL does not start: {}", log());
        }
    }

    /// Stops it and waits for its end.
    pub fn stop(&mut self, how: Stop) {
        let Some(mut process) = self.process.take() else { return };
        let leader = Pid::from_child(&process);
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
            Stop::Kill => Signal::KILL,
        };
        kill_process(leader, signal).unwrap();
        process.wait().unwrap();
    }

    /// Its first process, to be measured: the others are its children.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Where its sockets are.
    pub fn sockets(&self) -> &Path {
        &self.dir
    }

    /// How a database is reached.
    pub fn url(&self, database: &str) -> String {
        let Self { dir, port, .. } = self;
        format!("postgres://postgres@/{database}?host={}&port={port}", dir.display())
    }

    /// Runs SQL as the superuser and returns what `psql` prints, unaligned, without headers.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(&self.dir);
        psql.args(["-p", &self.port.to_string()]);
        let output = psql.args(["-d", database, "-c", sql]).output().unwrap();
        check(sql, &output);
        String::from_utf8(output.stdout).unwrap()
    }

    /// A new, empty schema, which is a catalog of its own as a database is: cheaper to make, and to remove.
    pub fn schema(&self) -> Schema<'_> {
        let name = fresh_name();
        let new = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
        self.sql("postgres", &new);
        Schema { server: self, name }
    }

    /// A new, empty database.
    pub fn database(&self) -> Database<'_> {
        let name = fresh_name();
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        Database { server: self, name }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Stop::Fast);
    }
}

/// A name that no other test has.
fn fresh_name() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("test_{}_{number}", std::process::id())
}

/// A schema of one test.
pub struct Schema<'a> {
    server: &'a Server,
    name: String,
}

impl Schema<'_> {
    /// How it is reached.
    pub fn url(&self) -> String {
        let (url, name) = (self.server.url("postgres"), &self.name);
        format!("{url}&options=-c%20search_path%3D{name}&application_name={name}")
    }

    /// Sessions that were opened with its URL.
    pub fn sessions(&self) -> usize {
        let name = &self.name;
        let count =
            format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
        self.server.sql("postgres", &count).trim().parse().unwrap()
    }
}

/// A database of one test.
pub struct Database<'a> {
    server: &'a Server,
    /// Its name.
    pub name: String,
}

impl Database<'_> {
    /// How it is reached.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// How an encrypted server is reached under a name that leads to the loopback interface; `how` follows.
    pub fn url_at(&self, host: &str, how: &str) -> String {
        format!("postgres://postgres@{host}:{}/{}?{how}", self.server.port, self.name)
    }

    /// Runs SQL in it.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}
