// SPDX-License-Identifier: GPL-2.0-only

//! `vfio-pasid list`: who holds it.

use std::{io, thread::sleep, time::Duration};

use anyhow::{anyhow, Result};

use crate::{
    held::{self, io_kind, Container, Held, Pasids, Process, Space},
    module,
    output::{self, bytes, count, is_terminal, line, styled, DIM, FAIR, HEAD},
    reason::Reason,
    system::System,
};

/// How many ranges of PASIDs are written out.
const RANGES: usize = 8;
/// How many spaces of a container are.
const SPACES: usize = 16;

/// Reads who holds what, or says why that cannot be.
///
/// # Errors
///
/// With a reason and its remedy.
pub fn read(system: &System) -> Result<Held> {
    module::require_ours(system)?;
    Held::read(system).map_err(|error| {
        if io_kind(&error) != Some(io::ErrorKind::PermissionDenied) {
            return error.context(format!("cannot read {}", held::FILE));
        }
        let reason = Reason::NeedsRoot;
        anyhow!("{}: {}", reason.what(), reason.remedy())
    })
}

/// Prints who holds what, again and again if there is an interval.
///
/// # Errors
///
/// Those of [`read`].
pub fn run(system: &System, json: bool, all: bool, watch: Option<Duration>) -> Result<()> {
    loop {
        let held = read(system)?;
        if watch.is_some() && is_terminal() && !json {
            // To the top, and what was there goes.
            anstream::print!("\x1b[H\x1b[2J");
        }
        if json {
            output::json(&held)?;
        } else {
            print(&held, all);
        }
        let Some(interval) = watch else {
            return Ok(());
        };
        if !is_terminal() && !json {
            line("");
        }
        sleep(interval);
    }
}

/// Prints it as a tree.
fn print(held: &Held, all: bool) {
    if held.processes.is_empty() {
        line("nobody holds anything");
    }
    for process in &held.processes {
        print_process(process, all);
    }
    if !held.one_moment {
        line(styled(
            FAIR,
            "things come and go faster than they can be read, so this list is not of one moment",
        ));
    }
}

fn print_process(process: &Process, all: bool) {
    let pid = process
        .pid
        .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    line(format!(
        "{} {}",
        styled(HEAD, format!("{} ({pid})", printable(&process.comm))),
        styled(DIM, format!("{} of {} PASIDs", process.used, process.quota)),
    ));
    let mut tree = Tree::new(process.containers.len() + 2);
    tree.branch(format!("PASIDs {}", ranges(process, all)));
    let pinned: u64 = process.memory.iter().map(|memory| memory.size).sum();
    tree.branch(format!(
        "memory {} registered in {}, {}",
        bytes(pinned),
        count(process.memory.len() as u64, "range"),
        count(process.mappings, "mapping"),
    ));
    for container in &process.containers {
        let inner = tree.branch(format!("container {}: {}", container.id, groups(container)));
        print_spaces(container, inner, all);
    }
}

fn print_spaces(container: &Container, indent: String, all: bool) {
    let shown = if all { usize::MAX } else { SPACES };
    let more = container.spaces.len().saturating_sub(shown);
    let mut tree = Tree {
        indent,
        left: container.spaces.len().min(shown) + usize::from(more > 0),
    };
    for space in container.spaces.iter().take(shown) {
        tree.branch(describe(space));
    }
    if more > 0 {
        tree.branch(format!("{more} more: --all"));
    }
}

/// What is below what, drawn for people.
struct Tree {
    indent: String,
    left: usize,
}

impl Tree {
    fn new(branches: usize) -> Self {
        Self {
            indent: String::new(),
            left: branches,
        }
    }

    /// Prints a branch, and returns the indent of what is below it.
    fn branch(&mut self, text: String) -> String {
        self.left = self.left.saturating_sub(1);
        let (mark, below) = match (is_terminal(), self.left) {
            (false, _) => ("  ", "  "),
            (true, 0) => ("└─ ", "   "),
            (true, _) => ("├─ ", "│  "),
        };
        line(format!("{}{mark}{text}", self.indent));
        format!("{}{below}", self.indent)
    }
}

fn describe(space: &Space) -> String {
    let name = match space.pasid {
        0 => "own space".to_owned(),
        pasid => format!("PASID {pasid}"),
    };
    let amount = match (space.mappings, space.bytes) {
        _ if space.kind == "process" => "the process itself".to_owned(),
        (Some(mappings), Some(size)) => format!("{}, {}", count(mappings, "mapping"), bytes(size)),
        _ => "busy".to_owned(),
    };
    let window = space.window.map_or_else(String::new, |(first, last)| {
        format!(", serves {first:#x} to {last:#x}")
    });
    let attached = match space.attached.as_slice() {
        [] if space.pasid == 0 => String::new(),
        [] => ", attached to nothing".to_owned(),
        groups => {
            let groups: Vec<_> = groups.iter().map(u64::to_string).collect();
            format!(", attached to group {}", groups.join(", "))
        }
    };
    format!("{name}: {amount}{attached}{}", styled(DIM, window))
}

fn groups(container: &Container) -> String {
    let groups = container.groups.iter().map(|group| {
        let open: Vec<_> = group.open.iter().map(|device| &*device.name).collect();
        match open.as_slice() {
            [] => format!("group {}", group.number),
            open => format!("group {} ({} open)", group.number, open.join(", ")),
        }
    });
    groups.collect::<Vec<_>>().join(", ")
}

fn ranges(process: &Process, all: bool) -> String {
    let shown = if all { usize::MAX } else { RANGES };
    let mut words: Vec<_> = process
        .pasids
        .iter()
        .take(shown)
        .map(|pasids| {
            let range = if pasids.first == pasids.last {
                pasids.first.to_string()
            } else {
                format!("{} to {}", pasids.first, pasids.last)
            };
            match (pasids.holder.as_str(), has_process_space(process, pasids)) {
                ("driver", false) => format!("{range} (kernel driver)"),
                ("driver", true) if pasids.first == pasids.last => format!("{range} (its own)"),
                ("driver", true) => format!("{range} (kernel driver, and its own)"),
                _ => range,
            }
        })
        .collect();
    let more = process.pasids.len().saturating_sub(shown);
    if more > 0 {
        words.push(format!("{} more: --all", count(more as u64, "range")));
    }
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// Whether one of the numbers is the process's own: the kernel counts it as a driver's.
fn has_process_space(process: &Process, pasids: &Pasids) -> bool {
    let mut spaces = process.containers.iter().flat_map(|one| &one.spaces);
    let range = pasids.first..=pasids.last;
    spaces.any(|space| space.kind == "process" && range.contains(&space.pasid))
}

/// A name without what would do something to a terminal.
fn printable(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
