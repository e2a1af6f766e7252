//! What happens when a run is interrupted (SIGINT, SIGTERM): the servers it started are ended and its directories removed, so
//! that nothing is left behind. A run that comes to its end does that itself.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// For servers to be gone before their files are removed.
const GRACE: Duration = Duration::from_millis(500);
/// The status of a run that was interrupted.
const INTERRUPTED: i32 = 130;

struct Held {
    servers: Vec<(u32, Signal)>,
    directories: Vec<PathBuf>,
}

static HELD: Mutex<Held> = Mutex::new(Held { servers: Vec::new(), directories: Vec::new() });

fn held() -> MutexGuard<'static, Held> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server was started; this signal ends it.
pub(crate) fn started(pid: u32, by: Signal) {
    held().servers.push((pid, by));
}

/// A server has ended and was waited for: its number may be another's soon.
pub(crate) fn ended(pid: u32) {
    held().servers.retain(|(own, _)| *own != pid);
}

/// A directory was made.
pub(crate) fn made(directory: PathBuf) {
    held().directories.push(directory);
}

/// Watches for signals, on a thread of its own.
pub(crate) fn watch() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut int, mut term) = {
        let _within = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
        });
        clean_up();
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

fn clean_up() {
    let held = held();
    for (pid, by) in &held.servers {
        let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
        let _ended = pid.map(|pid| kill_process(pid, *by));
    }
    thread::sleep(GRACE);
    for directory in &held.directories {
        // Most are gone already.
        let _removed = fs::remove_dir_all(directory);
    }
}
