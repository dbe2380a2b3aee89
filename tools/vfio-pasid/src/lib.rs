// SPDX-License-Identifier: GPL-2.0-only

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
//! Everything else that VFIO offers works on the descriptors that [`std::os::fd::AsFd`] lends.

mod container;
mod error;
mod group;
mod hot_reset;
mod pasid;
mod pci;
mod sys;
pub mod uapi;

pub use container::{Container, Features, IommuType};
pub use error::{Error, Result};
pub use group::{Device, Group};
pub use hot_reset::{HotReset, HotResetDevice, Ownership};
pub use nix::errno::Errno;
pub use pasid::{Pasid, PasidCaps, PasidInfo, ANY_PASID};
pub use pci::PciFunction;
