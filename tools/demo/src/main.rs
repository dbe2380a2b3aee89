// SPDX-License-Identifier: GPL-2.0-only

//! What `make run` shows: PASIDs for VFIO containers, step by step, in plain text.
//!
//! Every line says what was done and what came back. The first thing that does not happen as
//! told ends the story, with a sentence on stderr and exit status 1.

mod aux;
mod driver;
mod hot_reset;
mod machine;
mod own;
mod owner;
mod process;
mod second;
mod story;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use vfio_pasid::PciFunction;

/// Tells the story of PASIDs for VFIO containers on this machine.
///
/// It is made for the guest of `make run`: it wants root, the two modules not loaded yet, and six
/// PCI devices that nobody needs, in IOMMU groups of their own. After a failure, modules and
/// devices are left as they are at that moment.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    process: Process,
}

#[derive(Subcommand)]
enum Process {
    /// The whole story
    Story {
        /// Folder with vfio_pasid.ko and vfio_iommu_type1.ko
        modules: PathBuf,
        /// A PCI device, such as 0000:00:10.0
        first: PciFunction,
        /// Another PCI device, for the second process
        second: PciFunction,
        /// A pasid-device with PASIDs (Documentation/device.rst)
        pasid_device: PciFunction,
        /// Another pasid-device
        other_pasid_device: PciFunction,
        /// A PCI device below a port that can be reset
        function: PciFunction,
        /// Another function of that device
        neighbour: PciFunction,
    },
    /// The second process of the story, which the first one starts
    #[command(hide = true)]
    Second(second::Options),
}

fn story(
    modules: PathBuf,
    pair: [PciFunction; 2],
    pasid_devices: [PciFunction; 2],
    slot: [PciFunction; 2],
) -> Result<()> {
    story::title();
    let devices = [&pair[..], &pasid_devices, &slot].concat();
    let machine = machine::SetUp::new(modules, devices)?;
    let [first, second] = pair;
    owner::run(first, second)?;
    aux::run(pasid_devices[0])?;
    own::run(pasid_devices)?;
    process::run(pasid_devices[0])?;
    let [function, neighbour] = slot;
    hot_reset::run(function, neighbour)?;
    machine.undo()
}

fn main() -> ExitCode {
    let result = match Options::parse().process {
        Process::Story {
            modules,
            first,
            second,
            pasid_device,
            other_pasid_device,
            function,
            neighbour,
        } => story(
            modules,
            [first, second],
            [pasid_device, other_pasid_device],
            [function, neighbour],
        ),
        Process::Second(options) => second::run(&options).context("in the second process"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pasid-demo: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
