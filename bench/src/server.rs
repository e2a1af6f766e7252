//! Starting and stopping what is measured: headwater's release binary on a fresh data directory, and the bare server (nginx
//! is in `nginx`). Each is a process of its own on a free port of loopback; dropping one kills it. What it is sent is not
//! known here.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;
use tempfile::TempDir;

use crate::{http::Connection, interrupt, plan::Plan};

/// The account that an empty data directory gets.
pub(crate) const ACCOUNT: &str = "bench";
/// Its user.
pub(crate) const USER: &str = "bench";
/// The user's password.
pub(crate) const PASSWORD: &str = "measured-in-the-same-run";

/// A process that listens.
pub(crate) struct Listening {
    child: Child,
    /// Kept open: a server that prints into a closed pipe ends.
    _stdout: BufReader<ChildStdout>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Listening {
    /// Starts a program and waits for its line `listening on http://…`.
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        interrupt::started(child.id(), Signal::KILL);
        let mut stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        loop {
            line.clear();
            if stdout.read_line(&mut line)? == 0 {
                let status = child.wait()?;
                interrupt::ended(child.id());
                bail!("{:?} ended before it listened: {status}", command.get_program());
            }
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                return Ok(Self { address: address.parse()?, child, _stdout: stdout });
            }
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as a crash would (SIGKILL).
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM), and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        interrupt::ended(self.child.id());
    }
}

/// A bare server that reads and hashes.
pub(crate) fn bare_hash() -> anyhow::Result<Listening> {
    Listening::start(Command::new(env::current_exe()?).args(["bare", "hash"]))
}

/// A bare server that always answers what `request` was answered with by headwater.
pub(crate) async fn bare_like(
    home: &Home,
    ours: &Listening,
    request: &[u8],
) -> anyhow::Result<Listening> {
    let mut connection = Connection::open(ours.address).await?;
    let answer = connection.exchange(request).await?;
    let (head, body) = (home.beside("answer-head"), home.beside("answer-body"));
    fs::write(&head, answer.head)?;
    fs::write(&body, answer.body)?;
    let mut command = Command::new(env::current_exe()?);
    command.args(["bare", "fixed", "--head"]).arg(head).arg("--body").arg(body);
    Listening::start(&mut command)
}

/// Lets this process and those it starts have as many files open as the system allows.
pub(crate) fn raise_limits() {
    let limit = getrlimit(Resource::Nofile);
    // What stays lower is noticed by who opens too many.
    let _raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Where headwater's binary is.
pub(crate) fn binary(plan: &Plan) -> anyhow::Result<PathBuf> {
    Ok(match &plan.headwater {
        Some(binary) => fs::canonicalize(binary)?,
        None => env::current_exe()?.with_file_name("headwater"),
    })
}

/// A data directory of headwater, gone with this value.
pub(crate) struct Home {
    binary: PathBuf,
    log: String,
    dir: TempDir,
}

impl Home {
    /// An empty one, where the plan says or where the system keeps temporary files.
    pub(crate) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let binary = binary(plan)?;
        ensure!(
            binary.exists(),
            "{} is missing: cargo build --release -p server",
            binary.display()
        );
        ensure!(
            plan.any_build || !cfg!(debug_assertions),
            "only a release build is worth measuring: cargo run --release -p bench"
        );
        let mut builder = tempfile::Builder::new();
        builder.prefix("headwater-bench-");
        let dir = match &plan.dir {
            Some(within) => builder.tempdir_in(within)?,
            None => builder.tempdir()?,
        };
        interrupt::made(dir.path().to_owned());
        Ok(Self { binary, log: plan.log.clone(), dir })
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.beside("data")
    }

    /// A place beside it, gone with it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One of the operator's commands.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args);
        command
    }

    /// Serves it. The log, by default a line a request, goes to a file beside the data.
    pub(crate) fn serve(&self) -> anyhow::Result<Listening> {
        self.serve_with(&self.log, &[])
    }

    /// Serves it with this level of log, and more arguments.
    pub(crate) fn serve_with(&self, level: &str, more: &[&str]) -> anyhow::Result<Listening> {
        self.serve_among(level, more, &[])
    }

    /// The same, with variables that say how to reach other servers.
    pub(crate) fn serve_among(
        &self,
        level: &str,
        more: &[&str],
        variables: &[(String, String)],
    ) -> anyhow::Result<Listening> {
        let log = self.dir.path().join("log");
        let log_file = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--account", ACCOUNT, "--user", USER]);
        command.args(more).arg("--data").arg(self.data());
        command.env("HEADWATER_PASSWORD", PASSWORD).env("HEADWATER_LOG", level);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Listening::start(command.stderr(log_file)).with_context(|| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.lines().rev().take(5).collect::<Vec<_>>().join("\n")
        })
    }

    /// Serves it, and says how long it took until it listened.
    pub(crate) fn serve_timed(&self) -> anyhow::Result<(Listening, Duration)> {
        let begun = Instant::now();
        let listening = self.serve()?;
        Ok((listening, begun.elapsed()))
    }

    /// What the running server has committed.
    pub(crate) fn commits(&self) -> anyhow::Result<Commits> {
        let mut command = Command::new(&self.binary);
        let output = command.arg("status").arg("--data").arg(self.data()).output()?;
        ensure!(output.status.success(), "headwater status: {}", output.status);
        let status: Value = serde_json::from_slice(&output.stdout).context("headwater status")?;
        let number = |name: &str| status[name].as_u64().with_context(|| format!("status: {name}"));
        Ok(Commits {
            commits: number("commits")?,
            groups: number("groups")?,
            conflicts: number("conflicts")?,
            round_trips: number("round_trips")?,
            statements: number("statements")?,
            rows: number("rows")?,
        })
    }

    /// Bytes of all files of the data directory.
    pub(crate) fn disk_bytes(&self) -> anyhow::Result<u64> {
        fn below(dir: &Path) -> std::io::Result<u64> {
            let mut sum = 0;
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                sum += if kind.is_dir() { below(&entry.path())? } else { entry.metadata()?.len() };
            }
            Ok(sum)
        }
        Ok(below(&self.data())?)
    }
}

/// What the catalog has done since the server started.
#[derive(Clone, Copy, Default)]
pub(crate) struct Commits {
    /// Transactions.
    pub(crate) commits: u64,
    /// Groups of them, each with one fsync.
    pub(crate) groups: u64,
    /// Groups that were run again.
    pub(crate) conflicts: u64,
    /// Waits for a database.
    pub(crate) round_trips: u64,
    /// Statements sent to it.
    pub(crate) statements: u64,
    /// Rows it sent and was sent.
    pub(crate) rows: u64,
}

impl Commits {
    /// Those since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        self.with(before, |now, before| now - before)
    }

    /// Those of two servers.
    pub(crate) fn and(self, other: Self) -> Self {
        self.with(other, |one, other| one + other)
    }

    fn with(self, other: Self, both: fn(u64, u64) -> u64) -> Self {
        Self {
            commits: both(self.commits, other.commits),
            groups: both(self.groups, other.groups),
            conflicts: both(self.conflicts, other.conflicts),
            round_trips: both(self.round_trips, other.round_trips),
            statements: both(self.statements, other.statements),
            rows: both(self.rows, other.rows),
        }
    }
}
