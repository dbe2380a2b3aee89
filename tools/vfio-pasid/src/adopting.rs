// SPDX-License-Identifier: Apache-2.0 OR MIT

//! How a program that has a VFIO container keeps it, and gets PASIDs for it: nothing to compile
//! here, but to read.
//!
//! [`Container::adopt`](crate::Container::adopt) takes the descriptor of the container, whoever
//! opened it, and duplicates it. From then on there are two owners of one container: what was there
//! before goes on as it did, and this crate adds PASIDs, aux spaces and registered memory. The
//! process must be the one that called `VFIO_SET_IOMMU`; for others everything here is `EPERM`.
//!
//! Groups and devices stay with the program. An aux space is attached by the number of a group
//! (the N of `/dev/vfio/N`) whose device is open, by whatever means.
//!
//! # vfio-ioctls
//!
//! A `VfioContainer` has its container when its first device is opened: adopt it after that.
//!
//! ```no_run
//! use std::{
//!     os::fd::{AsRawFd, BorrowedFd},
//!     path::Path,
//!     sync::Arc,
//! };
//! use vfio_ioctls::{VfioContainer, VfioDevice};
//! use vfio_pasid::{AuxOptions, Container, PciFunction};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let theirs = Arc::new(VfioContainer::new(None)?);
//! let device = VfioDevice::new(
//!     Path::new("/sys/bus/pci/devices/0000:00:12.0"),
//!     theirs.clone(),
//!     false,
//! )?;
//!
//! // SAFETY: `theirs` keeps the descriptor open during the call.
//! let ours = Container::adopt(unsafe { BorrowedFd::borrow_raw(theirs.as_raw_fd()) })?;
//! let space = ours.create_aux_space(AuxOptions::default())?;
//! let function: PciFunction = "0000:00:12.0".parse()?;
//! space.attach(function.iommu_group()?)?;
//! # drop(device);
//! # Ok(())
//! # }
//! ```
//!
//! What both crates have, and why it is here as well:
//!
//! | here | in vfio-ioctls | why |
//! |---|---|---|
//! | [`Container::open`](crate::Container::open) | `VfioContainer::new` | for type1 in its first version, and to tell a missing module from a missing permission |
//! | [`Container::set_iommu`](crate::Container::set_iommu), [`IommuType`](crate::IommuType) | inside of `VfioDevice::new` | whoever calls it owns the PASIDs: it must be seen |
//! | [`Group`](crate::Group) | `VfioGroup`, private | [`Device::hot_reset`](crate::Device::hot_reset) wants the groups' descriptors, [`AuxSpace::attach`](crate::AuxSpace::attach) their numbers |
//! | [`Group::device`](crate::Group::device), [`Device`](crate::Device) | `VfioDevice::new` | opens it and nothing more, so that it can be closed while the container stays |
//! | [`Device::region`](crate::Device::region), [`Region`](crate::Region) | `VfioDevice::region_read`, `region_write` | errors are returned; there they are logged |
//!
//! What is only there: interrupts, migration, KVM, `VFIO_IOMMU_MAP_DMA`. A VMM wants those, and so
//! uses vfio-ioctls for its devices, and this crate for what is under a PASID.
//!
//! # DPDK
//!
//! DPDK's own container may not be the one that its devices are in: the function
//! `rte_vfio_get_container_fd()` returns the default one. Make a container instead, with
//! `rte_vfio_container_create()`, put the group into it with `rte_vfio_container_group_bind()`, and
//! then let DPDK probe the device. What the first of these returns is the descriptor:
//!
//! ```no_run
//! use std::os::fd::{BorrowedFd, RawFd};
//! use vfio_pasid::Container;
//!
//! /// `container` is from `rte_vfio_container_create()`.
//! fn adopt(container: RawFd) -> vfio_pasid::Result<Container> {
//!     // SAFETY: DPDK keeps it open until `rte_vfio_container_destroy()`.
//!     Container::adopt(unsafe { BorrowedFd::borrow_raw(container) })
//! }
//! # adopt(3).map(drop).unwrap_or_default();
//! ```
//!
//! From C there is nothing to adopt: the ioctls of `linux/vfio_pasid.h` work on that descriptor, as
//! `examples/with_dpdk.c` of vfio-pasid shows.
