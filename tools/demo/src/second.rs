// SPDX-License-Identifier: GPL-2.0-only

//! The second process: a quota of its own, numbers of its own, and no access to the first one's.

use std::{
    io,
    os::{fd::AsFd, unix::process::parent_id},
    process,
};

use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use vfio_pasid::{Container, Errno, PciFunction, ANY_PASID};

use crate::{
    machine::QUOTA,
    owner::{OpenContainer, SHARED_RANGE},
    story::{alloc, alloc_refused, chapter, holds, line},
};

/// What the first process says.
#[derive(Args)]
pub struct Options {
    /// The device of this process
    function: PciFunction,
    /// The only number of the shared range that the first process has not taken
    left: u32,
}

/// Takes PASIDs and exits with them. Standard input is the first process's container.
pub fn run(options: &Options) -> Result<()> {
    chapter(format!(
        "Process {} opens a container with {}",
        process::id(),
        options.function
    ));
    let open = OpenContainer::new(options.function)?;
    holds(&open.container, 0, QUOTA)?;
    let pasid = alloc(&open.container, SHARED_RANGE, "")?.into_number();
    ensure!(
        pasid == options.left,
        "got {pasid}, which process {} holds",
        parent_id()
    );
    let taken = format!("all taken, two by process {}", parent_id());
    alloc_refused(&open.container, SHARED_RANGE, &taken)?;
    foreign_container()?;
    line("exit", format!("without freeing {pasid}"));
    Ok(())
}

/// A container obeys only the process that called `VFIO_SET_IOMMU`.
fn foreign_container() -> Result<()> {
    let foreign = Container::from(io::stdin().as_fd().try_clone_to_owned()?);
    match foreign.alloc_pasid(ANY_PASID) {
        Ok(pasid) => bail!(
            "got PASID {} from the container of process {}",
            pasid.number(),
            parent_id()
        ),
        Err(error) if error.errno() == Errno::EPERM => {
            line(
                format!("use process {}'s container", parent_id()),
                "EPERM: only its own process may",
            );
            Ok(())
        }
        Err(error) => Err(error).context("wanted EPERM"),
    }
}
