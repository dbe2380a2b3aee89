// SPDX-License-Identifier: GPL-2.0-only

//! Locked memory (`VmLck`, `RLIMIT_MEMLOCK`) that a process is charged for.
//!
//! The kernel counts it under the process's `mmap_lock`, which the process can keep as long as it
//! likes: a page fault holds it while a file system serves the page. Calls of the process itself
//! wait for it, killably. Nobody else does: the workqueue tries, and tries again later.

use kernel::{
    bindings,
    error::to_result,
    ffi::{c_int, c_ulong},
    impl_has_delayed_work,
    mm::Mm,
    new_delayed_work,
    prelude::*,
    sync::aref::ARef,
    workqueue::{DelayedWork, WorkItem}, //
};

use crate::{
    counters::{Counted, Kind},
    MODULE, //
};

#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_charge(mm: *mut bindings::mm_struct, pages: c_ulong) -> c_int;
    fn vfio_pasid_helper_uncharge(mm: *mut bindings::mm_struct, pages: c_ulong) -> bool;
    fn vfio_pasid_helper_keep_module() -> bool;
    fn vfio_pasid_helper_let_module_go();
}

/// The longest time between two tries, in jiffies: a second.
const LONGEST: c_ulong = bindings::HZ as c_ulong;

/// Locked memory that a process is charged for until this is dropped, or as soon after as its
/// `mmap_lock` is free.
pub(crate) struct Charge(Option<Pin<KBox<Charged>>>);

/// # Invariants
///
/// `mm` is charged for `pages`.
#[pin_data]
struct Charged {
    #[pin]
    later: DelayedWork<Charged>,
    mm: ARef<Mm>,
    pages: usize,
    /// The time until the next try, in jiffies.
    delay: c_ulong,
    _counted: Counted,
    /// There while it is to be given back: then it is a part of what is closing.
    _closing: Option<Counted>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Charged { self.later }
}

impl Charge {
    /// Charges `mm`, the address space of the calling thread. Waits for its `mmap_lock`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` above its `RLIMIT_MEMLOCK`, unless it has `CAP_IPC_LOCK`; `EINTR` if a fatal
    /// signal came first.
    pub(super) fn new(mm: ARef<Mm>, pages: usize) -> Result<Self> {
        let memory = KBox::<Charged>::new_uninit(GFP_KERNEL_ACCOUNT)?;
        // SAFETY: The reference keeps the `mm_struct` valid; no lock of it is held.
        to_result(unsafe { vfio_pasid_helper_charge(mm.as_raw(), pages) })?;
        // INVARIANT: Just charged.
        let counted = Counted::many(Kind::PinnedPages, pages);
        let charged = memory.write_pin_init(pin_init!(Charged {
            later <- new_delayed_work!("vfio_pasid::charge"),
            mm,
            pages,
            delay: 1,
            _counted: counted,
            _closing: None,
        }))?;
        Ok(Self(Some(charged)))
    }
}

impl Charged {
    /// Gives the charge back, or returns that the process keeps its `mmap_lock`: tries once on the
    /// workqueue, and elsewhere waits until a fatal signal comes.
    fn give_back(&self) -> bool {
        // SAFETY: By the type invariant; giving back does not need the process to live, and it
        // happens once: what is given back is dropped.
        unsafe { vfio_pasid_helper_uncharge(self.mm.as_raw(), self.pages) }
    }

    /// Tries again later, on the workqueue; each time it waits for twice as long.
    fn try_later(mut this: Pin<KBox<Self>>) {
        let delay = this.delay;
        *this.as_mut().project().delay = LONGEST.min(delay * 2);
        MODULE.get().workqueue.queue().enqueue_delayed(this, delay);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Some(mut charged) = self.0.take() else {
            return;
        };
        if charged.give_back() {
            return;
        }
        // SAFETY: No preconditions.
        if unsafe { vfio_pasid_helper_keep_module() } {
            *charged.as_mut().project()._closing = Some(Counted::one(Kind::Closing));
            Charged::try_later(charged);
        } else {
            // The module is being unloaded, and waits for its workqueue.
            while !charged.give_back() {
                kernel::time::delay::fsleep(kernel::time::Delta::from_millis(10));
            }
        }
    }
}

impl WorkItem for Charged {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        if !this.give_back() {
            Self::try_later(this);
            return;
        }
        drop(this);
        // SAFETY: Of `vfio_pasid_helper_keep_module()`, and only once. The workqueue is drained
        // before the module goes, so this function ends before.
        unsafe { vfio_pasid_helper_let_module_go() };
    }
}
