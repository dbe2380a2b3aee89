// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Registered memory in a container's own IO address space.

use std::os::fd::AsFd;

use vm_memory::bitmap::Bitmap;

use crate::{
    aux_space::{AuxInfo, Iovas},
    container::Container,
    error::Result,
    mapping::{Access, Mapping},
    memory::RegisteredMemory,
    sys,
    uapi::VFIO_AUX_OWN_SPACE,
};

/// The container's own IO address space, which its devices address by requests without a PASID.
/// From [`Container::own_space`]; it comes and goes with the container.
#[derive(Debug)]
pub struct OwnSpace {
    container: Container,
}

impl OwnSpace {
    pub(crate) fn new(container: Container) -> Self {
        Self { container }
    }

    /// Maps `iovas` to `memory` from `offset` bytes on, which is not pinned and charged again.
    /// `VFIO_IOMMU_UNMAP_DMA` unmaps it, too.
    ///
    /// # Errors
    ///
    /// As [`AuxSpace::map`](crate::AuxSpace::map), and `EEXIST` also for what `VFIO_IOMMU_MAP_DMA`
    /// mapped there; `ENOSPC` also if the container has as many mappings as `dma_entry_limit`
    /// allows; `EBUSY` while virtual addresses are updated (`VFIO_DMA_UNMAP_FLAG_VADDR`).
    pub fn map<'a, B: Bitmap>(
        &'a self,
        memory: &'a RegisteredMemory<B>,
        offset: u64,
        iovas: Iovas,
        access: Access,
    ) -> Result<Mapping<'a, B>> {
        let pasid = VFIO_AUX_OWN_SPACE;
        Mapping::new(&self.container, pasid, memory, offset, iovas, access)
    }

    /// Unmaps what registered memory is mapped in `iovas`, and returns how many bytes it was. What
    /// `VFIO_IOMMU_MAP_DMA` has mapped there stays.
    ///
    /// # Errors
    ///
    /// As [`AuxSpace::unmap`](crate::AuxSpace::unmap).
    pub fn unmap(&self, iovas: Iovas) -> Result<u64> {
        sys::aux_unmap(self.container.as_fd(), VFIO_AUX_OWN_SPACE, Some(iovas))
    }

    /// Unmaps all registered memory, as [`OwnSpace::unmap`].
    ///
    /// # Errors
    ///
    /// What every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn unmap_all(&self) -> Result<u64> {
        sys::aux_unmap(self.container.as_fd(), VFIO_AUX_OWN_SPACE, None)
    }

    /// What can be mapped, the groups of the container, and what registered memory is mapped. What
    /// changes meanwhile may be missed.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn info(&self) -> Result<AuxInfo> {
        AuxInfo::ask(&self.container, VFIO_AUX_OWN_SPACE)
    }
}
