// SPDX-License-Identifier: GPL-2.0-only

//! Registered memory of a process: each range is pinned and charged once, for all its containers.

use kernel::{
    prelude::*,
    rbtree::RBTree,
    sync::Arc, //
};

use crate::{
    interval::Interval,
    kernel::{notifier::Watch, pages::PinnedPages, params::PARAMETERS}, //
};

/// What a process has registered, and how many mappings it has.
pub(crate) struct ProcessMemory {
    /// By their last bytes: the first that ends at or behind an address is the one that a range
    /// from there on overlaps, if any.
    pub(super) regions: RBTree<u64, ProcessRange>,
    pub(super) count: u32,
    mappings: u32,
}

/// A registered range of virtual addresses.
pub(super) struct ProcessRange {
    pub(super) start: u64,
    pub(super) writable: bool,
    /// How many containers hold it, and how many threads look whether theirs may.
    pub(super) holders: usize,
    /// How many threads look.
    pub(super) looking: usize,
    /// `None` while the pages are being pinned or unpinned.
    pub(super) settled: Option<Settled>,
}

impl ProcessRange {
    /// Whether a container holds it; else it goes when all that look find something else there.
    pub(super) fn is_held(&self) -> bool {
        self.holders > self.looking
    }
}

/// What a [`ProcessRange`] is, to be told.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    /// The virtual addresses.
    pub(crate) range: Interval,
    /// Whether devices may write to it.
    pub(crate) writable: bool,
    /// How many containers hold it.
    pub(crate) holders: usize,
    /// It is neither being pinned nor being unpinned.
    pub(crate) settled: bool,
}

/// What a [`ProcessRange`] has. Never dropped with the lock of [`ProcessMemory`] held.
#[derive(Clone)]
pub(super) struct Settled {
    pub(super) watch: Arc<Watch>,
    pub(super) pages: Arc<PinnedPages>,
}

/// What is found where a range is to be registered.
pub(super) enum Found {
    Nothing,
    /// The very range. The caller holds it now, but has to look if it is suspect.
    Same {
        settled: Settled,
        suspect: bool,
    },
    /// Something that is being pinned or unpinned, or that nobody holds when all have looked.
    Unsettled,
}

impl ProcessMemory {
    /// Nothing registered.
    pub(crate) fn new() -> Self {
        Self {
            regions: RBTree::new(),
            count: 0,
            mappings: 0,
        }
    }

    pub(super) fn join(&mut self, range: Interval, writable: bool) -> Result<Found> {
        let Some(mut cursor) = self.regions.cursor_lower_bound_mut(&range.start()) else {
            return Ok(Found::Nothing);
        };
        let (&last, entry) = cursor.current_mut();
        if range.last() < entry.start {
            return Ok(Found::Nothing);
        }
        let same = entry.start == range.start() && last == range.last();
        match &entry.settled {
            None => Ok(Found::Unsettled),
            Some(settled) if same && entry.writable == writable => {
                let suspect = settled.watch.is_suspect();
                entry.holders += 1;
                entry.looking += usize::from(suspect);
                Ok(Found::Same {
                    settled: settled.clone(),
                    suspect,
                })
            }
            Some(_) if !entry.is_held() => Ok(Found::Unsettled),
            Some(_) => Err(EEXIST),
        }
    }

    /// The first range that ends at or behind `address`.
    pub(crate) fn region_from(&self, address: u64) -> Option<Region> {
        let cursor = self.regions.cursor_lower_bound(&address)?;
        let (&last, entry) = cursor.current();
        Some(Region {
            range: Interval::new(entry.start, last)?,
            writable: entry.writable,
            holders: entry.holders - entry.looking,
            settled: entry.settled.is_some(),
        })
    }

    /// How many ranges there are, and how many mappings of them.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.count, self.mappings)
    }

    /// Whether nobody holds the range that ends with `last`, but somebody looks whether to.
    pub(super) fn is_undecided(&self, last: u64) -> bool {
        self.regions
            .get(&last)
            .is_some_and(|entry| !entry.is_held())
    }

    /// Counts a mapping.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the process has as many as it may.
    pub(crate) fn add_mapping(&mut self) -> Result {
        if self.mappings >= PARAMETERS.get().mapping_limit {
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
