// SPDX-License-Identifier: GPL-2.0-only

//! VFIO devices.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::to_result,
    ffi::{c_int, c_uint, c_void},
    prelude::*,
    types::NotThreadSafe, //
};

use super::{device::GroupDevice, pci::PciDevice};

/// Only C looks into it. Named as there, because kCFI compares the types of functions by name.
#[allow(non_camel_case_types)]
#[repr(C)]
pub(crate) struct vfio_device {
    _opaque: [u8; 0],
}

#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_vfio_dev(device: *mut vfio_device) -> *mut bindings::device;
    fn vfio_pasid_helper_vfio_pin(device: *mut vfio_device) -> bool;
    fn vfio_pasid_helper_vfio_unpin(device: *mut vfio_device);
    fn vfio_pasid_helper_vfio_set_lock(device: *mut vfio_device) -> c_int;
    fn vfio_pasid_helper_vfio_set_unlock(device: *mut vfio_device);
    fn vfio_pasid_helper_vfio_set_find(
        device: *mut vfio_device,
        dev: *mut bindings::device,
    ) -> *mut vfio_device;
    fn vfio_pasid_helper_vfio_set_id(device: *mut vfio_device) -> *mut c_void;
    fn vfio_pasid_helper_vfio_index(device: *mut vfio_device) -> c_uint;
}

/// The address of what a device set was made of when its first device was bound: of the slot, if
/// that could be reset, or else of the bus, or of the device alone. It may be gone: to compare.
#[derive(Clone, Copy)]
pub(super) struct SetId(pub(super) usize);

/// Which device it is: for comparing, it keeps nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity(usize);

impl Identity {
    /// Not above any.
    pub(crate) const FIRST: Self = Self(0);

    /// Above this one, and not above any other that is.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// A device that VFIO keeps registered: its driver stays bound until this is dropped.
///
/// # Invariants
///
/// Holds a count on `vfio_device.refcount`, for which `vfio_unregister_group_dev()` waits.
#[derive(PartialEq)]
pub(crate) struct PinnedDevice(NonNull<vfio_device>);

// SAFETY: The count may be given back on any thread.
unsafe impl Send for PinnedDevice {}
// SAFETY: What we read through it does not change.
unsafe impl Sync for PinnedDevice {}

impl PinnedDevice {
    /// # Safety
    ///
    /// `device` is registered during the call.
    pub(crate) unsafe fn new(device: NonNull<vfio_device>) -> Self {
        // SAFETY: By the caller's promise the count is not 0.
        let pinned = unsafe { vfio_pasid_helper_vfio_pin(device.as_ptr()) };
        debug_assert!(pinned);
        // INVARIANT: That count.
        Self(device)
    }

    /// The device as the IOMMU core sees it.
    pub(crate) fn device(&self) -> GroupDevice<'_> {
        // SAFETY: The device is registered, and stays so for as long as `self` is borrowed; its
        // driver is bound, so it stays in its group.
        unsafe {
            let dev = vfio_pasid_helper_vfio_dev(self.0.as_ptr());
            GroupDevice::new(NonNull::new_unchecked(dev))
        }
    }

    /// A number above 0 that no other registered device has, and that it keeps while registered.
    pub(crate) fn id(&self) -> u32 {
        // SAFETY: The device is registered. Its index is from an IDA, so there is one above it.
        unsafe { vfio_pasid_helper_vfio_index(self.0.as_ptr()) + 1 }
    }

    /// What VFIO made the device's set of.
    pub(super) fn set_id(&self) -> SetId {
        // SAFETY: The device is registered, so it has a set.
        SetId(unsafe { vfio_pasid_helper_vfio_set_id(self.0.as_ptr()) }.addr())
    }

    /// Holds `dev_set->lock`, under which VFIO opens and closes the device.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal came first.
    pub(crate) fn lock_set(&self) -> Result<SetGuard<'_>> {
        // SAFETY: The device is registered, so it has a set.
        to_result(unsafe { vfio_pasid_helper_vfio_set_lock(self.0.as_ptr()) })?;
        // INVARIANT: Just locked.
        Ok(SetGuard {
            device: self,
            _not_send: NotThreadSafe,
        })
    }

    /// Who the device is, for as long as it is registered.
    pub(crate) fn identity(&self) -> Identity {
        Identity(self.0.addr().get())
    }

    /// For stock operations.
    pub(super) fn as_ptr(&self) -> *mut vfio_device {
        self.0.as_ptr()
    }
}

impl Clone for PinnedDevice {
    fn clone(&self) -> Self {
        // SAFETY: The device is registered for as long as `self` is.
        unsafe { Self::new(self.0) }
    }
}

impl Drop for PinnedDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { vfio_pasid_helper_vfio_unpin(self.0.as_ptr()) };
    }
}

/// Proof that `dev_set->lock` of a device is held.
///
/// # Invariants
///
/// This task holds it.
pub(crate) struct SetGuard<'a> {
    device: &'a PinnedDevice,
    _not_send: NotThreadSafe,
}

impl SetGuard<'_> {
    /// The member of the set that is `device`.
    pub(crate) fn find(&self, device: PciDevice<'_>) -> Option<PinnedDevice> {
        // SAFETY: The lock is held, which the list of members is walked under.
        let member =
            unsafe { vfio_pasid_helper_vfio_set_find(self.device.as_ptr(), device.as_device()) };
        // INVARIANT: The helper took the count.
        NonNull::new(member).map(PinnedDevice)
    }
}

impl Drop for SetGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { vfio_pasid_helper_vfio_set_unlock(self.device.as_ptr()) };
    }
}
