// SPDX-License-Identifier: GPL-2.0-only

//! Tests of `vfio-pasid` (tools/cli) in a guest of `scripts/check`: each command in each situation
//! that somebody can be in. As the kernel's kselftests, it lists its cases (`-l`), runs those that
//! are asked for (`-r NAME`), and prints TAP.
//!
//! It wants the devices of `boots/cli.boot`; as `cli_sva`, of `boots/cli-sva.boot`; as `cli_no_iommu`,
//! none; and as `observability`, which tries the recipes of that page, those of
//! `boots/observability.boot`.

mod hold;
mod holder;
mod situation;
mod tap;

mod another_program;
mod denied;
mod example;
mod no_iommu;
mod none;
mod observability;
mod ours;
mod processes;
mod stock;

use std::{env, process::ExitCode};

use situation::{on_a_terminal, program};

/// Prints what vfio-pasid says to a terminal, without the colours.
fn show_on_a_terminal(arguments: &[String]) -> ExitCode {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match on_a_terminal(program(&arguments).env("NO_COLOR", "1")) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = env::args();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<_> = arguments.collect();
    // Another program, for the cases and for scripts/readme.
    match arguments.as_slice() {
        [word, group, address] if word == "hold" => return hold::run(group, address),
        [word, address] if word == "show" => return hold::show(address),
        [word, address] if word == "hold-process" => return hold::process(address),
        [word, command @ ..] if word == "terminal" => return show_on_a_terminal(command),
        _ => {}
    }
    let cases = if name.ends_with("cli_no_iommu") {
        no_iommu::CASES.to_vec()
    } else if name.ends_with("observability") {
        observability::CASES.to_vec()
    } else if name.ends_with("cli_sva") {
        processes::CASES.to_vec()
    } else {
        [
            ours::CASES,
            another_program::CASES,
            denied::CASES,
            stock::CASES,
            none::CASES,
            example::CASES,
        ]
        .concat()
    };
    tap::run(&cases, &arguments)
}
