//! What operators are given in `deploy/`: the example starts, serves the published flow through its balancer, survives the
//! death of a node, and stops without a trace; units and configurations are what their programs read.
//!
//! What does not live here: what nodes do together (`tests/crash`, and `tests/wire` with several nodes).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests too")]
#![expect(clippy::print_stderr, reason = "says what was not looked at")]

#[expect(dead_code, unused_imports, reason = "the harness serves other tests, too")]
#[path = "../wire/harness/mod.rs"]
mod harness;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use harness::{Client, PASSWORD, noise, sha256, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const PYTHON: &str = "/usr/bin/python3";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").canonicalize().unwrap()
}

/// What a command printed that must succeed.
fn must(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (printed, said) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{printed}\n{said}");
    printed.into_owned()
}

/// A running example. Dropping it stops it.
struct Example {
    dir: PathBuf,
    port: u16,
    stopped: bool,
}

impl Example {
    fn start(dir: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let example = Self { dir: dir.to_owned(), port, stopped: false };
        let printed = example.run();
        assert!(printed.contains(&format!("http://127.0.0.1:{port}")), "{printed}");
        example
    }

    fn run(&self) -> String {
        must(
            Command::new(deploy().join("example/run"))
                .arg(&self.dir)
                .env("HEADWATER_BINARY", env!("CARGO_BIN_EXE_headwater"))
                .env("HEADWATER_PORT", self.port.to_string())
                .env("HEADWATER_PASSWORD", PASSWORD),
        )
    }

    fn stop(&mut self) {
        self.stopped = true;
        must(Command::new(deploy().join("example/stop")).arg(&self.dir));
    }

    fn pid(&self, name: &str) -> Pid {
        let text = fs::read_to_string(self.dir.join("pids").join(name)).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// A published sample, through the balancer.
    fn python(&self, script: &str, file: &Path) -> String {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
        let mut command = Command::new(PYTHON);
        command.arg(scripts.join(script)).arg(file).env("no_proxy", "*");
        command.env("HEADWATER_HOST", format!("127.0.0.1:{}", self.port));
        command.env("HEADWATER_ACCOUNT", "media").env("HEADWATER_USER", "admin");
        command.env("HEADWATER_SAMPLE_PASSWORD", PASSWORD).env("PYTHONDONTWRITEBYTECODE", "1");
        must(&mut command)
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        if !self.stopped {
            let _best_effort = Command::new(deploy().join("example/stop")).arg(&self.dir).output();
        }
    }
}

/// Processes whose command line names a directory.
fn processes(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&dir)).collect()
}

#[test]
fn the_example_serves_loses_a_node_and_stops() {
    let place = tempfile::Builder::new().prefix("hw-example-").tempdir().unwrap();
    let (dir, file) = (place.path().join("all"), place.path().join("test.mp3"));
    let body = noise(1, 600_000);
    fs::write(&file, &body).unwrap();
    let mut example = Example::start(&dir);
    let printed = example.python("post_raw.py", &file);
    assert!(printed.contains(&sha256(&body)), "{printed}");

    let address = ([127, 0, 0, 1], example.port).into();
    let admin = Client::login(address, "admin", PASSWORD);
    kill_process(example.pid("node2"), Signal::KILL).unwrap();
    for n in 0..9 {
        let (path, body) = (format!("/after{n}"), noise(n, 20_000));
        admin.put(&path, &body);
        assert!(admin.content_at(&path, &format!("/media{path}")) == body, "{path}");
    }
    // What does not run is started again, and nothing else.
    let (first, second) = (example.pid("node1"), example.pid("node2"));
    example.run();
    assert_eq!(example.pid("node1"), first);
    assert_ne!(example.pid("node2"), second);
    admin.dir("/multipart");
    let picture = place.path().join("flat-irons3.jpg");
    fs::write(&picture, &body).unwrap();
    example.python("multipart.py", &picture);

    example.stop();
    wait_until("the end of all processes", || processes(&dir).is_empty());
    // And once more: what was stored is there.
    example = Example::start(&dir);
    let address = ([127, 0, 0, 1], example.port).into();
    let admin = Client::login(address, "admin", PASSWORD);
    assert_eq!(admin.code("stat", json!(["/after8"])), 0);
    example.stop();
    wait_until("the end of all processes", || processes(&dir).is_empty());
}

/// Whether a program is there; says so on stderr where not.
fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.unwrap().status.success();
    if !found {
        eprintln!("{program} is not installed: what is written for it was not looked at");
    }
    found
}

#[test]
fn systemd_reads_the_unit() {
    if !is_there("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(deploy().join("systemd/headwater@.service")).unwrap();
    let unit = unit.replace("/usr/local/bin/headwater", env!("CARGO_BIN_EXE_headwater"));
    let path = dir.path().join("headwater@8080.service");
    fs::write(&path, unit).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("headwater@"), "{said}");
    // All settings that the file of variables names are ones that the server reads.
    let variables = fs::read_to_string(deploy().join("systemd/headwater.env")).unwrap();
    let documented = fs::read_to_string(deploy().join("../docs/configuration.md")).unwrap()
        + &fs::read_to_string(deploy().join("../docs/object-store.md")).unwrap();
    for line in variables.lines().filter(|line| line.contains('=') && !line.starts_with("# ")) {
        let name = line.trim_start_matches('#').split('=').next().unwrap();
        assert!(documented.contains(&format!("`{name}`")), "{name} is documented nowhere");
    }
}

#[test]
fn haproxy_reads_its_configuration() {
    if !is_there("haproxy") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(deploy().join("haproxy/haproxy.cfg")).unwrap();
    let path = dir.path().join("haproxy.cfg");
    // Names that nobody resolves here.
    let config = (1..=3).fold(config, |config, n| {
        config.replace(&format!("node{n}.internal"), &format!("127.0.0.{n}"))
    });
    fs::write(&path, config).unwrap();
    must(Command::new("haproxy").arg("-c").arg("-f").arg(&path));
}
