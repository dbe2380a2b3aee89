// SPDX-License-Identifier: GPL-2.0-only

//! The file in debugfs that tells who holds what. `records.c` has its operations, which the VFS
//! calls one at a time for each open file, and which call `exports.rs`.

extern "C" {
    fn vfio_pasid_records_create();
}

/// Creates the file, which goes with its folder, the module's. The module is initialised.
pub(crate) fn create() {
    // SAFETY: No preconditions.
    unsafe { vfio_pasid_records_create() }
}
