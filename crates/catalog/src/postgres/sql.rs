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
use super::tables::{DIRS, INLINE, NAMES, Range, Table, Value};

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
                Column::Leads(all) => {
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
    Leads(Vec<Option<i64>>),
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
    query.text(&format!(" AS k({}, n) CROSS JOIN ", found_by(table)));
    let names = (0..table.columns.len()).map(|i| table.found_by(i));
    let key: Vec<String> = names.map(|name| format!("t.{name} = k.{name}")).collect();
    query.text(&one(table, "t", "t.value", &key.join(" AND ")));
    query
}

/// The row that `key` finds, or none, for each row to the left of the join. A join that says the same lets the planner
/// choose, and before a table was ever counted it takes its guess, that a few columns of the key find as few rows as all
/// of them, for knowledge: it read whole directories, or the whole table, for one name in each. What stands behind a
/// LIMIT it has to look up row by row, by all columns of the key.
fn one(table: &Table, name: &str, what: &str, key: &str) -> String {
    format!("LATERAL (SELECT {what} FROM {} AS {name} WHERE {key} LIMIT 1) AS {name}", table.name)
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
        let record = one(&DIRS, "d", "d.value", "d.account = t.account AND d.dir = t.child");
        query.text(&format!(" LEFT JOIN {record} ON TRUE"));
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

/// Adds rows or replaces them. `names` are the names whose hashes are in `keys`, for the table that has them, `children`
/// and `contents` where rows lead.
pub(super) fn put(
    table: &Table,
    keys: &[Vec<Value>],
    names: Vec<Vec<u8>>,
    [children, contents]: [Vec<Option<i64>>; 2],
    values: Vec<Vec<u8>>,
) -> Query {
    let mut all = columns(table, keys);
    let found_by = found_by(table);
    let mut query = Query::new(&format!("INSERT INTO {} ({found_by}", table.name));
    if table.name == NAMES.name {
        query.text(", name, content");
        all.extend([Column::Bytes(names), Column::Leads(contents)]);
    }
    if table.child {
        query.text(", child");
        all.push(Column::Leads(children));
    }
    query.text(", value) SELECT * FROM ");
    all.push(Column::Bytes(values));
    query.unnest(all);
    query.text(&format!(" ON CONFLICT ({found_by}) DO UPDATE SET value = excluded.value"));
    if table.child {
        query.text(", child = excluded.child");
    }
    if table.name == NAMES.name {
        query.text(", content = excluded.content");
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
    /// Whether the file's small content is.
    pub(super) content: bool,
}

/// All walks of an account at once: for each step that is there, and for the beginning of each walk: which walk, which
/// step (from 1; the beginning is 0), the directory it leads to, the value under the name, the record of the walk's
/// last directory, and the content the step leads to with its id. The account is one value for the whole, so that a
/// cluster finds the shard.
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
        "), w(walk, step, record, body, child, content, value) AS (\
         SELECT r.walk, 0::int8, r.record, r.body, r.dir, NULL::int8, NULL::bytea FROM ",
    );
    query.unnest(vec![
        Column::Ints((0..).take(walks.len()).collect()),
        Column::Ints(walks.iter().map(|it| it.record.into()).collect()),
        Column::Ints(walks.iter().map(|it| it.content.into()).collect()),
        Column::Ints(walks.iter().map(|it| it.dir).collect()),
    ]);
    query.values.push(param(i64::from(account.0), Type::INT8));
    let account = format!("${}", query.values.len());
    let key = format!("n.account = {account} AND n.dir = w.child AND n.hash = s.hash");
    let entry = one(&NAMES, "n", "n.child, n.content, n.value", &key);
    let key =
        format!("w.record = 1 AND x.walk IS NULL AND d.account = {account} AND d.dir = w.child");
    let record = one(&DIRS, "d", "d.value", &key);
    let key = format!("w.body = 1 AND c.account = {account} AND c.id = w.content");
    let content = one(&INLINE, "c", "c.value", &key);
    query.text(&format!(
        " AS r(walk, record, body, dir) UNION ALL \
         SELECT w.walk, s.step, w.record, w.body, n.child, n.content, n.value FROM w \
         JOIN s ON s.walk = w.walk AND s.step = w.step + 1 CROSS JOIN {entry}) \
         SELECT w.walk, w.step, w.child, w.value, d.value, w.content, c.value FROM w \
         LEFT JOIN w AS x ON x.walk = w.walk AND x.step = w.step + 1 AND x.child IS NOT NULL \
         LEFT JOIN {record} ON TRUE LEFT JOIN {content} ON TRUE"
    ));
    query
}
