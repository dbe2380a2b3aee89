// SPDX-License-Identifier: GPL-2.0-only

//! What devices may do.

use kernel::{bindings, ffi::c_int};

/// What a device may do with what is mapped: at least one of the two. First-stage tables cannot
/// say that it may only write.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Access {
    /// As `IOMMU_READ` and `IOMMU_WRITE`.
    pub(super) fn prot(self) -> c_int {
        let read = if self.read { bindings::IOMMU_READ } else { 0 };
        let write = if self.write { bindings::IOMMU_WRITE } else { 0 };
        (read | write) as c_int
    }

    /// The same, of memory that is cacheable, as that of processes is.
    pub(super) fn cacheable(self) -> c_int {
        self.prot() | bindings::IOMMU_CACHE as c_int
    }
}
