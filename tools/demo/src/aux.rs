// SPDX-License-Identifier: GPL-2.0-only

//! An aux space: what a device sees of it, and what not.

use anyhow::{ensure, Context, Result};
use vfio_pasid::{AuxOptions, AuxSpace, Container, PciFunction};

use crate::{
    device::{Outcome, TestDevice},
    machine::QUOTA,
    owner::OpenContainer,
    story::{chapter, holds, line},
};

/// Where the device looks: any address would do.
const IOVA: u64 = 0x10_0000;

/// Tells it of `function`, a test device that can use PASIDs.
pub fn run(function: PciFunction) -> Result<()> {
    chapter(format!("A second address space for {function}"));
    let open = OpenContainer::new(function)?;
    let group = open.group.number();
    let device = TestDevice::new(&open.device)?;
    capabilities(&open.container, group)?;

    let space = create(&open.container)?;
    let pasid = space.pasid();
    space.attach(group)?;
    attached_to(&space, &[group])?;
    line(
        format!("attach {pasid}"),
        format!("AUX_INFO: attached to group {group}"),
    );
    look(&device, pasid, Outcome::NO_PAGE)?;
    space.detach(group)?;
    attached_to(&space, &[])?;
    line(format!("detach {pasid}"), "AUX_INFO: attached to nothing");
    look(&device, pasid, Outcome::NO_PASID_ENTRY)?;
    space.destroy()?;
    line(format!("destroy {pasid}"), "done");
    holds(&open.container, 0, QUOTA)
}

/// Tells what the device of the group can do with PASIDs.
fn capabilities(container: &Container, group: u32) -> Result<()> {
    let info = container.pasid_info(Some(group))?;
    ensure!(info.width > 0, "group {group} cannot use PASIDs: {info:?}");
    let names: Vec<_> = info.caps.iter_names().map(|(name, _)| name).collect();
    line(
        format!("PASID_INFO of group {group}"),
        format!("PASIDs of {} bits, {}", info.width, names.join(" and ")),
    );
    Ok(())
}

/// Creates an aux space, and tells its name and its window.
fn create(container: &Container) -> Result<AuxSpace> {
    let space = container.create_aux_space(AuxOptions::default())?;
    let window = space.window();
    let last = window.start.checked_add(window.size.saturating_sub(1));
    line(
        "create an aux space",
        format!(
            "PASID {}, addresses {:#x} to {:#x}",
            space.pasid(),
            window.start,
            last.context("the window wraps around")?
        ),
    );
    Ok(space)
}

/// The space must be attached to just these groups.
fn attached_to(space: &AuxSpace, wanted: &[u32]) -> Result<()> {
    let info = space.info()?;
    ensure!(
        info.groups == wanted,
        "AUX_INFO says groups {:?}, not {wanted:?}",
        info.groups
    );
    Ok(())
}

/// Lets the device read memory under `pasid`, which must end as `wanted`, and tells it.
fn look(device: &TestDevice<'_>, pasid: u32, wanted: Outcome) -> Result<()> {
    let outcome = device.read_memory(pasid, IOVA)?;
    ensure!(
        outcome == wanted,
        "the device read {IOVA:#x} under PASID {pasid}: {outcome}, not {wanted}"
    );
    line(format!("the device reads {IOVA:#x}"), outcome);
    Ok(())
}
