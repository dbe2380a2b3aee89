// SPDX-License-Identifier: GPL-2.0-only

//! The stock type1 behind a container.

use kernel::{
    error::to_result,
    ffi::{c_int, c_void},
    prelude::*, //
};

use crate::window::Interval;

/// `struct vfio_pasid_own_space` of `container.h`, which documents it.
#[repr(C)]
#[derive(Default)]
struct RawOwnSpace {
    iova_start: u64,
    iova_last: u64,
    pgsize_bitmap: u64,
}

/// `struct vfio_pasid_own_space_ops` of `container.h`, which documents it.
#[repr(C)]
pub(crate) struct OwnSpaceOps {
    get: unsafe extern "C" fn(data: *mut c_void, space: *mut RawOwnSpace) -> c_int,
    narrow: unsafe extern "C" fn(data: *mut c_void, start: u64, last: u64) -> c_int,
}

/// The container's own address space, as the stock type1 keeps it.
pub(crate) struct OwnSpace {
    /// From the first to the last IO address that can be mapped.
    pub(crate) aperture: Interval,
    /// The page sizes that can be mapped, a bit for each.
    pub(crate) page_sizes: u64,
}

/// `iommu_data` of the stock type1, from its `.open`, for its other operations.
///
/// # Invariants
///
/// `data` is what the operations of `own_space` expect.
#[derive(Clone, Copy)]
pub(crate) struct StockData {
    data: *mut c_void,
    own_space: &'static OwnSpaceOps,
}

// SAFETY: Only stock operations look behind the pointer, and they do their own locking.
unsafe impl Send for StockData {}
// SAFETY: As above.
unsafe impl Sync for StockData {}

impl StockData {
    /// Wraps what the stock `.open` returned.
    ///
    /// # Safety
    ///
    /// `own_space` is for `data`, and `data` is not released while methods of this are called.
    pub(crate) unsafe fn new(data: *mut c_void, own_space: &'static OwnSpaceOps) -> Self {
        Self { data, own_space }
    }

    /// The pointer that stock operations want.
    pub(crate) fn as_ptr(self) -> *mut c_void {
        self.data
    }

    /// The container's own address space.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if it is not on an IOMMU, because all its groups are emulated.
    pub(crate) fn own_space(self) -> Result<OwnSpace> {
        let mut raw = RawOwnSpace::default();
        // SAFETY: By the type invariant.
        to_result(unsafe { (self.own_space.get)(self.data, &mut raw) })?;
        Ok(OwnSpace {
            aperture: Interval::new(raw.iova_start, raw.iova_last).ok_or(ERANGE)?,
            page_sizes: raw.pgsize_bitmap,
        })
    }

    /// Takes everything outside of `window` from the container's own address space.
    ///
    /// # Errors
    ///
    /// `EBUSY` if something outside is mapped; `ERANGE` if nothing would be left.
    pub(crate) fn narrow(self, window: Interval) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { (self.own_space.narrow)(self.data, window.start(), window.last()) })
    }
}
