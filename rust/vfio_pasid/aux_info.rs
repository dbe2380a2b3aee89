// SPDX-License-Identifier: GPL-2.0-only

//! What VFIO_IOMMU_AUX_INFO reports of an aux space, a batch at a time: the space is locked while a
//! batch is gathered, and unlocked while it is copied to the user.

use kernel::prelude::*;

use crate::{
    aux::AuxSpace,
    kernel::abi::{AuxEntry, VFIO_AUX_ENTRY_GROUP, VFIO_AUX_ENTRY_HOLE}, //
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
    pub(crate) fn gather(&mut self, space: &AuxSpace, cursor: u64) -> u64 {
        self.batch.clear();
        let next = self.gather_entries(space, cursor).err().unwrap_or(0);
        self.room -= self.batch.len();
        next
    }

    /// `Err` is the cursor of the first entry that does not fit.
    fn gather_entries(&mut self, space: &AuxSpace, cursor: u64) -> Result<(), u64> {
        let holes = space.window().holes().iter().enumerate();
        self.add(
            cursor,
            VFIO_AUX_ENTRY_HOLE,
            holes.map(|(position, hole)| (position as u64, 0, hole.start(), hole.size())),
        )?;
        let groups = space.groups();
        self.add(
            cursor,
            VFIO_AUX_ENTRY_GROUP,
            groups.map(|number| (number.into(), number, 0, 0)),
        )
    }

    /// Adds the entries of one type: position, data, iova and size of each.
    fn add(
        &mut self,
        cursor: u64,
        entry_type: u32,
        entries: impl Iterator<Item = (u64, u32, u64, u64)>,
    ) -> Result<(), u64> {
        for (position, data, iova, size) in entries {
            let here = u64::from(entry_type) << TYPE_SHIFT | position;
            if here < cursor {
                continue;
            }
            let entry = AuxEntry {
                entry_type,
                data,
                iova,
                size,
                vaddr: 0,
            };
            if self.batch.len() >= self.room {
                return Err(here);
            }
            self.batch.push_within_capacity(entry).map_err(|_| here)?;
        }
        Ok(())
    }
}
