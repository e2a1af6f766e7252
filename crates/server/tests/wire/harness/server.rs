//! A server of its own for a test: the real binary, a new data directory, a port nobody else has; or several of them over one
//! store, behind a balancer (`engines`).

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

use super::{ACCOUNT, Client, Engines, Nginx, PASSWORD, USER, wait_until};

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
    /// How many processes it is when it runs.
    nodes: usize,
    /// Empty: it does not run.
    children: Vec<Child>,
    address: SocketAddr,
    /// Before several nodes.
    balancer: Option<Nginx>,
}

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
        let engines = match setup.variables.is_empty() {
            true => Engines::chosen(dir.path()),
            false => Engines::own(),
        };
        setup.variables.extend(engines.variables);
        if let Some(config) = &setup.config {
            fs::write(dir.path().join("config.toml"), config).unwrap();
        }
        let (nodes, address) = (engines.nodes, ([127, 0, 0, 1], 0).into());
        let mut server = Self { dir, setup, nodes, children: vec![], address, balancer: None };
        server.start_again();
        server
    }

    /// Starts a server that was stopped or killed, over the same data. The port is another.
    pub(crate) fn start_again(&mut self) {
        assert!(self.children.is_empty(), "the server runs already");
        self.children = (0..self.nodes).map(|node| self.spawn(node)).collect();
        let mut addresses = Vec::new();
        for node in 0..self.nodes {
            wait_until("the server's address", || {
                if let Some(status) = self.children[node].try_wait().unwrap() {
                    panic!("the server ended: {status}\n{}", self.log());
                }
                let printed = fs::read_to_string(self.out_path(node)).unwrap();
                addresses.extend(announced(&printed));
                addresses.len() > node
            });
        }
        self.address = addresses[0];
        if self.nodes > 1 {
            let balancer = Nginx::balancing(&addresses);
            self.address = ([127, 0, 0, 1], balancer.port()).into();
            self.balancer = Some(balancer);
        }
    }

    fn spawn(&self, node: usize) -> Child {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let mut command = if self.setup.shell.is_empty() {
            command(&serve, &self.data_of(node))
        } else {
            let script = format!("{}\nexec \"$0\" \"$@\"", self.setup.shell);
            let args = [&["-c", &script, BINARY], &serve[..]].concat();
            command_of("/bin/sh", &args, &self.data_of(node))
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
        let out = File::create(self.out_path(node)).unwrap();
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        command.spawn().unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data directory; of several nodes, the first one's.
    pub(crate) fn data(&self) -> PathBuf {
        self.data_of(0)
    }

    fn data_of(&self, node: usize) -> PathBuf {
        self.dir.path().join(if node == 0 { "data".to_owned() } else { format!("data-{node}") })
    }

    fn out_path(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("stdout-{node}"))
    }

    /// A directory of the test's own.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// What it has printed since the last start.
    pub(crate) fn printed(&self) -> String {
        let printed = |node| fs::read_to_string(self.out_path(node)).unwrap();
        (0..self.nodes).map(printed).collect()
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

    /// Its process; of several nodes, the first one's.
    pub(crate) fn pid(&self) -> u32 {
        self.children[0].id()
    }

    /// Whether the process still runs.
    pub(crate) fn lives(&mut self) -> bool {
        let mut lives = |child: &mut Child| child.try_wait().unwrap().is_none();
        !self.children.is_empty() && self.children.iter_mut().all(&mut lives)
    }

    /// Kills it: the process is gone when this returns, and had no time for anything.
    pub(crate) fn kill(&mut self) {
        for mut child in self.children.drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        let pids = self.children.iter().map(|child| child.id().to_string());
        let mut kill = Command::new("sh");
        let sent = kill.args(["-c", "kill -TERM \"$@\"", "kill"]).args(pids).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for a server that was asked to stop.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let mut ends = self.children.drain(..).map(|mut child| {
            let mut status = None;
            wait_until("the end of the server", || {
                status = child.try_wait().unwrap();
                status.is_some()
            });
            status.unwrap()
        });
        let first = ends.next().unwrap();
        ends.find(|status| !status.success()).unwrap_or(first)
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
    let names =
        ["DATA", "CONFIG", "PASSWORD", "LOG", "CATALOG", "KEY_FILE", "BLOBS", "BLOBS_CACHE"];
    for name in names {
        command.env_remove(format!("HEADWATER_{name}"));
    }
    command.args(args).arg("--data").arg(data);
    command
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "what the runner shows of a failed test")]
    fn drop(&mut self) {
        for child in &mut self.children {
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
