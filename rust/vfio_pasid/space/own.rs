// SPDX-License-Identifier: GPL-2.0-only

//! Registered memory in a container's own IO address space. Its mappings are the stock type1's:
//! in its list, under its lock, mapped, replayed and unmapped by it. What they have from here is
//! the pages, and the registered range counts them.

use core::num::NonZeroU32;

use kernel::{
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
    sync::atomic::Atomic, //
};

use crate::{
    counters::CountedMapping,
    interval::Interval,
    kernel::{
        abi::VFIO_AUX_OWN_SPACE,
        access::Access,
        sched::{cond_resched, fatal_signal_pending},
        trace, //
    },
    memory::of_container::MappedMemory, //
};

/// What one step never crosses a multiple of, in bytes: the largest page of a VT-d, whose flushes
/// cover no more (see `Domain::block()`). Signals are looked at that often.
const BLOCK: u64 = 1 << 30;

/// The name of a space in an ioctl.
#[derive(Clone, Copy)]
pub(crate) enum SpaceName {
    /// The container's own space, which devices address by requests without a PASID.
    Own,
    /// An aux space.
    Aux(NonZeroU32),
}

impl SpaceName {
    /// From the `pasid` of an ioctl.
    pub(crate) fn new(pasid: u32) -> Self {
        NonZeroU32::new(pasid).map_or(Self::Own, Self::Aux)
    }

    /// The PASID, where only an aux space will do.
    ///
    /// # Errors
    ///
    /// `EINVAL` for the container's own space.
    pub(crate) fn aux(self) -> Result<u32> {
        match self {
            Self::Own => Err(EINVAL),
            Self::Aux(pasid) => Ok(pasid.get()),
        }
    }
}

/// A mapping of registered memory in the own space. Stock code has it from when it was mapped until
/// it is gone, whoever unmapped it.
///
/// The fields are dropped in this order: the range counts it until nothing is left of it.
pub(crate) struct OwnMapping {
    iova: Interval,
    vaddr: u64,
    access: Access,
    /// See [`PinnedPages::pin_again`].
    near: Atomic<usize>,
    _counted: CountedMapping,
    memory: MappedMemory,
}

impl OwnMapping {
    /// Of `iova` to the memory at `vaddr`, of which `memory` has enough.
    ///
    /// # Errors
    ///
    /// `EACCES` if `access` is to write and the pages are not; `ENOMEM`.
    pub(crate) fn new(
        iova: Interval,
        vaddr: u64,
        access: Access,
        memory: MappedMemory,
    ) -> Result<KBox<Self>> {
        let (pages, _) = memory.pages(vaddr).ok_or(ENOENT)?;
        if access.write && !pages.writable() {
            return Err(EACCES);
        }
        Ok(KBox::new(
            Self {
                iova,
                vaddr,
                access,
                near: Atomic::new(0),
                _counted: CountedMapping::new(),
                memory,
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// The IO addresses.
    pub(crate) fn iova(&self) -> Interval {
        self.iova
    }

    /// The virtual address that the first of them was mapped to.
    pub(crate) fn vaddr(&self) -> u64 {
        self.vaddr
    }

    /// What the device may do.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// It is mapped.
    pub(crate) fn mapped(&self) {
        trace::map(VFIO_AUX_OWN_SPACE, self.iova, self.access);
    }

    /// It was unmapped. Called with stock's `iommu->lock`. The range that it is of is the
    /// container's, which outlives it, so that nothing is unpinned here: the last group has left
    /// before the container lets go of its ranges, and stock code then has no mapping any more.
    pub(crate) fn unmapped(self) {
        trace::unmap(VFIO_AUX_OWN_SPACE, self.iova, self.access);
    }

    /// Pins once more what is to be mapped `done` bytes behind the first: what follows each other
    /// in memory, at most `npage` pages, and within a block. Returns the first page's number, and
    /// how many; stock code unpins them. Called with `iommu->lock`, and waits for nothing: what is
    /// registered is there. Gives way.
    ///
    /// # Errors
    ///
    /// `EINTR` at a fatal signal; those of [`PinnedPages::pin_again`].
    pub(crate) fn pin(&self, done: u64, npage: usize) -> Result<(usize, usize)> {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        cond_resched();
        let rest = Interval::sized(self.iova.start() + done, (npage as u64) << PAGE_SHIFT)?;
        let block = rest.blocks(BLOCK).next().ok_or(EINVAL)?;
        let (pages, offset) = self.memory.pages(self.vaddr + done).ok_or(ENOENT)?;
        pages.pin_again(&self.near, offset, block.size())
    }
}

/// Whether all of them begin and end on page boundaries.
///
/// # Errors
///
/// `EINVAL` if not.
pub(crate) fn check_alignment(ranges: &[Interval]) -> Result {
    let page = PAGE_SIZE as u64;
    if ranges.iter().all(|range| range.is_aligned(page)) {
        Ok(())
    } else {
        Err(EINVAL)
    }
}
