// SPDX-License-Identifier: GPL-2.0-only

//! Devices as the IOMMU core sees them.

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{
    bindings,
    ffi::c_long,
    prelude::*, //
};

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_to_pci_dev(dev: *mut bindings::device) -> *mut bindings::pci_dev;
    fn vfio_pasid_helper_domain_ids(dev: *mut bindings::device) -> c_long;
    fn vfio_pasid_helper_dev_name(dev: *mut bindings::device, name: *mut u8, room: usize) -> usize;
}

/// A device that stays in its IOMMU group for `'a`.
///
/// # Invariants
///
/// The device is valid and has an IOMMU group for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct GroupDevice<'a>(NonNull<bindings::device>, PhantomData<&'a ()>);

impl GroupDevice<'_> {
    /// # Safety
    ///
    /// The device stays valid and in its group for as long as the caller chooses `'a`: its group's
    /// mutex is held, or its driver cannot be unbound.
    pub(crate) unsafe fn new(dev: NonNull<bindings::device>) -> Self {
        // INVARIANT: By the caller's promise.
        Self(dev, PhantomData)
    }

    pub(super) fn as_ptr(self) -> *mut bindings::device {
        self.0.as_ptr()
    }

    pub(super) fn as_non_null(self) -> NonNull<bindings::device> {
        self.0
    }

    /// What the device is called in sysfs, such as `0000:00:12.0`.
    pub(crate) fn name(self) -> DeviceName {
        let mut name = [0; DEVICE_NAME];
        // SAFETY: By the type invariant; there is room for so many bytes.
        let len =
            unsafe { vfio_pasid_helper_dev_name(self.as_ptr(), name.as_mut_ptr(), name.len()) };
        DeviceName { name, len }
    }

    /// Whether the device is in the group at `group`.
    pub(super) fn is_in(self, group: *mut bindings::iommu_group) -> bool {
        // SAFETY: By the type invariant; the field does not change while the device is in a group.
        unsafe { (*self.as_ptr()).iommu_group == group }
    }

    /// What the device can do with PASIDs; `None` if nothing.
    ///
    /// The IOMMU core accepts attachments to devices that fail either test below, and programs
    /// nothing (`iommu_attach_device_pasid()`), or what the device cannot use
    /// (`pci_enable_pasid()`).
    pub(crate) fn pasid_support(self) -> Option<PasidSupport> {
        // SAFETY: Any valid device will do.
        let pdev = unsafe { vfio_pasid_helper_to_pci_dev(self.as_ptr()) };
        if pdev.is_null() {
            return None;
        }
        // SAFETY: A device in a group has a `dev_iommu`, unless the group is one without an IOMMU.
        // Its IOMMU driver sets all fields before it lets the device into the group.
        let (max_pasids, enabled, features, ats, pri) = unsafe {
            let iommu = (*self.as_ptr()).iommu;
            if iommu.is_null() {
                return None;
            }
            (
                (*iommu).max_pasids,
                (*pdev).pasid_enabled() != 0,
                u32::from((*pdev).pasid_features),
                (*pdev).ats_enabled() != 0,
                (*pdev).pri_enabled() != 0,
            )
        };
        (max_pasids > 1 && enabled).then(|| PasidSupport {
            width: max_pasids.ilog2(),
            exec: features & bindings::PCI_PASID_CAP_EXEC != 0,
            privileged: features & bindings::PCI_PASID_CAP_PRIV != 0,
            ats,
            pri,
        })
    }

    /// How many domain ids the device's IOMMU has; `None` if its driver does not say.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn domain_ids(self) -> Result<Option<usize>> {
        // SAFETY: By the type invariant; what has PASIDs has an IOMMU.
        match unsafe { vfio_pasid_helper_domain_ids(self.as_ptr()) } {
            0 => Ok(None),
            ids => usize::try_from(ids).map(Some).map_err(|_| ENOMEM),
        }
    }

    /// Whether the IOMMU can make all of the device's accesses coherent.
    pub(crate) fn is_coherent(self) -> bool {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::device_iommu_capable(
                self.as_ptr(),
                bindings::iommu_cap_IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
            )
        }
    }
}

/// Bytes of a device's name; what is longer is cut.
const DEVICE_NAME: usize = 64;

/// What a device is called.
#[derive(Clone, Copy)]
pub(crate) struct DeviceName {
    name: [u8; DEVICE_NAME],
    len: usize,
}

impl DeviceName {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.name[..self.len]
    }
}

/// PASID support of a device.
#[derive(Clone, Copy)]
pub(crate) struct PasidSupport {
    /// Bits that a PASID may have, at least 1.
    pub(crate) width: u32,
    /// Execute permission (PCIe 6.0, 7.8.9.2).
    pub(crate) exec: bool,
    /// Privileged mode.
    pub(crate) privileged: bool,
    /// The IOMMU driver lets it ask for translations, and keep them.
    pub(crate) ats: bool,
    /// The IOMMU driver lets it ask for pages.
    pub(crate) pri: bool,
}
