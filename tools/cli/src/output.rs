// SPDX-License-Identifier: GPL-2.0-only

//! How answers look: colour, tables and trees on a terminal; else lines for other programs.

use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use comfy_table::{presets::NOTHING, Table};
use serde::Serialize;

/// What is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What could be better.
pub const FAIR: Style = AnsiColor::Yellow.on_default();
/// What does not work.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What is less important.
pub const DIM: Style = Style::new().dimmed();
/// A heading.
pub const HEAD: Style = Style::new().bold();

/// Whether a person looks.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// `text` in a style, which is taken off again where there is no terminal.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a line.
pub fn line(text: impl std::fmt::Display) {
    anstream::println!("{text}");
}

/// Prints rows below a head: in columns, or with tabs between them for other programs.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) {
    if !is_terminal() {
        line(head.join("\t"));
        for row in rows {
            line(row.join("\t"));
        }
        return;
    }
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(head.iter().map(|name| styled(HEAD, name)));
    for row in rows {
        table.add_row(row);
    }
    line(table.trim_fmt());
}

/// Prints an answer as JSON: over lines for a person, in one line for other programs.
///
/// # Errors
///
/// None that the answers of this program have.
pub fn json(answer: &impl Serialize) -> Result<()> {
    let text = if is_terminal() {
        serde_json::to_string_pretty(answer)?
    } else {
        serde_json::to_string(answer)?
    };
    line(text);
    Ok(())
}

/// A number of bytes, as people say it: exact if it is short, else with four digits or more.
pub fn bytes(number: u64) -> String {
    let mut value = number;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter();
    while units.len() > 1 && value >= 1024 && (value % 1024 == 0 || value >= 10 * 1024) {
        value /= 1024;
        units.next();
    }
    format!("{value} {}", units.next().unwrap_or(&""))
}

/// `1 mapping`, `2 mappings`.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(4096), "4 KiB");
        assert_eq!(bytes(5000), "5000 B");
        assert_eq!(bytes(12288), "12 KiB");
        assert_eq!(bytes(2 << 20), "2 MiB");
        assert_eq!(bytes(8 << 30), "8 GiB");
        assert_eq!(bytes((3 << 30) + (5 << 20)), "3077 MiB");
        assert_eq!(bytes(1 << 60), "1 EiB");
    }
}
