// SPDX-License-Identifier: GPL-2.0-only

//! The number space: which PASIDs are taken, over all processes and devices.
//!
//! It is the only authority for the numbers of users, and for those that kernel drivers allocate.
//! They do not come from `iommu_alloc_global_pasid()`, which has no ranges and draws from the bottom
//! for host SVA; users draw from the top.

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

    /// Takes the highest free number of `range` that is not one to `skip`, if there is one.
    pub(crate) fn take_highest(
        &mut self,
        range: PasidRange,
        mut skip: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let range = range.intersection(self.limits)?;
        let mut next = range.max();
        loop {
            let free = self.taken.next_zero_bit(bit(next))?;
            if free > bit(range.min()) {
                return None;
            }
            let number = PASID_LAST - free as u32;
            if !skip(number) {
                self.taken.set_bit(free);
                return Some(number);
            }
            next = number.checked_sub(1).filter(|&next| range.contains(next))?;
        }
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
        assert_eq!(space.take_highest(PasidRange::ALL, |_| false), Some(20));
        assert_eq!(space.take_highest(PasidRange::ALL, |_| false), Some(19));
        assert_eq!(
            space.take_highest(PasidRange::new(0, 12)?, |_| false),
            Some(12)
        );
        assert_eq!(
            space.take_highest(PasidRange::new(12, 12)?, |_| false),
            None
        );
        assert_eq!(
            space.take_highest(PasidRange::new(21, u32::MAX)?, |_| false),
            None
        );
        assert_eq!(space.take_highest(PasidRange::new(0, 9)?, |_| false), None);
        Ok(())
    }

    #[test]
    fn pasid_0_is_never_given() -> Result {
        let mut space = NumberSpace::new(PasidRange::ALL)?;
        assert_eq!(space.take_highest(PasidRange::single(0), |_| false), None);
        assert_eq!(
            space.take_highest(PasidRange::single(PASID_FIRST), |_| false),
            Some(PASID_FIRST)
        );
        assert_eq!(
            space.take_highest(PasidRange::new(0, PASID_FIRST)?, |_| false),
            None
        );
        assert_eq!(
            space.take_highest(PasidRange::single(PASID_LAST), |_| false),
            Some(PASID_LAST)
        );
        assert_eq!(
            space.take_highest(PasidRange::single(PASID_LAST + 1), |_| false),
            None
        );
        Ok(())
    }

    #[test]
    fn what_is_given_back_is_given_again() -> Result {
        let mut space = NumberSpace::new(PasidRange::new(64, 66)?)?;
        for expected in [Some(66), Some(65), Some(64), None] {
            assert_eq!(space.take_highest(PasidRange::ALL, |_| false), expected);
        }
        space.give_back(Node::of(65), 1 << 1);
        assert_eq!(space.take_highest(PasidRange::ALL, |_| false), Some(65));
        Ok(())
    }

    #[test]
    fn what_is_to_be_skipped_stays_free() -> Result {
        let mut space = NumberSpace::new(PasidRange::new(10, 12)?)?;
        let odd = |number| number % 2 == 1;
        assert_eq!(space.take_highest(PasidRange::ALL, |n| n > 10), Some(10));
        assert_eq!(space.take_highest(PasidRange::ALL, |n| n > 10), None);
        assert_eq!(space.take_highest(PasidRange::ALL, odd), Some(12));
        assert_eq!(space.take_highest(PasidRange::ALL, odd), None);
        assert_eq!(space.take_highest(PasidRange::ALL, |_| false), Some(11));
        Ok(())
    }
}
