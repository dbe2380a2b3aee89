// SPDX-License-Identifier: GPL-2.0-only

//! Waiting for something to happen, killably, with no lock held.

use core::pin::Pin;

use kernel::{
    bindings,
    error::to_result,
    ffi::c_int,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full},
        LockClassKey, //
    },
    types::Opaque, //
};

extern "C" {
    fn vfio_pasid_helper_wait_killable(
        queue: *mut bindings::wait_queue_head,
        count: *const u64,
        seen: u64,
    ) -> c_int;
    fn vfio_pasid_helper_wake_all(queue: *mut bindings::wait_queue_head);
}

/// Something that happens again and again. Who waits first notes how often it has happened, then
/// looks whether there is anything to wait for: so nothing is missed in between.
#[pin_data]
pub(crate) struct Event {
    count: Atomic<u64>,
    #[pin]
    queue: Opaque<bindings::wait_queue_head>,
}

/// How often an [`Event`] had happened.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

// SAFETY: Wait queues may be used on any thread.
unsafe impl Send for Event {}
// SAFETY: A wait queue has a lock of its own; the count is atomic.
unsafe impl Sync for Event {}

impl Event {
    /// An event whose queue lockdep knows as `name`.
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            count: Atomic::new(0),
            // SAFETY: `slot` is valid for writes, and `name` and `key` are static.
            queue <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }

    /// How often it has happened so far.
    pub(crate) fn seen(&self) -> Seen {
        Seen(self.count.load(Acquire))
    }

    /// It happens.
    pub(crate) fn happen(&self) {
        self.count.fetch_add(1, Full);
        // SAFETY: Initialised by `new()`.
        unsafe { vfio_pasid_helper_wake_all(self.queue.get()) };
    }

    /// Waits until it has happened since `seen`.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal came first.
    pub(crate) fn wait_killable(&self, seen: Seen) -> Result {
        // SAFETY: Initialised by `new()`; the helper only reads the count, as atomics may be read.
        let result = unsafe {
            vfio_pasid_helper_wait_killable(
                self.queue.get(),
                (&raw const self.count).cast(),
                seen.0,
            )
        };
        to_result(result).map_err(|_| EINTR)
    }
}
