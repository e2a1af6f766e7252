//! Whether a file is open once: a system call that no crate offers. What does not live here: what is done about it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// Whether `file`, which has no name any more, is open here and nowhere else, in no process: then nobody will ever read it. `false` also
/// where the file system or the system cannot tell.
///
/// Source: fcntl(2), "Leases": a write lease is given only where there are no other open descriptors of the file.
pub fn is_open_once(file: &File) -> bool {
    // Whoever opens a file with a lease has the holder sent a signal; one without a name is opened by nobody.
    file.metadata().is_ok_and(|of| of.nlink() == 0)
        && lease(file, Lease::Write)
        && lease(file, Lease::None)
}

enum Lease {
    Write,
    None,
}

#[cfg(target_os = "linux")]
fn lease(file: &File, lease: Lease) -> bool {
    let kind = match lease {
        Lease::Write => libc::F_WRLCK,
        Lease::None => libc::F_UNLCK,
    };
    #[expect(unsafe_code, reason = "no crate offers this call, which takes two integers")]
    // SAFETY: it takes no pointers, and the descriptor is open as long as `file` is.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::c_int::from(kind)) };
    taken == 0
}

#[cfg(not(target_os = "linux"))]
fn lease(_: &File, _: Lease) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_open_once_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::options().write(true).create_new(true).open(&path).unwrap();
        assert!(!is_open_once(&file), "somebody may open it by its name");
        let (reader, writer) =
            (File::open(&path).unwrap(), File::options().write(true).open(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!is_open_once(&file));
        drop(writer);
        assert!(!is_open_once(&file), "the reader has it still");
        let again = reader.try_clone().unwrap();
        drop(reader);
        assert!(!is_open_once(&file));
        drop(again);
        assert!(is_open_once(&file));
        assert!(is_open_once(&file), "the lease was given back");
    }
}
