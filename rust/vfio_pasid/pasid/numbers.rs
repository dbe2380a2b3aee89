// SPDX-License-Identifier: GPL-2.0-only

//! The number space: which PASIDs are taken, over all processes and devices.
//!
//! It is the only authority for the numbers of users, and for those that kernel drivers allocate.
//! They do not come from `iommu_alloc_global_pasid()`, which has no ranges and draws from the bottom
//! for host SVA; users draw from the top.
//!
//! Everybody waits for this, so that no search may grow with what is taken: above the numbers lie
//! summaries, which say where something is free.

use kernel::{prelude::*, sync::Mutex};

use super::range::{Node, PasidRange, PASID_LAST};
use crate::kernel::global::Global;

/// Numbers, or words of the level below, that a word tells of.
const WORD_BITS: usize = u64::BITS as usize;

/// The numbers, and as many summaries as it takes for the last to be one word.
const LEVELS: usize = 4;

/// Which numbers are free. Neither taking nor giving back allocates.
pub(crate) struct NumberSpace {
    /// Bit i of the first level: number i is one that users may get, and is free. Bit i of another
    /// level: word i of the level below is not 0.
    free: [KVVec<u64>; LEVELS],
}

/// Which numbers are taken, by whomever. Innermost lock.
pub(crate) static NUMBERS: Global<Mutex<NumberSpace>> = Global::new();

impl NumberSpace {
    /// A space of which users may get the numbers of `usable`, all of them free.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(usable: PasidRange) -> Result<Self> {
        let mut free = [const { KVVec::new() }; LEVELS];
        let mut bits = PASID_LAST as usize + 1;
        for level in &mut free {
            let words = bits.div_ceil(WORD_BITS);
            *level = KVVec::from_elem(0, words, GFP_KERNEL)?;
            bits = words;
        }
        let mut space = Self { free };
        if let Some(usable) = usable.intersection(PasidRange::ALL) {
            for node in usable.nodes() {
                space.give_back(node, usable.mask(node));
            }
        }
        Ok(space)
    }

    /// Takes the highest free number of `range` that is not one to `skip`, if there is one.
    pub(crate) fn take_highest(
        &mut self,
        range: PasidRange,
        mut skip: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let mut last = range.max().min(PASID_LAST);
        loop {
            let number = self.highest_free(last).filter(|&n| range.contains(n))?;
            if !skip(number) {
                self.take(number);
                return Some(number);
            }
            last = number.checked_sub(1)?;
        }
    }

    /// The highest free number that is not above `last`: up to where a summary has something at or
    /// below it, and down again.
    fn highest_free(&self, last: u32) -> Option<u32> {
        let mut bit = last as usize;
        for level in 0..LEVELS {
            let below = self.free[level][bit / WORD_BITS] << (WORD_BITS - 1 - bit % WORD_BITS);
            if below != 0 {
                return Some(self.highest_within(level, bit - below.leading_zeros() as usize));
            }
            bit = (bit / WORD_BITS).checked_sub(1)?;
        }
        None
    }

    /// The highest free number of those that `bit` of `level`, which is set, stands for.
    fn highest_within(&self, level: usize, bit: usize) -> u32 {
        let below = self.free[..level].iter().rev();
        below.fold(bit, |bit, words| {
            bit * WORD_BITS + words[bit].ilog2() as usize
        }) as u32
    }

    /// Takes a number that is free. A word that is 0 now is told of above.
    fn take(&mut self, number: u32) {
        let mut bit = number as usize;
        for level in &mut self.free {
            let word = &mut level[bit / WORD_BITS];
            *word &= !(1 << (bit % WORD_BITS));
            if *word != 0 {
                return;
            }
            bit /= WORD_BITS;
        }
    }

    /// Gives back the numbers that the bits of `word` stand for in `node`, all of them taken. A
    /// word that was 0 before is told of above.
    pub(crate) fn give_back(&mut self, node: Node, word: u64) {
        let mut index = node.index();
        let mut bits = word;
        debug_assert!(self.free[0][index] & word == 0);
        for level in &mut self.free {
            let before = level[index];
            level[index] = before | bits;
            if before != 0 {
                return;
            }
            bits = 1 << (index % WORD_BITS);
            index /= WORD_BITS;
        }
    }
}

#[kunit_tests(vfio_pasid_numbers)]
mod tests {
    use super::*;
    use crate::pasid::range::PASID_FIRST;

    fn take(space: &mut NumberSpace, min: u32, max: u32) -> Result<Option<u32>> {
        Ok(space.take_highest(PasidRange::new(min, max)?, |_| false))
    }

    fn give_back(space: &mut NumberSpace, number: u32) {
        space.give_back(Node::of(number), 1 << (number % u64::BITS));
    }

    /// A space where nothing is free.
    fn full() -> Result<NumberSpace> {
        let mut space = NumberSpace::new(PasidRange::single(PASID_FIRST))?;
        take(&mut space, PASID_FIRST, PASID_FIRST)?;
        Ok(space)
    }

    #[test]
    fn users_draw_from_the_top_of_what_both_ranges_allow() -> Result {
        let mut space = NumberSpace::new(PasidRange::new(10, 20)?)?;
        assert_eq!(space.take_highest(PasidRange::ALL, |_| false), Some(20));
        assert_eq!(space.take_highest(PasidRange::ALL, |_| false), Some(19));
        assert_eq!(take(&mut space, 0, 12)?, Some(12));
        assert_eq!(take(&mut space, 12, 12)?, None);
        assert_eq!(take(&mut space, 21, u32::MAX)?, None);
        assert_eq!(take(&mut space, 0, 9)?, None);
        Ok(())
    }

    #[test]
    fn pasid_0_is_never_given() -> Result {
        for usable in [PasidRange::ALL, PasidRange::new(0, u32::MAX)?] {
            let mut space = NumberSpace::new(usable)?;
            assert_eq!(take(&mut space, 0, 0)?, None);
            assert_eq!(take(&mut space, 1, 1)?, Some(PASID_FIRST));
            assert_eq!(take(&mut space, 0, PASID_FIRST)?, None);
            assert_eq!(take(&mut space, PASID_LAST, PASID_LAST)?, Some(PASID_LAST));
            assert_eq!(take(&mut space, PASID_LAST + 1, PASID_LAST + 1)?, None);
        }
        Ok(())
    }

    #[test]
    fn what_is_given_back_is_given_again() -> Result {
        let mut space = NumberSpace::new(PasidRange::new(64, 66)?)?;
        for expected in [Some(66), Some(65), Some(64), None] {
            assert_eq!(space.take_highest(PasidRange::ALL, |_| false), expected);
        }
        give_back(&mut space, 65);
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

    #[test]
    fn all_numbers_are_given_once_from_the_top() -> Result {
        let mut space = NumberSpace::new(PasidRange::ALL)?;
        for expected in (PASID_FIRST..=PASID_LAST).rev() {
            assert_eq!(
                space.take_highest(PasidRange::ALL, |_| false),
                Some(expected)
            );
        }
        assert_eq!(space.take_highest(PasidRange::ALL, |_| false), None);
        Ok(())
    }

    #[test]
    fn one_free_number_is_found_across_every_summary() -> Result {
        let mut space = full()?;
        for number in [1, 63, 64, 4095, 4096, 262_143, 262_144, 524_288, PASID_LAST] {
            give_back(&mut space, number);
            assert_eq!(take(&mut space, 0, number - 1)?, None);
            assert_eq!(take(&mut space, number + 1, u32::MAX)?, None);
            assert_eq!(take(&mut space, 0, u32::MAX)?, Some(number));
            assert_eq!(take(&mut space, 0, u32::MAX)?, None);
        }
        Ok(())
    }

    #[test]
    fn a_word_is_given_back_at_once() -> Result {
        let mut space = full()?;
        space.give_back(Node::of(4096), 0b1011);
        space.give_back(Node::of(4096), 0b100);
        for expected in [Some(4099), Some(4098), Some(4097), Some(4096), None] {
            assert_eq!(space.take_highest(PasidRange::ALL, |_| false), expected);
        }
        Ok(())
    }

    /// Steps that look random, and are the same each time.
    fn next_random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn does_what_a_plain_list_does() -> Result {
        // Below, across and above where the summaries of all levels change words.
        for base in [1, 4096 - 150, 262_144 - 150, PASID_LAST - 300] {
            let usable = PasidRange::new(base, base + 300)?;
            let mut space = NumberSpace::new(usable)?;
            let mut free = KVec::from_elem(true, 301, GFP_KERNEL)?;
            let mut state = u64::from(base) | 1 << 40;
            for step in 0..20_000 {
                let some = (next_random(&mut state) % 301) as u32;
                // It fills up, and empties again.
                if next_random(&mut state) % 8 < if step / 2000 % 2 == 0 { 6 } else { 2 } {
                    let size = next_random(&mut state) as u32 % 301;
                    let range = PasidRange::new(base + some, base + some + size)?;
                    let skipped = next_random(&mut state) as u32 % 8;
                    let expected = (some..=(some + size).min(300))
                        .rev()
                        .find(|&n| free[n as usize] && (base + n) % 8 != skipped);
                    let taken = space.take_highest(range, |number| number % 8 == skipped);
                    assert_eq!(taken, expected.map(|n| base + n));
                    expected.into_iter().for_each(|n| free[n as usize] = false);
                } else if !free[some as usize] {
                    give_back(&mut space, base + some);
                    free[some as usize] = true;
                }
            }
        }
        Ok(())
    }
}
