//! Servers that the tests of all processes share: a test is a process of its own, and starting a server for each costs more
//! than most tests do.
//!
//! A shared server is started by the first test that asks for it and watched by a shell that stops it, and removes all there
//! is of it, when no test has used it for some seconds: a lock on a file tells, and the kernel lets go of that whatever end a
//! test comes to. Starting and removing hold a second lock, so that a test which comes while the server goes waits and
//! starts another. What kind of server it is, is not known here.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;

/// Runs the server that is its argument, and stops it when the lock file was free three times, a second apart, and still is
/// when nobody can start another.
const WATCH: &str = r#"
"$@" & server=$!
exec 8<"$STARTING" 9<"$IN_USE"
free=0
while :; do
  sleep 1
  if ! kill -0 $server 2>/dev/null; then break; fi
  if flock -n -x 9; then flock -u 9; free=$((free + 1)); else free=0; fi
  if [ $free -ge 3 ] && flock -n -x 8; then
    if flock -n -x 9; then kill -QUIT $server; break; fi
    flock -u 8
    free=0
  fi
done
# Its data go with it, so it may be made to go: one that waits for something would hold up whoever comes next.
(exec 8<&- 9<&-; sleep 5; kill -KILL $server 2>/dev/null) & last=$!
wait $server
kill $last 2>/dev/null
# Removing many files may take minutes: nobody waits for that.
mv "$DATA" "$DATA.gone.$$"
exec 8<&- 9<&-
rm -rf "$DATA.gone.$$"
"#;

/// Where a shared server lives, held by this process.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    /// While this is held, here and in other processes, the server stays.
    in_use: File,
    /// Nobody else starts or removes it meanwhile.
    starting: File,
}

impl Place {
    /// The place of the server with this name. Until [`Place::keep`] this process alone starts it.
    pub(crate) fn take(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("headwater-{name}-{}", getuid().as_raw()));
        fs::create_dir_all(&dir).unwrap();
        let open =
            |name: &str| File::options().create(true).append(true).open(dir.join(name)).unwrap();
        let (in_use, starting) = (open("in-use"), open("starting"));
        flock(&in_use, FlockOperation::LockShared).unwrap();
        flock(&starting, FlockOperation::LockExclusive).unwrap();
        Self { dir, in_use, starting }
    }

    /// What goes with the server.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts the server, which is stopped by SIGQUIT, and leaves it to its watch.
    #[expect(clippy::zombie_processes, reason = "what watches the server outlives this process")]
    pub(crate) fn watch(&self, server: &Command, log: &Path) {
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH, "watch"]).arg(server.get_program()).args(server.get_args());
        for (name, value) in server.get_envs() {
            watch.env(name, value.unwrap_or_default());
        }
        watch.env("IN_USE", self.dir.join("in-use")).env("STARTING", self.dir.join("starting"));
        watch.env("DATA", self.data());
        let log = File::options().create(true).append(true).open(log).unwrap();
        // A group of its own: whoever ends a test and all its children does not end this.
        watch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        watch.current_dir("/").spawn().unwrap();
    }

    /// The server answers: others may have it, and it stays for as long as the file is open.
    pub(crate) fn keep(self) -> File {
        drop(self.starting);
        self.in_use
    }
}
