// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Registered memory: what aux spaces can map.

use std::{os::fd::AsFd, sync::Arc};

use vm_memory::{bitmap::Bitmap, MmapRegion};

use crate::{container::Container, error::Result, sys, uapi};

/// Memory of this process that is registered with a container: pinned, and charged to the process's
/// locked memory (`RLIMIT_MEMLOCK`). [`crate::AuxSpace::map`] maps it.
///
/// It is unregistered when dropped. A [`crate::Mapping`] borrows it, so that does not happen while
/// it is mapped.
///
/// `B` is what the memory tracks dirty pages with, often `AtomicBitmap` (the feature
/// `backend-bitmap` of `vm-memory` has it). What devices write is not in there, because no IOMMU
/// tells of it. To migrate a guest, take all that is mapped with [`crate::Access::WRITE`] for
/// dirty.
#[derive(Debug)]
#[must_use = "dropping registered memory unregisters it"]
pub struct RegisteredMemory<B: Bitmap = ()> {
    container: Container,
    memory: Arc<MmapRegion<B>>,
    unregistered: bool,
}

impl<B: Bitmap> RegisteredMemory<B> {
    pub(crate) fn new(
        container: Container,
        memory: Arc<MmapRegion<B>>,
        read_only: bool,
    ) -> Result<Self> {
        let flags = if read_only {
            uapi::VFIO_MEMORY_READ_ONLY
        } else {
            0
        };
        let (vaddr, size) = range(&memory);
        sys::register_memory(container.as_fd(), flags, vaddr, size)?;
        Ok(Self {
            container,
            memory,
            unregistered: false,
        })
    }

    /// The memory. Devices may write it while it is mapped, so read it through
    /// [`vm_memory::VolatileMemory`], and take nothing in there for granted.
    pub fn memory(&self) -> &Arc<MmapRegion<B>> {
        &self.memory
    }

    /// Unregisters the memory, and says if that failed, which dropping cannot.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the registration went with its container; `EBUSY` if it is mapped beyond its
    /// [`crate::Mapping`] (see [`crate::Mapping::into_iovas`]); and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn unregister(mut self) -> Result<()> {
        self.unregistered = true;
        let (vaddr, size) = range(&self.memory);
        sys::unregister_memory(self.container.as_fd(), vaddr, size)
    }
}

impl<B: Bitmap> Drop for RegisteredMemory<B> {
    fn drop(&mut self) {
        if !self.unregistered {
            let (vaddr, size) = range(&self.memory);
            // It fails if the registration went with its container, or if this is a forked child,
            // whose registration it is not: then nothing is left to do. If it is mapped still, it
            // goes with the container; until then its pages are pinned, and harm nobody.
            let _ = sys::unregister_memory(self.container.as_fd(), vaddr, size);
        }
    }
}

/// Where `memory` starts, and its size in bytes.
fn range<B: Bitmap>(memory: &MmapRegion<B>) -> (u64, u64) {
    (memory.as_ptr() as u64, memory.size() as u64)
}
