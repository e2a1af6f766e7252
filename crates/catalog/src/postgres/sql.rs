//! Statements: text and parameters for each way rows are read and written.
//!
//! What lives here: SQL over [`Table`]s. What does not: when it runs and what is made of the rows (`snapshot`, `flush`).
//!
//! Only what PostgreSQL-compatible clusters have is used; ARCHITECTURE.md says which were looked at. Many rows are
//! addressed by parallel arrays, so that a statement's text does not depend on their number.

use std::fmt::Write;

use model::AccountId;
use tokio_postgres::types::Type;

use super::line::{Param, param};
use super::tables::{DIRS, NAMES, Range, Table, Value};

/// Text and parameters.
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) values: Vec<Param>,
}

impl Query {
    fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    fn text(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Adds a parameter and its place in the text.
    fn value(&mut self, value: &Value) {
        self.values.push(match value {
            Value::Int(n) => param(*n, Type::INT8),
            Value::Bytes(bytes) => param(bytes.clone(), Type::BYTEA),
        });
        self.place();
    }

    fn place(&mut self) {
        let n = self.values.len();
        // Writing to a string does not fail.
        let _ = write!(self.sql, "${n}");
    }

    /// Adds `unnest(…)` of columns of equal length.
    fn unnest(&mut self, columns: Vec<Column>) {
        self.text("unnest(");
        for (i, column) in columns.into_iter().enumerate() {
            if i > 0 {
                self.text(", ");
            }
            let kind = match column {
                Column::Ints(all) => {
                    self.values.push(param(all, Type::INT8_ARRAY));
                    "::int8[]"
                }
                Column::Children(all) => {
                    self.values.push(param(all, Type::INT8_ARRAY));
                    "::int8[]"
                }
                Column::Bytes(all) => {
                    self.values.push(param(all, Type::BYTEA_ARRAY));
                    "::bytea[]"
                }
            };
            self.place();
            self.text(kind);
        }
        self.text(")");
    }
}

/// Values of one column, row by row.
pub(super) enum Column {
    /// `int8`.
    Ints(Vec<i64>),
    /// `int8` or nothing.
    Children(Vec<Option<i64>>),
    /// `bytea`.
    Bytes(Vec<Vec<u8>>),
}

/// Rows of values as columns of a table's key.
pub(super) fn columns(table: &Table, rows: &[Vec<Value>]) -> Vec<Column> {
    let column = |i: usize| {
        let values = rows.iter().filter_map(|row| row.get(i));
        if table.is_int(i) {
            let int = |value: &Value| if let Value::Int(n) = value { Some(*n) } else { None };
            Column::Ints(values.filter_map(int).collect())
        } else {
            let bytes =
                |value: &Value| if let Value::Bytes(b) = value { Some(b.clone()) } else { None };
            Column::Bytes(values.filter_map(bytes).collect())
        }
    };
    (0..table.columns.len()).map(column).collect()
}

/// The columns rows are found by, separated by commas.
fn found_by(table: &Table) -> String {
    let names: Vec<&str> = (0..table.columns.len()).map(|i| table.found_by(i)).collect();
    names.join(", ")
}

/// The row with these columns: its value.
pub(super) fn get(table: &Table, key: &[Value]) -> Query {
    let mut query = Query::new("SELECT value FROM ");
    query.text(table.name);
    for (i, value) in key.iter().enumerate() {
        query.text(if i == 0 { " WHERE " } else { " AND " });
        query.text(table.found_by(i));
        query.text(" = ");
        query.value(value);
    }
    query
}

/// Those of the rows with these columns that are there: which of them, and its value.
pub(super) fn many(table: &Table, keys: &[Vec<Value>]) -> Query {
    let mut query = Query::new("SELECT k.n, t.value FROM ");
    let mut all = columns(table, keys);
    all.push(Column::Ints((0..).take(keys.len()).collect()));
    query.unnest(all);
    let names = found_by(table);
    query.text(&format!(" AS k({names}, n) JOIN {} AS t ON ", table.name));
    for i in 0..table.columns.len() {
        let (and, name) = (if i == 0 { "" } else { " AND " }, table.found_by(i));
        query.text(&format!("{and}t.{name} = k.{name}"));
    }
    query
}

/// What a range asks for, in its order: the columns of the key, the value and, with `directories`, the record of the
/// directory that a row leads to.
pub(super) fn range(
    table: &Table,
    range: &Range,
    directories: bool,
    limit: Option<usize>,
) -> Query {
    let mut query = Query::new("SELECT ");
    for (name, _) in table.columns {
        query.text(&format!("t.{name}, "));
    }
    query.text("t.value");
    if directories {
        query.text(", t.child, d.value");
    }
    query.text(&format!(" FROM {} AS t", table.name));
    if directories {
        query.text(&format!(
            " LEFT JOIN {} AS d ON d.account = t.account AND d.dir = t.child",
            DIRS.name
        ));
    }
    let mut and = " WHERE ";
    for (i, value) in range.equal.iter().enumerate() {
        query.text(&format!("{and}t.{} = ", table.columns[i].0));
        query.value(value);
        and = " AND ";
    }
    let bounds = [(&range.from, ">", ">="), (&range.below, "<", "<=")];
    for (bound, without, with) in bounds {
        let Some((values, inclusive)) = bound else { continue };
        let rest = &table.columns[range.equal.len()..][..values.len()];
        let names: Vec<String> = rest.iter().map(|(name, _)| format!("t.{name}")).collect();
        let how = if *inclusive { with } else { without };
        query.text(&format!("{and}({}) {how} (", names.join(", ")));
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                query.text(", ");
            }
            query.value(value);
        }
        query.text(")");
        and = " AND ";
    }
    let order: Vec<String> =
        table.columns[range.equal.len()..].iter().map(|(name, _)| format!("t.{name}")).collect();
    if !order.is_empty() {
        query.text(&format!(" ORDER BY {}", order.join(", ")));
    }
    if let Some(limit) = limit {
        query.text(" LIMIT ");
        query.value(&Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
    }
    query
}

/// Adds rows or replaces them. `names` are the names whose hashes are in `keys`, for the table that has them.
pub(super) fn put(
    table: &Table,
    keys: &[Vec<Value>],
    names: Vec<Vec<u8>>,
    children: Vec<Option<i64>>,
    values: Vec<Vec<u8>>,
) -> Query {
    let mut all = columns(table, keys);
    let found_by = found_by(table);
    let mut query = Query::new(&format!("INSERT INTO {} ({found_by}", table.name));
    if table.name == NAMES.name {
        query.text(", name");
        all.push(Column::Bytes(names));
    }
    if table.child {
        query.text(", child");
        all.push(Column::Children(children));
    }
    query.text(", value) SELECT * FROM ");
    all.push(Column::Bytes(values));
    query.unnest(all);
    query.text(&format!(" ON CONFLICT ({found_by}) DO UPDATE SET value = excluded.value"));
    if table.child {
        query.text(", child = excluded.child");
    }
    query
}

/// Removes rows.
pub(super) fn remove(table: &Table, keys: &[Vec<Value>]) -> Query {
    let found_by = found_by(table);
    let mut query =
        Query::new(&format!("DELETE FROM {} WHERE ({found_by}) IN (SELECT * FROM ", table.name));
    query.unnest(columns(table, keys));
    query.text(")");
    query
}

/// A walk: from directory `dir` along hashes of names.
pub(super) struct Walk {
    pub(super) dir: i64,
    pub(super) hashes: Vec<Vec<u8>>,
    /// Whether the record of the last directory is asked for.
    pub(super) record: bool,
}

/// All walks of an account at once: for each step that is there, and for the beginning of each walk: which walk, which
/// step (from 1; the beginning is 0), the directory it leads to, the value under the name, and the record of the walk's
/// last directory. The account is one value for the whole, so that a cluster finds the shard.
pub(super) fn walks(account: AccountId, walks: &[Walk]) -> Query {
    let (mut walk, mut step, mut hash) = (vec![], vec![], vec![]);
    for (w, it) in (0..).zip(walks) {
        for (s, name) in (1..).zip(&it.hashes) {
            walk.push(w);
            step.push(s);
            hash.push(name.clone());
        }
    }
    let mut query = Query::new("WITH RECURSIVE s(walk, step, hash) AS (SELECT * FROM ");
    query.unnest(vec![Column::Ints(walk), Column::Ints(step), Column::Bytes(hash)]);
    // The casts keep a cluster from calling the two halves of the union different kinds of rows.
    query.text(
        "), w(walk, step, record, child, value) AS (\
         SELECT r.walk, 0::int8, r.record, r.dir, NULL::bytea FROM ",
    );
    query.unnest(vec![
        Column::Ints((0..).take(walks.len()).collect()),
        Column::Ints(walks.iter().map(|it| it.record.into()).collect()),
        Column::Ints(walks.iter().map(|it| it.dir).collect()),
    ]);
    query.text(
        " AS r(walk, record, dir) UNION ALL \
         SELECT w.walk, s.step, w.record, n.child, n.value FROM w \
         JOIN s ON s.walk = w.walk AND s.step = w.step + 1 JOIN names AS n ON n.account = ",
    );
    let account = Value::Int(account.0.into());
    query.value(&account);
    query.text(
        " AND n.dir = w.child AND n.hash = s.hash) \
         SELECT w.walk, w.step, w.child, w.value, d.value FROM w \
         LEFT JOIN w AS x ON x.walk = w.walk AND x.step = w.step + 1 AND x.child IS NOT NULL \
         LEFT JOIN dirs AS d ON w.record = 1 AND x.walk IS NULL AND d.dir = w.child AND d.account = ",
    );
    query.value(&account);
    query
}
