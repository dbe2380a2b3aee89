// SPDX-License-Identifier: GPL-2.0-only

//! The command line. The man page and the completions are made from this.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// What follows the man page's own sections, and `--help`.
const AFTER: &str = "\
Exit status:
  0  done; of doctor: all is well
  1  it could not be done: the message says why, and what to do
  2  the command line was wrong
  3  of doctor: something could be better
  4  of doctor: something does not work

Without root, status and doctor say what they can, and what they could not see. list and trace
need root. demo needs the group of the device (a udev rule gives it to a user) and enough locked
memory (LimitMEMLOCK= of systemd, or ulimit -l).

Devices are given to vfio-pci by other programs, such as driverctl; this one changes no driver.";

/// PASIDs for VFIO containers: what is there, what to change, and who holds it.
#[derive(Debug, Parser)]
#[command(name = "vfio-pasid", version, after_help = AFTER, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Look at the files below this folder instead of the machine's.
    #[arg(long, global = true, hide = true, default_value = "/")]
    pub root: PathBuf,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What is: modules, IOMMU, limits, and the PASIDs of each device, or why it has none.
    Status {
        /// One line of JSON; `vfio-pasid schema status` describes it.
        #[arg(long)]
        json: bool,
    },
    /// Who holds it: processes, with their PASIDs, memory, containers and spaces.
    List {
        /// One line of JSON; `vfio-pasid schema list` describes it.
        #[arg(long)]
        json: bool,
        /// Again, every so many seconds, until Ctrl-C.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
              value_parser = clap::value_parser!(u16).range(1..))]
        watch: Option<u16>,
        /// All ranges and spaces, also of those who have many.
        #[arg(long)]
        all: bool,
    },
    /// What to change: each line is ok, or says what to do.
    Doctor {
        /// One line of JSON; `vfio-pasid schema doctor` describes it.
        #[arg(long)]
        json: bool,
        /// Only what is not ok; nothing if all is well. The exit status is the same.
        #[arg(long, short, conflicts_with = "json")]
        quiet: bool,
        /// Write all that a bug report wants to this file too.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// What happens: the tracepoints, in words, until Ctrl-C.
    Trace {
        /// A line of JSON each; `vfio-pasid schema trace` describes it.
        #[arg(long)]
        json: bool,
    },
    /// Shows it with a device that is bound to vfio-pci: takes a PASID, makes and attaches a space,
    /// maps memory, tells, and undoes all of it.
    ///
    /// Opening the device resets it, as the kernel does for everybody who opens it. Otherwise
    /// nothing is reset, unbound or loaded.
    Demo {
        /// The PCI address of the device.
        device: vfio_pasid::PciFunction,
    },
    /// The JSON schema of an answer.
    Schema {
        /// Of which command.
        of: Answer,
    },
    /// Write the man page and the completions into a folder.
    #[command(hide = true)]
    Generate {
        /// The folder.
        folder: PathBuf,
    },
}

/// A command that answers in JSON.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Answer {
    /// vfio-pasid status --json
    Status,
    /// vfio-pasid list --json
    List,
    /// vfio-pasid doctor --json
    Doctor,
    /// vfio-pasid trace --json, of each line
    Trace,
}
