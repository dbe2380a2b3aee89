// SPDX-License-Identifier: GPL-2.0-only

//! Which limit a call has met, for the kernel's log: the caller gets no more than an errno.

use kernel::{page::PAGE_SHIFT, prelude::*};

use crate::{
    kernel::{
        device::DeviceName,
        log::{limit_met, Limit},
        params::PARAMETERS, //
    },
    pasid::in_use::HasPasids,
    vfio_mm::VfioMm, //
};

/// `ENOSPC` for want of a number: of the quota, or only of the range that was asked for?
pub(crate) fn no_pasid(vmm: &VfioMm, error: Error) {
    if is_final(vmm, error, ENOSPC) && vmm.pasids().held() >= vmm.pasids().quota() {
        limit_met(Limit::Quota, vmm.pasids().quota().into(), None);
    }
}

/// Nothing was attached to the device of that name.
pub(crate) fn not_attached(
    vmm: &VfioMm,
    error: Error,
    device: impl FnOnce() -> Option<DeviceName>,
) {
    if !is_final(vmm, error, ENOSPC) {
        return;
    }
    let (limit, value) = if vmm.pasids().attachment_count() >= vmm.pasids().quota() as usize {
        (Limit::OwnAttachments, vmm.pasids().quota())
    } else {
        (Limit::Attachments, PARAMETERS.get().attachment_limit)
    };
    limit_met(limit, value.into(), device());
}

/// `size` bytes were not registered.
pub(crate) fn not_registered(vmm: &VfioMm, error: Error, size: u64) {
    if is_final(vmm, error, ENOSPC) {
        limit_met(Limit::Regions, PARAMETERS.get().region_limit.into(), None);
    }
    if is_final(vmm, error, ENOMEM) {
        let pages = vmm.lockable_pages();
        if let Some(pages) = pages.filter(|pages| size >> PAGE_SHIFT > pages.left) {
            limit_met(Limit::LockedMemory, pages.limit << PAGE_SHIFT, None);
        }
    }
}

/// Nothing was mapped.
pub(crate) fn not_mapped(vmm: &VfioMm, error: Error) {
    let limit = PARAMETERS.get().mapping_limit;
    if is_final(vmm, error, ENOSPC) && vmm.memory().counts().1 >= limit {
        limit_met(Limit::Mappings, limit.into(), None);
    }
}

/// Whether the call has failed for it. While a closed container is being taken down, it waits and
/// is done again.
fn is_final(vmm: &VfioMm, error: Error, reason: Error) -> bool {
    error == reason && !vmm.is_closing()
}
