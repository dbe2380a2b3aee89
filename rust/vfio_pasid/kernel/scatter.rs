// SPDX-License-Identifier: GPL-2.0-only

//! Memory in pieces, of which the IOMMU core maps and flushes many at once.

use core::{
    cmp::min,
    mem::size_of, //
};

use kernel::{
    bindings,
    error::to_result,
    ffi::{c_int, c_uint, c_ulong},
    prelude::*, //
};

#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_sg_set(sg: *mut bindings::scatterlist, phys: u64, size: c_uint);
}

/// Pieces of physical memory.
///
/// # Invariants
///
/// The first `used` entries are pieces.
pub(super) struct ScatterList {
    entries: KVVec<bindings::scatterlist>,
    used: usize,
}

impl ScatterList {
    /// How many pieces a list has at most, which makes it 64 KiB.
    const ROOM: usize = (64 << 10) / size_of::<bindings::scatterlist>();

    /// An empty list, with room for `pieces` or as many as there may be.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(pieces: usize) -> Result<Self> {
        let room = min(pieces, Self::ROOM);
        let mut entries: KVVec<bindings::scatterlist> =
            KVVec::with_capacity(room, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: There is room for so many entries, and this initialises them.
        unsafe {
            bindings::sg_init_table(entries.as_mut_ptr(), room as c_uint);
            entries.inc_len(room);
        }
        // INVARIANT: None is used.
        Ok(Self { entries, used: 0 })
    }

    /// Whether there is no room for another piece.
    pub(super) fn is_full(&self) -> bool {
        self.used == self.entries.len()
    }

    /// Adds a piece, for which there is room: `size` bytes, less than 4 GiB, from the physical
    /// address `phys` on, which is page-aligned.
    pub(super) fn add(&mut self, phys: u64, size: u64) {
        let entry = &mut self.entries[self.used];
        // SAFETY: The entry is initialised.
        unsafe { vfio_pasid_helper_sg_set(entry, phys, size as c_uint) };
        // INVARIANT: One more is used.
        self.used += 1;
    }

    /// Maps all of it to `iova`, flushes once what the IOMMU may know of that, and empties the list.
    /// Returns how many bytes it had.
    ///
    /// # Errors
    ///
    /// Those of `iommu_map_sg()`; then nothing of it is mapped.
    ///
    /// # Safety
    ///
    /// `domain` is valid, nothing is mapped where this is to be, and the memory is pinned for as
    /// long as it is mapped.
    pub(super) unsafe fn map(
        &mut self,
        domain: *mut bindings::iommu_domain,
        iova: u64,
        prot: c_int,
    ) -> Result<u64> {
        if self.used == 0 {
            return Ok(0);
        }
        // SAFETY: By the caller's promise and the type invariant.
        let mapped = unsafe {
            bindings::iommu_map_sg(
                domain,
                iova as c_ulong,
                self.entries.as_mut_ptr(),
                self.used as c_uint,
                prot,
                bindings::GFP_KERNEL_ACCOUNT,
            )
        };
        // INVARIANT: None is used any more.
        self.used = 0;
        to_result(min(mapped, 0) as c_int)?;
        Ok(mapped as u64)
    }
}
