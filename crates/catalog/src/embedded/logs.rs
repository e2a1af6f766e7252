//! What RocksDB passes over in silence when it opens: looked at first, so that nothing acknowledged is lost unseen.
//!
//! It takes a log that seems to end early as one whose last write was cut by a crash, and starts anew where its directory
//! has lost its root. Of what a flipped bit can do, two things look like that: a length that reaches past the end of the
//! file, and a kind of record that says "left over from before, the log ends here". Both are told apart here, by the
//! records' own checksums. A log that really is shorter than it was is told by the mark of what was acknowledged.
//!
//! And what RocksDB does not forgive, though a loss of power leaves it: a last write of which some pages reached the disk
//! and others did not. As each write is synced before the next begins, it was never acknowledged, and is taken off.
//!
//! What does not live here: anything RocksDB notices itself, and the mark (`mark`). The format is that of its logs (log_format.h): blocks of
//! 32 KiB; in them records: CRC32C of what follows the length, masked (4), length (2), kind (1), bytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use model::{Error, Result};

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
/// Kinds of records in logs that are never used again: whole; first, middle and last part of one.
const KINDS: std::ops::RangeInclusive<u8> = 1..=4;
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// What stands in the logs.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// The number of the last write; 0 where there is none.
    pub(super) last: u64,
    /// Logs that end with what a crash left of a write, and how long they are without it.
    cuts: Vec<(PathBuf, u64)>,
}

/// Looks at the logs in `path`.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Storage`].
pub(super) fn check(path: &Path) -> Result<Logs> {
    let (mut logs, mut others) = (Vec::new(), false);
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Logs::default()),
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
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Logs::default()),
        Err(e) if e.kind() == ErrorKind::InvalidData => return Err(damaged(path, "CURRENT")),
        text => text?,
    };
    if let Some(manifest) = current.strip_suffix('\n') {
        match fs::metadata(path.join(manifest)) {
            Ok(file) if file.is_file() => {
                let manifest = path.join(manifest);
                // Without its last record it might leave logs out that are needed: RocksDB refuses it, too.
                if let Some((offset, what)) =
                    read_log(&manifest)?.cut.filter(|cut| cut.1 != MISSING)
                {
                    return Err(damaged(&manifest, &format!("byte {offset}: {what}")));
                }
            }
            Ok(_) | Err(_) => return Err(damaged(path, "CURRENT leads nowhere")),
        }
    }
    // In the order they were written: their names are numbers of six digits or more.
    logs.sort_by_key(|log| (log.as_os_str().len(), log.clone()));
    let mut read = Vec::new();
    for path in logs {
        let log = read_log(&path)?;
        read.push((path, log));
    }
    for (at, (path, log)) in read.iter().enumerate() {
        let Some((offset, what)) = log.cut else { continue };
        // What comes after the end of one log goes on where it ended, if that is where it ended.
        let before = read[..=at].iter().map(|(_, log)| log.last).max().unwrap_or(0);
        let next = read[at + 1..].iter().find_map(|(_, log)| log.first);
        if next.is_some_and(|next| next != before + 1) {
            return Err(damaged(path, &format!("byte {offset}: {what}")));
        }
    }
    let last = read.iter().map(|(_, log)| log.last).max().unwrap_or(0);
    let cuts = read.into_iter().filter_map(|(path, log)| Some((path, log.cut?.0)));
    Ok(Logs { last, cuts: cuts.collect() })
}

/// Takes off what a crash has left of writes that were never acknowledged: RocksDB forgives an end that is missing, not
/// one of which pages are missing.
///
/// # Errors
/// [`Error::Storage`].
pub(super) fn cut(logs: &Logs) -> Result<()> {
    for (path, offset) in &logs.cuts {
        tracing::warn!(path = %path.display(), offset, "a write that was never acknowledged is taken off the log");
        let file = File::options().write(true).open(path)?;
        file.set_len(*offset)?;
        // Else a loss of power could bring it back beside a log that goes on without it.
        file.sync_all()?;
    }
    Ok(())
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::Damaged(format!("{}: {what}", path.display()))
}

/// What stands in one log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log {
    /// The number of the first write.
    first: Option<u64>,
    /// The number of the last one that is whole.
    last: u64,
    /// Where the log ends with a write that is not whole and what is wrong there, if that is not a plain end.
    cut: Option<(u64, &'static str)>,
    /// Where the write begins of which a part was read, and its last number.
    open: Option<(u64, u64)>,
    /// Where there is nothing but zeros up to the end of a block: room made beforehand, if nothing comes after it.
    zeros: Option<u64>,
}

/// Why a record cannot be read.
struct Bad {
    offset: usize,
    what: &'static str,
    /// Pages that never reached the disk would look like this, too.
    maybe_torn: bool,
}

/// Reads a log and compares its records with their checksums. A record that does not match is what a crash left of the last
/// write, where no write begins behind it: each is synced before the next begins.
fn read_log(path: &Path) -> Result<Log> {
    let mut file = File::open(path)?;
    let mut log = Log::default();
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
        let (bytes, begin) = (&block[..filled], at * BLOCK_BYTES as u64);
        if let Some((offset, what)) = log.cut {
            if write_follows(bytes) {
                return Err(damaged(path, &format!("byte {offset}: {what}")));
            }
        } else if let Some(zeros) = log.zeros {
            if bytes.iter().any(|byte| *byte != 0) {
                log.end(zeros, MISSING);
                if write_follows(bytes) {
                    return Err(damaged(path, &format!("byte {zeros}: {MISSING}")));
                }
            }
        } else if let Err(Bad { offset, what, maybe_torn }) = log.read_block(bytes, begin) {
            let place = begin + offset as u64;
            if !maybe_torn || write_begins_within(&bytes[offset + 1..]) {
                return Err(damaged(path, &format!("byte {place}: {what}")));
            }
            log.end(place, what);
        }
        if filled < BLOCK_BYTES {
            break;
        }
    }
    if let (None, Some((begin, _))) = (log.cut, log.open) {
        log.end(begin, MISSING);
    }
    Ok(log)
}

/// What is wrong with a write of which there is a beginning and no end.
const MISSING: &str = "a part of a write is missing";

impl Log {
    /// The log ends before the write that byte `at` belongs to.
    fn end(&mut self, at: u64, what: &'static str) {
        self.cut = Some((self.open.map_or(at, |(begin, _)| begin), what));
    }

    /// Reads the records of a block, which begins at byte `begin` of the log; one that is shorter than others is the last.
    fn read_block(&mut self, block: &[u8], begin: u64) -> std::result::Result<(), Bad> {
        let mut offset = 0;
        while let Some(header) = block.get(offset..offset + HEADER_BYTES) {
            let bad = |what, maybe_torn| Err(Bad { offset, what, maybe_torn });
            let rest = &block[offset + HEADER_BYTES..];
            let Header { stored, len, kind } = Header::read(header);
            if kind == 0 && len == 0 && stored == 0 && rest.iter().all(|byte| *byte == 0) {
                self.zeros = Some(begin + offset as u64);
                return Ok(());
            }
            if !KINDS.contains(&kind) {
                return bad("a record of a kind that is never written", kind == 0);
            }
            let Some(bytes) = rest.get(..len) else {
                if block.len() == BLOCK_BYTES {
                    return bad("a record reaches into the next block", false);
                }
                // Cut by a crash, unless a record of another length stands here whole.
                return match is_whole(kind, rest, stored) {
                    true => bad("the length of a record is not what it was", false),
                    false => Ok(()),
                };
            };
            if sum(kind, bytes) != stored {
                return bad("a record does not match its checksum", true);
            }
            self.take(begin + offset as u64, kind, bytes);
            offset += HEADER_BYTES + bytes.len();
        }
        Ok(())
    }

    /// Counts a record that is whole.
    fn take(&mut self, at: u64, kind: u8, bytes: &[u8]) {
        // A write begins with its number and how many follow on it.
        if let (WHOLE | FIRST, Some((number, more))) = (kind, bytes.split_first_chunk::<8>())
            && let Some(count) = more.first_chunk::<4>()
        {
            let number = u64::from_le_bytes(*number);
            let end = number.wrapping_add(u32::from_le_bytes(*count).into());
            self.first.get_or_insert(number);
            self.open = Some((at, end.wrapping_sub(1)));
        }
        if let (WHOLE | LAST, Some((_, last))) = (kind, self.open) {
            self.last = self.last.max(last);
            self.open = None;
        }
    }
}

/// What a record begins with.
struct Header {
    stored: u32,
    len: usize,
    kind: u8,
}

impl Header {
    fn read(header: &[u8]) -> Self {
        let [c0, c1, c2, c3, l0, l1, kind] = *header else {
            return Self { stored: 0, len: 0, kind: 0 };
        };
        let (stored, len) = (u32::from_le_bytes([c0, c1, c2, c3]), u16::from_le_bytes([l0, l1]));
        Self { stored, len: len.into(), kind }
    }
}

/// Whether a write begins in a block that is read from its beginning; records of one that began before may come first.
fn write_follows(mut block: &[u8]) -> bool {
    while let Some((header, rest)) = block.split_at_checked(HEADER_BYTES) {
        let Header { stored, len, kind } = Header::read(header);
        match rest.get(..len).filter(|bytes| sum(kind, bytes) == stored) {
            Some(_) if matches!(kind, WHOLE | FIRST) => return true,
            Some(_) => block = &rest[len..],
            None => return write_begins_within(block),
        }
    }
    false
}

/// Whether a write begins anywhere in `bytes`: where lengths cannot be believed.
fn write_begins_within(bytes: &[u8]) -> bool {
    bytes.windows(HEADER_BYTES).enumerate().any(|(at, header)| {
        let Header { stored, len, kind } = Header::read(header);
        let begins = matches!(kind, WHOLE | FIRST) && len > 0;
        let record = || bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + len);
        begins && record().is_some_and(|bytes| sum(kind, bytes) == stored)
    })
}

/// A record's checksum.
fn sum(kind: u8, bytes: &[u8]) -> u32 {
    masked(crc32c::crc32c_append(crc32c::crc32c(&[kind]), bytes))
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

    fn log(bytes: &[u8]) -> Result<Log> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001.log");
        fs::write(&path, bytes).unwrap();
        read_log(&path)
    }

    fn read(bytes: &[u8]) -> Result<u64> {
        log(bytes).map(|log| log.last)
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
        let last_write = record(1, &write(5, 3, 40)).len() + record(1, &write(8, 1, 10)).len();
        for bit in 0..log.len() * 8 {
            let mut bad = log.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match read(&bad) {
                Err(Error::Damaged(_)) => {}
                // The last write could as well be one that was cut: the mark says whether it was acknowledged.
                Ok(last) => assert!(last == 8 && bit / 8 >= last_write, "bit {bit}: {last}"),
                Err(e) => panic!("bit {bit}: {e}"),
            }
        }
    }

    /// Pages of the last write that never reached the disk, each and any, before others that did.
    #[test]
    fn a_torn_write_is_taken_off() {
        const PAGE: usize = 4096;
        let begun = record(1, &write(5, 3, 5000));
        let first = BLOCK_BYTES - begun.len() - HEADER_BYTES;
        let torn = [
            record(2, &write(8, 2, first - 12)),
            record(3, &vec![9; BLOCK_BYTES - HEADER_BYTES]),
            record(4, &[3; 6000]),
        ]
        .concat();
        let whole = [begun.clone(), torn.clone()].concat();
        let read = log(&whole).unwrap();
        assert_eq!((read.first, read.last, read.cut), (Some(5), 9, None));
        let pages = whole.len().div_ceil(PAGE);
        let from = begun.len().div_ceil(PAGE);
        for missing in (from..pages).flat_map(|a| (a..pages).map(move |b| a..=b)) {
            let mut bad = whole.clone();
            for page in missing.clone() {
                let end = ((page + 1) * PAGE).min(bad.len());
                bad[page * PAGE..end].fill(0);
            }
            let read = log(&bad).unwrap();
            assert_eq!((read.first, read.last), (Some(5), 7), "{missing:?}");
            // All of it goes; where nothing of it came, there is nothing to take off.
            let all = missing.clone().eq(from..pages) && begun.len().is_multiple_of(PAGE);
            assert!(all || read.cut.is_some_and(|cut| cut.0 == begun.len() as u64), "{missing:?}");
            // Not so where a write follows: then it was acknowledged.
            let followed = [bad, record(1, &write(10, 1, 20))].concat();
            assert!(matches!(log(&followed), Err(Error::Damaged(_))), "{missing:?}");
        }
    }

    #[test]
    fn a_torn_log_is_taken_for_one_only_where_the_next_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        let mut torn = record(1, &write(8, 1, 100));
        torn[20..].fill(0);
        let torn = [record(1, &write(5, 3, 40)), torn].concat();
        put("CURRENT", b"MANIFEST-000001\n");
        put("MANIFEST-000001", &record(1, b"edit"));
        put("000004.log", &torn);
        let logs = check(dir.path()).unwrap();
        assert_eq!((logs.last, logs.cuts.len()), (7, 1));
        for (first, fine) in [(8, true), (9, false), (7, false)] {
            put("000009.log", &record(1, &write(first, 2, 10)));
            assert_eq!(check(dir.path()).is_ok(), fine, "goes on with {first}");
        }
        put("000009.log", b"");
        cut(&check(dir.path()).unwrap()).unwrap();
        let logs = check(dir.path()).unwrap();
        assert_eq!((logs.last, logs.cuts.len()), (7, 0));
        let mut edit = record(1, b"edit");
        edit[9] ^= 1;
        put("MANIFEST-000001", &edit);
        assert!(check(dir.path()).is_err(), "a manifest is whole or damaged");
    }

    #[test]
    fn a_log_that_was_cut_is_no_damage() {
        let whole = record(1, &write(5, 3, 40));
        let two = [whole.clone(), record(1, &write(8, 1, 100))].concat();
        for end in whole.len()..two.len() {
            assert_eq!(read(&two[..end]), Ok(7), "cut at {end}");
        }
        assert_eq!(read(&[]), Ok(0));
        assert_eq!(read(&[whole.clone(), vec![0; 500]].concat()), Ok(7), "room made beforehand");
        let odd = log(&[whole.clone(), vec![0; 400], vec![1], vec![0; 99]].concat()).unwrap();
        assert_eq!((odd.last, odd.cut.unwrap().0), (7, whole.len() as u64), "nothing follows");
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
}
