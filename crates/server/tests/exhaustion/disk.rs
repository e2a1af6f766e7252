//! Small file systems: an ext4 image on a loop device, and a tmpfs with few files.
//!
//! The invariant: what was mounted is unmounted when it is dropped, whatever became of the test.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use crate::harness::{Server, Setup};

/// A mounted file system.
pub(crate) struct Disk {
    dir: TempDir,
}

impl Disk {
    /// An ext4 of so many MiB; `None`, and a word why, where it may not be mounted.
    pub(crate) fn ext4(mib: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image).output();
        if !made.is_ok_and(|output| output.status.success()) {
            return skipped("there is no mkfs.ext4");
        }
        Self::mounted(dir, &["-o", "loop", image.to_str().unwrap()])
    }

    /// A tmpfs of so many MiB that holds so many files.
    pub(crate) fn tmpfs(mib: u64, files: u64) -> Option<Self> {
        let options = format!("size={mib}m,nr_inodes={files}");
        Self::mounted(tempfile::tempdir().unwrap(), &["-t", "tmpfs", "-o", &options, "tmpfs"])
    }

    fn mounted(dir: TempDir, args: &[&str]) -> Option<Self> {
        let disk = Self { dir };
        fs::create_dir(disk.path()).unwrap();
        let mounted = Command::new("mount").args(args).arg(disk.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(disk),
            _ => skipped("a file system may not be mounted"),
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// A server whose data lie on it.
    pub(crate) fn serve(&self, setup: Setup) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let data = self.path().join("data");
        fs::create_dir(&data).unwrap();
        symlink(&data, dir.path().join("data")).unwrap();
        Server::start_in(dir, setup)
    }

    /// Bytes and files that may still come.
    pub(crate) fn free(&self) -> (u64, u64) {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        (stat.f_bavail * stat.f_frsize, stat.f_favail)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a test that failed may still hold files open.
        let _output = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[expect(clippy::print_stderr, reason = "nobody must take it for a test that ran")]
pub(crate) fn skipped<T>(why: &str) -> Option<T> {
    eprintln!("NOT TESTED: {why}");
    None
}
