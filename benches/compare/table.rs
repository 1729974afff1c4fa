//! A table of text, for the terminal and for Markdown.

use std::fmt::Write;

/// Rows of cells under a header; the first column names the row.
pub(crate) struct Table {
    /// What the table shows.
    pub(crate) title: String,
    /// The header and the rows, all of one length.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns aligned with spaces, the first to the left and the others to the right.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                let _ = match column {
                    0 => write!(line, "  {cell:<width$}"),
                    _ => write!(line, "  {cell:>width$}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    /// A Markdown table under a heading.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n", self.title);
        for (number, row) in self.rows.iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if number == 0 {
                let rules: String = row.iter().skip(1).map(|_| "---:|").collect();
                let _ = writeln!(text, "|---|{rules}");
            }
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    }
}
