// SPDX-License-Identifier: GPL-2.0-only

//! One buffer for two devices, each in a container of its own: charged once.

use std::sync::Arc;

use anyhow::{bail, ensure, Context, Result};
use pasid_demo::device::{Message, TestDevice};
use vfio_pasid::{
    vm_memory::{Bytes, MmapRegion, VolatileMemory},
    Access, Iovas, PciFunction,
};

use crate::{
    machine::{locked_memory, nothing_counted},
    owner::OpenContainer,
    story::{chapter, line},
};

/// What both devices share, in bytes.
const MEMORY: u64 = 2 << 20;
/// Where each device finds it.
const PLACES: [u64; 2] = [0x10_0000, 0x800_0000];
/// What it says.
const MESSAGE: &Message = b"one for both....";

/// Tells it of two test devices.
pub fn run(functions: [PciFunction; 2]) -> Result<()> {
    let locked = locked_memory()?;
    let [first, second] = functions;
    chapter(format!(
        "One buffer for {first} and {second}, each in a container of its own"
    ));
    let containers = [OpenContainer::new(first)?, OpenContainer::new(second)?];
    let memory = Arc::new(MmapRegion::<()>::new(MEMORY as usize)?);
    memory.as_volatile_slice().write_slice(MESSAGE, 0)?;

    let spaces = containers.each_ref().map(|open| open.container.own_space());
    let mut registered = Vec::new();
    let mut mappings = Vec::new();
    for open in &containers {
        registered.push(open.container.register_memory(memory.clone())?);
        charged(locked, "register it")?;
    }
    for ((space, memory), start) in spaces.iter().zip(&registered).zip(PLACES) {
        let size = MEMORY;
        mappings.push(space.map(memory, 0, Iovas { start, size }, Access::READ)?);
        charged(locked, &format!("map it at {start:#x}"))?;
    }
    for (open, place) in containers.iter().zip(PLACES) {
        let device = TestDevice::new(&open.device)?;
        let Ok(message) = device.read_memory(None, place)? else {
            bail!("the device cannot read {place:#x}");
        };
        ensure!(message == *MESSAGE, "at {place:#x} it reads {message:?}");
        line(
            "the device reads without PASID",
            format!("\"{}\" at {place:#x}", String::from_utf8_lossy(&message)),
        );
    }
    drop(mappings);
    line("unmap both", "done");
    for memory in registered {
        memory.unregister().context("it is mapped nowhere")?;
    }
    drop(containers);
    nothing_counted()?;
    let now = locked_memory()?;
    ensure!(now == locked, "VmLck is {now} kB, and was {locked} kB");
    line(
        "unregister both, and close",
        format!("VmLck {now} kB, as before"),
    );
    Ok(())
}

/// That the memory is charged once after `done`, and tells it.
fn charged(locked: u64, done: &str) -> Result<()> {
    let more = locked_memory()?.checked_sub(locked);
    ensure!(
        more == Some(MEMORY >> 10),
        "{done}: VmLck rose by {more:?} kB, not {}",
        MEMORY >> 10
    );
    line(done, format!("VmLck {} kB more than before", MEMORY >> 10));
    Ok(())
}
