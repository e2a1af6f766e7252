//! The catalog laid open, row by row, from RocksDB.
//!
//! What does not live here: what rows mean (`crate::rows::stored`).

use model::{Moving, Result};
use rocksdb::{DBRawIterator, ReadOptions};

use super::fault;
use super::source::{Frozen, handle};
use crate::audit::{Audit, Change, Index, Row, Rows};
use crate::rows::keys::{self, Family};
use crate::rows::moving;
use crate::rows::source::Source;
use crate::rows::stored;

/// Read ahead of a scan, in bytes.
const READAHEAD_BYTES: usize = 256 << 10;

/// A scan of one family.
struct Scan<'a> {
    rows: Option<DBRawIterator<'a>>,
    index: Index,
}

impl Iterator for Scan<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let rows = self.rows.as_mut()?;
        if let Some((key, value)) = rows.item() {
            let row = stored::read(self.index, key, value);
            rows.next();
            return Some(Ok(row));
        }
        let status = rows.status().map_err(fault);
        self.rows = None;
        status.err().map(Err)
    }
}

impl Audit for Frozen<'_> {
    fn rows(&self, index: Index, after: Option<&Row>) -> Rows<'_> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        match self.iterator(stored::family(index), options) {
            Err(e) => Box::new(std::iter::once(Err(e))),
            Ok(mut rows) => {
                match after.and_then(stored::stored) {
                    Some((_, key, _)) => rows.seek(keys::after(key)),
                    None => rows.seek_to_first(),
                }
                Box::new(Scan { rows: Some(rows), index })
            }
        }
    }

    fn stored(&self, like: &Row) -> Result<Option<Row>> {
        let Some((at, key, _)) = stored::stored(like) else { return Ok(None) };
        let Some(index) = stored::index(at) else { return Ok(None) };
        self.get(at, &key, |value| Ok(stored::read(index, &key, value)))
    }

    fn moving(&self) -> Result<Option<Moving>> {
        moving::door(self)
    }

    fn changes(&self, up_to: u64, after: Option<&Change>, limit: usize) -> Result<Vec<Change>> {
        moving::changes(self, up_to, after, limit)
    }

    fn rows_at(&self, changes: &[Change]) -> Result<Vec<Option<Row>>> {
        moving::rows_at(changes, &|places| moving::one_by_one(self, places))
    }

    fn are_noted(&self, rows: &[Row], epoch: u64) -> Result<Vec<bool>> {
        moving::are_noted(rows, epoch, &|places| moving::one_by_one(self, places))
    }
}

impl Frozen<'_> {
    fn iterator(&self, family: Family, options: ReadOptions) -> Result<DBRawIterator<'_>> {
        Ok(self.snapshot().raw_iterator_cf_opt(handle(self.db(), family)?, options))
    }
}
