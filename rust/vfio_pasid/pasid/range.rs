// SPDX-License-Identifier: GPL-2.0-only

//! PASIDs as numbers: which there are, ranges of them, and 64 of them at a time.

use kernel::prelude::*;

/// The lowest PASID. 0 is `IOMMU_NO_PASID`: requests without a PASID.
pub(crate) const PASID_FIRST: u32 = 1;
/// The highest PASID: the tag has 20 bits (PCIe 6.0, 6.20.1).
pub(crate) const PASID_LAST: u32 = (1 << 20) - 1;

/// Numbers that one node of the tree stands for.
pub(super) const NODE_BITS: u32 = u64::BITS;

/// A range of numbers, both ends included, never empty.
#[derive(Clone, Copy)]
pub(crate) struct PasidRange {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl PasidRange {
    /// Every number there is.
    pub(crate) const ALL: Self = Self {
        min: PASID_FIRST,
        max: PASID_LAST,
    };

    /// A range from `min` to `max`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `min > max`.
    pub(crate) fn new(min: u32, max: u32) -> Result<Self> {
        if min > max {
            return Err(EINVAL);
        }
        Ok(Self { min, max })
    }

    /// Just `number`.
    pub(crate) fn single(number: u32) -> Self {
        Self {
            min: number,
            max: number,
        }
    }

    /// The numbers that fit into `width` bits, which is at least 1.
    pub(crate) fn of_width(width: u32) -> Self {
        Self {
            min: PASID_FIRST,
            max: u32::MAX >> (u32::BITS - width.clamp(1, 20)),
        }
    }

    /// Whether `number` is in the range.
    pub(crate) fn contains(self, number: u32) -> bool {
        (self.min..=self.max).contains(&number)
    }

    /// The lowest number.
    pub(crate) fn min(self) -> u32 {
        self.min
    }

    /// The highest number.
    pub(crate) fn max(self) -> u32 {
        self.max
    }

    /// What both ranges have, if anything.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.min.max(other.min), self.max.min(other.max)).ok()
    }

    /// The nodes that numbers of the range are in.
    pub(crate) fn nodes(self) -> impl Iterator<Item = Node> {
        (Node::of(self.min).0..=Node::of(self.max).0).map(Node)
    }

    /// Which of the numbers that `node` stands for are in the range.
    pub(crate) fn mask(self, node: Node) -> u64 {
        let first = node.number(0);
        let last = node.number(NODE_BITS - 1);
        match self.intersection(Self {
            min: first,
            max: last,
        }) {
            Some(part) => (u64::MAX << (part.min - first)) & (u64::MAX >> (last - part.max)),
            None => 0,
        }
    }
}

/// Which 64 numbers a node of the tree stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node(u32);

impl Node {
    /// The node that stands for `number`.
    pub(crate) fn of(number: u32) -> Self {
        Self(number / NODE_BITS)
    }

    /// The bit of its node's word that stands for `number`.
    pub(super) fn bit(number: u32) -> u64 {
        1 << (number % NODE_BITS)
    }

    /// The number that bit `bit` of the node's word stands for.
    pub(super) fn number(self, bit: u32) -> u32 {
        self.0 * NODE_BITS + bit
    }

    /// How many nodes there are for lower numbers.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[kunit_tests(vfio_pasid_range)]
mod tests {
    use super::*;

    #[test]
    fn range_is_never_empty() {
        assert!(PasidRange::new(2, 1).is_err());
        assert!(PasidRange::new(1, 1).is_ok());
        assert!(PasidRange::new(0, u32::MAX).is_ok());
    }

    #[test]
    fn range_of_width_ends_at_its_highest_number() {
        assert_eq!(PasidRange::of_width(8).max(), 255);
        assert_eq!(PasidRange::of_width(20).max(), PASID_LAST);
        assert_eq!(PasidRange::of_width(32).max(), PASID_LAST);
        assert_eq!(PasidRange::of_width(8).min(), PASID_FIRST);
    }

    #[test]
    fn mask_has_the_numbers_of_the_range_only() -> Result {
        let mask = |min, max, node| Ok::<_, Error>(PasidRange::new(min, max)?.mask(Node(node)));
        assert_eq!(mask(0, u32::MAX, 7)?, u64::MAX);
        assert_eq!(mask(64, 127, 1)?, u64::MAX);
        assert_eq!(mask(64, 127, 0)?, 0);
        assert_eq!(mask(64, 127, 2)?, 0);
        assert_eq!(mask(65, 66, 1)?, 0b110);
        assert_eq!(mask(127, 128, 1)?, 1 << 63);
        assert_eq!(mask(127, 128, 2)?, 1);
        assert_eq!(mask(u32::MAX, u32::MAX, u32::MAX / NODE_BITS)?, 1 << 63);
        Ok(())
    }
}
