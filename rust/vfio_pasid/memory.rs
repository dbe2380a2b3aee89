// SPDX-License-Identifier: GPL-2.0-only

//! Registered memory of a process: each range is pinned and charged once, for all its containers.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::Arc, //
};

use crate::{
    counters::{Counted, Kind},
    kernel::{pages::PinnedPages, trace},
    mm::VfioMmRef,
    window::Interval,
    MODULE, //
};

/// What a process has registered, and how many mappings it has.
pub(crate) struct Memory {
    /// By their last bytes: the first that ends at or behind an address is the one that a range
    /// from there on overlaps, if any.
    regions: RBTree<u64, Entry>,
    count: u32,
    mappings: u32,
}

/// A registered range of virtual addresses.
struct Entry {
    start: u64,
    writable: bool,
    /// How many containers hold it.
    holders: usize,
    /// `None` while the pages are being pinned or unpinned.
    pages: Option<Arc<PinnedPages>>,
}

/// What is found where a range is to be registered.
enum Found {
    Nothing,
    /// The very range. The caller holds it now.
    Same(Arc<PinnedPages>),
    /// Something that is being pinned or unpinned.
    Unsettled,
}

impl Memory {
    /// Nothing registered.
    pub(crate) fn new() -> Self {
        Self {
            regions: RBTree::new(),
            count: 0,
            mappings: 0,
        }
    }

    fn join(&mut self, range: Interval, writable: bool) -> Result<Found> {
        let Some(mut cursor) = self.regions.cursor_lower_bound_mut(&range.start()) else {
            return Ok(Found::Nothing);
        };
        let (&last, entry) = cursor.current_mut();
        if range.last() < entry.start {
            return Ok(Found::Nothing);
        }
        let same = entry.start == range.start() && last == range.last();
        match &entry.pages {
            None => Ok(Found::Unsettled),
            Some(pages) if same && entry.writable == writable => {
                entry.holders += 1;
                Ok(Found::Same(pages.clone()))
            }
            Some(_) => Err(EEXIST),
        }
    }

    /// Counts a mapping.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the process has as many as it may.
    pub(crate) fn add_mapping(&mut self) -> Result {
        if self.mappings >= MODULE.get().params.mapping_limit {
            return Err(ENOSPC);
        }
        self.mappings += 1;
        Ok(())
    }

    /// Takes a mapping off the count.
    pub(crate) fn remove_mapping(&mut self) {
        self.mappings -= 1;
    }
}

/// One holder's place in an [`Entry`]. The last one to go unpins the pages.
struct Place {
    vmm: VfioMmRef,
    last: u64,
}

impl Place {
    /// Puts an entry without pages there, for which the caller has found nothing in the way.
    fn new(
        vmm: VfioMmRef,
        memory: &mut Memory,
        range: Interval,
        writable: bool,
        spare: RBTreeNodeReservation<u64, Entry>,
    ) -> Result<Self> {
        if memory.count >= MODULE.get().params.region_limit {
            return Err(ENOSPC);
        }
        memory.count += 1;
        let entry = Entry {
            start: range.start(),
            writable,
            holders: 1,
            pages: None,
        };
        memory.regions.insert(spare.into_node(range.last(), entry));
        Ok(Self {
            vmm,
            last: range.last(),
        })
    }

    /// Gives the entry its pages.
    fn settle(&self, pages: Arc<PinnedPages>) {
        if let Some(entry) = self.vmm.memory().regions.get_mut(&self.last) {
            entry.pages = Some(pages);
        }
        self.vmm.memory_settled();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut memory = self.vmm.memory();
        let Some(entry) = memory.regions.get_mut(&self.last) else {
            return;
        };
        entry.holders -= 1;
        if entry.holders > 0 {
            return;
        }
        let pages = entry.pages.take();
        drop(memory);
        // It may take long, so not under the lock. Whoever wants the range waits until it is gone:
        // it would be charged for twice.
        drop(pages);
        let mut memory = self.vmm.memory();
        memory.regions.remove(&self.last);
        memory.count -= 1;
        drop(memory);
        self.vmm.memory_settled();
    }
}

/// A container's hold on a range of registered memory.
///
/// The fields are dropped in this order: the place has the last reference to the pages, if nobody
/// else holds the range.
pub(crate) struct Registration {
    pages: Arc<PinnedPages>,
    place: Place,
    range: Interval,
    _counted: Counted,
}

impl Registration {
    /// Registers `range`, which is page-aligned, for the process of the calling thread. Its pages
    /// are pinned, which may take for ever, unless the process has registered that very range
    /// already. Waits while what is in the way is being pinned or unpinned. No lock is held
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it overlaps a range that is not the same, or the same with another `writable`;
    /// `ENOSPC` if the process has as many as it may; `EINTR` if a signal ends the wait; those of
    /// [`PinnedPages::new`].
    pub(crate) fn new(vmm: &VfioMmRef, range: Interval, writable: bool) -> Result<Self> {
        let spare = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let place = {
            let mut memory = vmm.memory();
            loop {
                match memory.join(range, writable)? {
                    Found::Nothing => break,
                    Found::Unsettled => vmm.wait_for_memory(&mut memory)?,
                    Found::Same(pages) => {
                        let last = range.last();
                        let vmm = vmm.clone();
                        return Ok(Self::held(pages, Place { vmm, last }, range));
                    }
                }
            }
            Place::new(vmm.clone(), &mut memory, range, writable, spare)?
        };
        let pages = PinnedPages::new(vmm.mm(), range, writable)?;
        let pages = Arc::new(pages, GFP_KERNEL_ACCOUNT)?;
        place.settle(pages.clone());
        Ok(Self::held(pages, place, range))
    }

    fn held(pages: Arc<PinnedPages>, place: Place, range: Interval) -> Self {
        trace::register(range, pages.writable());
        Self {
            pages,
            place,
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
        &self.pages
    }

    /// The process.
    pub(crate) fn vmm(&self) -> &VfioMmRef {
        &self.place.vmm
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        trace::unregister(self.range, self.pages.writable());
    }
}
