// SPDX-License-Identifier: GPL-2.0-only

//! IOVA windows: one interval, negotiated when a space is created, with holes in it.

use kernel::prelude::*;

/// An interval of IO addresses in bytes, both ends included, so that the last byte of the address
/// space can be said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval {
    start: u64,
    last: u64,
}

impl Interval {
    /// From `start` to `last`; `None` if there is nothing between them.
    pub(crate) fn new(start: u64, last: u64) -> Option<Self> {
        (start <= last).then_some(Self { start, last })
    }

    /// The first byte.
    pub(crate) fn start(self) -> u64 {
        self.start
    }

    /// How many bytes; the whole of 2^64 counts as one less.
    pub(crate) fn size(self) -> u64 {
        (self.last - self.start).saturating_add(1)
    }

    /// What both have, if anything.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.last.min(other.last))
    }

    /// Whether all of `other` is in this one.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.last <= self.last
    }

    /// The largest part that begins and ends on a boundary of `page` bytes, a power of two.
    fn page_aligned(self, page: u64) -> Option<Self> {
        let start = self.start.checked_next_multiple_of(page)?;
        // A last byte is aligned if the byte behind it would be, which may not exist.
        let last = match self.last.wrapping_add(1) & !(page - 1) {
            0 if self.last == u64::MAX => u64::MAX,
            end => end.checked_sub(1)?,
        };
        Self::new(start, last)
    }
}

/// What a user wishes for.
#[derive(Clone, Copy)]
pub(crate) enum Wish {
    /// All there is.
    Everything,
    /// That much.
    Part(Interval),
}

impl Wish {
    /// Reads a wish from `start` and `size` in bytes; size 0 with start 0 is everything.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it wraps around, or has a start and no size.
    pub(crate) fn new(start: u64, size: u64) -> Result<Self> {
        match (start, size) {
            (0, 0) => Ok(Self::Everything),
            (_, 0) => Err(EINVAL),
            _ => {
                let last = start.checked_add(size - 1).ok_or(EINVAL)?;
                Ok(Self::Part(Interval { start, last }))
            }
        }
    }
}

/// A window that was granted.
pub(crate) struct Window {
    interval: Interval,
    /// Sorted, apart from each other, and within the interval.
    holes: KVec<Interval>,
}

impl Window {
    /// Grants the largest part of `wish` that is aligned to `page` (bytes, a power of two) and
    /// fits into `aperture`; what it has of `reserved` becomes holes.
    ///
    /// # Errors
    ///
    /// `ERANGE` if nothing of the wish fits; `ENOMEM`.
    pub(crate) fn negotiate(
        wish: Wish,
        aperture: Interval,
        page: u64,
        reserved: &[Interval],
    ) -> Result<Self> {
        let interval = match wish {
            Wish::Everything => Some(aperture),
            Wish::Part(part) => part.intersection(aperture),
        }
        .and_then(|part| part.page_aligned(page))
        .ok_or(ERANGE)?;

        let mut found = KVec::with_capacity(reserved.len(), GFP_KERNEL_ACCOUNT)?;
        for hole in reserved.iter().filter_map(|r| r.intersection(interval)) {
            found.push(hole, GFP_KERNEL_ACCOUNT)?;
        }
        found.sort_unstable();

        let mut holes: KVec<Interval> = KVec::with_capacity(found.len(), GFP_KERNEL_ACCOUNT)?;
        for next in found {
            match holes.last_mut() {
                Some(hole) if next.start <= hole.last.saturating_add(1) => {
                    hole.last = hole.last.max(next.last);
                }
                _ => holes.push(next, GFP_KERNEL_ACCOUNT)?,
            }
        }
        Ok(Self { interval, holes })
    }

    /// The interval that was granted.
    pub(crate) fn interval(&self) -> Interval {
        self.interval
    }

    /// Where nothing can be mapped.
    pub(crate) fn holes(&self) -> &[Interval] {
        &self.holes
    }

    /// Whether a device with the reserved regions `reserved` can serve the window as it is.
    pub(crate) fn allows(&self, reserved: &[Interval]) -> bool {
        reserved
            .iter()
            .filter_map(|region| region.intersection(self.interval))
            .all(|region| self.holes.iter().any(|hole| hole.contains(region)))
    }
}
