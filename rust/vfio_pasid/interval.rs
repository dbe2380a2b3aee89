// SPDX-License-Identifier: GPL-2.0-only

//! Intervals of addresses, and the sizes of pages that they are cut by.

use kernel::prelude::*;

/// The smallest page in bytes of those that `sizes` has a bit for; 0 if it has none.
pub(crate) fn smallest_page(sizes: u64) -> u64 {
    sizes & sizes.wrapping_neg()
}

/// The largest page in bytes of those that `sizes` has a bit for; 0 if it has none.
pub(crate) fn largest_page(sizes: u64) -> u64 {
    sizes.checked_ilog2().map_or(0, |bit| 1 << bit)
}

/// An interval of IO addresses in bytes, both ends included, so that the last byte of the address
/// space can be said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval {
    start: u64,
    last: u64,
}

impl Interval {
    /// Every address there is.
    pub(crate) const ALL: Self = Self {
        start: 0,
        last: u64::MAX,
    };

    /// From `start` to `last`; `None` if there is nothing between them.
    pub(crate) fn new(start: u64, last: u64) -> Option<Self> {
        (start <= last).then_some(Self { start, last })
    }

    /// `size` bytes from `start` on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are none, or they wrap around.
    pub(crate) fn sized(start: u64, size: u64) -> Result<Self> {
        let last = start.checked_add(size.checked_sub(1).ok_or(EINVAL)?);
        Ok(Self {
            start,
            last: last.ok_or(EINVAL)?,
        })
    }

    /// The first byte.
    pub(crate) fn start(self) -> u64 {
        self.start
    }

    /// The last byte.
    pub(crate) fn last(self) -> u64 {
        self.last
    }

    /// How many bytes; the whole of 2^64 counts as one less.
    pub(crate) fn size(self) -> u64 {
        (self.last - self.start).saturating_add(1)
    }

    /// What both have, if anything.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.last.min(other.last))
    }

    /// From the first byte of both to the last of both.
    pub(crate) fn hull(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            last: self.last.max(other.last),
        }
    }

    /// Whether all of `other` is in this one.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.last <= self.last
    }

    /// Whether it begins and ends on a boundary of `page` bytes, a power of two.
    pub(crate) fn is_aligned(self, page: u64) -> bool {
        (self.start | self.last.wrapping_add(1)) & (page - 1) == 0
    }

    /// Its parts in ascending order, cut at every multiple of `block` bytes, a power of two.
    pub(crate) fn blocks(self, block: u64) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        core::iter::from_fn(move || {
            let Self { start, last } = rest?;
            let end = last.min(start | (block - 1));
            rest = end.checked_add(1).and_then(|next| Self::new(next, last));
            Some(Self { start, last: end })
        })
    }

    /// The largest part that begins and ends on a boundary of `page` bytes, a power of two.
    pub(crate) fn page_aligned(self, page: u64) -> Option<Self> {
        let start = self.start.checked_next_multiple_of(page)?;
        // A last byte is aligned if the byte behind it would be, which may not exist.
        let last = match self.last.wrapping_add(1) & !(page - 1) {
            0 if self.last == u64::MAX => u64::MAX,
            end => end.checked_sub(1)?,
        };
        Self::new(start, last)
    }
}

#[kunit_tests(vfio_pasid_interval)]
mod tests {
    use super::*;

    #[test]
    fn smallest_page_is_the_lowest_bit() {
        assert_eq!(smallest_page(0x4020_1000), 0x1000);
        assert_eq!(smallest_page(0x1_0000), 0x1_0000);
        assert_eq!(smallest_page(1 << 63), 1 << 63);
        assert_eq!(smallest_page(0), 0);
    }

    #[test]
    fn largest_page_is_the_highest_bit() {
        assert_eq!(largest_page(0x4020_1000), 0x4000_0000);
        assert_eq!(largest_page(0x1_0000), 0x1_0000);
        assert_eq!(largest_page(u64::MAX), 1 << 63);
        assert_eq!(largest_page(0), 0);
    }

    #[test]
    fn blocks_are_all_of_an_interval_and_cross_no_boundary() {
        let check = |start, last, expected: &[(u64, u64)]| {
            let mut expected = expected.iter().copied();
            for part in (Interval { start, last }).blocks(0x1000) {
                assert_eq!(Some((part.start(), part.last())), expected.next());
            }
            assert_eq!(expected.next(), None);
        };
        check(0x1000, 0x1fff, &[(0x1000, 0x1fff)]);
        check(0x1800, 0x1801, &[(0x1800, 0x1801)]);
        check(
            0xfff,
            0x2000,
            &[(0xfff, 0xfff), (0x1000, 0x1fff), (0x2000, 0x2000)],
        );
        check(
            u64::MAX - 0x1000,
            u64::MAX,
            &[
                (u64::MAX - 0x1000, u64::MAX - 0x1000),
                (u64::MAX - 0xfff, u64::MAX),
            ],
        );
    }

    #[test]
    fn interval_has_its_bytes_and_no_more() {
        let whole = |start, size| Interval::sized(start, size).map(|i| (i.start(), i.last()));
        assert_eq!(whole(4096, 1), Ok((4096, 4096)));
        assert_eq!(whole(u64::MAX, 1), Ok((u64::MAX, u64::MAX)));
        assert_eq!(whole(0, u64::MAX), Ok((0, u64::MAX - 1)));
        assert_eq!(whole(0, 0), Err(EINVAL));
        assert_eq!(whole(2, u64::MAX), Err(EINVAL));
        let aligned = |start, last| Interval { start, last }.is_aligned(4096);
        assert!(aligned(4096, 8191));
        assert!(aligned(0, u64::MAX));
        assert!(!aligned(4096, 8192));
        assert!(!aligned(4095, 8191));
    }
}
