// SPDX-License-Identifier: GPL-2.0-only

//! Warnings about mistakes of others.

extern "C" {
    fn vfio_pasid_helper_warn_not_attached();
    fn vfio_pasid_helper_warn_short_unmap();
}

/// `WARN_ONCE`: someone detached what is not attached.
pub(crate) fn warn_not_attached() {
    // SAFETY: No preconditions.
    unsafe { vfio_pasid_helper_warn_not_attached() }
}

/// `WARN_ONCE`: an IOMMU driver unmapped less than it was asked to.
pub(crate) fn warn_short_unmap() {
    // SAFETY: No preconditions.
    unsafe { vfio_pasid_helper_warn_short_unmap() }
}
