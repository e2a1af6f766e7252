//! File systems on loop devices over image files of our own. Nothing else on the machine is touched, and a failed test
//! leaves nothing mounted.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Kinds of file systems that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

/// Runs a command of the system; what it said if it failed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}

/// Whether this machine lets us mount loop devices; says loudly if not.
pub(crate) fn can_mount(what: &str) -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "needs root"
    } else if !Path::new("/dev/loop-control").exists() {
        "needs loop devices"
    } else if !has("mkfs.ext4") {
        "needs mkfs.ext4 (e2fsprogs)"
    } else {
        return true;
    };
    eprintln!("NOT RUN: {what} {missing}");
    false
}

fn has(tool: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", tool])
        .status()
        .is_ok_and(|s| s.success())
}

/// The kinds whose tools are there.
pub(crate) fn kinds() -> Vec<Kind> {
    if has("mkfs.xfs") {
        return vec![Kind::Ext4, Kind::Xfs];
    }
    eprintln!("NOT RUN: XFS, which needs mkfs.xfs (xfsprogs)");
    vec![Kind::Ext4]
}

/// Makes a file system in a file.
pub(crate) fn format(kind: Kind, image: &Path) {
    let mut command = match kind {
        Kind::Ext4 => {
            let mut mkfs = Command::new("mkfs.ext4");
            mkfs.args(["-q", "-F", "-b", "4096", "-E"]);
            mkfs.arg("nodiscard,lazy_itable_init=0,lazy_journal_init=0");
            mkfs
        }
        Kind::Xfs => {
            let mut mkfs = Command::new("mkfs.xfs");
            mkfs.args(["-q", "-f", "-K"]);
            mkfs
        }
    };
    run(command.arg(image)).unwrap();
}

/// A place for images and stores: in memory where there is enough of it, which is as good for all that a process's death can
/// do, and quicker.
pub(crate) fn place() -> TempDir {
    let shm = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(shm).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
    let root = if free > 2 << 30 { shm.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("headwater-crash-").tempdir_in(root).unwrap()
}

/// An image and where it is mounted.
pub(crate) struct Device {
    image: PathBuf,
    mounted_at: TempDir,
    mounted: bool,
}

impl Device {
    /// Over an image that is there. Not mounted yet.
    pub(crate) fn over(image: &Path) -> Self {
        Self { image: image.to_owned(), mounted_at: place(), mounted: false }
    }

    /// Over a new image in `place`.
    pub(crate) fn new(place: &Path, kind: Kind) -> Self {
        let image = place.join(format!("{kind:?}"));
        let _none = fs::remove_file(&image);
        // The smallest XFS there is.
        File::create(&image).unwrap().set_len(320 << 20).unwrap();
        format(kind, &image);
        Self::over(&image)
    }

    /// Where its files are.
    pub(crate) fn root(&self) -> &Path {
        self.mounted_at.path()
    }

    /// Mounts it, which replays the journal.
    pub(crate) fn mount(&mut self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(self.root())).unwrap();
        self.mounted = true;
    }

    /// Unmounts it; the loop device goes with it.
    pub(crate) fn unmount(&mut self) {
        run(Command::new("umount").arg(self.root())).unwrap();
        self.mounted = false;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: whatever still holds it open is about to end, too.
            let _best = run(Command::new("umount").arg("-l").arg(self.root()));
        }
    }
}
