//! What is known of a sealed file that is open: its footer, and which of its blocks were compared with their checksums a
//! moment ago.
//!
//! Sending a file without copying it means that nobody looks at the bytes on their way. So they are looked at before, and
//! what was found is remembered for [`VERIFIED_FOR`], as long as the system says that nobody changed the file: the same
//! inode, size, and times as before the look. What this cannot see is a page that the system dropped from memory within
//! that time and read back from a disk that had damaged it meanwhile.
//!
//! What does not live here: which files are kept open (`open_files`), reading (`read`). The invariant: a block is called
//! verified only if it was compared after the moment its file is known to be unchanged since.

use std::{
    cell::RefCell,
    fs::File,
    io::IoSliceMut,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use model::{Error, Result};
use rustix::io::{Errno, ReadWriteFlags};

use crate::{
    FileSpan,
    blocks::{cut_short, outside, storage},
    layout::{Footer, SUM_BYTES},
};

/// How long a block that was compared counts as verified.
pub(super) const VERIFIED_FOR: Duration = Duration::from_secs(10);
/// How long a file must have been left alone before anything about it is remembered. File systems note changes in ticks, of
/// a second on the coarsest: a change in the same tick as the one before it would not show.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// How old a look at a file, whoever took it, may be for a sending to begin with it. Less than the tick of any file system, so
/// that what was settled by then was so when the look was taken, but for this moment.
const LOOK_GOOD_FOR: Duration = Duration::from_millis(5);
/// Bytes that are compared in one go: on a thread of the runtime it is held for some 50 µs.
const GO_BYTES: u64 = 256 * 1024;
/// Blocks of a file that are remembered, of 64 KiB 16 GiB: 32 KiB of memory. What lies behind is compared each time.
const REMEMBERED_MAX: u64 = 1 << 18;
/// The smallest blocks there are: so many of them in one go, at most.
const SUMS_MAX: usize = (GO_BYTES / 4096) as usize * SUM_BYTES;

thread_local! {
    /// Where a thread of the runtime puts the blocks it looks at: they stay in the processor's cache.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a file system says of a file: different after any change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: [u64; 2],
    names: u64,
    size: u64,
    modified: [i64; 2],
    changed: [i64; 2],
}

impl Stamp {
    /// Of an open file.
    pub(super) fn of(file: &File) -> std::io::Result<Self> {
        let of = file.metadata()?;
        Ok(Self {
            inode: [of.dev(), of.ino()],
            names: of.nlink(),
            size: of.size(),
            modified: [of.mtime(), of.mtime_nsec()],
            changed: [of.ctime(), of.ctime_nsec()],
        })
    }

    /// How long the file is.
    pub(super) fn file_bytes(&self) -> u64 {
        self.size
    }

    /// Whether the file has a name still.
    pub(super) fn is_named(&self) -> bool {
        self.names > 0
    }

    /// Whether any change from now on will show. A file from the future never is.
    pub(super) fn is_settled(&self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "compared with what the file system noted")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let [secs, nanos] = self.changed;
        let changed = u64::try_from(secs).ok().zip(u32::try_from(nanos).ok());
        changed.is_some_and(|(secs, nanos)| {
            now.checked_sub(Duration::new(secs, nanos)).is_some_and(|age| age >= SETTLED_AFTER)
        })
    }
}

/// An open file, and what is known of it.
pub(super) struct Known {
    pub(super) file: Arc<File>,
    pub(super) footer: Footer,
    /// Of the file, before its footer was read.
    pub(super) stamp: Stamp,
    /// Whether it was settled then.
    pub(super) settled: bool,
    memory: Mutex<Memory>,
}

/// The blocks that were compared.
struct Memory {
    /// Of the file, before the first of them was.
    stamp: Stamp,
    /// When it was last seen that the file is so.
    looked: Option<Instant>,
    /// When that was.
    since: Instant,
    /// A bit a block, from the first.
    bits: Vec<u64>,
}

impl Memory {
    fn has(&self, block: u64) -> bool {
        let word = usize::try_from(block / 64).ok().and_then(|at| self.bits.get(at));
        word.is_some_and(|word| (word >> (block % 64)) & 1 == 1)
    }

    fn put(&mut self, block: u64) {
        let Some(at) = usize::try_from(block / 64).ok().filter(|_| block < REMEMBERED_MAX) else {
            return;
        };
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        self.bits[at] |= 1 << (block % 64);
    }
}

/// Blocks that lie next to each other.
#[derive(Clone, Copy)]
struct Blocks {
    first: u64,
    count: u64,
}

impl Known {
    /// A file about which nothing else is known.
    pub(super) fn new(file: File, footer: Footer, (stamp, settled): (Stamp, bool)) -> Self {
        let memory = Memory { stamp, looked: None, since: Instant::now(), bits: Vec::new() };
        Self { file: Arc::new(file), footer, stamp, settled, memory: Mutex::new(memory) }
    }

    /// Bytes from `offset`, `len` at most and one at least, that are verified now, or can be without waiting for the
    /// disk. `None` where that would take waiting.
    pub(super) fn verified_now(&self, offset: u64, len: usize) -> Option<Result<FileSpan>> {
        self.verified(offset, len, false).transpose()
    }

    /// The same, waiting for the disk. Blocks.
    pub(super) fn verified_later(&self, offset: u64, len: usize) -> Result<FileSpan> {
        self.verified(offset, len, true)?
            .ok_or_else(|| Error::Storage(format!("blob {:?}: a read gave up", self.footer.id)))
    }

    fn verified(&self, offset: u64, len: usize, wait: bool) -> Result<Option<FileSpan>> {
        let block_bytes = self.footer.block_bytes();
        let end = match offset.checked_add(len as u64) {
            Some(end) if end <= self.footer.len && len > 0 => end,
            _ => return Err(outside(&self.footer, offset, len)),
        };
        let first = offset / block_bytes;
        let wanted = end.div_ceil(block_bytes) - first;
        let now = Instant::now();
        let stamp = match self.last_look(now) {
            Some(stamp) => stamp,
            None => {
                let stamp = Stamp::of(&self.file).map_err(|e| storage(self.footer.id, &e))?;
                self.looked(stamp, now);
                stamp
            }
        };
        let (had, since) = {
            let memory = self.memory_of(stamp, now);
            ((first..first + wanted).take_while(|block| memory.has(*block)).count(), memory.since)
        };
        let mut blocks = Blocks { first, count: had as u64 };
        if had == 0 {
            blocks.count = wanted.min((GO_BYTES / block_bytes).max(1));
            // Asked before anything is compared: only a change after this moment is sure to show.
            let settled = stamp.is_settled();
            if !self.compare(blocks, wait)? {
                return Ok(None);
            }
            if settled {
                let mut memory = self.memory_of(stamp, now);
                if memory.since == since {
                    (blocks.first..blocks.first + blocks.count).for_each(|block| memory.put(block));
                }
            }
        }
        let until = end.min((blocks.first + blocks.count) * block_bytes);
        let len = usize::try_from(until - offset).unwrap_or(usize::MAX).min(len);
        Ok(Some(FileSpan { file: Arc::clone(&self.file), offset, len }))
    }

    /// The memory, emptied if it is too old `now` or of another state of the file than `stamp`.
    fn memory_of(&self, stamp: Stamp, now: Instant) -> MutexGuard<'_, Memory> {
        let mut memory = self.lock();
        if memory.stamp != stamp || now.duration_since(memory.since) >= VERIFIED_FOR {
            memory.bits.clear();
            (memory.stamp, memory.since, memory.looked) = (stamp, now, None);
        }
        memory
    }

    /// The last look at the file, if that is recent enough `now`.
    fn last_look(&self, now: Instant) -> Option<Stamp> {
        let memory = self.lock();
        let age = now.checked_duration_since(memory.looked?)?;
        (age < LOOK_GOOD_FOR).then_some(memory.stamp)
    }

    /// The file was `stamp` at `when`.
    pub(super) fn looked(&self, stamp: Stamp, when: Instant) {
        let mut memory = self.memory_of(stamp, when);
        memory.looked = memory.looked.max(Some(when));
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares blocks with their checksums. `false` if that takes waiting and it may not wait.
    fn compare(&self, blocks: Blocks, wait: bool) -> Result<bool> {
        let block_bytes = self.footer.block_bytes();
        let room_for = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        if wait {
            // Threads that may block are many: none keeps its room.
            return self.compare_in(&mut vec![0; room_for(block_bytes)], blocks, wait);
        }
        if block_bytes > GO_BYTES {
            return Ok(false);
        }
        ROOM.with_borrow_mut(|room| {
            room.resize(room_for(GO_BYTES), 0);
            self.compare_in(room, blocks, wait)
        })
    }

    /// The same, through `room`, which has space for one block at least.
    fn compare_in(&self, room: &mut [u8], blocks: Blocks, wait: bool) -> Result<bool> {
        let Footer { id, len, block_log2, .. } = self.footer;
        let block_bytes = 1 << block_log2;
        let mut sums = [0; SUMS_MAX];
        let sums_bytes = usize::try_from(blocks.count).unwrap_or(SUMS_MAX) * SUM_BYTES;
        if !self.fill(&mut sums[..sums_bytes], self.footer.sum_at(blocks.first), wait)? {
            return Ok(false);
        }
        // As many blocks in one read as there is room for.
        let at_once = room.len() / block_bytes;
        let mut block = blocks.first;
        for sums in sums[..sums_bytes].chunks(at_once * SUM_BYTES) {
            let at = block * self.footer.block_bytes();
            let wanted = sums.len() / SUM_BYTES * block_bytes;
            let room = &mut room[..usize::try_from(len - at).unwrap_or(wanted).min(wanted)];
            if !self.fill(room, at, wait)? {
                return Ok(false);
            }
            for (bytes, sum) in room.chunks(block_bytes).zip(sums.chunks_exact(SUM_BYTES)) {
                if crc32c::crc32c(bytes).to_le_bytes() != sum {
                    let text = format!("blob {id:?}: block {block} of {block_bytes} bytes");
                    return Err(Error::Damaged(text));
                }
                block += 1;
            }
        }
        Ok(true)
    }

    /// Reads until `bytes` is full. `false` if that takes waiting and it may not wait.
    fn fill(&self, mut bytes: &mut [u8], mut at: u64, wait: bool) -> Result<bool> {
        let flags = if wait { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
        while !bytes.is_empty() {
            match rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(bytes)], at, flags) {
                Ok(0) => return Err(cut_short(self.footer.id)),
                Ok(read) => {
                    at += read as u64;
                    bytes = &mut bytes[read..];
                }
                Err(Errno::INTR) => {}
                // Not in memory; or a file system that cannot say whether it is.
                Err(Errno::AGAIN | Errno::OPNOTSUPP) if !wait => return Ok(false),
                Err(e) => return Err(storage(self.footer.id, &e.into())),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
