//! A server of its own for a test: the real binary, a new data directory, a port nobody else has.

use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use testbed::{Durability, S3};

use super::{ACCOUNT, Client, PASSWORD, USER, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_headwater");
/// How long a log must not grow to be taken for whole.
const LOG_REST: Duration = Duration::from_millis(40);

/// What a server is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    /// A configuration file, where one is needed.
    pub(crate) config: Option<String>,
    /// The first user's password; `None`: the server makes one up.
    pub(crate) password: Option<&'static str>,
    /// What is logged.
    pub(crate) log: &'static str,
    /// What a shell does before it becomes the server, such as `ulimit -n 256`.
    pub(crate) shell: &'static str,
    /// Variables of its environment, and of the commands run over its data.
    pub(crate) variables: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        let (log, variables) = ("info", Vec::new());
        Self { config: None, password: Some(PASSWORD), log, shell: "", variables }
    }
}

/// A server process and its directory. Dropping it kills the process.
pub(crate) struct Server {
    dir: TempDir,
    setup: Setup,
    child: Option<Child>,
    address: SocketAddr,
    /// Where its blobs lie, if not in its directory.
    _blobs: Option<S3>,
}

/// Says where all servers keep their blobs that are not told otherwise: `s3`, each in a store of its own.
const BLOBS: &str = "HEADWATER_TEST_BLOBS";

impl Server {
    /// A server with account [`ACCOUNT`] and user [`USER`], answering.
    pub(crate) fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// The same with a set-up of its own.
    pub(crate) fn start_with(setup: Setup) -> Self {
        let dir = tempfile::Builder::new().prefix("headwater-").tempdir().unwrap();
        Self::start_in(dir, setup)
    }

    /// The same over a directory that the test has put something into.
    pub(crate) fn start_in(dir: TempDir, mut setup: Setup) -> Self {
        let elsewhere = std::env::var(BLOBS).is_ok_and(|blobs| blobs == "s3");
        let blobs = (elsewhere && setup.variables.is_empty()).then(|| {
            let store = S3::start(Durability::None);
            setup.variables = store.variables();
            setup.variables.push(("HEADWATER_BLOBS".to_owned(), store.url("")));
            store
        });
        if let Some(config) = &setup.config {
            fs::write(dir.path().join("config.toml"), config).unwrap();
        }
        let address = ([127, 0, 0, 1], 0).into();
        let mut server = Self { dir, setup, child: None, address, _blobs: blobs };
        server.start_again();
        server
    }

    /// Starts a server that was stopped or killed, over the same data. The port is another.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let out = self.dir.path().join("stdout");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let mut command = if self.setup.shell.is_empty() {
            self.command(&serve)
        } else {
            let script = format!("{}\nexec \"$0\" \"$@\"", self.setup.shell);
            let args = [&["-c", &script, BINARY], &serve[..]].concat();
            command_of("/bin/sh", &args, &self.data())
        };
        command.envs(self.setup.variables.clone());
        command.args(["--account", ACCOUNT, "--user", USER]);
        if self.setup.config.is_some() {
            command.arg("--config").arg(self.dir.path().join("config.toml"));
        }
        if let Some(password) = self.setup.password {
            command.env("HEADWATER_PASSWORD", password);
        }
        command.env("HEADWATER_LOG", self.setup.log);
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut address = None;
        wait_until("the server's address", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended: {status}\n{}", self.log());
            }
            address = announced(&fs::read_to_string(&out).unwrap());
            address.is_some()
        });
        self.address = address.unwrap();
        self.child = Some(child);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A directory of the test's own.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// What it has printed since the last start.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.dir.path().join("stdout")).unwrap()
    }

    /// What it has logged since it was made, once nothing comes any more: lines wait a moment for company.
    pub(crate) fn log(&self) -> String {
        let read = || fs::read_to_string(self.log_path()).unwrap_or_default();
        let mut log = read();
        loop {
            thread::sleep(LOG_REST);
            let now = read();
            if now.len() == log.len() {
                return now;
            }
            log = now;
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A session of the first user.
    pub(crate) fn login(&self) -> Client {
        Client::login(self.address, USER, PASSWORD)
    }

    /// A session of any user.
    pub(crate) fn login_as(&self, user: &str, password: &str) -> Client {
        Client::login(self.address, user, password)
    }

    /// Ticks of processor time (100 a second) it has used so far.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let pid = self.pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether the process still runs.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Kills it: the process is gone when this returns, and had no time for anything.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        let pid = self.pid().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for a server that was asked to stop.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let mut status = None;
        wait_until("the end of the server", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Stops it in an orderly way.
    pub(crate) fn stop(&mut self) {
        self.ask_to_stop();
        let status = self.wait_for_end();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Runs one of the operator's commands over this data directory.
    pub(crate) fn admin(&self, args: &[&str], stdin: &str) -> Output {
        self.admin_bytes(args, stdin.as_bytes())
    }

    /// The same with any bytes on its standard input.
    pub(crate) fn admin_bytes(&self, args: &[&str], stdin: &[u8]) -> Output {
        let mut child = self.admin_begun(args);
        // A command that reads nothing may have closed its end.
        let _unread = child.stdin.take().unwrap().write_all(stdin);
        child.wait_with_output().unwrap()
    }

    /// Begins one.
    pub(crate) fn admin_begun(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Begins one over another data directory.
    pub(crate) fn admin_at_begun(data: &Path, args: &[&str]) -> Child {
        let mut command = command(args, data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs one over another data directory.
    pub(crate) fn admin_at_output(data: &Path, args: &[&str]) -> Output {
        Self::admin_at_begun(data, args).wait_with_output().unwrap()
    }

    /// The same, for a command that must succeed.
    pub(crate) fn admin_at(data: &Path, args: &[&str]) {
        let output = Self::admin_at_output(data, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The same, for a command that must succeed; returns what it printed.
    pub(crate) fn admin_ok(&self, args: &[&str], stdin: &str) -> String {
        let output = self.admin(args, stdin);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds a user of an account, with more arguments where they are needed.
    pub(crate) fn add_user(&self, name: &str, account: &str, more: &[&str]) {
        let args = [&["user", "add", name, "--account", account], more].concat();
        self.admin_ok(&args, &format!("{PASSWORD}\n"));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args, &self.data());
        command.envs(self.setup.variables.clone());
        command
    }
}

fn command(args: &[&str], data: &Path) -> Command {
    // Another build, such as one that is measured.
    let other = std::env::var("HEADWATER_CRASH_BINARY");
    command_of(other.as_deref().unwrap_or(BINARY), args, data)
}

fn command_of(program: &str, args: &[&str], data: &Path) -> Command {
    let mut command = Command::new(program);
    let names = ["DATA", "CONFIG", "PASSWORD", "LOG", "BLOBS", "BLOBS_CACHE"];
    for name in names {
        command.env_remove(format!("HEADWATER_{name}"));
    }
    command.args(args).arg("--data").arg(data);
    command
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "what the runner shows of a failed test")]
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(10)..] {
                eprintln!("the server's last words: {line:.300}");
            }
        }
    }
}

fn announced(printed: &str) -> Option<SocketAddr> {
    let complete = &printed[..=printed.rfind('\n')?];
    complete.lines().find_map(|line| line.strip_prefix("listening on http://")?.parse().ok())
}
