// SPDX-License-Identifier: GPL-2.0-only

//! The stock type1 behind a container.

use kernel::ffi::c_void;

/// `iommu_data` of the stock type1, from its `.open`, for its other operations.
#[derive(Clone, Copy)]
pub(crate) struct StockData(*mut c_void);

// SAFETY: Only stock operations look behind the pointer, and they do their own locking.
unsafe impl Send for StockData {}
// SAFETY: As above.
unsafe impl Sync for StockData {}

impl StockData {
    /// Wraps what the stock `.open` returned.
    pub(crate) fn new(data: *mut c_void) -> Self {
        Self(data)
    }

    /// The pointer that stock operations want.
    pub(crate) fn as_ptr(self) -> *mut c_void {
        self.0
    }
}
