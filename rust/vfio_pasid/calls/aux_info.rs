// SPDX-License-Identifier: GPL-2.0-only

//! What VFIO_IOMMU_AUX_INFO reports of an aux space, a batch at a time. Between two batches, which
//! are copied to the user, the space may change or go.

use core::ops::ControlFlow;

use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

use crate::{
    container::Caller,
    interval::Interval,
    kernel::{
        abi::{
            AuxEntry,
            AuxInfo,
            VFIO_AUX_ENTRY_GROUP,
            VFIO_AUX_ENTRY_HOLE,
            VFIO_AUX_ENTRY_MAPPING,
            VFIO_AUX_INFO_PROCESS, //
        },
        access::Access,
        stock::OwnPart, //
    },
    space::{
        aux::{AuxSpace, Inside},
        own::SpaceName,
        Space, //
    }, //
};

/// Entries in a batch.
const ENTRIES_AT_ONCE: usize = 64;

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
            batch: KVec::with_capacity(ENTRIES_AT_ONCE, GFP_KERNEL_ACCOUNT)?,
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
        info.flags = 0;
        let next = match SpaceName::new(info.pasid) {
            SpaceName::Own => self.gather_own(caller, info)?,
            SpaceName::Aux(pasid) => self.gather_aux(caller, pasid.get(), info)?,
        };
        info.cursor = match next {
            ControlFlow::Continue(()) => 0,
            ControlFlow::Break(next) => next,
        };
        self.room -= self.batch.len();
        Ok(())
    }

    fn gather_aux(
        &mut self,
        caller: &Caller<'_>,
        pasid: u32,
        info: &mut AuxInfo,
    ) -> Result<ControlFlow<u64>> {
        let space = caller.state()?.space(pasid)?;
        let space = match space {
            Space::Aux(space) => space,
            Space::Process(_) => return self.gather_process(caller, pasid, info),
        };
        info.iova_start = space.window().interval().start();
        info.iova_size = space.window().interval().size();
        info.pgsize_bitmap = space.page_sizes();

        let cursor = info.cursor;
        let mut next = self.gather_holes(&space, cursor);
        if next.is_continue() {
            next = self.gather_groups(caller.state()?.groups_of(pasid), cursor);
        }
        if next.is_continue() {
            next = self.gather_mappings(space.inside()?.as_mut().ok_or(ENOENT)?, cursor);
        }
        Ok(next)
    }

    /// A process space is attached to groups, and that is all that there is to say.
    fn gather_process(
        &mut self,
        caller: &Caller<'_>,
        pasid: u32,
        info: &mut AuxInfo,
    ) -> Result<ControlFlow<u64>> {
        info.flags = VFIO_AUX_INFO_PROCESS;
        (info.iova_start, info.iova_size, info.pgsize_bitmap) = (0, 0, 0);
        Ok(self.gather_groups(caller.state()?.groups_of(pasid), info.cursor))
    }

    /// The own space has no window of its own, but the ranges that stock type1 has; what is between
    /// them are its holes. All groups use it.
    fn gather_own(&mut self, caller: &Caller<'_>, info: &mut AuxInfo) -> Result<ControlFlow<u64>> {
        let cursor = info.cursor;
        let mut next = ControlFlow::Continue(());
        let mut position = 0;
        let mut end = None;
        let space = caller.own_look(Interval::ALL.last(), |seen| {
            let OwnPart::Range(range) = seen else {
                return false;
            };
            let before = end.replace(range.last());
            let hole = before
                .zip(range.start().checked_sub(1))
                .and_then(|(before, last)| Interval::new(before + 1, last));
            if let Some(hole) = hole {
                next = self.add_hole(cursor, position, hole);
                position += 1;
            }
            next.is_continue()
        })?;
        info.iova_start = space.aperture.start();
        info.iova_size = space.aperture.size();
        info.pgsize_bitmap = space.page_sizes;

        if next.is_continue() {
            next = self.gather_groups(caller.state()?.groups(), cursor);
        }
        if next.is_continue() {
            caller.own_look(first_mapping(cursor), |seen| {
                if let OwnPart::Mapping(mapping) = seen {
                    next =
                        self.add_mapping(cursor, mapping.iova(), mapping.vaddr(), mapping.access());
                }
                next.is_continue()
            })?;
        }
        Ok(next)
    }

    fn gather_holes(&mut self, space: &AuxSpace, cursor: u64) -> ControlFlow<u64> {
        for (position, &hole) in (0..).zip(space.window().holes()) {
            self.add_hole(cursor, position, hole)?;
        }
        ControlFlow::Continue(())
    }

    fn add_hole(&mut self, cursor: u64, position: u64, hole: Interval) -> ControlFlow<u64> {
        let entry = AuxEntry {
            entry_type: VFIO_AUX_ENTRY_HOLE,
            iova: hole.start(),
            size: hole.size(),
            ..AuxEntry::default()
        };
        self.add(cursor, position, entry)
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
        let from = first_mapping(cursor);
        inside.mappings().for_each_from(from, |mapping| {
            self.add_mapping(cursor, mapping.iova(), mapping.vaddr(), mapping.access())
        })
    }

    fn add_mapping(
        &mut self,
        cursor: u64,
        iova: Interval,
        vaddr: u64,
        access: Access,
    ) -> ControlFlow<u64> {
        let entry = AuxEntry {
            entry_type: VFIO_AUX_ENTRY_MAPPING,
            data: access.into_flags(),
            iova: iova.start(),
            size: iova.size(),
            vaddr,
        };
        self.add(cursor, iova.start() >> PAGE_SHIFT, entry)
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

/// Where the mappings begin that are not before `cursor`.
fn first_mapping(cursor: u64) -> u64 {
    cursor.saturating_sub(first_cursor(VFIO_AUX_ENTRY_MAPPING)) << PAGE_SHIFT
}

/// The cursor of the first entry of a type.
fn first_cursor(entry_type: u32) -> u64 {
    u64::from(entry_type) << TYPE_SHIFT
}
