// SPDX-License-Identifier: GPL-2.0-only

//! The calling process's address space, bound to devices (`drivers/iommu/iommu-sva.c`).

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::c_int,
    prelude::*, //
};

use super::{device::GroupDevice, errno::eopnotsupp, trace, vfio::PinnedDevice};

#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_sva_driver(dev: *mut bindings::device) -> bool;
    fn vfio_pasid_helper_walks_processes(dev: *mut bindings::device) -> c_int;
    fn vfio_pasid_helper_sva_process() -> bool;
    fn vfio_pasid_helper_sva_pasid() -> u32;
    fn vfio_pasid_helper_sva_bind(dev: *mut bindings::device) -> *mut bindings::iommu_sva;
    fn vfio_pasid_helper_sva_unbind(sva: NonNull<bindings::iommu_sva>);
}

impl GroupDevice<'_> {
    /// Whether the IOMMU of the device, which has PASIDs, can walk the tables of a process, and
    /// forget what it found there.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn walks_processes(self) -> Result<bool> {
        // SAFETY: By the type invariant; what has PASIDs has an IOMMU.
        if !unsafe { vfio_pasid_helper_sva_driver(self.as_ptr()) } {
            return Ok(false);
        }
        // SAFETY: As above.
        match unsafe { vfio_pasid_helper_walks_processes(self.as_ptr()) } {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ENOMEM),
        }
    }
}

/// Whether devices can use the addresses of the calling process as they are: not with linear address
/// masking (`arch_pgtable_dma_compat()`).
pub(crate) fn process_can_be_bound() -> bool {
    // SAFETY: System calls are made by processes, which have an `mm`.
    unsafe { vfio_pasid_helper_sva_process() }
}

/// The SVA PASID of the calling process, which it keeps; `None` before it was bound first.
pub(crate) fn process_pasid() -> Option<u32> {
    // SAFETY: As above.
    let pasid = unsafe { vfio_pasid_helper_sva_pasid() };
    (pasid != bindings::IOMMU_PASID_INVALID as u32).then_some(pasid)
}

/// A process, bound to a device of VFIO's: under the process's SVA PASID, the device uses its
/// addresses. Dropping it unbinds and flushes before it returns.
///
/// Both ends take the machine-wide `iommu_sva_lock`, whose holder may wait for the `mmap_lock` of
/// its own process, or where devices have PRI for page faults of any.
///
/// # Invariants
///
/// Holds a reference of `iommu_sva_bind_device()` for the device.
pub(crate) struct Bond {
    sva: NonNull<bindings::iommu_sva>,
    pasid: u32,
    device: PinnedDevice,
}

// SAFETY: Unbinding may happen on any thread.
unsafe impl Send for Bond {}
// SAFETY: There is nothing to do with a shared one.
unsafe impl Sync for Bond {}

impl Bond {
    /// Binds the calling process to `device`, whose IOMMU can walk its tables.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the device or the process is not fit for it; `ERANGE` if the process's PASID
    /// is wider than the device can use; `EBUSY` if it is taken on the device's group, or the device
    /// is being reset; `ENOSPC` if the host has no number left that the device can use; `EINTR` if
    /// a signal came first; `ENOMEM`.
    pub(crate) fn new(device: PinnedDevice) -> Result<Self> {
        if !process_can_be_bound() {
            return Err(eopnotsupp());
        }
        // SAFETY: The device is pinned, so it stays in its group. The caller's `mm` is in use.
        let sva = from_err_ptr(unsafe { vfio_pasid_helper_sva_bind(device.device().as_ptr()) })
            .map_err(|error| match error {
                // Of VT-d, which says so when it has no memory for a table.
                ENODEV => ENOMEM,
                EINVAL => eopnotsupp(),
                EOVERFLOW => ERANGE,
                other => other,
            })?;
        // INVARIANT: That reference. Its number is there before `sva` is.
        let bond = Self {
            sva: NonNull::new(sva).ok_or(ENOMEM)?,
            pasid: process_pasid().ok_or(ENOMEM)?,
            device,
        };
        // SAFETY: The device is pinned.
        unsafe { trace::attach(bond.device.device().as_non_null(), bond.pasid) };
        Ok(bond)
    }

    /// The PASID.
    pub(crate) fn pasid(&self) -> u32 {
        self.pasid
    }

    /// The device.
    pub(crate) fn device(&self) -> &PinnedDevice {
        &self.device
    }
}

impl Drop for Bond {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { vfio_pasid_helper_sva_unbind(self.sva) };
        // SAFETY: The device is pinned.
        unsafe { trace::detach(self.device.device().as_non_null(), self.pasid) };
    }
}
