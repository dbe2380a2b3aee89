// SPDX-License-Identifier: GPL-2.0-only

//! `vfio-pasid demo DEVICE`: the whole way, with a device of yours, and back.

use std::sync::Arc;

use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use pasid_demo::{
    device::{Message, TestDevice, TEST_DEVICE},
    pointer,
};
use vfio_pasid::{
    vm_memory::{Bytes, MmapRegion, VolatileMemory},
    Access, AuxOptions, Container, Group, IommuType, Iovas, PciFunction, ANY_PASID,
};

use crate::{
    module,
    output::{bytes, line},
    reason::Reason,
    system::System,
};

/// Where it maps: any address of a window that all IOMMUs have.
const IOVA: u64 = 0x10_0000;
const SIZE: u64 = 2 << 20;

/// What the test device writes under the PASID is in the memory, and it faults elsewhere.
fn show_dma(device: &TestDevice<'_>, pasid: u32, memory: &MmapRegion) -> Result<()> {
    let message: Message = *b"the device wrote";
    match device.write_memory(Some(pasid), IOVA, &message)? {
        Ok(()) => step("the device writes under the PASID", "done"),
        Err(fault) => bail!("the device writes under the PASID: {fault}"),
    }
    let seen: Message = memory.as_volatile_slice().read_obj(0)?;
    ensure!(seen == message, "the memory has {seen:x?}");
    step(
        "the process reads",
        format!("{:?}", String::from_utf8_lossy(&seen)),
    );
    match device.write_memory(Some(pasid), IOVA + SIZE, &message)? {
        Ok(()) => bail!("the device has written where nothing is mapped"),
        Err(fault) => step("the device writes behind it", fault),
    }
    Ok(())
}

fn step(what: &str, outcome: impl std::fmt::Display) {
    line(format!("{what:<36}{outcome}"));
}

/// Opens the group, or says what to do.
fn open_group(number: u32) -> Result<Group> {
    Group::open(number).map_err(|error| {
        let reason = match error.errno() {
            Errno::EBUSY => Reason::GroupBusy,
            _ => Reason::GroupDenied,
        };
        let remedy = reason.remedy().replace("GROUP", &number.to_string());
        anyhow::Error::new(error).context(format!("{}: {remedy}", reason.what()))
    })
}

/// Shows it.
///
/// # Errors
///
/// The first step that failed; what was done is undone.
pub fn run(system: &System, function: PciFunction) -> Result<()> {
    module::require_ours(system)?;
    let driver = function.driver()?;
    ensure!(
        driver.as_deref() == Some("vfio-pci"),
        "{}: {}",
        Reason::NotBound.what(),
        Reason::NotBound
            .remedy()
            .replace("ADDRESS", &function.to_string())
    );
    let number = function.iommu_group().context(Reason::NoGroup.what())?;
    let container = Container::open().context(Reason::ContainerDenied.remedy())?;
    let group = open_group(number)?;
    group.set_container(&container)?;
    container.set_iommu(IommuType::Type1v2)?;
    let device = group.device(&function.to_string())?;
    step(
        &format!("open {function}"),
        format!("group {number}, a container of its own"),
    );

    let pasid = container.alloc_pasid(ANY_PASID)?;
    let info = container.pasid_info(Some(number))?;
    step("allocate a PASID", pasid.number());
    step(
        "ask about the quota",
        format!("{} of {} are held", info.used, info.quota),
    );
    if info.width == 0 {
        step(
            "the device",
            format!("{}: no space for it", Reason::NoCapability.what()),
        );
        drop(pasid);
        step("free it", "done");
        return Ok(());
    }
    let usable = pasid.number() >> info.width == 0;
    let space = container.create_aux_space(AuxOptions {
        pasid: usable.then(|| pasid.number()),
        ..AuxOptions::default()
    })?;
    let window = space.window();
    step(
        "create an aux space",
        format!(
            "PASID {}, serves {:#x} to {:#x}",
            space.pasid(),
            window.start,
            window.start + (window.size - 1)
        ),
    );
    space.attach(number)?;
    step(
        "attach it",
        format!(
            "to group {number}: the device takes PASIDs of {} bits",
            info.width
        ),
    );
    let memory: Arc<MmapRegion> = Arc::new(MmapRegion::new(SIZE as usize)?);
    let registered = container
        .register_memory(memory.clone())
        .context(Reason::LowMemlock.remedy())?;
    step(
        "register memory",
        format!("{}: pinned, and charged once", bytes(SIZE)),
    );
    let iovas = Iovas {
        start: IOVA,
        size: SIZE,
    };
    let mapping = space.map(&registered, 0, iovas, Access::READ | Access::WRITE)?;
    step("map it", format!("at {IOVA:#x} of the space"));
    let seen = space.info()?;
    step(
        "ask about the space",
        format!(
            "{} mapping, attached to {:?}",
            seen.mappings.len(),
            seen.groups
        ),
    );
    if function.id()? == TEST_DEVICE {
        let test = TestDevice::new(&device)?;
        show_dma(&test, space.pasid(), &memory)?;
        pointer::show(&test, &container, number, step)?;
    } else {
        step("DMA", "not with this device: only its own driver knows how");
        step(
            "the process as a space",
            match info.process_space() {
                Ok(()) => "it can be attached, but again only its driver knows how".to_owned(),
                Err(reason) => format!("not here: {reason}"),
            },
        );
    }

    mapping.unmap()?;
    step("unmap", "done");
    registered.unregister()?;
    step("unregister", "done");
    space.destroy()?;
    step("detach and destroy the space", "done");
    pasid.free()?;
    step("free the PASID", "done");
    Ok(())
}
