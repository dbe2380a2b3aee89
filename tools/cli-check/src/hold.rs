// SPDX-License-Identifier: GPL-2.0-only

//! Another program: it holds much, says what, and waits to be killed.

use std::{io::Read, process::ExitCode, sync::Arc};

use anyhow::Result;
use serde_json::json;
use vfio_pasid::{
    vm_memory::MmapRegion, Access, AuxOptions, Container, Device, Group, IommuType, Iovas, Pasid,
    PciFunction,
};

pub const PASIDS: usize = 1000;
pub const SPACES: usize = 100;

/// Holds as much as fits on a page with the device at `address`, until stdin ends.
pub fn show(address: &str) -> ExitCode {
    exit(show_a_little(address))
}

/// Holds the process as a space of a container with the device at `address`, until stdin ends.
pub fn process(address: &str) -> ExitCode {
    exit(hold_process(address))
}

fn hold_process(address: &str) -> Result<()> {
    let (container, _group, _device) = open(address)?;
    let _space = container.process_space()?;
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A container with the device at `address`, which is open.
pub fn open(address: &str) -> Result<(Container, Group, Device)> {
    let container = Container::open()?;
    let group = Group::open(address.parse::<PciFunction>()?.iommu_group()?)?;
    group.set_container(&container)?;
    container.set_iommu(IommuType::Type1v2)?;
    let device = group.device(address)?;
    Ok((container, group, device))
}

fn exit(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show_a_little(address: &str) -> Result<()> {
    let (container, group, _device) = open(address)?;
    let memory: Arc<MmapRegion> = Arc::new(MmapRegion::new(64 << 20)?);
    let registered = container.register_memory(memory)?;
    let own = container.own_space();
    let (all, part) = (64 << 20, 2 << 20);
    let iovas = |start, size| Iovas { start, size };
    let _all = own.map(&registered, 0, iovas(0, all), Access::READ | Access::WRITE)?;
    let first = container.create_aux_space(AuxOptions::default())?;
    first.attach(group.number())?;
    let _first = first.map(&registered, 0, iovas(0, part), Access::READ)?;
    let second = container.create_aux_space(AuxOptions {
        window: Some(iovas(0x10_0000, 0x1000_0000)),
        ..AuxOptions::default()
    })?;
    let _second = second.map(&registered, part, iovas(0x10_0000, part), Access::WRITE)?;
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Holds with `group` and the device at `address`, until stdin ends.
pub fn run(group: &str, address: &str) -> ExitCode {
    exit(hold(group, address))
}

fn hold(group: &str, address: &str) -> Result<()> {
    let container = Container::open()?;
    let group = Group::open(group.parse()?)?;
    group.set_container(&container)?;
    container.set_iommu(IommuType::Type1v2)?;
    let _device = group.device(address)?;
    // Every other number, and then those between, so that there are ranges at first.
    let mut pasids: Vec<Pasid> = Vec::new();
    for number in 0..PASIDS as u32 {
        let number = 10_000 + 3 * number;
        pasids.push(container.alloc_pasid(number..=number)?);
    }
    let memory: Arc<MmapRegion> = Arc::new(MmapRegion::new(1 << 20)?);
    let registered = container.register_memory(memory)?;
    let mut spaces = Vec::new();
    for pasid in pasids.iter().take(SPACES) {
        spaces.push(container.create_aux_space(AuxOptions {
            pasid: Some(pasid.number()),
            ..AuxOptions::default()
        })?);
    }
    let mut mappings = Vec::new();
    for (index, space) in spaces.iter().enumerate() {
        space.attach(group.number())?;
        let iovas = Iovas {
            start: 0x10_0000,
            size: 0x1000 * (1 + index as u64),
        };
        mappings.push(space.map(&registered, 0, iovas, Access::READ)?);
    }
    let held = json!({
        "group": group.number(),
        "pasids": pasids.iter().map(Pasid::number).collect::<Vec<_>>(),
        "spaces": mappings.iter().zip(&spaces).map(|(mapping, space)| json!({
            "pasid": space.pasid(),
            "bytes": mapping.iovas().size,
        })).collect::<Vec<_>>(),
    });
    println!("{held}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
