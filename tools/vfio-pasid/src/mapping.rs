// SPDX-License-Identifier: GPL-2.0-only

//! Mappings: registered memory at IO addresses of an aux space.

use crate::{
    aux::{AuxSpace, Iovas},
    error::Result,
    memory::RegisteredMemory,
    uapi,
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

/// A mapping of an aux space. It is unmapped when dropped: then no device reaches the memory
/// through it any more. What it borrows stays meanwhile:
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
pub struct Mapping<'a> {
    /// Nothing once the mapping has been handed out or unmapped.
    space: Option<&'a AuxSpace>,
    memory: &'a RegisteredMemory,
    iovas: Iovas,
}

impl<'a> Mapping<'a> {
    pub(crate) fn new(space: &'a AuxSpace, memory: &'a RegisteredMemory, iovas: Iovas) -> Self {
        Self {
            space: Some(space),
            memory,
            iovas,
        }
    }

    /// The IO addresses.
    pub fn iovas(&self) -> Iovas {
        self.iovas
    }

    /// The memory that it maps a part of.
    pub fn memory(&self) -> &'a RegisteredMemory {
        self.memory
    }

    /// Keeps the mapping beyond this value: [`AuxSpace::unmap`] removes it, or the end of the
    /// space. Until then the memory stays registered, whatever becomes of its
    /// [`RegisteredMemory`].
    pub fn into_iovas(mut self) -> Iovas {
        self.space = None;
        self.iovas
    }

    /// Unmaps it, and says if that failed, which dropping cannot.
    ///
    /// # Errors
    ///
    /// As [`AuxSpace::unmap`].
    pub fn unmap(mut self) -> Result<()> {
        match self.space.take() {
            Some(space) => space.unmap(self.iovas).map(drop),
            None => Ok(()),
        }
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        if let Some(space) = self.space.take() {
            // It fails if the space went with its container, or if this is a forked child, whose
            // space it is not. Nothing is left to do in either case.
            let _ = space.unmap(self.iovas);
        }
    }
}
