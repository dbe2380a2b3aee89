// SPDX-License-Identifier: GPL-2.0-only

//! Cases, as kselftest_harness.h lists and reports them.

use std::process::ExitCode;

use anyhow::Result;

/// A case: `FIXTURE.VARIANT.TEST`, and what it does.
#[derive(Clone, Copy)]
pub struct Case {
    pub fixture: &'static str,
    pub variant: &'static str,
    pub test: &'static str,
    pub run: fn() -> Result<()>,
}

impl Case {
    fn name(&self) -> String {
        format!("{}.{}.{}", self.fixture, self.variant, self.test)
    }
}

/// Lists or runs the cases, as the arguments say.
pub fn run(cases: &[Case], arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| argument == "-l") {
        for case in cases {
            println!("{:<20} {:<25} {}", case.fixture, case.variant, case.test);
        }
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<_> = arguments.iter().filter(|word| *word != "-r").collect();
    let cases: Vec<_> = cases
        .iter()
        .filter(|case| wanted.is_empty() || wanted.contains(&&case.name()))
        .collect();
    println!("TAP version 13\n1..{}", cases.len());
    let mut failed = false;
    for (number, case) in (1..).zip(cases) {
        match (case.run)() {
            Ok(()) => println!("ok {number} {}", case.name()),
            Err(error) => {
                failed = true;
                for line in format!("{error:#}").lines() {
                    println!("# {line}");
                }
                println!("not ok {number} {}", case.name());
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// Cases of one variant: `cases!("cli", "ours", status, list)` are functions of the same names.
#[macro_export]
macro_rules! cases {
    ($fixture:literal, $variant:literal, $($test:ident),* $(,)?) => {
        &[$($crate::tap::Case {
            fixture: $fixture,
            variant: $variant,
            test: stringify!($test),
            run: $test,
        }),*]
    };
}
