//! A disk in memory that remembers every write and every flush: one file of a file system that this process serves
//! through /dev/fuse, to be put under a loop device.
//!
//! The kernel's protocol is spoken directly: one file, no caching of writes, a dozen requests. What is not answered with
//! data is refused with ENOSYS, which the kernel remembers.

use std::{
    fs::File,
    io::{Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use tempfile::TempDir;

use crate::device::{place, run};

/// What happened to the disk.
#[derive(Clone)]
pub(crate) enum Event {
    Write(usize, Arc<[u8]>),
    /// All writes before it are durable.
    Flush,
}

/// The disk's bytes and its history.
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) log: Vec<Event>,
}

/// The disk, served.
pub(crate) struct Served {
    disk: Arc<Mutex<Disk>>,
    dir: TempDir,
}

const DISK: u64 = 2;
const WRITE_MAX: usize = 1 << 20;

impl Served {
    /// A disk of zeros.
    pub(crate) fn new(size: usize) -> Result<Self, String> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|e| format!("/dev/fuse: {e}"))?;
        let dir = place();
        let mut mount = Command::new("mount");
        // The descriptor is the command's standard input.
        mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "crash"]);
        mount.arg(dir.path()).stdin(Stdio::from(device.try_clone().map_err(|e| e.to_string())?));
        let output = mount.output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let disk = Arc::new(Mutex::new(Disk { bytes: vec![0; size], log: Vec::new() }));
        let served = Arc::clone(&disk);
        thread::spawn(move || serve(device, &served));
        Ok(Self { disk, dir })
    }

    /// The file that is the disk.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// The disk, standing still while it is looked at.
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _best = run(Command::new("umount").arg("-l").arg(self.dir.path()));
    }
}

/// Integers of an answer, one after the other.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn short(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Answers requests until the file system is unmounted.
fn serve(mut device: File, disk: &Mutex<Disk>) {
    let mut buffer = vec![0; WRITE_MAX + 4096];
    while let Ok(len) = device.read(&mut buffer) {
        let (head, body) = buffer[..len].split_at(40);
        let (opcode, unique, node) = (short(head, 4), number(head, 8), number(head, 16));
        let Some(answer) = answer(opcode, node, body, &mut disk.lock().unwrap()) else { continue };
        let (error, out) = match answer {
            Ok(out) => (0, out.0),
            Err(error) => (error, Vec::new()),
        };
        let mut frame = Out::default().u32(16 + u32::try_from(out.len()).unwrap());
        frame.0.extend(i32::to_ne_bytes(-error));
        let mut frame = frame.u64(unique).0;
        frame.extend(out);
        // A request that was interrupted wants no answer any more.
        let _interrupted = device.write(&frame);
    }
}

/// Answers one request (linux/fuse.h); `None`: it has no answer.
fn answer(opcode: u32, node: u64, body: &[u8], disk: &mut Disk) -> Option<Result<Out, i32>> {
    let size = disk.bytes.len() as u64;
    let attr = |out: Out, node: u64| {
        let (size, mode) = if node == DISK { (size, 0o100_600) } else { (0, 0o040_700) };
        let times = out.u64(node).u64(size).u64(size / 512).u64(0).u64(0).u64(0);
        times.u32(0).u32(0).u32(0).u32(mode).u32(1).u32(0).u32(0).u32(0).u32(4096).u32(0)
    };
    Some(Ok(match opcode {
        // FORGET, INTERRUPT, BATCH_FORGET
        2 | 36 | 42 => return None,
        // LOOKUP
        1 if body == b"disk\0" => {
            attr(Out::default().u64(DISK).u64(0).u64(3600).u64(3600).u64(0), DISK)
        }
        1 => return Some(Err(2)),
        // GETATTR
        3 => attr(Out::default().u64(3600).u64(0), node),
        // OPEN, OPENDIR
        14 | 27 => Out::default().u64(0).u64(0),
        // READ
        15 => {
            let from = usize::try_from(number(body, 8)).unwrap();
            let len = short(body, 16) as usize;
            let to = (from + len).min(disk.bytes.len());
            Out(disk.bytes[from.min(to)..to].to_vec())
        }
        // WRITE
        16 => {
            let (at, len) = (usize::try_from(number(body, 8)).unwrap(), short(body, 16));
            let data = &body[40..40 + len as usize];
            disk.bytes[at..at + data.len()].copy_from_slice(data);
            disk.log.push(Event::Write(at, data.into()));
            Out::default().u32(len).u32(0)
        }
        // FSYNC
        20 => {
            disk.log.push(Event::Flush);
            Out::default()
        }
        // RELEASE, FLUSH, RELEASEDIR
        18 | 25 | 29 => Out::default(),
        // INIT: version 7.31, large writes of up to 256 pages, nothing else.
        26 => {
            let out = Out::default().u32(7).u32(31).u32(65_536).u32(1 << 5 | 1 << 22);
            let out = out.u16(0).u16(0).u32(1 << 20).u32(1).u16(256).u16(0);
            out.u32(0).u64(0).u64(0).u64(0).u32(0)
        }
        // ENOSYS
        _ => return Some(Err(38)),
    }))
}
