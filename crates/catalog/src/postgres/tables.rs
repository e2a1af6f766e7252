//! The tables: which rows each holds, and how a row's key becomes columns and back.
//!
//! What lives here: [`Table`], and what a range of keys asks of its columns. What does not: the tables' definitions in
//! SQL (`migrations/`), statements (`sql`), and what keys and values mean (`crate::rows`).
//!
//! Keys are `crate::rows::keys`' own: a table takes one apart into typed columns, fixed parts first. The order of a
//! table's columns is the order of its keys' bytes, so a range of keys is a range of rows.
//!
//! PostgreSQL has no unsigned integers. Numbers above `i64::MAX` are refused when they are written; asked for, they are
//! not there.

use model::{Error, Result};
use sha2::{Digest as _, Sha256};

use crate::rows::keys::{CHANGE_HASH_BYTES, Family};

/// Bytes of the hash that stands for a name in an index: a collision is as hard to find as one of SHA-1 was meant to be.
const NAME_HASH_BYTES: usize = 20;

/// What a column is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A byte that says what kind of row it is.
    Kind,
    /// Four bytes: an integer.
    U32,
    /// Eight bytes: an integer.
    U64,
    /// A piece's arrival, eight bytes, or number, four, as the kind before it says.
    Arrival,
    /// So many bytes.
    Bytes(usize),
    /// The account that the next column begins with: no bytes of its own.
    Lead,
    /// All bytes that are left.
    Rest,
    /// Likewise, a name; rows are found by its hash, which stands in the key's place.
    Name,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// The family it holds rows of.
    family: Family,
    /// The first byte of their keys, where one family has several tables.
    letter: Option<u8>,
    /// The columns of its key.
    pub(super) columns: &'static [(&'static str, Part)],
    /// Whether it has a column `child`: the directory a row leads to.
    pub(super) child: bool,
}

/// Few and small records of several kinds.
pub(super) static META: Table = table("meta", Family::Meta, None, &[("key", Part::Rest)]);
/// The index by name.
pub(super) static NAMES: Table = Table {
    child: true,
    ..table(
        "names",
        Family::Names,
        None,
        &[("account", Part::U32), ("dir", Part::U64), ("name", Part::Name)],
    )
};
/// The index by number.
pub(super) static NUMBERS: Table = Table {
    child: true,
    ..table(
        "numbers",
        Family::Numbers,
        None,
        &[("account", Part::U32), ("dir", Part::U64), ("kind", Part::Kind), ("number", Part::U64)],
    )
};
/// Directory records.
pub(super) static DIRS: Table =
    table("dirs", Family::Dirs, None, &[("account", Part::U32), ("dir", Part::U64)]);
/// Small content.
pub(super) static INLINE: Table =
    table("contents", Family::Inline, None, &[("account", Part::U32), ("id", Part::U64)]);
static SESSIONS: Table =
    table("sessions", Family::Sessions, Some(b's'), &[("token", Part::Bytes(32))]);
static SESSIONS_OF: Table = table(
    "sessions_of",
    Family::Sessions,
    Some(b'u'),
    &[("user_id", Part::U32), ("token", Part::Bytes(32))],
);
static SIGNATURES: Table = table(
    "signatures",
    Family::Sessions,
    Some(b'x'),
    &[("account", Part::U32), ("digest", Part::Bytes(32))],
);
static BLOBS: Table =
    table("blobs", Family::Blobs, None, &[("account", Part::Lead), ("blob", Part::Bytes(16))]);
static DOOMED: Table =
    table("doomed", Family::Doomed, None, &[("account", Part::Lead), ("blob", Part::Bytes(16))]);
static UPLOADS: Table = table("uploads", Family::Uploads, Some(b'i'), &[("id", Part::Bytes(16))]);
static JOINING: Table =
    table("uploads_joining", Family::Uploads, Some(b'j'), &[("id", Part::Bytes(16))]);
static UPLOADS_OF: Table = table(
    "uploads_of",
    Family::Uploads,
    Some(b'u'),
    &[("user_id", Part::U32), ("number", Part::U64)],
);
static PIECES: Table = table(
    "pieces",
    Family::Pieces,
    None,
    &[("upload", Part::Bytes(16)), ("kind", Part::Kind), ("number", Part::Arrival)],
);
static EVENTS: Table = table(
    "events",
    Family::Events,
    None,
    &[("account", Part::U32), ("callback", Part::U64), ("id", Part::U64)],
);
static JOB_COUNTS: Table = table("job_counts", Family::Jobs, Some(b'c'), &[("account", Part::U32)]);
static JOBS_DUE: Table = table(
    "jobs_due",
    Family::Jobs,
    Some(b'd'),
    &[("due", Part::U64), ("account", Part::U32), ("number", Part::U64)],
);
static JOBS: Table =
    table("jobs", Family::Jobs, Some(b'j'), &[("account", Part::U32), ("number", Part::U64)]);
/// What is said of a move: one row, always there, which groups lock.
pub(super) static DOOR: Table = table("door", Family::Moves, Some(b'd'), &[("id", Part::U32)]);
static CHANGES: Table = table(
    "changes",
    Family::Moves,
    Some(b'j'),
    &[("epoch", Part::U64), ("hash", Part::Bytes(CHANGE_HASH_BYTES))],
);

/// All of them; those of one family in the order of their letters.
pub(super) static ALL: [&Table; 20] = [
    &META,
    &NAMES,
    &NUMBERS,
    &DIRS,
    &INLINE,
    &SESSIONS,
    &SESSIONS_OF,
    &SIGNATURES,
    &BLOBS,
    &DOOMED,
    &UPLOADS,
    &JOINING,
    &UPLOADS_OF,
    &PIECES,
    &EVENTS,
    &JOB_COUNTS,
    &JOBS_DUE,
    &JOBS,
    &DOOR,
    &CHANGES,
];

const fn table(
    name: &'static str,
    family: Family,
    letter: Option<u8>,
    columns: &'static [(&'static str, Part)],
) -> Table {
    Table { name, family, letter, columns, child: false }
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `int8`.
    Int(i64),
    /// `bytea`.
    Bytes(Vec<u8>),
}

/// Rows of a table between two keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The first columns, which are the same in all of them.
    pub(super) equal: Vec<Value>,
    /// What the columns after those are at least, the first few of them; with `false` they must be more.
    pub(super) from: Option<(Vec<Value>, bool)>,
    /// What they are less than; with `true` they may be equal.
    pub(super) below: Option<(Vec<Value>, bool)>,
}

/// The table a key's row is in.
pub(super) fn of(family: Family, key: &[u8]) -> Result<&'static Table> {
    let found = ALL.iter().find(|table| {
        table.family == family && table.letter.is_none_or(|letter| key.first() == Some(&letter))
    });
    found.copied().ok_or_else(|| Error::Storage("a key of no known kind".to_owned()))
}

/// The tables of a family, in the order of their keys.
pub(super) fn all_of(family: Family) -> impl Iterator<Item = &'static Table> {
    ALL.into_iter().filter(move |table| table.family == family)
}

impl Table {
    /// The column that rows are found by, in the place of column `i`.
    pub(super) fn found_by(&self, i: usize) -> &'static str {
        match self.columns[i] {
            (_, Part::Name) => "hash",
            (name, _) => name,
        }
    }

    /// Whether column `i` is an integer.
    pub(super) fn is_int(&self, i: usize) -> bool {
        !matches!(self.columns[i].1, Part::Bytes(_) | Part::Rest | Part::Name)
    }

    /// The columns a row is found by; `None` for a key that cannot be there.
    pub(super) fn find(&self, key: &[u8]) -> Option<Vec<Value>> {
        let mut values = self.split(key)?;
        if let (Some((_, Part::Name)), Some(Value::Bytes(name))) =
            (self.columns.last(), values.last_mut())
        {
            *name = name_hash(name);
        }
        Some(values)
    }

    /// The columns of a key in their order, `None` if one does not fit.
    pub(super) fn split(&self, key: &[u8]) -> Option<Vec<Value>> {
        let mut rest = key.get(usize::from(self.letter.is_some())..)?;
        let mut kind = 0;
        let mut values = Vec::with_capacity(self.columns.len());
        for (_, part) in self.columns {
            let (bytes, after) = match part {
                Part::Lead => (rest.get(..4)?, rest),
                part => rest.split_at_checked(part.width(kind).unwrap_or(rest.len()))?,
            };
            rest = after;
            values.push(match part {
                Part::Bytes(_) | Part::Rest | Part::Name => Value::Bytes(bytes.to_vec()),
                _ => Value::Int(i64::try_from(integer(bytes)).ok()?),
            });
            if *part == Part::Kind {
                kind = *bytes.first()?;
            }
        }
        rest.is_empty().then_some(values)
    }

    /// The key of columns as [`Table::split`] gives them.
    pub(super) fn join(&self, values: &[Value]) -> Vec<u8> {
        let mut key: Vec<u8> = self.letter.into_iter().collect();
        let mut kind = 0;
        for ((_, part), value) in self.columns.iter().zip(values) {
            match (part, value) {
                (Part::Lead, _) => {}
                (_, Value::Bytes(bytes)) => key.extend_from_slice(bytes),
                (part, Value::Int(n)) => {
                    let bytes = n.to_be_bytes();
                    let width = part.width(kind).unwrap_or(bytes.len());
                    key.extend_from_slice(&bytes[bytes.len() - width..]);
                    if *part == Part::Kind {
                        kind = bytes[bytes.len() - 1];
                    }
                }
            }
        }
        key
    }

    /// What a range of keys asks of the columns; `None`: no row of this table is in it.
    pub(super) fn range(&self, from: &[u8], below: &[u8]) -> Option<Range> {
        let from = match self.within(from) {
            Within::Before => Bound { values: Vec::new(), bounded: false, inclusive: true },
            Within::Behind => return None,
            Within::Inside(rest) => self.bound(rest, true),
        };
        let below = match self.within(below) {
            Within::Before => return None,
            Within::Behind => Bound { values: Vec::new(), bounded: false, inclusive: false },
            Within::Inside(rest) => self.bound(rest, false),
        };
        let mut equal = 0;
        let mut upper = below.bounded;
        while let (Some(low), Some(high)) = (from.values.get(equal), below.values.get(equal)) {
            if low == high {
                equal += 1;
                continue;
            }
            // All that begins like the first key, and nothing else: `below` is the first that does not.
            let next = matches!((low, high), (Value::Int(a), Value::Int(b)) if *b == a + 1);
            if next && !below.inclusive && self.all_least(&below.values, equal + 1) {
                equal += 1;
                upper = false;
            }
            break;
        }
        let lower = from.values.get(equal..).unwrap_or_default();
        let needless = !from.bounded || from.inclusive && self.all_least(&from.values, equal);
        let higher = below.values.get(equal..).unwrap_or_default();
        let nothing = upper && higher.is_empty() && !below.inclusive
            || from.bounded && lower.is_empty() && !from.inclusive;
        if nothing {
            return None;
        }
        Some(Range {
            equal: from.values[..equal.min(from.values.len())].to_vec(),
            from: (!needless && !lower.is_empty()).then(|| (lower.to_vec(), from.inclusive)),
            below: (upper && !higher.is_empty()).then(|| (higher.to_vec(), below.inclusive)),
        })
    }

    /// Whether the values from column `i` on are as small as can be.
    fn all_least(&self, values: &[Value], i: usize) -> bool {
        let least = |((_, part), value): (&(_, Part), &Value)| match (part, value) {
            (_, Value::Int(n)) => *n == 0,
            (Part::Bytes(_), Value::Bytes(bytes)) => bytes.iter().all(|byte| *byte == 0),
            (_, Value::Bytes(bytes)) => bytes.is_empty(),
        };
        self.columns.iter().zip(values).skip(i).all(least)
    }

    /// Where a bound lies, seen from this table's letter.
    fn within<'k>(&self, key: &'k [u8]) -> Within<'k> {
        match (self.letter, key.split_first()) {
            (None, _) => Within::Inside(key),
            (Some(_), None) => Within::Before,
            (Some(letter), Some((first, rest))) => match first.cmp(&letter) {
                std::cmp::Ordering::Less => Within::Before,
                std::cmp::Ordering::Equal => Within::Inside(rest),
                std::cmp::Ordering::Greater => Within::Behind,
            },
        }
    }

    /// A bound by columns: what is missing of it is as small as can be, what is too much makes it lie behind the row.
    fn bound(&self, mut rest: &[u8], lower: bool) -> Bound {
        let (mut values, mut kind) = (Vec::with_capacity(self.columns.len()), 0);
        for (_, part) in self.columns {
            let width = part.width(kind).unwrap_or(rest.len());
            let mut bytes = rest.get(..width.min(rest.len())).unwrap_or_default().to_vec();
            bytes.resize(width, 0);
            match part {
                Part::Lead => {
                    let mut lead = rest.get(..4.min(rest.len())).unwrap_or_default().to_vec();
                    lead.resize(4, 0);
                    values.push(Value::Int(i64::try_from(integer(&lead)).unwrap_or(i64::MAX)));
                    continue;
                }
                Part::Bytes(_) | Part::Rest | Part::Name => values.push(Value::Bytes(bytes)),
                _ => {
                    if let Ok(n) = i64::try_from(integer(&bytes)) {
                        values.push(Value::Int(n));
                    } else {
                        // No row has as much: the bound lies behind all that are alike up to here.
                        values.push(Value::Int(i64::MAX));
                        return Bound { values, bounded: true, inclusive: !lower };
                    }
                    if *part == Part::Kind {
                        kind = bytes[0];
                    }
                }
            }
            rest = rest.get(width..).unwrap_or_default();
        }
        let behind = !rest.is_empty();
        Bound { values, bounded: true, inclusive: lower != behind }
    }
}

enum Within<'k> {
    Before,
    Inside(&'k [u8]),
    Behind,
}

struct Bound {
    values: Vec<Value>,
    bounded: bool,
    inclusive: bool,
}

impl Part {
    /// Bytes of a key; `None`: all that are left.
    fn width(self, kind: u8) -> Option<usize> {
        match self {
            Part::Kind => Some(1),
            Part::Arrival if kind == b'n' => Some(4),
            Part::U32 => Some(4),
            Part::U64 | Part::Arrival => Some(8),
            Part::Bytes(n) => Some(n),
            Part::Lead => Some(0),
            Part::Rest | Part::Name => None,
        }
    }
}

/// Up to eight bytes, the high ones first.
fn integer(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// What stands for a name in an index, whose rows hold at most 2,704 bytes, while names go to 4,096.
pub(super) fn name_hash(name: &[u8]) -> Vec<u8> {
    Sha256::digest(name)[..NAME_HASH_BYTES].to_vec()
}
