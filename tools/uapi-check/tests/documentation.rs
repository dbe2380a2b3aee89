// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `Documentation/uapi.rst` against the uapi header, which is authoritative.
#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod c;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The errors that hold for every ioctl, in the place of an ioctl's name.
const EVERY: &str = "Errors of every ioctl";

/// The errors of each ioctl, by its name.
type Errors = BTreeMap<String, BTreeSet<String>>;

fn page() -> String {
    page_named("uapi")
}

fn page_named(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Documentation");
    fs::read_to_string(format!("{folder}/{name}.rst")).expect("the page")
}

/// The name of an errno, if `text` is one.
fn errno(text: &str) -> Option<String> {
    let name = text.starts_with('E') && text.chars().all(|c| c.is_ascii_uppercase());
    (name && text.len() > 3).then(|| text.to_owned())
}

/// Sorts the errnos of `lines` under the title that `title` finds before them.
fn collect<'a>(
    lines: impl Iterator<Item = &'a str>,
    title: impl Fn(&str) -> Option<String>,
    errno: impl Fn(&str) -> Option<String>,
) -> Errors {
    let mut errors = Errors::new();
    let mut current = EVERY.to_owned();
    for line in lines {
        if let Some(title) = title(line) {
            current = title;
        } else if let Some(errno) = errno(line) {
            let new = errors.entry(current.clone()).or_default().insert(errno);
            assert!(new, "twice under {current}: {line}");
        }
    }
    errors
}

/// The header has ` * struct name - IOCTL` above ` *   ERRNO  text`.
fn errors_of_header() -> Errors {
    collect(
        c::header().lines(),
        |line| {
            let ioctl = line.strip_prefix(" * struct ")?.split_once(" - ")?.1;
            Some(ioctl.to_owned())
        },
        |line| errno(line.strip_prefix(" *   ")?.split_once(' ')?.0),
    )
}

/// The page has titles above tables with `` ``ERRNO``  text``.
fn errors_of_page() -> Errors {
    let page = page();
    let lines: Vec<_> = page.lines().collect();
    let titles: BTreeSet<_> = lines
        .iter()
        .zip(lines.iter().skip(1))
        .filter(|(title, below)| !title.is_empty() && **below == "=".repeat(title.len()))
        .map(|(title, _)| *title)
        .collect();
    collect(
        lines.iter().copied(),
        |line| titles.contains(line).then(|| line.to_owned()),
        |line| errno(line.strip_prefix("``")?.split_once("``  ")?.0),
    )
}

#[test]
fn same_errors_as_the_header() {
    let header = errors_of_header();
    assert!(header.contains_key(EVERY), "{header:?}");
    assert_eq!(errors_of_page(), header);
}

#[test]
fn nothing_of_the_header_is_missing() {
    let page = page();
    for name in c::defined_names() {
        assert!(
            page.contains(&format!("``{name}``")) || page.contains(&format!("\n{name}\n=")),
            "{name}"
        );
    }
}

/// All examples of the pages are one program.
#[test]
fn the_examples_compile() {
    let mut program = String::new();
    let pages = page() + &page_named("hot-reset") + &page_named("user-guide");
    for block in pages.split(".. code-block:: c\n").skip(1) {
        let lines = block.lines().skip(1);
        for line in lines.take_while(|line| line.is_empty() || line.starts_with("   ")) {
            program.push_str(line);
            program.push('\n');
        }
    }
    assert!(program.contains("int main("), "{program}");
    c::compile("examples", &program);
}
