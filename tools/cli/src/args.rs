// SPDX-License-Identifier: GPL-2.0-only

//! The command line. The man page and the completions are made from this.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// What follows the man page's own sections, and `--help`.
const AFTER: &str = "\
Exit status:
  0  done; doctor: all is well
  1  it could not be done: the message says why, and what to do
  2  the command line was wrong
  3  doctor: something could be better
  4  doctor: something does not work

Without root, status and doctor say what they can, and what they could not see. list and trace
need root. demo needs the group of the device (a udev rule gives it to a user) and enough locked
memory (LimitMEMLOCK= of systemd, or ulimit -l).

This program changes no driver. Use another one, such as driverctl, to give devices to vfio-pci.";

/// PASIDs for VFIO containers: tells what is on this machine, what to change, and who holds what.
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
    /// Describe the machine: modules, IOMMU, limits, and the PASIDs of each device, or why it has
    /// none.
    Status {
        /// Print one line of JSON; `vfio-pasid schema status` describes it.
        #[arg(long)]
        json: bool,
    },
    /// Tell who holds what: processes, with their PASIDs, memory, containers and spaces.
    List {
        /// Print one line of JSON; `vfio-pasid schema list` describes it.
        #[arg(long)]
        json: bool,
        /// Repeat the list every so many seconds, until Ctrl-C.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
              value_parser = clap::value_parser!(u16).range(1..))]
        watch: Option<u16>,
        /// List all ranges and spaces, even if a process has many.
        #[arg(long)]
        all: bool,
    },
    /// Tell what to change: each line is ok, or says what to do.
    Doctor {
        /// Print one line of JSON; `vfio-pasid schema doctor` describes it.
        #[arg(long)]
        json: bool,
        /// Print only what is not ok, and nothing if all is well. The exit status is the same.
        #[arg(long, short, conflicts_with = "json")]
        quiet: bool,
        /// Also write everything that a bug report needs to this file.
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Tell what happens: print the tracepoints in words, until Ctrl-C.
    Trace {
        /// Print a line of JSON for each event; `vfio-pasid schema trace` describes it.
        #[arg(long)]
        json: bool,
    },
    /// Try it with a device that is bound to vfio-pci: take a PASID, make and attach a space, map
    /// memory, ask for the state, and undo all of it.
    ///
    /// The kernel resets a device whenever it is opened through VFIO. Nothing else is reset, unbound
    /// or loaded.
    Demo {
        /// The PCI address of the device.
        device: vfio_pasid::PciFunction,
    },
    /// Print the JSON schema of what a command prints with --json.
    Schema {
        /// The command.
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
