// SPDX-License-Identifier: GPL-2.0-only

//! IOVA windows: one interval, negotiated when a space is created, with holes in it.

use kernel::prelude::*;

use crate::interval::Interval;

/// The window that a user wants.
#[derive(Clone, Copy)]
pub(crate) enum WindowRequest {
    /// All there is.
    Everything,
    /// That much.
    Part(Interval),
}

impl WindowRequest {
    /// Reads a request from `start` and `size` in bytes; size 0 with start 0 is everything.
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

    /// The largest part of the request that is aligned to `page` (bytes, a power of two) and fits
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
    /// Grants the largest part of `request` that is aligned to `page` (bytes, a power of two) and
    /// fits into `aperture`; what it has of `reserved` becomes holes.
    ///
    /// # Errors
    ///
    /// `ERANGE` if nothing of the request fits; `ENOMEM`.
    pub(crate) fn negotiate(
        request: WindowRequest,
        aperture: Interval,
        page: u64,
        reserved: &[Interval],
    ) -> Result<Self> {
        let interval = request.within(aperture, page)?;

        // Sorted by insertion: there are a handful, and objtool stumbles over core's sort.
        let mut found: KVec<Interval> = KVec::with_capacity(reserved.len(), GFP_KERNEL_ACCOUNT)?;
        for hole in reserved.iter().filter_map(|r| r.intersection(interval)) {
            let place = found.partition_point(|other| *other < hole);
            found.insert_within_capacity(place, hole)?;
        }

        let mut holes: KVec<Interval> = KVec::with_capacity(found.len(), GFP_KERNEL_ACCOUNT)?;
        for next in found {
            match holes.last_mut() {
                Some(hole) if next.start() <= hole.last().saturating_add(1) => {
                    *hole = hole.hull(next);
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

    /// The last byte of one.
    const APERTURE: u64 = (1 << 47) - 1;

    /// From `start` to `last`, which is not below.
    fn region(start: u64, last: u64) -> Interval {
        Interval::new(start, last).unwrap_or(Interval::ALL)
    }

    /// What is granted of an aperture that begins at 0.
    fn granted(start: u64, size: u64, last: u64) -> Result<(u64, u64)> {
        let request = WindowRequest::new(start, size)?;
        let window = Window::negotiate(request, region(0, last), 4096, &[])?;
        Ok((window.interval().start(), window.interval().size()))
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
        assert_eq!(
            granted(u64::MAX - 4095, 4096, u64::MAX),
            Ok((u64::MAX - 4095, 4096))
        );
        assert_eq!(granted(u64::MAX - 4094, 4095, u64::MAX), Err(ERANGE));
    }

    #[test]
    fn reserved_regions_become_holes_of_the_window() -> Result {
        let reserved = [
            region(0xfee0_0000, 0xfeef_ffff),
            region(0x2000, 0x2fff),
            region(0x3000, 0x3fff),
            region(0x2800, 0x2900),
            region(0, 0xfff),
        ];
        let (request, aperture) = (WindowRequest::new(0x1000, 1 << 32)?, region(0, APERTURE));
        let window = Window::negotiate(request, aperture, 4096, &reserved)?;
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
