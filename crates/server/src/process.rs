//! What the process asks of the system before it does anything else, and how many connections the system lets it hold.
//!
//! What does not live here: limits of our own (`config`). Nothing here fails the start: what the system refuses is
//! said, or is as it was.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Files 0600, directories 0700; no core files, no memory and no environment for other processes of the same user;
/// as many descriptors as are allowed.
pub(crate) fn settle() {
    // Whoever makes files: an engine asks nobody for a mode.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // Memory holds passwords, tokens and the key that stored secrets are encrypted under; the environment may hold a
    // password. The second asks for what the first cannot: no core by way of a pipe, no attaching, no /proc/PID/environ.
    let _kept =
        rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _kept = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let files = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: files.maximum, ..files };
    let _kept = rustix::process::setrlimit(Resource::Nofile, raised);
}

/// Memory that the process may use, in bytes: the machine's, or less where a control group (either version) says so.
pub(crate) fn memory_bytes() -> u64 {
    let machine = rustix::system::sysinfo();
    let machine = u64::from(machine.mem_unit).saturating_mul(machine.totalram);
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = |file: std::path::PathBuf| std::fs::read_to_string(file).ok()?.trim().parse().ok();
    limits_of(&groups).into_iter().filter_map(limit).fold(machine, u64::min)
}

/// The part of that memory, in sixteenths, that answers which may be given again take at most, unless it is configured: with what
/// the catalog keeps it is a quarter, as is usual for databases. The least and the most.
const ANSWERS_SIXTEENTHS: u64 = 3;
const ANSWERS_BYTES: (u64, u64) = (24 << 20, 16 << 30);

/// Memory for answers that may be given again, in bytes. A million files of 4 KiB are some 5.5 GB of them.
pub(crate) fn answers_bytes() -> u64 {
    (memory_bytes() / 16 * ANSWERS_SIXTEENTHS).clamp(ANSWERS_BYTES.0, ANSWERS_BYTES.1)
}

/// The files that may say how much memory the process has, by its line of `/proc/self/cgroup`; those of the groups that
/// its group is in count, too.
fn limits_of(groups: &str) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = std::path::Path::new(root).join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|group| group.starts_with(root));
        files.extend(above.map(|group| group.join(file)));
    }
    files
}

/// Descriptors that the catalog and the blobs that are kept open may need, with some for all that is open once.
const OPEN_BESIDE_MAX: u64 = 1456;
/// Files that connections have open at the same time, as far as they are counted.
const OPEN_FILES_MAX: u64 = 4096;

/// Connections to hold at the same time: as many as were configured, or fewer where the descriptors would not last.
/// Without any left nothing works any more, so it is connections that wait and not files.
pub(crate) fn connections(configured: usize) -> usize {
    let Some(descriptors) = rustix::process::getrlimit(Resource::Nofile).current else {
        return configured;
    };
    let room = usize::try_from(room(descriptors)).unwrap_or(usize::MAX);
    if room < configured {
        tracing::warn!(
            descriptors,
            configured,
            connections = room,
            "fewer connections than configured: the system allows too few descriptors"
        );
    }
    configured.min(room)
}

/// Connections for which `descriptors` last: some are kept for the catalog, and a connection may have a file open.
fn room(descriptors: u64) -> u64 {
    let free = descriptors - OPEN_BESIDE_MAX.min(descriptors / 2);
    (free / 2).max(free.saturating_sub(OPEN_FILES_MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_limits_of_memory_stand() {
        let files = |groups: &str| -> Vec<String> {
            limits_of(groups).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/a/b\n"),
            ["a/b/", "a/", ""].map(|group| format!("/sys/fs/cgroup/{group}memory.max"))
        );
        assert_eq!(
            files("5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/y\n"),
            ["x/", ""].map(|group| format!("/sys/fs/cgroup/memory/{group}memory.limit_in_bytes"))
        );
        assert_eq!(files("nonsense\n"), [""; 0]);
        assert!(memory_bytes() > 1 << 20);
    }

    #[test]
    fn descriptors_last() {
        for (descriptors, connections) in
            [(0, 1), (2, 1), (256, 64), (1024, 256), (4096, 1320), (10_000, 4448), (20_000, 14_448)]
        {
            assert_eq!(room(descriptors), connections, "{descriptors}");
        }
        assert!(room(u64::MAX) > 1 << 62);
    }
}
