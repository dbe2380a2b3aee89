// SPDX-License-Identifier: GPL-2.0-only

//! Mappings of an aux space: registered memory at IO addresses.

use core::ops::ControlFlow;

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::Arc, //
};

use crate::{
    counters::CountedMapping,
    interval::Interval,
    kernel::{
        access::Access,
        iommu::{unmap_together, Domain, MappedRange},
        sched::cond_resched, //
    },
    memory::of_container::MappedMemory, //
};

/// A mapping.
///
/// The fields are dropped in this order: the memory outlives what the device can reach, and the
/// range counts the mapping until nothing is left of it.
pub(crate) struct Mapping {
    hardware: MappedRange,
    vaddr: u64,
    _counted: CountedMapping,
    _memory: MappedMemory,
}

impl Mapping {
    /// Maps `iova` to the memory at `vaddr`, of which `memory` has enough, and takes that if
    /// `check` allows it. If not, the caller still has it: it may go when nothing is locked.
    ///
    /// # Errors
    ///
    /// Those of [`MappedRange::new`] and of `check`.
    pub(crate) fn new(
        domain: Arc<Domain>,
        pasid: u32,
        iova: Interval,
        vaddr: u64,
        access: Access,
        memory: &mut Option<MappedMemory>,
        check: impl FnOnce() -> Result,
    ) -> Result<Self> {
        let pages = memory.as_ref().and_then(|memory| memory.pages(vaddr));
        let (pages, offset) = pages.ok_or(ENOENT)?;
        let hardware = MappedRange::new(domain, pasid, iova, pages, offset, access)?;
        check()?;
        Ok(Self {
            hardware,
            vaddr,
            _counted: CountedMapping::new(),
            _memory: memory.take().ok_or(ENOENT)?,
        })
    }

    /// The IO addresses.
    pub(crate) fn iova(&self) -> Interval {
        self.hardware.iova()
    }

    /// The virtual address that the first of them was mapped to.
    pub(crate) fn vaddr(&self) -> u64 {
        self.vaddr
    }

    /// What the device may do.
    pub(crate) fn access(&self) -> Access {
        self.hardware.access()
    }
}

/// How much is mapped.
#[derive(Clone, Copy)]
pub(crate) struct Totals {
    /// How many mappings there are.
    pub(crate) mappings: u64,
    /// How many bytes they have.
    pub(crate) bytes: u64,
}

impl Totals {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        mappings: 0,
        bytes: 0,
    };

    /// A mapping of so many bytes.
    pub(crate) fn one(bytes: u64) -> Self {
        Self { mappings: 1, bytes }
    }

    /// There is so much more.
    pub(crate) fn add(&mut self, more: Self) {
        self.mappings += more.mappings;
        self.bytes += more.bytes;
    }

    /// There is so much less.
    pub(crate) fn sub(&mut self, less: Self) {
        self.mappings -= less.mappings;
        self.bytes -= less.bytes;
    }
}

/// The mappings of a space.
pub(crate) struct Mappings(
    /// By their last IO addresses: the first that ends at or behind an address is the one that a
    /// range from there on overlaps, if any.
    RBTree<u64, Mapping>,
);

/// Memory for a mapping's place among [`Mappings`].
pub(crate) type MappingPlace = RBTreeNodeReservation<u64, Mapping>;

impl Mappings {
    /// None.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Adds a mapping of `iova` that `map` makes.
    ///
    /// # Errors
    ///
    /// `EEXIST` if something is mapped there; those of `map`.
    pub(crate) fn add(
        &mut self,
        iova: Interval,
        place: MappingPlace,
        map: impl FnOnce() -> Result<Mapping>,
    ) -> Result {
        let other = self.first_from(iova.start());
        if other.is_some_and(|other| other.intersection(iova).is_some()) {
            return Err(EEXIST);
        }
        self.0.insert(place.into_node(iova.last(), map()?));
        Ok(())
    }

    /// Unmaps everything, which is in `domain`. Flushes once.
    pub(crate) fn clear(&mut self, domain: &Domain) -> Unmapped {
        self.unmap(domain, Interval::ALL)
    }

    /// Unmaps all of `range`, which is in `domain`. Flushes once.
    ///
    /// # Errors
    ///
    /// `EINVAL`, and nothing is unmapped, if only a part of a mapping is in the range.
    pub(crate) fn remove(&mut self, domain: &Domain, range: Interval) -> Result<Unmapped> {
        let cut =
            |mapping: Interval| mapping.intersection(range).is_some() && !range.contains(mapping);
        let Some(first) = self.first_from(range.start()) else {
            return Ok(Unmapped::nothing());
        };
        if cut(first) {
            return Err(EINVAL);
        }
        let is_last = first.last() >= range.last();
        if !is_last && self.first_from(range.last()).is_some_and(cut) {
            return Err(EINVAL);
        }
        Ok(self.unmap(domain, range))
    }

    /// As [`Mappings::remove`], of a range that cuts nothing. What the IOMMU driver does not unmap
    /// stays: it counts as mapped until the space is detached and goes.
    fn unmap(&mut self, domain: &Domain, range: Interval) -> Unmapped {
        let mut unmapped = Unmapped::nothing();
        unmap_together(domain, |unmap| {
            let mut next = self.0.cursor_lower_bound_mut(&range.start());
            while let Some(mut cursor) = next {
                let mapping = cursor.current_mut().1;
                // At the end of the tree a cursor steps back, to one that is not in the range.
                if !range.contains(mapping.iova()) {
                    break;
                }
                unmap(&mut mapping.hardware);
                next = if mapping.hardware.is_mapped() {
                    cursor.move_next()
                } else {
                    unmapped.totals.add(Totals::one(mapping.iova().size()));
                    let (next, gone) = cursor.remove_current();
                    unmapped.mappings.insert(gone);
                    next
                };
            }
        });
        unmapped
    }

    /// Where the first mapping is that ends at or behind `address`.
    fn first_from(&self, address: u64) -> Option<Interval> {
        let cursor = self.0.cursor_lower_bound(&address)?;
        Some(cursor.current().1.iova())
    }

    /// Calls `look` for each mapping that ends at or behind `address`, in ascending order, until
    /// it says to stop.
    pub(crate) fn for_each_from<B>(
        &mut self,
        address: u64,
        mut look: impl FnMut(&Mapping) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut next = self.0.cursor_lower_bound_mut(&address);
        while let Some(cursor) = next {
            look(cursor.current().1)?;
            next = cursor.move_next();
        }
        ControlFlow::Continue(())
    }
}

/// Mappings that are gone from the IOMMU, to be dropped when nothing is locked: the last ones of a
/// closed container unpin registered memory, and stop watching it.
#[must_use]
pub(crate) struct Unmapped {
    mappings: RBTree<u64, Mapping>,
    totals: Totals,
}

impl Unmapped {
    fn nothing() -> Self {
        Self {
            mappings: RBTree::new(),
            totals: Totals::NONE,
        }
    }

    /// How much it was.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }
}

impl Drop for Unmapped {
    fn drop(&mut self) {
        while let Some(cursor) = self.mappings.cursor_front_mut() {
            cursor.remove_current();
            cond_resched();
        }
    }
}
