//! What a run was made on: cores, memory, kernel, file system, versions. No names, no paths, no addresses.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{nginx, plan::Plan, server};

/// What is known of the machine and of what was run.
pub(crate) struct Machine {
    /// What it is, and the value.
    facts: Vec<(&'static str, String)>,
}

impl Machine {
    /// This one.
    pub(crate) fn describe(plan: &Plan) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mib = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|kib| kib.trim_end_matches(" kB").parse::<u64>().ok())
            .map(|kib| format!("{:.1} GiB", kib as f64 / f64::from(1 << 20)));
        let dir = plan.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = fs::canonicalize(&dir).unwrap_or(dir);
        let headwater =
            server::binary(plan).ok().and_then(|b| said(&mut Command::new(b), "--version"));
        let nginx = nginx::find(plan).and_then(|binary| said(&mut Command::new(binary), "-v"));
        let unknown = || "unknown".to_owned();
        let facts = vec![
            ("cores", cores.to_string()),
            ("CPU", field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown)),
            ("memory", mib.unwrap_or_else(unknown)),
            ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
            (
                "file system",
                file_system(&read("/proc/self/mountinfo"), &dir).unwrap_or_else(unknown),
            ),
            ("load before", read("/proc/loadavg").trim().to_owned()),
            ("headwater", headwater.unwrap_or_else(unknown)),
            ("commit", commit().unwrap_or_else(unknown)),
            ("nginx", nginx.unwrap_or_else(|| "not installed".to_owned())),
        ];
        Self { facts }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        self.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    }

    /// As lines of a list.
    pub(crate) fn markdown(&self) -> String {
        self.facts.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect()
    }
}

/// The first line a program prints.
fn said(command: &mut Command, argument: &str) -> Option<String> {
    let output = command.arg(argument).output().ok()?;
    // nginx says it on standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text).lines().next()?.trim().to_owned();
    Some(text.trim_start_matches("nginx version: ").to_owned())
}

/// The commit of the sources beside this program's own, and whether they were changed since.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let dir = env!("CARGO_MANIFEST_DIR");
        let output = Command::new("git").args(["-C", dir]).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { hash } else { format!("{hash}, with changes") })
}

/// `name : value` of a file of /proc.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (own, value) = line.split_once(':')?;
        (own.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The type of the file system that holds `dir`: of the mounts above it, the deepest, and of those the last.
fn file_system(mounts: &str, dir: &Path) -> Option<String> {
    let found = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = Path::new(mount.split(' ').nth(4)?);
        dir.starts_with(point).then(|| (point.components().count(), kind.split(' ').next()))
    });
    found.max_by_key(|(depth, _)| *depth)?.1.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts() {
        let mounts = "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n\
                      2 1 0:5 / /data rw - xfs /dev/b rw\n\
                      3 1 0:6 / /data2 rw - btrfs /dev/c rw\n";
        let of = |dir: &str| file_system(mounts, Path::new(dir)).unwrap();
        assert_eq!(of("/data/x"), "xfs");
        assert_eq!(of("/data2"), "btrfs");
        assert_eq!(of("/database"), "ext4");
    }

    #[test]
    fn fields_are_read() {
        let text = "processor\t: 0\nmodel name\t: A CPU: fast\nmodel name\t: another\n";
        assert_eq!(field(text, "model name").unwrap(), "A CPU: fast");
        assert_eq!(field(text, "model"), None);
    }
}
