// SPDX-License-Identifier: GPL-2.0-only

//! Rate-limited messages about limits: who has met one can do so as often as he likes.

use core::ptr::null;

use kernel::{
    bindings,
    ffi::{c_char, c_ulong},
    mm::Mm,
    prelude::*, //
};

use super::device::DeviceName;

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_limit_met(
        kind: u32,
        limit: *const c_char,
        value: u64,
        device: *const u8,
        len: usize,
    );
    fn vfio_pasid_helper_lockable_pages(
        mm: *mut bindings::mm_struct,
        limit: *mut c_ulong,
        left: *mut c_ulong,
    ) -> bool;
}

/// A limit, with the name of the parameter that sets it.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// PASIDs of a process.
    Quota,
    /// Attachments of a process.
    OwnAttachments,
    /// Attachments of all processes.
    Attachments,
    /// Ranges of memory of a process.
    Regions,
    /// Mappings of a process.
    Mappings,
    /// Locked memory of a process, in pages.
    LockedMemory,
}

impl Limit {
    /// What it is called.
    fn name(self) -> &'static CStr {
        match self {
            Self::Quota | Self::OwnAttachments => c"pasid_quota",
            Self::Attachments => c"attachment_limit",
            Self::Regions => c"region_limit",
            Self::Mappings => c"mapping_limit",
            Self::LockedMemory => c"RLIMIT_MEMLOCK",
        }
    }
}

/// Says that the calling process has met `limit`, which is `value`, where it wanted to use
/// `device`. Each limit has a rate of its own.
pub(crate) fn limit_met(limit: Limit, value: u64, device: Option<DeviceName>) {
    let device = device.as_ref().map_or(&[][..], DeviceName::bytes);
    let pointer = if device.is_empty() {
        null()
    } else {
        device.as_ptr()
    };
    // SAFETY: The name is static, and `device` has so many bytes.
    unsafe {
        vfio_pasid_helper_limit_met(
            limit as u32,
            limit.name().as_char_ptr(),
            value,
            pointer,
            device.len(),
        )
    }
}

/// How many pages a process may have locked, and how many more that are now.
#[derive(Clone, Copy)]
pub(crate) struct LockablePages {
    pub(crate) limit: u64,
    pub(crate) left: u64,
}

/// What the calling process, which has `mm`, may have locked; `None` if there is no limit for it.
pub(crate) fn lockable_pages(mm: &Mm) -> Option<LockablePages> {
    let (mut limit, mut left) = (0, 0);
    // SAFETY: `mm` is grabbed, and what is read needs no more; the others outlive the call.
    let limited = unsafe { vfio_pasid_helper_lockable_pages(mm.as_raw(), &mut limit, &mut left) };
    limited.then_some(LockablePages {
        limit: limit as u64,
        left: left as u64,
    })
}
