// SPDX-License-Identifier: GPL-2.0-only

//! What VFIO_IOMMU_AUX_INFO reports of an aux space, a batch at a time. Between two batches, which
//! are copied to the user, the space may change or go.

use core::ops::ControlFlow;

use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

use crate::{
    aux::{AuxSpace, Inside},
    container::Caller,
    kernel::abi::{
        AuxEntry,
        AuxInfo,
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

    /// Gathers what `info` asks for, and the next batch from its cursor on; then the cursor is
    /// behind the batch, and 0 at the end.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such space; those of [`Caller::state`].
    pub(crate) fn gather(&mut self, caller: &Caller<'_>, info: &mut AuxInfo) -> Result {
        self.batch.clear();
        let space = caller.state()?.space(info.pasid)?;
        info.iova_start = space.window().interval().start();
        info.iova_size = space.window().interval().size();
        info.pgsize_bitmap = space.page_sizes();

        let cursor = info.cursor;
        let mut next = self.gather_holes(&space, cursor);
        if next.is_continue() {
            next = self.gather_groups(caller.state()?.groups_of(info.pasid), cursor);
        }
        if next.is_continue() {
            next = self.gather_mappings(space.inside()?.as_mut().ok_or(ENOENT)?, cursor);
        }
        info.cursor = match next {
            ControlFlow::Continue(()) => 0,
            ControlFlow::Break(next) => next,
        };
        self.room -= self.batch.len();
        Ok(())
    }

    fn gather_holes(&mut self, space: &AuxSpace, cursor: u64) -> ControlFlow<u64> {
        for (position, hole) in (0..).zip(space.window().holes()) {
            let entry = AuxEntry {
                entry_type: VFIO_AUX_ENTRY_HOLE,
                iova: hole.start(),
                size: hole.size(),
                ..AuxEntry::default()
            };
            self.add(cursor, position, entry)?;
        }
        ControlFlow::Continue(())
    }

    fn gather_groups(
        &mut self,
        groups: impl Iterator<Item = u32>,
        cursor: u64,
    ) -> ControlFlow<u64> {
        for number in groups {
            let entry = AuxEntry {
                entry_type: VFIO_AUX_ENTRY_GROUP,
                data: number,
                ..AuxEntry::default()
            };
            self.add(cursor, number.into(), entry)?;
        }
        ControlFlow::Continue(())
    }

    fn gather_mappings(&mut self, inside: &mut Inside, cursor: u64) -> ControlFlow<u64> {
        let from = cursor.saturating_sub(first_cursor(VFIO_AUX_ENTRY_MAPPING)) << PAGE_SHIFT;
        inside.mappings().for_each_from(from, |mapping| {
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
