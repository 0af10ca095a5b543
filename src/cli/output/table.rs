//! Columns for people.
//!
//! Enters: a header and rows.
//! Leaves: aligned columns, without lines, the last one as wide as the terminal leaves.
//! Never: a cell that hides what it means behind a colour.

use std::io::IsTerminal as _;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

/// Returns rows under a header, as kubectl aligns them.
pub(in crate::cli) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(if std::io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
