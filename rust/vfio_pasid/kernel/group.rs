// SPDX-License-Identifier: GPL-2.0-only

//! IOMMU groups, and what their devices can do with PASIDs.

use core::ptr::NonNull;

use kernel::{
    bindings,
    ffi::{c_int, c_void}, //
};

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_to_pci_dev(dev: *mut bindings::device) -> *mut bindings::pci_dev;
}

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

    /// What the group's devices can do with PASIDs: of the PASID-capable one, if there is just
    /// one, since an aux space attaches to exactly one.
    pub(crate) fn pasid_support(&self) -> PasidSupport {
        let mut found = Found {
            devices: 0,
            support: PasidSupport::NONE,
        };
        // SAFETY: We hold a reference; the callback gets `found`, which outlives the call.
        unsafe {
            bindings::iommu_group_for_each_dev(
                self.0.as_ptr(),
                (&raw mut found).cast(),
                Some(look_at_device),
            )
        };
        match found.devices {
            1 => found.support,
            _ => PasidSupport::NONE,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::iommu_group_put(self.0.as_ptr()) };
    }
}

/// PASID support of a device.
#[derive(Clone, Copy)]
pub(crate) struct PasidSupport {
    /// Bits that a PASID may have; 0 without support.
    pub(crate) width: u32,
    /// Execute permission (PCIe 6.0, 7.8.9.2).
    pub(crate) exec: bool,
    /// Privileged mode.
    pub(crate) privileged: bool,
}

impl PasidSupport {
    /// No PASIDs.
    pub(crate) const NONE: Self = Self {
        width: 0,
        exec: false,
        privileged: false,
    };
}

struct Found {
    devices: u32,
    support: PasidSupport,
}

/// # Safety
///
/// `dev` is valid, in a group whose mutex is held, and `found` is a [`Found`].
unsafe extern "C" fn look_at_device(dev: *mut bindings::device, found: *mut c_void) -> c_int {
    // SAFETY: Any valid device will do.
    let pdev = unsafe { vfio_pasid_helper_to_pci_dev(dev) };
    if pdev.is_null() {
        return 0;
    }
    // SAFETY: A device of a group has its `dev_iommu` for as long as it is in the group. The
    // IOMMU driver sets both fields when it takes the device, before the device is in the group.
    let (max_pasids, enabled, features) = unsafe {
        (
            (*(*dev).iommu).max_pasids,
            (*pdev).pasid_enabled() != 0,
            u32::from((*pdev).pasid_features),
        )
    };
    // The IOMMU core accepts attachments to devices that fail either test, and programs nothing
    // (`iommu_attach_device_pasid()`) or what the device cannot use (`pci_enable_pasid()`).
    if max_pasids > 1 && enabled {
        // SAFETY: By the caller's promise.
        let found = unsafe { &mut *found.cast::<Found>() };
        found.devices += 1;
        found.support = PasidSupport {
            width: max_pasids.ilog2(),
            exec: features & bindings::PCI_PASID_CAP_EXEC != 0,
            privileged: features & bindings::PCI_PASID_CAP_PRIV != 0,
        };
    }
    0
}
