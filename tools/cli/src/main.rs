// SPDX-License-Identifier: GPL-2.0-only

//! The program: does what the command line says, and says what went wrong in one line.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;
use vfio_pasid_cli::{
    args::{Args, Command},
    demo,
    doctor::{self, Diagnosis},
    generate, list, output,
    status::Status,
    system::System,
    trace,
};

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            anstream::eprintln!("vfio-pasid: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<u8> {
    let system = System::new(args.root);
    match args.command {
        Command::Status { json } => {
            let status = Status::look(&system);
            if json {
                output::json(&status)?;
            } else {
                status.print();
            }
        }
        Command::List { json, watch, all } => {
            let interval = watch.map(|seconds| Duration::from_secs(seconds.into()));
            list::run(&system, json, all, interval)?;
        }
        Command::Doctor {
            json,
            quiet,
            report,
        } => {
            let status = Status::look(&system);
            let diagnosis = Diagnosis::look(&system, &status);
            if json {
                output::json(&diagnosis)?;
            } else {
                diagnosis.print(quiet);
            }
            if let Some(file) = report {
                doctor::report(&system, &status, &diagnosis, &file)?;
            }
            return Ok(diagnosis.exit());
        }
        Command::Trace { json } => trace::run(&system, json)?,
        Command::Demo { device } => demo::run(&system, device)?,
        Command::Schema { of } => output::json(&generate::schema(of))?,
        Command::Generate { folder } => generate::all(&folder)?,
    }
    Ok(0)
}
