//! Tables of figures: how they are printed (which is Markdown, too), and what they are as JSON. No figure is made here.

use std::{sync::LazyLock, time::Instant};

use serde_json::{Map, Value, json};

/// Figures of a work.
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
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
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Appends a row: a cell a column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.title);
        self.rows.push(cells);
    }

    /// Adds what must be known to read it.
    pub(crate) fn notes(&mut self, notes: &[String]) {
        self.notes.extend_from_slice(notes);
    }

    /// Prints it.
    #[expect(clippy::print_stdout, reason = "the tables are what the program is for")]
    pub(crate) fn print(&self) {
        println!("\n{}\n\n{}", self.title, self.render());
    }

    /// Under a heading.
    pub(crate) fn markdown(&self) -> String {
        format!("## {}\n\n{}", self.title, self.render())
    }

    /// Its lines: words to the left, numbers to the right; then the notes.
    pub(crate) fn render(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::show).collect()).collect();
        let width = |i: usize| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            let cells = cells.map(|cell| cell.chars().count());
            cells.chain([self.columns[i].len(), 3]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let word = |i: usize| self.rows.iter().any(|row| matches!(row.get(i), Some(Cell::Text(_))));
        let line = |cells: Vec<&str>| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
                if word(i) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
        };
        let dashes = widths.iter().enumerate().map(|(i, width)| {
            if word(i) { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" }
        });
        let dashes: Vec<String> = dashes.collect();
        let mut text =
            line(self.columns.clone()) + &line(dashes.iter().map(String::as_str).collect());
        for row in &rows {
            text += &line(row.iter().map(String::as_str).collect());
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
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

    /// As it is printed.
    pub(crate) fn show(&self) -> String {
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

/// Says on standard error what is being done.
#[expect(clippy::print_stderr, reason = "works take minutes: whoever waits should see which")]
pub(crate) fn say(what: &str) {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    eprintln!("bench, {:.0} s: {what}", BEGUN.elapsed().as_secs_f64());
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
    #[test]
    fn tables_are_markdown() {
        let mut table = Table::new("t", &["work", "n", "none"]);
        table.row(vec![Cell::text("GET"), Cell::Number(1234.0, 0), Cell::Empty]);
        table.notes(&["A note.".to_owned()]);
        let lines =
            ["| work |     n | none |", "| ---- | ----: | ---: |", "| GET  | 1,234 |    - |"];
        assert_eq!(table.render(), lines.join("\n") + "\n\nA note.\n");
        assert!(table.markdown().starts_with("## t\n\n| work"));
    }
}
