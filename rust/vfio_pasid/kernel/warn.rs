// SPDX-License-Identifier: GPL-2.0-only

//! Warnings about other modules' mistakes.

extern "C" {
    fn vfio_pasid_helper_warn_not_attached();
}

/// `WARN_ONCE`: someone detached what is not attached.
pub(crate) fn warn_not_attached() {
    // SAFETY: No preconditions.
    unsafe { vfio_pasid_helper_warn_not_attached() }
}
