//! What the system knows of a process: its memory, its descriptors, its limits.

use std::{fs, path::PathBuf};

/// `/proc/PID/…`
pub(crate) fn path(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// Resident memory, in KiB.
pub(crate) fn rss_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(path(pid, "status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Open descriptors; `None` where the system does not tell: of a server that keeps its memory to itself, only root may
/// ask.
pub(crate) fn descriptors(pid: u32) -> Option<usize> {
    fs::read_dir(path(pid, "fd")).ok().map(Iterator::count)
}

/// A soft limit, as `/proc/PID/limits` shows it.
pub(crate) fn limit(pid: u32, name: &str) -> String {
    let limits = fs::read_to_string(path(pid, "limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

/// Whether tests run as root; says so where they do not.
#[expect(clippy::print_stderr, reason = "a developer should know what was not checked")]
pub(crate) fn is_root(what: &str) -> bool {
    use std::os::unix::fs::MetadataExt;

    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        eprintln!("NOT CHECKED, it takes root: {what}");
    }
    root
}

/// Whether the system would grant a process so many descriptors.
pub(crate) fn descriptors_allowed() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().nth(1).and_then(|hard| hard.parse().ok()).unwrap_or(u64::MAX)
}
