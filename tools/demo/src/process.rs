// SPDX-License-Identifier: GPL-2.0-only

//! The process itself as a space of a device, where that can be.

use anyhow::Result;
use pasid_demo::{device::TestDevice, pointer};
use vfio_pasid::PciFunction;

use crate::{
    machine::nothing_counted,
    owner::OpenContainer,
    story::{chapter, line},
};

/// Tells it of `function`, a test device that can use PASIDs.
pub fn run(function: PciFunction) -> Result<()> {
    chapter(format!("The process itself as a space for {function}"));
    let open = OpenContainer::new(function)?;
    let device = TestDevice::new(&open.device)?;
    let group = open.group.number();
    pointer::show(&device, &open.container, group, |done, came_back| {
        line(done, came_back);
    })?;
    drop(open);
    nothing_counted()
}
