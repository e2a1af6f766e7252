//! Debian's nginx as a peer: a process of ours with a configuration of ours on free ports of loopback, without access log and
//! with one, over the same files. Stopped by its process id when dropped.

use std::{
    env,
    fmt::Write,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{interrupt, plan::Plan, table::say};

/// For the workers to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running nginx.
pub(crate) struct Nginx {
    child: Child,
    /// Without access log.
    pub(crate) quiet: SocketAddr,
    /// With one, to a file, as Debian ships it.
    pub(crate) logged: SocketAddr,
    /// Without access log, and with `tcp_nopush off`: over loopback, where a segment holds 64 KiB, an answer that is a
    /// little longer otherwise waits 40 ms for the client to acknowledge its beginning.
    pub(crate) ranges: SocketAddr,
}

/// Where it is, if it is installed.
pub(crate) fn find(plan: &Plan) -> Option<PathBuf> {
    if let Some(given) = &plan.nginx {
        return Some(given.clone());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // A user's PATH has no sbin.
    let places = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place| place.join("nginx")).find(|binary| binary.is_file())
}

impl Nginx {
    /// Serves the files below `root`; its own are made in `dir`. `None` where it is not installed, which is said.
    pub(crate) fn start(plan: &Plan, root: &Path, dir: &Path) -> anyhow::Result<Option<Self>> {
        let Some(binary) = find(plan) else {
            say("nginx is not installed: its columns stay empty (Debian: apt-get install nginx)");
            return Ok(None);
        };
        fs::create_dir_all(dir)?;
        let [quiet, logged, ranges] = free_ports()?;
        let config = dir.join("nginx.conf");
        fs::write(&config, configuration(root, dir, [quiet, logged, ranges])?)?;
        let mut command = Command::new(binary);
        command.arg("-c").arg(&config).arg("-p").arg(dir).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("starting nginx")?;
        interrupt::started(child.id(), Signal::TERM);
        let mut nginx = Self { child, quiet, logged, ranges };
        let begun = Instant::now();
        while TcpStream::connect(logged).is_err() {
            let ended = nginx.child.try_wait()?.is_some();
            let log = || fs::read_to_string(dir.join("error.log")).unwrap_or_default();
            ensure!(!ended && begun.elapsed() < PATIENCE, "nginx does not listen: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(nginx))
    }

    /// Its first process; the workers are its children.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Nginx {
    /// Not killed: its workers would stay.
    fn drop(&mut self) {
        let _told = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _reaped = self.child.wait();
        interrupt::ended(self.child.id());
    }
}

/// Free a moment ago: nginx must be told numbers.
fn free_ports<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let ports: Vec<SocketAddr> =
        held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    ports.try_into().map_err(|_| anyhow!("ports"))
}

fn configuration(
    root: &Path,
    dir: &Path,
    [quiet, logged, ranges]: [SocketAddr; 3],
) -> anyhow::Result<String> {
    let (root, dir) = (root.display(), dir.display());
    let mut text = String::new();
    if geteuid().is_root() {
        // The files are in a directory that is closed to others.
        writeln!(text, "user root;")?;
    }
    writeln!(
        text,
        "worker_processes auto;\ndaemon off;\npid \"{dir}/nginx.pid\";\n\
         error_log \"{dir}/error.log\";\nevents {{ worker_connections 4096; }}\nhttp {{\n\
         sendfile on;\nopen_file_cache off;\nkeepalive_requests 1000000000;\n\
         keepalive_timeout 300s;\ndefault_type application/octet-stream;"
    )?;
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{kind}_temp_path \"{dir}/{kind}\";")?;
    }
    let log = format!("\"{dir}/access.log\"");
    for (address, log, push) in
        [(quiet, "off", "on"), (logged, log.as_str(), "on"), (ranges, "off", "off")]
    {
        writeln!(
            text,
            "server {{ listen {address}; root \"{root}\"; access_log {log}; tcp_nopush {push}; }}"
        )?;
    }
    writeln!(text, "}}")?;
    Ok(text)
}
