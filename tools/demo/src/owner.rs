// SPDX-License-Identifier: GPL-2.0-only

//! The process that the story is about: takes PASIDs, up to its quota, and gives them back.

use std::{
    env,
    ops::RangeInclusive,
    os::fd::AsFd,
    process::{self, Command, Stdio},
};

use anyhow::{ensure, Context, Result};
use vfio_pasid::{Container, Device, Features, Group, IommuType, PciFunction, ANY_PASID};

use crate::{
    machine::QUOTA,
    story::{alloc, alloc_refused, chapter, holds, line, show},
};

/// Where both processes want numbers: it has three.
pub const SHARED_RANGE: RangeInclusive<u32> = 100..=102;

/// A container with one device, open for as long as this value lives.
pub struct OpenContainer {
    /// The container.
    pub container: Container,
    /// The device.
    pub device: Device,
    /// Its group.
    pub group: Group,
}

impl OpenContainer {
    /// Opens a container with the group of `function`, and the device itself.
    pub fn new(function: PciFunction) -> Result<Self> {
        let container = Container::open()?;
        let group = Group::open(function.iommu_group()?)?;
        ensure!(
            group.is_viable()?,
            "a device of {function}'s IOMMU group has a driver that is not VFIO's"
        );
        group.set_container(&container)?;
        container.set_iommu(IommuType::Type1v2)?;
        let device = group.device(&function.to_string())?;
        Ok(Self {
            container,
            device,
            group,
        })
    }
}

/// Tells the story, with `first` for this process and `second` for the other.
pub fn run(first: PciFunction, second: PciFunction) -> Result<()> {
    chapter(format!(
        "Process {} opens a container with {first}, and allocates up to its quota",
        process::id()
    ));
    let open = OpenContainer::new(first)?;
    let container = &open.container;
    let features = container.features()?;
    ensure!(
        features.contains(Features::PASID),
        "VFIO_CHECK_EXTENSION knows no PASIDs ({features:?})"
    );
    let names: Vec<_> = features.iter_names().map(|(name, _)| name).collect();
    line("VFIO_CHECK_EXTENSION", names.join(", "));
    holds(container, 0, QUOTA)?;

    let highest = alloc(container, ANY_PASID, "")?;
    let next = alloc(container, ANY_PASID, "")?;
    let in_range = [
        alloc(container, SHARED_RANGE, "")?.into_number(),
        alloc(container, SHARED_RANGE, "")?.into_number(),
    ];
    ensure!(
        highest.number() != next.number() && in_range[0] != in_range[1],
        "a number was given twice"
    );
    alloc_refused(container, ANY_PASID, "the quota is used up")?;
    holds(container, QUOTA, QUOTA)?;

    let left = left_in_shared_range(in_range)?;
    second_process(container, second, left)?;

    chapter(format!("Back in process {}", process::id()));
    container.free_pasids(SHARED_RANGE)?;
    line(format!("free {}", show(&SHARED_RANGE)), "done");
    holds(container, QUOTA - 2, QUOTA)?;
    let again = alloc(container, left..=left, " again: it went back at exit")?;
    for pasid in [highest, next, again] {
        pasid.free()?;
    }
    line("free the others", "done");
    holds(container, 0, QUOTA)
}

/// The one number of the shared range that is not in `taken`.
fn left_in_shared_range(taken: [u32; 2]) -> Result<u32> {
    let mut left = SHARED_RANGE.filter(|number| !taken.contains(number));
    left.next().context("no number is left in the range")
}

/// Starts this program again as a second process, with our container as its standard input, and
/// waits for it.
fn second_process(container: &Container, function: PciFunction, left: u32) -> Result<()> {
    let program = env::current_exe().context("where is this program?")?;
    let status = Command::new(program)
        .args(["second", &function.to_string(), &left.to_string()])
        .stdin(Stdio::from(container.as_fd().try_clone_to_owned()?))
        .status()
        .context("cannot start the second process")?;
    ensure!(status.success(), "the second process failed ({status})");
    Ok(())
}
