//! Tables of figures: how they are printed, and what they are as JSON. No figure is made here.

use std::fs;

use serde_json::{Map, Value, json};

/// Figures of a work.
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A figure, or a word.
pub(crate) enum Cell {
    /// A word.
    Text(String),
    /// A number, and how many decimals of it mean something.
    Number(f64, usize),
    /// Nothing was measured here.
    Empty,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Appends a row: a cell a column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.title);
        self.rows.push(cells);
    }

    /// Prints it: words to the left, numbers to the right.
    #[expect(clippy::print_stdout, reason = "the tables are what the program is for")]
    pub(crate) fn print(&self) {
        println!("\n{}", self.title);
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::show).collect()).collect();
        let width = |i: usize| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            cells.map(|cell| cell.chars().count()).chain([self.columns[i].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: Vec<&str>, left: &dyn Fn(usize) -> bool| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
                if left(i) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            println!("| {} |", padded.collect::<Vec<_>>().join(" | "));
        };
        let word = |i: usize| self.rows.iter().any(|row| matches!(row.get(i), Some(Cell::Text(_))));
        line(self.columns.clone(), &word);
        let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        line(dashes.iter().map(String::as_str).collect(), &word);
        for row in &rows {
            line(row.iter().map(String::as_str).collect(), &word);
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(row);
            cells.map(|(name, cell)| ((*name).to_owned(), cell.json())).collect::<Map<_, _>>()
        });
        json!({ "title": self.title, "rows": rows.collect::<Vec<_>>() })
    }
}

impl Cell {
    /// A word.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn show(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number, decimals) => grouped(&format!("{number:.decimals$}")),
            Self::Empty => "-".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number, _) => json!(number),
            Self::Empty => Value::Null,
        }
    }
}

/// `1234567.8` as `1,234,567.8`.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.find('.').map_or((number, ""), |at| number.split_at(at));
    let mut out = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// All tables of a run, with what is to be known of the machine.
pub(crate) fn json(tables: &[Table]) -> anyhow::Result<Value> {
    let cores = std::thread::available_parallelism()?.get();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(json!({
        "cores": cores,
        "load": load.trim(),
        "tables": tables.iter().map(Table::json).collect::<Vec<_>>(),
    }))
}

/// Says on standard error what is being done.
#[expect(clippy::print_stderr, reason = "works take minutes: whoever waits should see which")]
pub(crate) fn say(what: &str) {
    eprintln!("bench: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped("1234567.80"), "1,234,567.80");
        assert_eq!(grouped("123"), "123");
        assert_eq!(grouped("-1234"), "-1,234");
        assert_eq!(grouped("-123"), "-123");
    }
}
