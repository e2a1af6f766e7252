//! A server process over a given data directory, which may die at any moment.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{ACCOUNT, Engines, PASSWORD, PATIENCE, USER, wait_until};

/// The process, its data, and where it logs (elsewhere, since the data may lie on a disk that dies).
pub(crate) struct Node {
    pub(crate) data: PathBuf,
    home: TempDir,
    env: Vec<(String, String)>,
    pub(crate) engines: Engines,
    listen: SocketAddr,
    child: Option<Child>,
    address: SocketAddr,
    /// The longest any start took.
    pub(crate) slowest_start: Duration,
}

impl Node {
    /// A node that does not run yet, with all it stores in `data`.
    pub(crate) fn new(data: &Path) -> Self {
        Self::with(data, ([127, 0, 0, 1], 0).into(), |_| Engines::own())
    }

    /// The same with the engines that are chosen from outside.
    pub(crate) fn with_chosen_engines(data: &Path) -> Self {
        Self::with(data, ([127, 0, 0, 1], 0).into(), Engines::chosen)
    }

    /// The same with engines for a directory that nobody else has, at an address of its own.
    pub(crate) fn with(
        data: &Path,
        listen: SocketAddr,
        engines: impl FnOnce(&Path) -> Engines,
    ) -> Self {
        let home = tempfile::Builder::new().prefix("headwater-crash-").tempdir().unwrap();
        let engines = engines(home.path());
        let (data, env, slowest_start) = (data.to_owned(), Vec::new(), Duration::ZERO);
        Self { data, home, env, engines, listen, child: None, address: listen, slowest_start }
    }

    /// What its next starts have in their environment.
    pub(crate) fn set_env(&mut self, env: Vec<(String, String)>) {
        self.env = env;
    }

    /// Starts it; it must become ready.
    pub(crate) fn start(&mut self) {
        if let Err(status) = self.try_start() {
            panic!("the server ended: {status}\n{}", self.log());
        }
    }

    /// Starts it and waits until it is ready or gone.
    pub(crate) fn try_start(&mut self) -> Result<(), ExitStatus> {
        let begun = Instant::now();
        self.spawn();
        let mut ended = None;
        wait_until("a server that is ready", || {
            ended = self.child.as_mut().unwrap().try_wait().unwrap();
            ended.is_some() || self.is_ready()
        });
        if let Some(status) = ended {
            self.child = None;
            return Err(status);
        }
        self.slowest_start = self.slowest_start.max(begun.elapsed());
        Ok(())
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.home.path().join("log"));
        let (mut command, listen) = (self.command(), self.listen.to_string());
        command.args(["serve", "--listen", &listen, "--account", ACCOUNT, "--user", USER]);
        command.arg("--data").arg(&self.data).env("HEADWATER_PASSWORD", PASSWORD);
        // Blobs that are long enough to be some go past the page cache, too.
        let config = self.home.path().join("config.toml");
        fs::write(&config, "[storage]\ndirect_io_after_bytes = 4096\n").unwrap();
        command.env("HEADWATER_CONFIG", &config).env("HEADWATER_LOG", "info");
        command.envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stderr(log.unwrap());
        command.stdout(File::create(self.home.path().join("out")).unwrap());
        self.child = Some(command.spawn().unwrap());
    }

    fn is_ready(&mut self) -> bool {
        let printed = fs::read_to_string(self.home.path().join("out")).unwrap();
        let complete = &printed[..printed.rfind('\n').map_or(0, |end| end + 1)];
        let found = complete
            .lines()
            .find_map(|line| line.strip_prefix("listening on http://")?.parse().ok());
        self.address = found.unwrap_or(self.address);
        found.is_some()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged, all starts together.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Whether it still runs. One that is gone can be started again.
    pub(crate) fn lives(&mut self) -> bool {
        let lives = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none());
        if !lives {
            self.child = None;
        }
        lives
    }

    /// SIGKILL; gone when this returns. One that is gone already is a success.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone_already = child.kill();
            child.wait().unwrap();
        }
    }

    /// The same, and the end of what it had asked its engines for.
    pub(crate) fn kill_for_good(&mut self) {
        self.kill();
        self.engines.wait_for_rest();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let end = Instant::now() + PATIENCE + PATIENCE;
        loop {
            match child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(Instant::now() < end, "it does not end"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Every invariant of the store, by its own means; nobody has it open.
    pub(crate) fn fsck(&self) {
        let output =
            self.command().args(["fsck", "--deep", "--json", "--data"]).arg(&self.data).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let besides = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "fsck: {}: {said:.2000} {besides:.1000}", output.status);
    }

    /// The binary that is tested, told where all is stored.
    fn command(&self) -> Command {
        let binary = std::env::var_os("HEADWATER_CRASH_BINARY");
        let binary = binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_headwater").into());
        let mut command = Command::new(binary);
        command.envs(self.engines.variables.iter().cloned());
        command
    }

    /// Files below a room of the data directory.
    pub(crate) fn files(&self, room: &str) -> usize {
        count(&self.data.join(room))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(12)..] {
                eprintln!("the server's last words: {line:.300}");
            }
        }
    }
}

fn count(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let each = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count(&entry.path()),
        Ok(_) => 1,
        Err(_) => 0,
    });
    each.sum()
}

/// Copies a data directory that nobody has open.
pub(crate) fn copy_store(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}
