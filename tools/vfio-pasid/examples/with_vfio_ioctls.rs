// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A VMM of rust-vmm: vfio-ioctls has the container and the device, guest memory has a bitmap of
//! dirty pages, and this crate gives the device a second address space of it, under a PASID:
//!
//! ```text
//! cargo run --example with_vfio_ioctls 0000:00:12.0
//! ```
//!
//! The device is the test device of vfio-pasid, bound to vfio-pci.

#![allow(
    unsafe_code,
    reason = "vfio-ioctls has unsafe functions, and lends no descriptor"
)]

use std::{
    env,
    error::Error,
    os::fd::{AsRawFd, BorrowedFd},
    path::PathBuf,
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use vfio_ioctls::{VfioContainer, VfioDevice};
use vfio_pasid::{
    vm_memory::{
        bitmap::AtomicBitmap, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap,
        VolatileMemory,
    },
    Access, AuxOptions, Container, Iovas, PciFunction,
};

const SIZE: u64 = 2 << 20;
const CONFIG: u32 = 7;
const BAR0: u32 = 0;

/// Makes the device write `text` to `iova`, under a PASID or without one. Returns its STATUS: 2 is
/// done.
fn ring_doorbell(device: &VfioDevice, pasid: Option<u32>, iova: u64, text: &[u8; 16]) -> u32 {
    let tag = pasid.map_or(0, |pasid| (1 << 31) | pasid);
    device.region_write(BAR0, &tag.to_le_bytes(), 0x008);
    device.region_write(BAR0, &(text.len() as u32).to_le_bytes(), 0x00c);
    device.region_write(BAR0, &iova.to_le_bytes(), 0x010);
    device.region_write(BAR0, text, 0x1000);
    device.region_write(BAR0, &2_u32.to_le_bytes(), 0x018);
    loop {
        sleep(Duration::from_millis(1));
        let mut status = [0; 4];
        device.region_read(BAR0, &mut status, 0x01c);
        match u32::from_le_bytes(status) {
            1 => {}
            status => return status,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .ok_or("usage: with_vfio_ioctls ADDRESS")?;
    let function: PciFunction = address.parse()?;

    // What the VMM has: a container, the device, and guest memory, mapped at its own addresses.
    let theirs = Arc::new(VfioContainer::new(None)?);
    let path = PathBuf::from(format!("/sys/bus/pci/devices/{function}"));
    let device = VfioDevice::new(&path, theirs.clone(), false)?;
    // Memory space and bus master.
    device.region_write(CONFIG, &6_u16.to_le_bytes(), 4);
    let guest = GuestMemoryMmap::<AtomicBitmap>::from_ranges(&[(GuestAddress(0), SIZE as usize)])?;
    let region = guest.iter().next().ok_or("no memory")?.get_mmap();
    // SAFETY: Nobody has references to guest memory.
    unsafe { theirs.vfio_dma_map(0, SIZE as usize, region.as_ptr())? };

    // The same container here, and in it a space where the guest's memory is somewhere else.
    // SAFETY: `theirs` keeps the descriptor open during the call.
    let ours = Container::adopt(unsafe { BorrowedFd::borrow_raw(theirs.as_raw_fd()) })?;
    let space = ours.create_aux_space(AuxOptions::default())?;
    space.attach(function.iommu_group()?)?;
    let registered = ours.register_memory(region.clone())?;
    let iovas = Iovas {
        start: 0x4000_0000,
        size: SIZE,
    };
    let mapping = space.map(&registered, 0, iovas, Access::READ | Access::WRITE)?;

    let seen = |at| -> Result<String, Box<dyn Error>> {
        let text: [u8; 16] = region.as_volatile_slice().read_obj(at)?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    };
    let status = ring_doorbell(&device, None, 0, b"without a PASID ");
    println!("no PASID: STATUS {status}, the guest has {:?}", seen(0)?);
    let (pasid, address) = (space.pasid(), iovas.start + 0x1000);
    let status = ring_doorbell(&device, Some(pasid), address, b"under a PASID   ");
    println!(
        "PASID {pasid}: STATUS {status}, the guest has {:?}",
        seen(0x1000)?
    );
    let status = ring_doorbell(&device, None, address, b"nowhere         ");
    println!("no PASID, there: STATUS {status:#x}");

    mapping.unmap()?;
    registered.unregister()?;
    space.destroy()?;
    theirs.vfio_dma_unmap(0, SIZE as usize)?;
    Ok(())
}
