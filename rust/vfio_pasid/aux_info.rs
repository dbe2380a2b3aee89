// SPDX-License-Identifier: GPL-2.0-only

//! What VFIO_IOMMU_AUX_INFO reports of an aux space, a batch at a time: the space is locked while a
//! batch is gathered, and unlocked while it is copied to the user.

use core::ops::ControlFlow;

use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

use crate::{
    aux::AuxSpace,
    kernel::abi::{
        AuxEntry,
        VFIO_AUX_ENTRY_GROUP,
        VFIO_AUX_ENTRY_HOLE,
        VFIO_AUX_ENTRY_MAPPING, //
    },
};

/// Entries in a batch.
const BATCH: usize = 64;

/// Where a cursor keeps the type of the next entry; below is its position among its like.
const TYPE_SHIFT: u32 = 60;

/// A report under way.
pub(crate) struct Report {
    batch: KVec<AuxEntry>,
    room: usize,
}

impl Report {
    /// A report of at most `room` entries.
    pub(crate) fn new(room: usize) -> Result<Self> {
        Ok(Self {
            batch: KVec::with_capacity(BATCH, GFP_KERNEL_ACCOUNT)?,
            room,
        })
    }

    /// The batch that was gathered last.
    pub(crate) fn batch(&self) -> &[AuxEntry] {
        &self.batch
    }

    /// Whether another entry may follow the last batch.
    pub(crate) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Gathers the next batch from `cursor` on and returns the cursor behind it, 0 at the end.
    pub(crate) fn gather(&mut self, space: &mut AuxSpace, cursor: u64) -> u64 {
        self.batch.clear();
        let next = match self.gather_entries(space, cursor) {
            ControlFlow::Continue(()) => 0,
            ControlFlow::Break(next) => next,
        };
        self.room -= self.batch.len();
        next
    }

    /// Breaks with the cursor of the first entry that does not fit.
    fn gather_entries(&mut self, space: &mut AuxSpace, cursor: u64) -> ControlFlow<u64> {
        for (position, hole) in (0..).zip(space.window().holes()) {
            let entry = AuxEntry {
                entry_type: VFIO_AUX_ENTRY_HOLE,
                iova: hole.start(),
                size: hole.size(),
                ..AuxEntry::default()
            };
            self.add(cursor, position, entry)?;
        }
        for number in space.groups() {
            let entry = AuxEntry {
                entry_type: VFIO_AUX_ENTRY_GROUP,
                data: number,
                ..AuxEntry::default()
            };
            self.add(cursor, number.into(), entry)?;
        }
        let from = cursor.saturating_sub(first_cursor(VFIO_AUX_ENTRY_MAPPING)) << PAGE_SHIFT;
        space.mappings().for_each_from(from, |mapping| {
            let iova = mapping.iova();
            let entry = AuxEntry {
                entry_type: VFIO_AUX_ENTRY_MAPPING,
                data: mapping.access().into_flags(),
                iova: iova.start(),
                size: iova.size(),
                vaddr: mapping.vaddr(),
            };
            self.add(cursor, iova.start() >> PAGE_SHIFT, entry)
        })
    }

    /// Adds the entry that is at `position` among its like, unless it is before `cursor`.
    fn add(&mut self, cursor: u64, position: u64, entry: AuxEntry) -> ControlFlow<u64> {
        let here = first_cursor(entry.entry_type) | position;
        if here < cursor {
            return ControlFlow::Continue(());
        }
        if self.batch.len() >= self.room || self.batch.push_within_capacity(entry).is_err() {
            return ControlFlow::Break(here);
        }
        ControlFlow::Continue(())
    }
}

/// The cursor of the first entry of a type.
fn first_cursor(entry_type: u32) -> u64 {
    u64::from(entry_type) << TYPE_SHIFT
}
