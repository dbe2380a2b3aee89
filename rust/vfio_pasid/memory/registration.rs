// SPDX-License-Identifier: GPL-2.0-only

//! Registering memory: a container's hold on a range of its process.

use core::mem::replace;

use kernel::{
    prelude::*,
    rbtree::RBTreeNodeReservation,
    sync::Arc, //
};

use super::of_process::{Found, ProcessMemory, ProcessRange, Settled};
use crate::{
    counters::{Counted, Kind},
    generation,
    interval::Interval,
    kernel::{notifier::Watch, pages::PinnedPages, params::PARAMETERS, trace},
    vfio_mm::VfioMmRef, //
};

/// One holder's claim on a [`ProcessRange`]. The last one to go unpins the pages.
struct Claim {
    vmm: VfioMmRef,
    last: u64,
    /// It is one of those that look.
    looking: bool,
}

impl Claim {
    /// Puts an entry without pages there, for which the caller has found nothing in the way.
    fn new(
        vmm: VfioMmRef,
        memory: &mut ProcessMemory,
        range: Interval,
        writable: bool,
        spare: RBTreeNodeReservation<u64, ProcessRange>,
    ) -> Result<Self> {
        if memory.count >= PARAMETERS.get().region_limit {
            return Err(ENOSPC);
        }
        memory.count += 1;
        let entry = ProcessRange {
            start: range.start(),
            writable,
            holders: 1,
            looking: 0,
            settled: None,
        };
        memory.regions.insert(spare.into_node(range.last(), entry));
        generation::changed();
        Ok(Self {
            vmm,
            last: range.last(),
            looking: false,
        })
    }

    /// Gives the entry what it has from now on.
    fn settle(&self, settled: Settled) {
        if let Some(entry) = self.vmm.memory().regions.get_mut(&self.last) {
            entry.settled = Some(settled);
        }
        self.vmm.memory_settled();
    }

    /// It has looked, and is a container's.
    fn looked(&mut self) {
        if let Some(entry) = self.vmm.memory().regions.get_mut(&self.last) {
            entry.looking -= usize::from(replace(&mut self.looking, false));
        }
        self.vmm.memory_settled();
    }

    /// Whether a container holds the range.
    fn is_held(&self) -> bool {
        let memory = self.vmm.memory();
        memory
            .regions
            .get(&self.last)
            .is_some_and(ProcessRange::is_held)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut memory = self.vmm.memory();
        let Some(entry) = memory.regions.get_mut(&self.last) else {
            return;
        };
        entry.holders -= 1;
        entry.looking -= usize::from(self.looking);
        if entry.holders > 0 {
            drop(memory);
            if self.looking {
                self.vmm.memory_settled();
            }
            return;
        }
        let settled = entry.settled.take();
        drop(memory);
        // It may take long, so not under the lock. Whoever wants the range waits until it is gone:
        // it would be charged for twice.
        drop(settled);
        let mut memory = self.vmm.memory();
        memory.regions.remove(&self.last);
        memory.count -= 1;
        generation::changed();
        drop(memory);
        self.vmm.memory_settled();
    }
}

/// A hold on a [`ProcessRange`] that is settled.
///
/// The fields are dropped in this order: the claim has the last reference to what is settled, if
/// nobody else holds the range.
struct Hold {
    settled: Settled,
    claim: Claim,
}

impl Hold {
    /// Looks whether the process still has the pages there, if that is to be done. If not, and no
    /// container holds the range any more, there is nothing to keep: `None`. User memory may let
    /// this take for ever; no lock is held.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the process has other pages there; those of [`PinnedPages::are_still_there`].
    fn look(mut self) -> Result<Option<Self>> {
        if !self.claim.looking {
            return Ok(Some(self));
        }
        let seen = self.settled.watch.before_look();
        if self.settled.pages.are_still_there()? {
            self.settled.watch.looked(seen);
            self.claim.looked();
            Ok(Some(self))
        } else if self.claim.is_held() {
            Err(EEXIST)
        } else {
            Ok(None)
        }
    }
}

/// A container's hold on a range of registered memory.
pub(crate) struct Registration {
    hold: Hold,
    range: Interval,
    _counted: Counted,
}

impl Registration {
    /// Registers `range`, which is page-aligned, for the process of the calling thread. Its pages
    /// are pinned, which may take for ever, unless the process has registered that very range
    /// already; then they are pinned to look at them, if there may be others by now. Waits while
    /// what is in the way is being pinned or unpinned. No lock is held meanwhile.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it overlaps a range that is not the same, or the same with another `writable`
    /// or other pages; `ENOSPC` if the process has as many as it may; `EINTR` if a signal ends the
    /// wait; those of [`Watch::new`] and [`PinnedPages::new`].
    pub(crate) fn new(vmm: &VfioMmRef, range: Interval, writable: bool) -> Result<Self> {
        let spare = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let claim = {
            let mut memory = vmm.memory();
            loop {
                match memory.join(range, writable)? {
                    Found::Nothing => break,
                    Found::Unsettled => vmm.wait_for_memory(&mut memory)?,
                    Found::Same { settled, suspect } => {
                        drop(memory);
                        let claim = Claim {
                            vmm: vmm.clone(),
                            last: range.last(),
                            looking: suspect,
                        };
                        if let Some(hold) = (Hold { settled, claim }).look()? {
                            return Ok(Self::held(hold, range));
                        }
                        memory = vmm.memory();
                        // If it is to go, then when the others have looked.
                        if memory.is_undecided(range.last()) {
                            vmm.wait_for_memory(&mut memory)?;
                        }
                    }
                }
            }
            Claim::new(vmm.clone(), &mut memory, range, writable, spare)?
        };
        // Before the first page is pinned, so that nothing is missed. Both go before the claim.
        let watch = Arc::pin_init(Watch::new(range), GFP_KERNEL_ACCOUNT)?;
        let seen = watch.before_look();
        let pages = PinnedPages::new(vmm.account().clone(), range, writable)?;
        let pages = Arc::new(pages, GFP_KERNEL_ACCOUNT)?;
        watch.looked(seen);
        let settled = Settled { watch, pages };
        claim.settle(settled.clone());
        Ok(Self::held(Hold { settled, claim }, range))
    }

    fn held(hold: Hold, range: Interval) -> Self {
        trace::register(range, hold.settled.pages.writable());
        Self {
            hold,
            range,
            _counted: Counted::one(Kind::Registrations),
        }
    }

    /// The range.
    pub(crate) fn range(&self) -> Interval {
        self.range
    }

    /// Its pages.
    pub(crate) fn pages(&self) -> &Arc<PinnedPages> {
        &self.hold.settled.pages
    }

    /// The process.
    pub(crate) fn vmm(&self) -> &VfioMmRef {
        &self.hold.claim.vmm
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        trace::unregister(self.range, self.pages().writable());
    }
}
