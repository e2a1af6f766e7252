//! What RocksDB passes over in silence when it opens: looked at first, so that nothing acknowledged is lost unseen.
//!
//! It takes a log that seems to end early as one whose last write was cut by a crash, and starts anew where its directory
//! has lost its root. Of what a flipped bit can do, two things look like that: a length that reaches past the end of the
//! file, and a kind of record that says "left over from before, the log ends here". Both are told apart here, by the
//! records' own checksums. A log that really is shorter than it was is told by the mark of what was acknowledged.
//!
//! What does not live here: anything RocksDB notices itself. The format is that of its logs (log_format.h): blocks of
//! 32 KiB; in them records: CRC32C of what follows the length, masked (4), length (2), kind (1), bytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use model::{Error, Result};

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
/// Kinds of records in logs that are never used again: whole; first, middle and last part of one.
const KINDS: std::ops::RangeInclusive<u8> = 1..=4;
/// Holds the mark.
const MARK: &str = "ACKNOWLEDGED";
/// The number of the last write, and CRC32C of it.
const MARK_BYTES: usize = 12;

/// Looks at the logs in `path`. Returns the number of the last write in those that hold writes; 0 where there is none.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Storage`].
pub(super) fn check(path: &Path) -> Result<u64> {
    let (mut logs, mut others) = (Vec::new(), false);
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let file = entry?.path();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("log") => logs.push(file),
            Some("sst" | "blob") => others = true,
            Some(_) | None => {}
        }
    }
    let current = match fs::read_to_string(path.join("CURRENT")) {
        // It would make a new catalog of it.
        Err(e) if e.kind() == ErrorKind::NotFound && (others || !logs.is_empty()) => {
            let text =
                format!("{}: CURRENT is missing beside what it should lead to", path.display());
            return Err(Error::Damaged(text));
        }
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        Err(e) if e.kind() == ErrorKind::InvalidData => return Err(damaged(path, "CURRENT")),
        text => text?,
    };
    if let Some(manifest) = current.strip_suffix('\n') {
        match fs::metadata(path.join(manifest)) {
            Ok(file) if file.is_file() => drop(last_write(&path.join(manifest))?),
            Ok(_) | Err(_) => return Err(damaged(path, "CURRENT leads nowhere")),
        }
    }
    let mut last = 0;
    for log in logs {
        last = last.max(last_write(&log)?);
    }
    Ok(last)
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::Damaged(format!("{}: {what}", path.display()))
}

/// Reads a log and compares its records with their checksums; returns the number of the last write in it.
fn last_write(path: &Path) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut last = 0;
    let mut block = vec![0; BLOCK_BYTES];
    for at in 0_u64.. {
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match file.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        let place = |offset: usize| at * BLOCK_BYTES as u64 + offset as u64;
        let read = read_block(&block[..filled], &mut last);
        read.map_err(|(offset, what)| damaged(path, &format!("byte {}: {what}", place(offset))))?;
        if filled < BLOCK_BYTES {
            break;
        }
    }
    Ok(last)
}

/// Reads the records of a block; one that is shorter than others is the last.
fn read_block(block: &[u8], last: &mut u64) -> Result<(), (usize, &'static str)> {
    let mut offset = 0;
    while let Some(header) = block.get(offset..offset + HEADER_BYTES) {
        let [c0, c1, c2, c3, l0, l1, kind] = *header else { return Ok(()) };
        let (stored, len) = (u32::from_le_bytes([c0, c1, c2, c3]), u16::from_le_bytes([l0, l1]));
        let rest = &block[offset + HEADER_BYTES..];
        if kind == 0 && len == 0 && stored == 0 && rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if !KINDS.contains(&kind) {
            return Err((offset, "a record of a kind that is never written"));
        }
        let Some(bytes) = rest.get(..usize::from(len)) else {
            if block.len() == BLOCK_BYTES {
                return Err((offset, "a record reaches into the next block"));
            }
            // Cut by a crash, unless a record of another length stands here whole.
            return match is_whole(kind, rest, stored) {
                true => Err((offset, "the length of a record is not what it was")),
                false => Ok(()),
            };
        };
        if masked(crc32c::crc32c_append(crc32c::crc32c(&[kind]), bytes)) != stored {
            return Err((offset, "a record does not match its checksum"));
        }
        // A write begins with its number and how many follow on it.
        if let (1 | 2, Some((number, more))) = (kind, bytes.split_first_chunk::<8>())
            && let Some(count) = more.first_chunk::<4>()
        {
            let end = u64::from_le_bytes(*number).wrapping_add(u32::from_le_bytes(*count).into());
            *last = (*last).max(end.wrapping_sub(1));
        }
        offset += HEADER_BYTES + bytes.len();
    }
    Ok(())
}

/// Whether a record of any length that matches the checksum begins with `rest`.
fn is_whole(kind: u8, rest: &[u8], stored: u32) -> bool {
    let mut sum = crc32c::crc32c(&[kind]);
    masked(sum) == stored
        || rest.iter().any(|byte| {
            sum = crc32c::crc32c_append(sum, &[*byte]);
            masked(sum) == stored
        })
}

/// A checksum as logs have it: so that one of bytes that hold checksums is not confused with them.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The number of the last write that was acknowledged: noted after each sync of the log and never synced itself, so it
/// is never ahead of what is durable; it outlives the process at once, and a loss of power as far as it was written back.
pub(super) struct Mark(File);

impl Mark {
    /// Opens the mark of the catalog in `path`; `None` where it cannot be, which is logged: nothing depends on it but what
    /// would be noticed.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let path = path.join(MARK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        file.map(Self)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "no mark is kept"))
            .ok()
    }

    /// Notes a write.
    pub(super) fn note(&self, number: u64) {
        let mut raw = [0; MARK_BYTES];
        raw[..8].copy_from_slice(&number.to_le_bytes());
        raw[8..].copy_from_slice(&crc32c::crc32c(&number.to_le_bytes()).to_le_bytes());
        if let Err(error) = self.0.write_all_at(&raw, 0) {
            tracing::warn!(%error, "noting what was acknowledged");
        }
    }

    /// What was noted in `path`; `None` where nothing was, or it cannot be read.
    pub(super) fn read(path: &Path) -> Option<u64> {
        let path: PathBuf = path.join(MARK);
        let raw = fs::read(&path).ok()?;
        let (number, sum) = raw.split_first_chunk::<8>()?;
        if crc32c::crc32c(number).to_le_bytes() != sum {
            tracing::warn!(path = %path.display(), "is damaged; it is made anew");
            return None;
        }
        Some(u64::from_le_bytes(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let crc = masked(crc32c::crc32c_append(crc32c::crc32c(&[kind]), bytes));
        let len = u16::try_from(bytes.len()).unwrap();
        [&crc.to_le_bytes()[..], &len.to_le_bytes(), &[kind], bytes].concat()
    }

    fn write(number: u64, count: u32, len: usize) -> Vec<u8> {
        let head = [&number.to_le_bytes()[..], &count.to_le_bytes()].concat();
        [head, vec![7; len]].concat()
    }

    fn read(log: &[u8]) -> Result<u64> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.log");
        fs::write(&path, log).unwrap();
        last_write(&path)
    }

    #[test]
    fn every_flipped_bit_of_a_whole_log_is_seen() {
        let log = [
            record(1, &write(5, 3, 40)),
            record(1, &write(8, 1, 10)),
            record(2, &write(9, 2, 20)),
            record(4, &[1; 300]),
        ]
        .concat();
        assert_eq!(read(&log), Ok(10));
        for bit in 0..log.len() * 8 {
            let mut bad = log.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&bad), Err(Error::Damaged(_))), "bit {bit}");
        }
    }

    #[test]
    fn a_log_that_was_cut_is_no_damage() {
        let whole = record(1, &write(5, 3, 40));
        let log = [whole.clone(), record(1, &write(8, 1, 100))].concat();
        for end in whole.len()..log.len() {
            assert_eq!(read(&log[..end]), Ok(7), "cut at {end}");
        }
        assert_eq!(read(&[]), Ok(0));
        assert_eq!(read(&[whole.clone(), vec![0; 500]].concat()), Ok(7), "room made beforehand");
        assert!(read(&[whole, vec![0; 400], vec![1], vec![0; 99]].concat()).is_err());
    }

    #[test]
    fn records_over_blocks() {
        let first = record(2, &write(5, 1, BLOCK_BYTES - HEADER_BYTES - 12));
        let log = [first, record(4, b"end"), record(1, &write(6, 1, 5))].concat();
        assert_eq!(read(&log), Ok(6));
        let mut long = log.clone();
        long[5] ^= 0x80;
        assert!(read(&long).is_err());
        // What is too short for a header at the end of a block is left empty.
        let first = record(1, &write(5, 1, BLOCK_BYTES - HEADER_BYTES - 12 - 3));
        assert_eq!(read(&[first, vec![0; 3], record(1, &write(6, 1, 5))].concat()), Ok(6));
    }

    #[test]
    fn marks() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(dir.path()), None);
        let mark = Mark::open(dir.path()).unwrap();
        assert_eq!(Mark::read(dir.path()), None);
        mark.note(u64::MAX);
        mark.note(77);
        assert_eq!(Mark::read(dir.path()), Some(77));
        let raw = fs::read(dir.path().join(MARK)).unwrap();
        for bit in 0..raw.len() * 8 {
            let mut bad = raw.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(dir.path().join(MARK), bad).unwrap();
            assert_eq!(Mark::read(dir.path()), None, "bit {bit}");
        }
    }
}
