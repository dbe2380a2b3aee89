// SPDX-License-Identifier: GPL-2.0-only

//! The number space: which PASIDs are taken, over all processes and devices.
//!
//! It is the only authority for the numbers of users. They do not come from
//! `iommu_alloc_global_pasid()`, which has no ranges and draws from the bottom for host SVA;
//! users draw from the top.

use kernel::{bitmap::BitmapVec, prelude::*};

use crate::pasid::{Node, PasidRange, PASID_LAST};

/// Which numbers are taken. Neither taking nor giving back allocates.
pub(crate) struct NumberSpace {
    /// What users may get.
    limits: PasidRange,
    /// Bit i is number `PASID_LAST - i`: the first clear bit is the highest free number.
    taken: BitmapVec,
}

fn bit(number: u32) -> usize {
    (PASID_LAST - number) as usize
}

impl NumberSpace {
    /// A space with every number free, of which users may get those of `limits`.
    pub(crate) fn new(limits: PasidRange) -> Result<Self> {
        Ok(Self {
            limits,
            taken: BitmapVec::new(PASID_LAST as usize, GFP_KERNEL)?,
        })
    }

    /// Takes the highest free number of `range` for a user, if there is one.
    pub(crate) fn take_highest(&mut self, range: PasidRange) -> Option<u32> {
        let range = range.intersection(self.limits)?;
        let free = self.taken.next_zero_bit(bit(range.max()))?;
        if free > bit(range.min()) {
            return None;
        }
        self.taken.set_bit(free);
        Some(PASID_LAST - free as u32)
    }

    /// Takes `number`, which the host's allocator gave; `false` if a user has it.
    pub(crate) fn take(&mut self, number: u32) -> bool {
        let wanted = bit(number);
        let free = self.taken.next_zero_bit(wanted) == Some(wanted);
        if free {
            self.taken.set_bit(wanted);
        }
        free
    }

    /// Gives back the numbers that the bits of `word` stand for in `node`, all of them taken.
    pub(crate) fn give_back(&mut self, node: Node, word: u64) {
        for number in node.numbers(word) {
            self.taken.clear_bit(bit(number));
        }
    }
}

#[kunit_tests(vfio_pasid_space)]
mod tests {
    use super::*;
    use crate::pasid::PASID_FIRST;

    #[test]
    fn users_draw_from_the_top_of_what_both_ranges_allow() -> Result {
        let mut space = NumberSpace::new(PasidRange::new(10, 20)?)?;
        assert_eq!(space.take_highest(PasidRange::ALL), Some(20));
        assert_eq!(space.take_highest(PasidRange::ALL), Some(19));
        assert_eq!(space.take_highest(PasidRange::new(0, 12)?), Some(12));
        assert_eq!(space.take_highest(PasidRange::new(12, 12)?), None);
        assert_eq!(space.take_highest(PasidRange::new(21, u32::MAX)?), None);
        assert_eq!(space.take_highest(PasidRange::new(0, 9)?), None);
        Ok(())
    }

    #[test]
    fn pasid_0_is_never_given() -> Result {
        let mut space = NumberSpace::new(PasidRange::ALL)?;
        assert_eq!(space.take_highest(PasidRange::single(0)), None);
        assert_eq!(
            space.take_highest(PasidRange::single(PASID_FIRST)),
            Some(PASID_FIRST)
        );
        assert_eq!(space.take_highest(PasidRange::new(0, PASID_FIRST)?), None);
        assert_eq!(
            space.take_highest(PasidRange::single(PASID_LAST)),
            Some(PASID_LAST)
        );
        assert_eq!(space.take_highest(PasidRange::single(PASID_LAST + 1)), None);
        Ok(())
    }

    #[test]
    fn what_is_given_back_is_given_again() -> Result {
        let mut space = NumberSpace::new(PasidRange::new(64, 66)?)?;
        for expected in [Some(66), Some(65), Some(64), None] {
            assert_eq!(space.take_highest(PasidRange::ALL), expected);
        }
        space.give_back(Node::of(65), 1 << 1);
        assert_eq!(space.take_highest(PasidRange::ALL), Some(65));
        Ok(())
    }

    #[test]
    fn host_numbers_and_user_numbers_exclude_each_other() -> Result {
        let mut space = NumberSpace::new(PasidRange::new(10, 20)?)?;
        assert!(space.take(20));
        assert!(!space.take(20));
        assert_eq!(space.take_highest(PasidRange::ALL), Some(19));
        assert!(!space.take(19));
        // Outside what users may get, the host's numbers count as well.
        assert!(space.take(1));
        Ok(())
    }
}
