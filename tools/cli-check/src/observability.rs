// SPDX-License-Identifier: GPL-2.0-only

//! The recipes of `Documentation/observability.rst`, run as the page has them.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{ensure, Result};

use crate::{
    cases,
    holder::Holder,
    situation::{nothing_is_held, release, use_type1, Type1, WIDE},
    tap::Case,
};

const PAGE: &str = include_str!("../../../Documentation/observability.rst");
const FOLDER: &str = "/tmp/observability";

pub const CASES: &[Case] = cases!(
    "observability",
    "page",
    every_recipe_has_a_case,
    who_maps_what,
    how_long_an_ioctl_takes,
    which_device_is_attached,
    what_the_iommu_is_told,
    what_is_in_memory,
);

/// The literal blocks of the page, each with the name of its section, as a case is named.
fn blocks() -> Vec<(String, Vec<&'static str>)> {
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    let (mut section, mut before, mut inside) = (String::new(), "", false);
    for line in PAGE.lines() {
        if line.starts_with("===") {
            section = before.to_lowercase().replace([' ', '-'], "_");
        }
        match line.strip_prefix("   ").filter(|_| inside) {
            Some(text) => {
                if let Some((_, block)) = blocks.last_mut() {
                    block.push(text);
                }
            }
            None if line.is_empty() && inside => {
                if let Some((_, block)) = blocks.last_mut().filter(|(_, block)| !block.is_empty()) {
                    block.push("");
                }
            }
            None => inside = false,
        }
        if line.ends_with("::") && !line.starts_with("..") {
            inside = true;
            blocks.push((section.clone(), Vec::new()));
        }
        before = line;
    }
    blocks
}

/// A command of the page, and what it shows.
#[derive(Default)]
struct Step {
    command: String,
    shown: Vec<&'static str>,
}

/// The commands of a section. One goes on over lines until its quotes are closed.
fn steps(section: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (_, block) in blocks().iter().filter(|(name, _)| name == section) {
        if !block.first().is_some_and(|line| line.starts_with("$ ")) {
            continue;
        }
        for line in block {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    command: command.to_owned(),
                    ..Step::default()
                });
            } else if let Some(step) = steps.last_mut() {
                if step.command.matches('\'').count() % 2 == 1 {
                    step.command.push('\n');
                    step.command.push_str(line);
                } else if !line.is_empty() {
                    step.shown.push(line);
                }
            }
        }
    }
    steps
}

/// A line without what differs from one run to the next: its numbers, and its blanks.
fn alike(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let mut text = String::new();
        for part in word.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
            let digits = part.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
            let hex = digits.strip_prefix("0x").unwrap_or(digits);
            let number = !hex.is_empty() && hex.chars().all(|letter| letter.is_ascii_hexdigit());
            if number && hex.contains(|letter: char| letter.is_ascii_digit()) {
                text.push('#');
                text.push_str(part.strip_prefix(digits).unwrap_or_default());
            } else {
                text.push_str(part);
            }
        }
        text
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Writes the files of the page, whose blocks begin with `# NAME: `, and links what the commands
/// name: `build/KERNEL`, with its modules.
fn prepare() -> Result<()> {
    let _ = fs::remove_dir_all(FOLDER);
    fs::create_dir_all(format!("{FOLDER}/build"))?;
    let updates = format!("/lib/modules/{}/updates", release()?);
    symlink(updates, format!("{FOLDER}/build/7.3"))?;
    for (_, block) in blocks() {
        let name = block.first().and_then(|line| line.strip_prefix("# "));
        if let Some((name, _)) = name.and_then(|line| line.split_once(": ")) {
            fs::write(Path::new(FOLDER).join(name), block.join("\n") + "\n")?;
        }
    }
    Ok(())
}

/// Runs a command of the page; returns what it prints.
fn run(step: &Step) -> Result<String> {
    let command = step.command.strip_prefix("sudo ").unwrap_or(&step.command);
    let path = env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(FOLDER)
        .env("PATH", format!("/selftests:{path}"))
        .env("HOME", FOLDER)
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}\n{text}",
        step.command,
        output.status
    );
    Ok(text)
}

/// Which lines of `shown` are not among those of `text`, numbers aside, as often as there.
/// `in_order` demands that they come one after the other.
fn missing(shown: &[&str], text: &str, in_order: bool) -> Vec<String> {
    let mut said: Vec<_> = text.lines().map(alike).collect();
    let mut missing = Vec::new();
    for line in shown.iter().map(|line| alike(line)) {
        match said.iter().position(|other| *other == line) {
            Some(place) if in_order => drop(said.drain(..=place)),
            Some(place) => drop(said.remove(place)),
            None => missing.push(line),
        }
    }
    missing
}

/// Does what a section says, and demands what it shows. Returns what the last command said.
fn try_section(section: &str, in_order: bool) -> Result<String> {
    prepare()?;
    let mut text = String::new();
    let steps = steps(section);
    ensure!(!steps.is_empty(), "no recipe in {section}");
    for step in &steps {
        text = run(step)?;
        let missing = missing(&step.shown, &text, in_order);
        ensure!(
            missing.is_empty(),
            "{}\ndoes not say {missing:#?}, but:\n{text}",
            step.command
        );
    }
    let shown = steps.last().map_or(0, |step| step.shown.len());
    ensure!(shown >= 2, "{section} shows {shown} lines");
    Ok(text)
}

/// Of the page, nothing is left out.
fn every_recipe_has_a_case() -> Result<()> {
    let sections: BTreeSet<_> = blocks().into_iter().map(|(section, _)| section).collect();
    let cases: BTreeSet<_> = CASES
        .iter()
        .skip(1)
        .map(|case| case.test.to_owned())
        .collect();
    ensure!(
        sections == cases,
        "the page has {sections:?}, and tried are {cases:?}"
    );
    Ok(())
}

fn who_maps_what() -> Result<()> {
    use_type1(Type1::Ours)?;
    try_section("who_maps_what", true)?;
    nothing_is_held()
}

/// bpftrace prints them in the order of their times.
fn how_long_an_ioctl_takes() -> Result<()> {
    use_type1(Type1::Ours)?;
    let text = try_section("how_long_an_ioctl_takes", false)?;
    // Each ioctl that the demo makes, by its number: the numbers are not compared above.
    for number in [64, 65, 66, 67, 68, 69, 71, 72, 73, 101, 118] {
        let line = format!("@us[{number}, 0]: count ");
        ensure!(text.contains(&line), "no {line} in:\n{text}");
    }
    nothing_is_held()
}

fn which_device_is_attached() -> Result<()> {
    use_type1(Type1::Ours)?;
    let text = try_section("which_device_is_attached", true)?;
    ensure!(text.contains(WIDE), "{text}");
    nothing_is_held()
}

fn what_the_iommu_is_told() -> Result<()> {
    use_type1(Type1::Ours)?;
    try_section("what_the_iommu_is_told", true)?;
    nothing_is_held()
}

/// The program that holds what the page shows.
fn my_vmm() -> Result<Holder> {
    let program = format!("{FOLDER}/my-vmm");
    fs::copy(env::current_exe()?, &program)?;
    let holder = Holder::start(program, &["show", WIDE])?;
    ensure!(holder.said() == "held", "it holds nothing");
    Ok(holder)
}

fn what_is_in_memory() -> Result<()> {
    use_type1(Type1::Ours)?;
    prepare()?;
    let holder = my_vmm()?;
    try_memory()?;
    holder.end()?;
    nothing_is_held()
}

/// The sums are those that the module tells.
fn try_memory() -> Result<()> {
    let text = try_section("what_is_in_memory", true)?;
    let told = fs::read_to_string("/sys/kernel/debug/vfio_pasid/in_use")?;
    ensure!(
        text.contains(told.trim()),
        "the module tells\n{told}and the recipe\n{text}"
    );
    for pasid in [1_048_574, 1_048_575] {
        let line = format!("  space {pasid}\n");
        ensure!(text.contains(&line), "no {line:?} in:\n{text}");
    }
    Ok(())
}
