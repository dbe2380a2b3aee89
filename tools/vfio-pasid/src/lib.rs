// SPDX-License-Identifier: Apache-2.0 OR MIT

//! PASIDs for VFIO containers: a client of the `vfio_pasid` kernel module, for VMMs and drivers in
//! user space.
//!
//! ```no_run
//! use vfio_pasid::{Container, Group, IommuType, ANY_PASID};
//!
//! # fn main() -> vfio_pasid::Result<()> {
//! let container = Container::open()?;
//! let group = Group::open(26)?; // /dev/vfio/26: the device in it is bound to vfio-pci
//! group.set_container(&container)?;
//! container.set_iommu(IommuType::Type1v2)?;
//!
//! let pasid = container.alloc_pasid(ANY_PASID)?;
//! println!("PASID {}, {:?}", pasid.number(), container.pasid_info(None)?);
//! # Ok(())
//! # } // `pasid` goes back here
//! ```
//!
//! A PASID belongs to the process that called [`Container::set_iommu`], is shared by all
//! containers of that process, and goes back at the latest when the last of its containers loses
//! its last group. No other process can use such a container's PASIDs, not even a forked child
//! with the descriptor: it gets `EPERM`.
//!
//! An aux space ([`AuxSpace`]) is a further IO address space of a container, under its own PASID.
//! The devices that it is attached to reach it with requests that carry the PASID:
//!
//! ```no_run
//! # use vfio_pasid::{AuxOptions, Container, Group};
//! # fn aux(container: &Container, group: &Group) -> vfio_pasid::Result<()> {
//! let device = group.device("0000:00:12.0")?; // only an open device can be attached
//! let space = container.create_aux_space(AuxOptions::default())?;
//! space.attach(group.number())?;
//! println!("PASID {}, {:x?}", space.pasid(), space.info()?);
//! # Ok(())
//! # } // `space` is detached and destroyed here, and its PASID goes back
//! ```
//!
//! It is empty at first. Register memory once, and map it where and as often as you like:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use vfio_pasid::{Access, AuxSpace, Container, Iovas};
//! use vfio_pasid::vm_memory::{Bytes, MmapRegion, VolatileMemory};
//!
//! # fn map(container: &Container, space: &AuxSpace) -> Result<(), Box<dyn std::error::Error>> {
//! let memory: Arc<MmapRegion> = Arc::new(MmapRegion::new(2 << 20)?);
//! let registered = container.register_memory(memory.clone())?; // pinned and charged
//! let iovas = Iovas { start: 0x10_0000, size: 0x1000 };
//! let mapping = space.map(&registered, 0, iovas, Access::READ | Access::WRITE)?;
//!
//! // The device writes to 0x100000 under the PASID of the space, and here it is:
//! let first: u64 = memory.as_volatile_slice().read_obj(0)?;
//! # Ok(())
//! # } // unmapped here, and then unregistered
//! ```
//!
//! [`Container::own_space`] takes it as well: then requests without a PASID reach it, of as many
//! devices in as many containers as there are, and it is still charged once.
//!
//! Where the hardware can and root allows it, the process itself is a space ([`ProcessSpace`]): the
//! device uses the same addresses as the program, and nothing is registered.
//!
//! ```no_run
//! # use std::sync::atomic::{AtomicU64, Ordering};
//! # use vfio_pasid::{Container, Group};
//! # fn process(container: &Container, group: &Group) -> Result<(), Box<dyn std::error::Error>> {
//! container.pasid_info(Some(group.number()))?.process_space()?; // says what is missing
//! let space = container.process_space()?;
//! let counter = AtomicU64::new(0); // anywhere: here, on the heap, in a file's mapping
//!
//! // SAFETY: The device is told this address only, and `counter` outlives the attachment. Others
//! // may change what is in an atomic at any time.
//! unsafe { space.attach(group.number())? };
//! println!("tell the device: PASID {}, address {:p}", space.pasid(), counter.as_ptr());
//! space.detach(group.number())?;
//! println!("it wrote {}", counter.load(Ordering::Relaxed));
//! # Ok(())
//! # }
//! ```
//!
//! The order is the compiler's business: a [`Mapping`] borrows its space and its memory.
//! [`vm_memory`] is what VMMs in Rust keep guest memory in: devices may change it at any time, so
//! there are no references to what is in there.
//!
//! Everything else that VFIO offers works on the descriptors that [`std::os::fd::AsFd`] lends. A
//! program that has a container already, of vfio-ioctls or DPDK, keeps it: see [`adopting`].

pub mod adopting;
mod aux_space;
mod container;
mod error;
mod group;
mod hot_reset;
mod mapping;
mod memory;
mod own_space;
mod pasid;
mod pci;
mod process_space;
mod region;
mod space;
mod sys;
pub mod uapi;

pub use aux_space::{AuxInfo, AuxOptions, AuxSpace, Iovas, MappingInfo};
pub use container::{Container, Features, IommuType, OwnWindow};
pub use error::{Error, Result};
pub use group::{Device, Group};
pub use hot_reset::{HotReset, HotResetDevice, Ownership};
pub use mapping::{Access, Mapping};
pub use memory::RegisteredMemory;
pub use nix::errno::Errno;
pub use own_space::OwnSpace;
pub use pasid::{NoProcessSpace, Pasid, PasidCaps, PasidInfo, ANY_PASID};
pub use pci::PciFunction;
pub use process_space::ProcessSpace;
pub use region::Region;
pub use vm_memory;

/// The example of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
