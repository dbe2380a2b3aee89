// SPDX-License-Identifier: GPL-2.0-only

//! The number space: which PASIDs are taken, over all processes and devices.
//!
//! It is the only authority for the numbers of users. They do not come from
//! `iommu_alloc_global_pasid()`, which has no ranges and draws from the bottom for host SVA;
//! users draw from the top.

use kernel::{bitmap::BitmapVec, prelude::*};

use crate::pasid::{Node, PasidRange};

/// Which numbers of `limits` are taken. Neither taking nor giving back allocates.
pub(crate) struct NumberSpace {
    limits: PasidRange,
    /// Bit i is number `limits.max() - i`: the first clear bit is the highest free number.
    taken: BitmapVec,
}

impl NumberSpace {
    /// A space with every number of `limits` free.
    pub(crate) fn new(limits: PasidRange) -> Result<Self> {
        let count = limits.max() - limits.min() + 1;
        Ok(Self {
            limits,
            taken: BitmapVec::new(count as usize, GFP_KERNEL)?,
        })
    }

    fn bit(&self, number: u32) -> usize {
        (self.limits.max() - number) as usize
    }

    /// Takes the highest free number of `range`, if there is one.
    pub(crate) fn take_highest(&mut self, range: PasidRange) -> Option<u32> {
        let range = range.intersection(self.limits)?;
        let bit = self.taken.next_zero_bit(self.bit(range.max()))?;
        if bit > self.bit(range.min()) {
            return None;
        }
        self.taken.set_bit(bit);
        Some(self.limits.max() - bit as u32)
    }

    /// Gives back the numbers that the bits of `word` stand for in `node`: numbers of
    /// [`NumberSpace::take_highest`].
    pub(crate) fn give_back(&mut self, node: Node, word: u64) {
        for number in node.numbers(word) {
            let bit = self.bit(number);
            self.taken.clear_bit(bit);
        }
    }
}
