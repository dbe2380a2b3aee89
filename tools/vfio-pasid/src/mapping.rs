// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mappings: registered memory at IO addresses of a space.

use std::os::fd::AsFd;

use vm_memory::bitmap::Bitmap;

use crate::{
    aux_space::Iovas, container::Container, error::Result, memory::RegisteredMemory, sys, uapi,
};

bitflags::bitflags! {
    /// What devices may do with mapped memory: one of the two, or both.
    ///
    /// An IOMMU with first-stage tables cannot keep them from reading what they may write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// They may read.
        const READ = uapi::VFIO_AUX_MAP_READ;
        /// They may write.
        const WRITE = uapi::VFIO_AUX_MAP_WRITE;
    }
}

/// A mapping of an aux space, or of a container's own. It is unmapped when dropped: then no device
/// reaches the memory through it any more. What it borrows stays meanwhile:
///
/// ```compile_fail,E0505
/// # use vfio_pasid::{Access, AuxSpace, Iovas, RegisteredMemory};
/// # fn early(space: &AuxSpace, memory: RegisteredMemory, iovas: Iovas) -> vfio_pasid::Result<()> {
/// let mapping = space.map(&memory, 0, iovas, Access::READ)?;
/// memory.unregister()?; // error: cannot move out of `memory` because it is borrowed
/// mapping.unmap()
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a mapping unmaps it"]
pub struct Mapping<'a, B: Bitmap = ()> {
    /// Nothing once the mapping has been handed out or unmapped.
    space: Option<(&'a Container, u32)>,
    memory: &'a RegisteredMemory<B>,
    iovas: Iovas,
}

impl<'a, B: Bitmap> Mapping<'a, B> {
    /// Maps `iovas` of the space that `pasid` names to `memory` from `offset` bytes on.
    pub(crate) fn new(
        container: &'a Container,
        pasid: u32,
        memory: &'a RegisteredMemory<B>,
        offset: u64,
        iovas: Iovas,
        access: Access,
    ) -> Result<Self> {
        let fd = container.as_fd();
        sys::aux_map(fd, pasid, access.bits(), memory.memory(), offset, iovas)?;
        Ok(Self {
            space: Some((container, pasid)),
            memory,
            iovas,
        })
    }

    /// The IO addresses.
    pub fn iovas(&self) -> Iovas {
        self.iovas
    }

    /// The memory that it maps a part of.
    pub fn memory(&self) -> &'a RegisteredMemory<B> {
        self.memory
    }

    /// Keeps the mapping beyond this value: [`AuxSpace::unmap`](crate::AuxSpace::unmap) or
    /// [`OwnSpace::unmap`](crate::OwnSpace::unmap) removes it, or the end of the space. Until then
    /// the memory stays registered, whatever becomes of its [`RegisteredMemory`].
    pub fn into_iovas(mut self) -> Iovas {
        self.space = None;
        self.iovas
    }

    /// Unmaps it, and says if that failed, which dropping cannot.
    ///
    /// # Errors
    ///
    /// As [`AuxSpace::unmap`](crate::AuxSpace::unmap).
    pub fn unmap(mut self) -> Result<()> {
        self.take_away()
    }

    fn take_away(&mut self) -> Result<()> {
        match self.space.take() {
            Some((container, pasid)) => {
                sys::aux_unmap(container.as_fd(), pasid, Some(self.iovas)).map(drop)
            }
            None => Ok(()),
        }
    }
}

impl<B: Bitmap> Drop for Mapping<'_, B> {
    fn drop(&mut self) {
        // It fails if the space went with its container, or if this is a forked child, whose space
        // it is not. Nothing is left to do in either case.
        let _ = self.take_away();
    }
}
