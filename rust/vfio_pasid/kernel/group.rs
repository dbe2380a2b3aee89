// SPDX-License-Identifier: GPL-2.0-only

//! IOMMU groups.

use core::ptr::NonNull;

use kernel::{
    bindings,
    ffi::{c_int, c_void}, //
};

use super::device::{GroupDevice, PasidSupport};

/// A reference to an IOMMU group.
///
/// # Invariants
///
/// Holds one reference of `iommu_group_ref_get()`.
#[derive(PartialEq)]
pub(crate) struct Group(NonNull<bindings::iommu_group>);

// SAFETY: The reference may be given back on any thread.
unsafe impl Send for Group {}
// SAFETY: The group's own mutex guards what we read through it; its number never changes.
unsafe impl Sync for Group {}

impl Group {
    /// Takes a reference.
    ///
    /// # Safety
    ///
    /// `group` is valid during the call.
    pub(crate) unsafe fn get(group: *mut bindings::iommu_group) -> Self {
        // SAFETY: The caller's group is valid; the function returns its argument.
        // INVARIANT: This is the reference.
        Self(unsafe { NonNull::new_unchecked(bindings::iommu_group_ref_get(group)) })
    }

    /// The number that user space knows the group by (`/dev/vfio/N`).
    pub(crate) fn number(&self) -> u32 {
        // SAFETY: We hold a reference. Numbers come from an IDA and are not negative.
        unsafe { bindings::iommu_group_id(self.0.as_ptr()) as u32 }
    }

    /// Whether `device` is in this group.
    pub(crate) fn has(&self, device: GroupDevice<'_>) -> bool {
        device.is_in(self.0.as_ptr())
    }

    /// Calls `look` for each device of the group while none can leave. Takes the group's mutex.
    fn for_each_device<F: FnMut(GroupDevice<'_>)>(&self, mut look: F) {
        /// # Safety
        ///
        /// `dev` is valid, in a group whose mutex is held, and `look` points to an `F`.
        unsafe extern "C" fn call<F: FnMut(GroupDevice<'_>)>(
            dev: *mut bindings::device,
            look: *mut c_void,
        ) -> c_int {
            // SAFETY: By the caller's promise; devices leave the group under its mutex.
            let (look, device) = unsafe {
                let dev = NonNull::new_unchecked(dev);
                (&mut *look.cast::<F>(), GroupDevice::new(dev))
            };
            look(device);
            0
        }
        // SAFETY: We hold a reference, and `look` outlives the call.
        unsafe {
            bindings::iommu_group_for_each_dev(
                self.0.as_ptr(),
                (&raw mut look).cast(),
                Some(call::<F>),
            )
        };
    }

    /// Calls `look` for the PASID-capable device of the group, if there is exactly one: the core
    /// attaches a PASID to all devices of a group, and an aux space is of one. The group's mutex
    /// is held: `look` must not take it.
    pub(crate) fn with_pasid_device<T>(
        &self,
        look: impl FnOnce(GroupDevice<'_>, PasidSupport) -> T,
    ) -> Option<T> {
        self.pasid_support()?;
        let mut look = Some(look);
        let mut result = None;
        self.for_each_device(|device| {
            if let Some(support) = device.pasid_support() {
                result = look.take().map(|look| look(device, support));
            }
        });
        result
    }

    /// What the one PASID-capable device of the group can do.
    pub(crate) fn pasid_support(&self) -> Option<PasidSupport> {
        let (mut capable, mut found) = (0, None);
        self.for_each_device(|device| {
            let support = device.pasid_support();
            capable += u32::from(support.is_some());
            found = support.or(found);
        });
        found.filter(|_| capable == 1)
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::iommu_group {
        self.0.as_ptr()
    }
}

impl Clone for Group {
    fn clone(&self) -> Self {
        // SAFETY: The group is valid for as long as `self` is.
        unsafe { Self::get(self.as_ptr()) }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::iommu_group_put(self.0.as_ptr()) };
    }
}

impl GroupDevice<'_> {
    /// Its group.
    pub(crate) fn group(self) -> Group {
        // SAFETY: By the type invariant; the field does not change while the device is in a group.
        unsafe { Group::get((*self.as_ptr()).iommu_group) }
    }
}
