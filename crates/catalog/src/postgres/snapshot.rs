//! One state of the database, read row by row: a transaction that has begun when the first row was asked for.
//!
//! What lives here: lookups, scans page by page, walks along paths in one journey, and the rows of this transaction that
//! were read already. What does not: changes (`pending`), and how a transaction ends well (`readers`, `writer`).
//!
//! Invariants: a row is asked for once in a transaction; after the first fault nothing is asked any more, and every
//! lookup says why.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use model::{AccountId, DirId, Error, InlineId, Result};
use tokio_postgres::Row;

use super::door;
use super::fault::Fault;
use super::line::{ANSWER, Line, Statement};
use super::sql::{self, Query, Walk};
use super::tables::{self, Table, Value};
use super::trails::Trails;
use super::wanted::{Path, Wanted};
use crate::Place;
use crate::rows::keys::{self, Family};
use crate::rows::source::{Cursor, Follow, Scan, Source, Visit};

/// How a read begins. The server gives a statement up a little before we do.
pub(super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = 4500; SET LOCAL idle_in_transaction_session_timeout = 60000";
/// Rows of one page of a scan whose end is not known.
const PAGE: usize = 1000;
/// Rows of the largest page that is read in one journey.
const PAGE_MAX: usize = 20_000;

/// A row as it is in this transaction; `None`: it is not there.
pub(super) type Known = Option<Bytes>;

/// The state.
pub(super) struct Snapshot<'a> {
    line: &'a Line,
    begin: &'static str,
    begun: Cell<bool>,
    rows: RefCell<[HashMap<Vec<u8>, Known>; Family::COUNT]>,
    fault: RefCell<Option<Fault>>,
    limit: Duration,
    /// Whether the door is locked for sharing, with the first journey (`door`).
    door: bool,
}

impl<'a> Snapshot<'a> {
    /// The state as it will be when the first row is asked for.
    pub(super) fn new(line: &'a Line, begin: &'static str) -> Self {
        let (begun, rows, fault) = Default::default();
        Self { line, begin, begun, rows, fault, limit: ANSWER, door: false }
    }

    /// The same, for a transaction that writes.
    pub(super) fn through_the_door(line: &'a Line, begin: &'static str) -> Self {
        Self { door: true, ..Self::new(line, begin) }
    }

    /// The same, for what may take long.
    pub(super) fn patient(line: &'a Line, begin: &'static str) -> Self {
        Self { limit: ANSWER * 120, ..Self::new(line, begin) }
    }

    /// Whether the transaction has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// What begins it, unless it has begun.
    fn beginning(&self) -> Option<&'static str> {
        (!self.begun.get()).then_some(self.begin)
    }

    /// Where rows led in transactions before.
    pub(super) fn trails(&self) -> &Trails {
        self.line.trails()
    }

    /// The first fault there was.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.borrow().clone()
    }

    /// Ends the transaction; nobody waits for that.
    pub(super) fn end(&self) {
        if self.begun.replace(false) {
            self.line.toss(if self.fault.borrow().is_some() { "ROLLBACK" } else { "COMMIT" });
        }
    }

    /// The transaction was ended elsewhere.
    pub(super) fn ended(&self) {
        self.begun.set(false);
    }

    /// Asks for all of these together.
    pub(super) fn ask(&self, queries: &[Query]) -> Result<Vec<Vec<Row>>> {
        if let Some(fault) = self.fault() {
            return Err(fault.error());
        }
        let locks = self.door && !self.begun.get();
        let lock = locks.then_some(Statement { sql: door::LOCK, values: &[] });
        let asked = queries.iter().map(|it| Statement { sql: &it.sql, values: &it.values });
        let statements: Vec<Statement<'_>> = lock.into_iter().chain(asked).collect();
        let mut again = self.line.is_connected() && !self.begun.get();
        loop {
            let sent = self
                .line
                .connect()
                .and_then(|()| self.line.send(self.beginning(), &statements, None, self.limit));
            match sent {
                Ok(mut rows) => {
                    self.begun.set(true);
                    if locks {
                        self.keep_door(&rows.remove(0))?;
                    }
                    return Ok(rows);
                }
                // An idle connection may have ended long ago; nothing was read over it yet.
                Err(Fault::Lost(_)) if again => again = false,
                Err(fault) => {
                    // The beginning may have worked.
                    self.begun.set(true);
                    *self.fault.borrow_mut() = Some(fault.clone());
                    return Err(fault.error());
                }
            }
        }
    }

    /// A row that was read already.
    pub(super) fn known(&self, family: Family, key: &[u8]) -> Option<Known> {
        self.rows.borrow()[family as usize].get(key).cloned()
    }

    pub(super) fn keep(&self, family: Family, key: Vec<u8>, row: Known) {
        self.rows.borrow_mut()[family as usize].insert(key, row);
    }

    /// A row.
    pub(super) fn look_up(&self, family: Family, key: &[u8]) -> Result<Known> {
        if let Some(row) = self.known(family, key) {
            return Ok(row);
        }
        let table = tables::of(family, key)?;
        let row = match table.find(key) {
            None => None,
            Some(found_by) => {
                let rows = self.ask(&[sql::get(table, &found_by)])?;
                rows[0].first().map(|row| bytes(row, 0)).transpose()?
            }
        };
        self.keep(family, key.to_vec(), row.clone());
        Ok(row)
    }

    /// Reads rows and walks that will be asked for, all in one journey.
    pub(super) fn fetch(&self, wanted: Wanted) -> Result<()> {
        let Wanted { rows, paths } = wanted;
        let mut by_account: BTreeMap<u32, Vec<Path>> = BTreeMap::new();
        for path in paths {
            by_account.entry(path.account.0).or_default().push(path);
        }
        let mut by_table: Vec<Asked> = Vec::new();
        for (family, key) in rows {
            let table = tables::of(family, &key)?;
            let Some(found_by) = table.find(&key) else { continue };
            let place = by_table.iter().position(|(at, ..)| std::ptr::eq(*at, table));
            let place = place.unwrap_or_else(|| {
                by_table.push((table, Vec::new(), Vec::new()));
                by_table.len() - 1
            });
            by_table[place].1.push((family, key));
            by_table[place].2.push(found_by);
        }
        let mut queries: Vec<Query> =
            by_table.iter().map(|(table, _, found_by)| sql::many(table, found_by)).collect();
        for (account, paths) in &by_account {
            let walks: Vec<Walk> = paths.iter().map(Path::walk).collect();
            queries.push(sql::walks(AccountId(*account), &walks));
        }
        if queries.is_empty() {
            return Ok(());
        }
        let mut answers = self.ask(&queries)?.into_iter();
        for ((_, keys, _), rows) in by_table.into_iter().zip(answers.by_ref()) {
            let mut values: Vec<Known> = vec![None; keys.len()];
            for row in rows {
                let n = usize::try_from(int(&row, 0)?).unwrap_or(usize::MAX);
                *values.get_mut(n).ok_or_else(strange)? = Some(bytes(&row, 1)?);
            }
            for ((family, key), value) in keys.into_iter().zip(values) {
                self.keep(family, key, value);
            }
        }
        for (paths, rows) in by_account.values().zip(answers) {
            self.keep_walks(paths, &rows)?;
        }
        Ok(())
    }

    /// Keeps what stands at each step, up to the first at which nothing does.
    fn keep_walks(&self, paths: &[Path], rows: &[Row]) -> Result<()> {
        let mut steps: HashMap<(i64, i64), (Option<i64>, Option<Bytes>)> = HashMap::new();
        for row in rows {
            let (walk, step, child) = (int(row, 0)?, int(row, 1)?, optional_int(row, 2)?);
            let at = usize::try_from(walk).ok().and_then(|walk| paths.get(walk));
            let account = at.ok_or_else(strange)?.account;
            if let (Some(record), Some(child)) = (optional_bytes(row, 4)?, child) {
                self.keep(Family::Dirs, keys::dir(account, id(child)), Some(record));
            }
            if let (Some(content), Some(bytes)) = (optional_int(row, 5)?, optional_bytes(row, 6)?) {
                let id = InlineId(content.cast_unsigned());
                self.keep(Family::Inline, keys::inline(account, id), Some(bytes));
            }
            steps.insert((walk, step), (child, optional_bytes(row, 3)?));
        }
        for (walk, path) in (0..).zip(paths) {
            let mut dir = path.dir;
            for (step, name) in (1..).zip(&path.names) {
                let key = keys::name(Place { account: path.account, dir, name });
                let Some((child, value)) = steps.remove(&(walk, step)) else {
                    self.keep(Family::Names, key, None);
                    break;
                };
                self.keep(Family::Names, key, value);
                match child {
                    Some(child) => dir = id(child),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Scans a family's tables one after the other, `changes` beside each of their rows.
    pub(super) fn cursor<'s>(&'s self, scan: Scan<'s>) -> Pages<'s, 'a> {
        Pages {
            snapshot: self,
            scan,
            tables: tables::all_of(scan.family).collect::<Vec<_>>().into_iter(),
            table: None,
            from: scan.from.to_vec(),
            rows: Vec::new().into_iter(),
            row: None,
            more: false,
        }
    }
}

impl Source for Snapshot<'_> {
    fn get<T>(
        &self,
        family: Family,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        self.look_up(family, key)?.map(|value| read(&value)).transpose()
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visit<'_, bool>) -> Result<()> {
        let mut rows = self.cursor(scan);
        while let Some((key, value)) = rows.row()? {
            if !visit(key, value)? {
                break;
            }
            rows.advance();
        }
        Ok(())
    }
}

/// Rows of a table that are asked for: where they stand, and the columns they are found by.
type Asked = (&'static Table, Vec<(Family, Vec<u8>)>, Vec<Vec<Value>>);

/// Rows of a scan, read page by page: each page begins behind the last row of the one before.
pub(super) struct Pages<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    scan: Scan<'s>,
    tables: std::vec::IntoIter<&'static Table>,
    table: Option<&'static Table>,
    from: Vec<u8>,
    rows: std::vec::IntoIter<(Vec<u8>, Bytes)>,
    row: Option<(Vec<u8>, Bytes)>,
    more: bool,
}

impl Pages<'_, '_> {
    /// Reads until there is a row or no table is left.
    fn fill(&mut self) -> Result<()> {
        while self.row.is_none() {
            self.row = self.rows.next();
            if self.row.is_some() {
                break;
            }
            if !self.more {
                self.table = self.tables.next();
                self.from = self.scan.from.to_vec();
            }
            let Some(table) = self.table else { break };
            self.more = false;
            let Some(range) = table.range(&self.from, self.scan.below) else { continue };
            let limit = if self.scan.limit <= PAGE_MAX { self.scan.limit } else { PAGE };
            let directories = matches!(self.scan.follow, Follow::Directories);
            let query = sql::range(table, &range, directories, Some(limit));
            let rows = self.snapshot.ask(&[query])?.swap_remove(0);
            self.more = rows.len() == limit;
            let rows: Vec<(Vec<u8>, Bytes)> =
                rows.iter().map(|row| self.keep(table, row)).collect::<Result<_>>()?;
            if let Some((last, _)) = rows.last() {
                self.from = keys::after(last.clone());
            }
            if let Follow::Rows(lead) = self.scan.follow {
                let rows = rows.iter().filter_map(|(key, value)| lead(key, value)).collect();
                self.snapshot.fetch(Wanted { rows, ..Wanted::default() })?;
            }
            self.rows = rows.into_iter();
        }
        Ok(())
    }

    fn keep(&self, table: &Table, row: &Row) -> Result<(Vec<u8>, Bytes)> {
        let count = table.columns.len();
        if let Follow::Directories = self.scan.follow
            && let Some(child) = optional_int(row, count + 1)?
            && let Some(account) = self.scan.from.first_chunk()
        {
            let key = keys::dir(AccountId(u32::from_be_bytes(*account)), id(child));
            self.snapshot.keep(Family::Dirs, key, optional_bytes(row, count + 2)?);
        }
        key_and_value(table, row)
    }
}

impl Cursor for Pages<'_, '_> {
    fn row(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        self.fill()?;
        Ok(self.row.as_ref().map(|(key, value)| (&**key, &**value)))
    }

    fn advance(&mut self) {
        self.row = None;
    }
}

/// A row of [`sql::range`].
pub(super) fn key_and_value(table: &Table, row: &Row) -> Result<(Vec<u8>, Bytes)> {
    let count = table.columns.len();
    let column = |i: usize| {
        if table.is_int(i) {
            int(row, i).map(Value::Int)
        } else {
            bytes(row, i).map(|bytes| Value::Bytes(bytes.to_vec()))
        }
    };
    let values: Vec<Value> = (0..count).map(column).collect::<Result<_>>()?;
    Ok((table.join(&values), bytes(row, count)?))
}

fn id(stored: i64) -> DirId {
    DirId(stored.cast_unsigned())
}

pub(super) fn strange() -> Error {
    Error::Damaged("the database's answer does not fit what was asked".to_owned())
}

fn wrong(e: tokio_postgres::Error) -> Error {
    Error::Damaged(format!("a column of the database: {e}"))
}

pub(super) fn int(row: &Row, i: usize) -> Result<i64> {
    row.try_get(i).map_err(wrong)
}

fn optional_int(row: &Row, i: usize) -> Result<Option<i64>> {
    row.try_get(i).map_err(wrong)
}

pub(super) fn bytes(row: &Row, i: usize) -> Result<Bytes> {
    row.try_get::<_, &[u8]>(i).map(Bytes::copy_from_slice).map_err(wrong)
}

fn optional_bytes(row: &Row, i: usize) -> Result<Option<Bytes>> {
    let bytes = row.try_get::<_, Option<&[u8]>>(i).map_err(wrong)?;
    Ok(bytes.map(Bytes::copy_from_slice))
}
