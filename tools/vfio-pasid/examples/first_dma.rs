// SPDX-License-Identifier: Apache-2.0 OR MIT

//! From nothing to a DMA under a PASID:
//!
//! ```text
//! cargo run --example first_dma 0000:00:12.0
//! ```
//!
//! The device is bound to vfio-pci. All is taken back when the values are dropped. What is special
//! about the device, here the test device of vfio-pasid, is in `ring_doorbell()`: a driver of
//! another one has that instead.

use std::{env, error::Error, process::ExitCode, sync::Arc, thread::sleep, time::Duration};

use vfio_pasid::{
    vm_memory::{Bytes, MmapRegion, VolatileMemory},
    Access, AuxOptions, Container, Device, Group, IommuType, Iovas, PciFunction, Region,
};

const SIZE: u64 = 2 << 20;
/// Where the device finds the memory: any address will do.
const IOVA: u64 = 0x10_0000;

type Text = [u8; 16];

/// Without these bits, the device has no registers and sends no requests.
fn enable(device: &Device) -> vfio_pasid::Result<()> {
    const COMMAND: u64 = 4;
    const MEMORY_AND_BUS_MASTER: u16 = (1 << 1) | (1 << 2);
    let config = device.region(Region::CONFIG)?;
    let bits = u16::from_le_bytes(config.read(COMMAND)?) | MEMORY_AND_BUS_MASTER;
    config.write(COMMAND, &bits.to_le_bytes())
}

/// Makes the device write `text` to `iova` under `pasid`. Returns its STATUS: 2 is done.
fn ring_doorbell(device: &Device, pasid: u32, iova: u64, text: &Text) -> vfio_pasid::Result<u32> {
    let bar = device.region(Region::BAR0)?;
    bar.write(0x008, &((1 << 31) | pasid).to_le_bytes())?;
    bar.write(0x00c, &(text.len() as u32).to_le_bytes())?;
    bar.write(0x010, &iova.to_le_bytes())?;
    bar.write(0x1000, text)?;
    bar.write(0x018, &2_u32.to_le_bytes())?;
    loop {
        sleep(Duration::from_millis(1));
        match u32::from_le_bytes(bar.read(0x01c)?) {
            1 => {}
            status => return Ok(status),
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let function: PciFunction = env::args()
        .nth(1)
        .ok_or("usage: first_dma ADDRESS")?
        .parse()?;

    // 1. A container, and in it the group of the device: as always with VFIO.
    let container = Container::open()?;
    let group = Group::open(function.iommu_group()?)?;
    group.set_container(&container)?;
    container.set_iommu(IommuType::Type1v2)?;
    let device = group.device(&function.to_string())?;
    enable(&device)?;

    // 2. An address space under a new PASID, and the device attached to it.
    let space = container.create_aux_space(AuxOptions::default())?;
    space.attach(group.number())?;

    // 3. Memory: pinned and charged once, then mapped, here and in other spaces.
    let memory: Arc<MmapRegion> = Arc::new(MmapRegion::new(SIZE as usize)?);
    let registered = container.register_memory(memory.clone())?;
    let iovas = Iovas {
        start: IOVA,
        size: SIZE,
    };
    let _mapping = space.map(&registered, 0, iovas, Access::READ | Access::WRITE)?;

    // 4. The DMA: tell the device the PASID, and what it writes is there.
    let (pasid, text) = (space.pasid(), b"the first DMA   ");
    let status = ring_doorbell(&device, pasid, IOVA, text)?;
    let seen: Text = memory.as_volatile_slice().read_obj(0)?;
    let seen = String::from_utf8_lossy(&seen);
    println!(
        "PASID {pasid}: STATUS {status}, the memory has {:?}",
        seen.trim()
    );

    // 5. Behind what is mapped it is a fault, and so it is under any other PASID.
    let status = ring_doorbell(&device, pasid, IOVA + SIZE, text)?;
    println!("PASID {pasid}, behind it: STATUS {status:#x}");
    let status = ring_doorbell(&device, pasid - 1, IOVA, text)?;
    println!("PASID {}: STATUS {status:#x}", pasid - 1);
    Ok(())
}

/// An error of the crate says which call it was, and what to do.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("first_dma: {error}");
            ExitCode::FAILURE
        }
    }
}
