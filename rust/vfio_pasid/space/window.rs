// SPDX-License-Identifier: GPL-2.0-only

//! IOVA windows: one interval, negotiated when a space is created, with holes in it.

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
            _ => Interval::sized(start, size).map(Self::Part),
        }
    }

    /// The largest part of the wish that is aligned to `page` (bytes, a power of two) and fits
    /// into `aperture`.
    ///
    /// # Errors
    ///
    /// `ERANGE` if there is none.
    pub(crate) fn within(self, aperture: Interval, page: u64) -> Result<Interval> {
        match self {
            Self::Everything => Some(aperture),
            Self::Part(part) => part.intersection(aperture),
        }
        .and_then(|part| part.page_aligned(page))
        .ok_or(ERANGE)
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
        let interval = wish.within(aperture, page)?;

        // Sorted by insertion: there are a handful, and objtool stumbles over core's sort.
        let mut found: KVec<Interval> = KVec::with_capacity(reserved.len(), GFP_KERNEL_ACCOUNT)?;
        for hole in reserved.iter().filter_map(|r| r.intersection(interval)) {
            let place = found.partition_point(|other| *other < hole);
            found.insert_within_capacity(place, hole)?;
        }

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

    /// Whether `range` can be mapped: all of it is in the window, and none of it in a hole.
    pub(crate) fn permits(&self, range: Interval) -> bool {
        self.interval.contains(range)
            && !self
                .holes
                .iter()
                .any(|hole| hole.intersection(range).is_some())
    }

    /// Whether a device with the reserved regions `reserved` can serve the window as it is.
    pub(crate) fn allows(&self, reserved: &[Interval]) -> bool {
        reserved
            .iter()
            .filter_map(|region| region.intersection(self.interval))
            .all(|region| self.holes.iter().any(|hole| hole.contains(region)))
    }
}

#[kunit_tests(vfio_pasid_window)]
mod tests {
    use super::*;

    const APERTURE: Interval = Interval {
        start: 0,
        last: (1 << 47) - 1,
    };

    fn granted(start: u64, size: u64, aperture: Interval) -> Result<(u64, u64)> {
        let window = Window::negotiate(Wish::new(start, size)?, aperture, 4096, &[])?;
        Ok((window.interval().start(), window.interval().size()))
    }

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
    fn nothing_wished_for_is_everything() {
        assert_eq!(granted(0, 0, APERTURE), Ok((0, 1 << 47)));
    }

    #[test]
    fn wish_that_cannot_be_meant_is_refused() {
        assert_eq!(granted(4096, 0, APERTURE), Err(EINVAL));
        assert_eq!(granted(u64::MAX, 2, APERTURE), Err(EINVAL));
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

    #[test]
    fn wish_is_cut_to_pages_and_to_the_aperture() {
        assert_eq!(granted(4096, 8192, APERTURE), Ok((4096, 8192)));
        assert_eq!(granted(1, 8191, APERTURE), Ok((4096, 4096)));
        assert_eq!(granted(4096, 4097, APERTURE), Ok((4096, 4096)));
        assert_eq!(
            granted((1 << 47) - 4096, 1 << 20, APERTURE),
            Ok(((1 << 47) - 4096, 4096))
        );
        assert_eq!(granted(0, u64::MAX, APERTURE), Ok((0, 1 << 47)));
    }

    #[test]
    fn wish_of_which_nothing_is_left_is_out_of_range() {
        assert_eq!(granted(1 << 47, 4096, APERTURE), Err(ERANGE));
        assert_eq!(granted(1, 4095, APERTURE), Err(ERANGE));
        assert_eq!(granted(0, 4095, APERTURE), Err(ERANGE));
        assert_eq!(granted(4097, 4096, APERTURE), Err(ERANGE));
    }

    #[test]
    fn last_byte_of_the_address_space_is_no_wrap_around() {
        let all = Interval {
            start: 0,
            last: u64::MAX,
        };
        assert_eq!(
            granted(u64::MAX - 4095, 4096, all),
            Ok((u64::MAX - 4095, 4096))
        );
        assert_eq!(granted(u64::MAX - 4094, 4095, all), Err(ERANGE));
    }

    #[test]
    fn reserved_regions_become_holes_of_the_window() -> Result {
        let region = |start, last| Interval { start, last };
        let reserved = [
            region(0xfee0_0000, 0xfeef_ffff),
            region(0x2000, 0x2fff),
            region(0x3000, 0x3fff),
            region(0x2800, 0x2900),
            region(0, 0xfff),
        ];
        let window = Window::negotiate(Wish::new(0x1000, 1 << 32)?, APERTURE, 4096, &reserved)?;
        let holes = [region(0x2000, 0x3fff), region(0xfee0_0000, 0xfeef_ffff)];
        assert!(window.holes() == holes);
        assert!(window.allows(&reserved));
        assert!(window.allows(&[region(0xfee1_0000, 0xfee1_ffff)]));
        assert!(!window.allows(&[region(0x4000, 0x4fff)]));
        assert!(!window.allows(&[region(0x3000, 0x4000)]));
        assert!(window.permits(region(0x1000, 0x1fff)));
        assert!(!window.permits(region(0x1000, 0x2000)));
        assert!(!window.permits(region(0x3000, 0x3fff)));
        assert!(!window.permits(region(0x1000, 0xfeff_ffff)));
        assert!(!window.permits(region(0, 0x1fff)));
        assert!(window.permits(region(0xfef0_0000, 0xfef0_0fff)));
        assert!(!window.permits(region(0xfef0_0000, 1 << 40)));
        Ok(())
    }
}
