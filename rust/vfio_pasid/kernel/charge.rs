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
    sync::{
        aref::ARef,
        atomic::{Acquire, Atomic, Full, Relaxed},
        Arc, //
    },
    workqueue::{DelayedWork, WorkItem}, //
};

use crate::{
    counters::{Counted, Kind, COUNTERS},
    kernel::work::WORKQUEUE, //
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

/// The locked memory of a process.
#[pin_data]
pub(crate) struct Account {
    mm: ARef<Mm>,
    /// Pages that are still charged, and that nobody has any more. While there are some, `later` is
    /// queued or runs, the module stays, and the account counts as closing.
    owed: Atomic<usize>,
    /// The time until the next try, in jiffies.
    delay: Atomic<c_ulong>,
    #[pin]
    later: DelayedWork<Account>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Account { self.later }
}

impl Account {
    /// Of the process that has `mm`; nothing is charged.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(mm: ARef<Mm>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                mm,
                owed: Atomic::new(0),
                delay: Atomic::new(1),
                later <- new_delayed_work!("vfio_pasid::charge"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Gives back `pages` that are charged, or returns that the process keeps its `mmap_lock`:
    /// tries once on the workqueue, and elsewhere waits until a fatal signal comes.
    fn give_back(&self, pages: usize) -> bool {
        // SAFETY: The reference keeps the `mm_struct` valid; no lock of it is held. The process
        // need not live.
        unsafe { vfio_pasid_helper_uncharge(self.mm.as_raw(), pages) }
    }

    /// Gives back what is owed, or returns that some still is.
    fn settle(&self) -> bool {
        let pages = self.owed.load(Acquire);
        self.give_back(pages) && self.owed.fetch_sub(pages, Full) == pages
    }

    /// Gives back `pages` that are charged as soon as the process lets go of its `mmap_lock`.
    fn give_back_later(self: &Arc<Self>, pages: usize) {
        if self.owed.fetch_add(pages, Full) > 0 {
            return; // Whoever gives back the others gives back these.
        }
        // SAFETY: No preconditions.
        if unsafe { vfio_pasid_helper_keep_module() } {
            COUNTERS.add(Kind::Closing, 1);
            self.delay.store(1, Relaxed);
            self.clone().try_later();
        } else {
            // The module is being unloaded, and waits for its workqueue.
            while !self.settle() {
                kernel::time::delay::fsleep(kernel::time::Delta::from_millis(10));
            }
        }
    }

    /// Tries again later, on the workqueue; each time it waits for twice as long.
    fn try_later(self: Arc<Self>) {
        let delay = self.delay.load(Relaxed);
        self.delay.store(LONGEST.min(delay * 2), Relaxed);
        // It is not queued yet: there is one try at a time.
        let _ = WORKQUEUE.get().queue().enqueue_delayed(self, delay);
    }
}

impl WorkItem for Account {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if !this.settle() {
            this.try_later();
            return;
        }
        COUNTERS.sub(Kind::Closing, 1);
        drop(this);
        // SAFETY: Of `vfio_pasid_helper_keep_module()`, and only once. The workqueue is drained
        // before the module goes, so this function ends before.
        unsafe { vfio_pasid_helper_let_module_go() };
    }
}

/// Locked memory that a process is charged for until this is dropped, or as soon after as its
/// `mmap_lock` is free.
pub(crate) struct Charge {
    account: Arc<Account>,
    pages: Counted,
}

impl Charge {
    /// Charges the process of the calling thread, whose account is `account`. Waits for its
    /// `mmap_lock`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` above its `RLIMIT_MEMLOCK`, unless it has `CAP_IPC_LOCK`; `EINTR` if a fatal
    /// signal came first.
    pub(super) fn new(account: Arc<Account>, pages: usize) -> Result<Self> {
        // SAFETY: The reference keeps the `mm_struct` valid; no lock of it is held.
        to_result(unsafe { vfio_pasid_helper_charge(account.mm.as_raw(), pages) })?;
        Ok(Self {
            account,
            pages: Counted::many(Kind::PinnedPages, pages),
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let pages = self.pages.amount();
        if !self.account.give_back(pages) {
            self.account.give_back_later(pages);
        }
    }
}
