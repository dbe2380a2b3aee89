// SPDX-License-Identifier: GPL-2.0-only

//! The tracepoints; `include/trace/events/vfio_pasid.h` documents them.

use core::ptr::NonNull;

use kernel::bindings;

use super::access::Access;
use crate::interval::Interval;

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_trace_pin(vaddr: u64, size: u64, writable: bool);
    fn vfio_pasid_helper_trace_unpin(vaddr: u64, size: u64, writable: bool);
    fn vfio_pasid_helper_trace_register(vaddr: u64, size: u64, writable: bool);
    fn vfio_pasid_helper_trace_unregister(vaddr: u64, size: u64, writable: bool);
    fn vfio_pasid_helper_trace_map(pasid: u32, iova: u64, size: u64, read: bool, write: bool);
    fn vfio_pasid_helper_trace_unmap(pasid: u32, iova: u64, size: u64, read: bool, write: bool);
    fn vfio_pasid_helper_trace_attach(dev: NonNull<bindings::device>, pasid: u32);
    fn vfio_pasid_helper_trace_detach(dev: NonNull<bindings::device>, pasid: u32);
}

macro_rules! memory_event {
    ($(#[$doc:meta])* $name:ident, $helper:ident) => {
        $(#[$doc])*
        pub(crate) fn $name(range: Interval, writable: bool) {
            // SAFETY: A tracepoint takes any numbers.
            unsafe { $helper(range.start(), range.size(), writable) }
        }
    };
}

memory_event!(
    /// The pages of a range were pinned.
    pin,
    vfio_pasid_helper_trace_pin
);
memory_event!(
    /// They were unpinned.
    unpin,
    vfio_pasid_helper_trace_unpin
);
memory_event!(
    /// A container holds a range now.
    register,
    vfio_pasid_helper_trace_register
);
memory_event!(
    /// It lets go of it.
    unregister,
    vfio_pasid_helper_trace_unregister
);

/// IO addresses of the aux space `pasid` were mapped.
pub(crate) fn map(pasid: u32, iova: Interval, access: Access) {
    // SAFETY: A tracepoint takes any numbers.
    unsafe {
        vfio_pasid_helper_trace_map(pasid, iova.start(), iova.size(), access.read, access.write)
    }
}

/// They were unmapped, and flushed.
pub(crate) fn unmap(pasid: u32, iova: Interval, access: Access) {
    // SAFETY: A tracepoint takes any numbers.
    unsafe {
        vfio_pasid_helper_trace_unmap(pasid, iova.start(), iova.size(), access.read, access.write)
    }
}

/// A domain was attached under a PASID.
///
/// # Safety
///
/// `dev` is a valid device.
pub(crate) unsafe fn attach(dev: NonNull<bindings::device>, pasid: u32) {
    // SAFETY: By the caller's promise.
    unsafe { vfio_pasid_helper_trace_attach(dev, pasid) }
}

/// It was detached, and flushed.
///
/// # Safety
///
/// As [`attach`].
pub(crate) unsafe fn detach(dev: NonNull<bindings::device>, pasid: u32) {
    // SAFETY: By the caller's promise.
    unsafe { vfio_pasid_helper_trace_detach(dev, pasid) }
}
