// SPDX-License-Identifier: GPL-2.0-only

//! A workqueue of the module's own, for what takes too long for VFIO's callbacks.

use core::ptr::NonNull;

use kernel::{
    bindings,
    prelude::*,
    workqueue::Queue, //
};

use super::global::Global;

extern "C" {
    fn vfio_pasid_helper_alloc_workqueue() -> *mut bindings::workqueue_struct;
}

/// A workqueue.
///
/// # Invariants
///
/// The queue is valid until this is dropped.
pub(crate) struct Workqueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used on any thread.
unsafe impl Send for Workqueue {}
// SAFETY: They have locks of their own.
unsafe impl Sync for Workqueue {}

/// That of the loaded module: for what takes too long for VFIO's callbacks.
pub(crate) static WORKQUEUE: Global<Workqueue> = Global::new();

impl Workqueue {
    /// An empty queue, whose works run beside each other.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: No preconditions.
        let queue = unsafe { vfio_pasid_helper_alloc_workqueue() };
        // INVARIANT: Just allocated.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }

    /// For enqueueing.
    pub(crate) fn queue(&self) -> &Queue {
        // SAFETY: By the type invariant, for as long as `self` is borrowed.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }

    /// Waits until nothing is queued or runs any more.
    pub(crate) fn drain(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::drain_workqueue(self.0.as_ptr()) };
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
