// SPDX-License-Identifier: GPL-2.0-only

//! The registered memory that one container holds. Each range counts its mappings.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{Arc, LockedBy}, //
};

use crate::{
    generation,
    interval::Interval,
    kernel::pages::PinnedPages,
    memory::{of_process::ProcessMemory, registration::Registration},
    vfio_mm::VfioMm, //
};

/// A range that the container holds.
pub(crate) struct HeldRange {
    registration: Registration,
    /// How many mappings of the container there are.
    mapped: LockedBy<u64, ProcessMemory>,
}

impl HeldRange {
    /// What `registration` holds, not mapped yet.
    pub(crate) fn new(registration: Registration) -> Result<Arc<Self>> {
        let mapped = registration.vmm().guard_by_memory(0);
        Ok(Arc::new(
            Self {
                registration,
                mapped,
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    fn range(&self) -> Interval {
        self.registration.range()
    }

    fn vmm(&self) -> &VfioMm {
        self.registration.vmm()
    }

    fn is_mapped(&self) -> bool {
        *self.mapped.access(&self.vmm().memory()) > 0
    }
}

/// A mapping's part of a range: it keeps the range registered. `None` only while it is dropped.
pub(crate) struct MappedMemory(Option<Arc<HeldRange>>);

impl MappedMemory {
    fn new(held: Arc<HeldRange>) -> Result<Self> {
        let mut memory = held.vmm().memory();
        memory.add_mapping()?;
        *held.mapped.access_mut(&mut memory) += 1;
        drop(memory);
        Ok(Self(Some(held)))
    }

    /// The pages of the range, and how many bytes before the address `vaddr` are in it.
    pub(crate) fn pages(&self, vaddr: u64) -> Option<(&Arc<PinnedPages>, u64)> {
        let held = self.0.as_ref()?;
        let offset = vaddr - held.range().start();
        Some((held.registration.pages(), offset))
    }
}

impl Drop for MappedMemory {
    fn drop(&mut self) {
        let Some(held) = self.0.take() else {
            return;
        };
        let vmm = held.registration.vmm().arc();
        let mut memory = vmm.memory();
        memory.remove_mapping();
        *held.mapped.access_mut(&mut memory) -= 1;
        // Under the same lock: who finds the range unmapped, and takes it from the container, has
        // the last reference, and has unpinned it when that is dropped. This one is the last only
        // if the container has closed.
        let last = Arc::into_unique_or_drop(held);
        drop(memory);
        drop(last);
    }
}

/// A range and how often the container has registered it.
pub(crate) struct ReferencedRange {
    held: Arc<HeldRange>,
    references: u64,
}

/// What a container has of a range, to be told.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    /// The virtual addresses.
    pub(crate) range: Interval,
    /// How often the container has registered it.
    pub(crate) references: u64,
    /// How many mappings of the container there are.
    pub(crate) mapped: u64,
}

/// The ranges that a container holds.
pub(crate) struct ContainerMemory(
    /// By their last bytes, as those of the process.
    RBTree<u64, ReferencedRange>,
);

/// Memory for a range's place among [`ContainerMemory`].
pub(crate) type RangePlace = RBTreeNodeReservation<u64, ReferencedRange>;

impl ContainerMemory {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a range, or a reference to it if it is there: then the caller drops what is returned
    /// after unlocking. The process has no other range that overlaps it.
    pub(crate) fn add(
        &mut self,
        held: Arc<HeldRange>,
        place: RangePlace,
    ) -> Option<Arc<HeldRange>> {
        let last = held.range().last();
        if let Some(there) = self.0.get_mut(&last) {
            there.references += 1;
            return Some(held);
        }
        let counted = ReferencedRange {
            held,
            references: 1,
        };
        self.0.insert(place.into_node(last, counted));
        generation::changed();
        None
    }

    /// Takes back a reference. With the last one the range goes; the caller drops it after
    /// unlocking, because its pages may be unpinned then.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the container does not hold that very range; `EBUSY` if it is mapped and this
    /// is the last reference.
    pub(crate) fn remove(&mut self, range: Interval) -> Result<Option<Arc<HeldRange>>> {
        let there = self
            .0
            .get_mut(&range.last())
            .filter(|there| there.held.range() == range)
            .ok_or(ENOENT)?;
        if there.references > 1 {
            there.references -= 1;
            return Ok(None);
        }
        if there.held.is_mapped() {
            return Err(EBUSY);
        }
        generation::changed();
        Ok(self.0.remove(&range.last()).map(|gone| gone.held))
    }

    /// The first range that ends at or behind `address`.
    pub(crate) fn range_from(&self, address: u64) -> Option<Share> {
        let cursor = self.0.cursor_lower_bound(&address)?;
        let counted = cursor.current().1;
        let held = &counted.held;
        let mapped = *held.mapped.access(&held.vmm().memory());
        Some(Share {
            range: held.range(),
            references: counted.references,
            mapped,
        })
    }

    /// The range that has all of `part`, for a mapping.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none; `ENOSPC` if the process has as many mappings as it may.
    pub(crate) fn map(&self, part: Interval) -> Result<MappedMemory> {
        let cursor = self.0.cursor_lower_bound(&part.start()).ok_or(ENOENT)?;
        let held = &cursor.current().1.held;
        if !held.range().contains(part) {
            return Err(ENOENT);
        }
        MappedMemory::new(held.clone())
    }
}
