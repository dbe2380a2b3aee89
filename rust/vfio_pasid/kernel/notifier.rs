// SPDX-License-Identifier: GPL-2.0-only

//! Being told that a process may have other pages in a range than before.

use kernel::{
    bindings,
    current,
    error::to_result,
    ffi::c_ulong,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    types::Opaque, //
};

use crate::interval::Interval;

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_interval_set_seq(sub: *mut bindings::mmu_interval_notifier, seq: c_ulong);
    fn vfio_pasid_helper_interval_check_retry(
        sub: *mut bindings::mmu_interval_notifier,
        seq: c_ulong,
    ) -> bool;
}

/// The kernel's own sequences are odd.
const NEVER: c_ulong = 0;

static OPS: bindings::mmu_interval_notifier_ops = bindings::mmu_interval_notifier_ops {
    invalidate: Some(invalidate),
    ..pin_init::zeroed()
};

/// Called before page tables change in a range that is watched; also in contexts that must not
/// sleep, and when the process ends. It notes that, and never refuses.
///
/// # Safety
///
/// `sub` is inserted.
unsafe extern "C" fn invalidate(
    sub: *mut bindings::mmu_interval_notifier,
    _range: *const bindings::mmu_notifier_range,
    seq: c_ulong,
) -> bool {
    // SAFETY: By the caller's promise. What is set is only read by the kernel, and by a `Watch`,
    // with `READ_ONCE()`.
    unsafe { vfio_pasid_helper_interval_set_seq(sub, seq) };
    true
}

/// A range of a process that is watched until this is dropped, which must be with no lock held
/// that a change of page tables could wait for. New, or after page tables have changed in it, the
/// range is suspect: that is all the kernel says. Also `fork()`, the collapse and split of large
/// pages, migration and `mprotect()` change page tables, and leave the same pages there.
///
/// # Invariants
///
/// `notifier` is inserted.
#[pin_data(PinnedDrop)]
pub(crate) struct Watch {
    /// The notifier's sequence before the last look at the pages that found what it should.
    looked: Atomic<c_ulong>,
    #[pin]
    notifier: Opaque<bindings::mmu_interval_notifier>,
}

// SAFETY: A notifier may be removed on any thread.
unsafe impl Send for Watch {}
// SAFETY: The kernel has a lock for what it changes in the notifier; what is read is atomic.
unsafe impl Sync for Watch {}

/// What a [`Watch`] had noted before a look at the pages.
#[derive(Clone, Copy)]
pub(crate) struct Sequence(c_ulong);

impl Watch {
    /// Watches `range` of the calling thread, whatever is there. May take its `mmap_lock`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if a signal came, which ends the first time that anything of a process is
    /// watched; `ESRCH` for a kernel thread.
    pub(crate) fn new(range: Interval) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            looked: Atomic::new(NEVER),
            // INVARIANT: The last that can fail, and then nothing is inserted.
            notifier <- Opaque::try_ffi_init(|slot| {
                let task = current!();
                let mm = task.mm().ok_or(ESRCH)?;
                // SAFETY: `slot` stays where it is until it is removed by dropping. The calling
                // thread is a user of `mm`. It takes the reference to it that removing needs.
                to_result(unsafe {
                    bindings::mmu_interval_notifier_insert(
                        slot,
                        mm.as_raw(),
                        range.start() as c_ulong,
                        range.size() as c_ulong,
                        &OPS,
                    )
                })
            }),
        }? Error)
    }

    /// Before a look at the pages. Waits until page tables do not change just now: they do so
    /// after it is noted.
    pub(crate) fn before_look(&self) -> Sequence {
        // SAFETY: By the type invariant.
        Sequence(unsafe { bindings::mmu_interval_read_begin(self.notifier.get()) })
    }

    /// The pages are what they should be. The range is not suspect, unless page tables have
    /// changed since `seen`.
    pub(crate) fn looked(&self, seen: Sequence) {
        self.looked.store(seen.0, Relaxed);
    }

    /// Whether there may be other pages than at the last look.
    pub(crate) fn is_suspect(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe {
            vfio_pasid_helper_interval_check_retry(self.notifier.get(), self.looked.load(Relaxed))
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Watch {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, and nobody else removes it. When this returns, it is not
        // called any more. The process may have ended.
        unsafe { bindings::mmu_interval_notifier_remove(self.notifier.get()) };
    }
}
