// SPDX-License-Identifier: GPL-2.0-only

//! PASIDs: ranges of them, and the set that one process holds.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation}, //
};

use crate::kernel::sched::cond_resched;

/// The lowest PASID. 0 is `IOMMU_NO_PASID`: requests without a PASID.
pub(crate) const PASID_FIRST: u32 = 1;
/// The highest PASID: the tag has 20 bits (PCIe 6.0, 6.20.1).
pub(crate) const PASID_LAST: u32 = (1 << 20) - 1;

/// Numbers that one node of the tree stands for.
const NODE_BITS: u32 = u64::BITS;

/// A range of numbers, both ends included, never empty.
#[derive(Clone, Copy)]
pub(crate) struct PasidRange {
    min: u32,
    max: u32,
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

    /// Which of the numbers that `node` stands for are in the range.
    fn mask(self, node: Node) -> u64 {
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
    fn of(number: u32) -> Self {
        Self(number / NODE_BITS)
    }

    /// The number that bit `bit` of the node's word stands for.
    fn number(self, bit: u32) -> u32 {
        self.0 * NODE_BITS + bit
    }

    /// The numbers that the bits set in `word` stand for.
    pub(crate) fn numbers(self, word: u64) -> impl Iterator<Item = u32> {
        (0..NODE_BITS)
            .filter(move |bit| word >> bit & 1 != 0)
            .map(move |bit| self.number(bit))
    }
}

/// Memory for a node of the tree, taken before the set is locked.
pub(crate) type Reservation = RBTreeNodeReservation<Node, u64>;

/// The PASIDs that one process holds: a tree with a word of 64 numbers in each node, so that
/// freeing part of a range never has to split a node and never allocates.
pub(crate) struct PasidSet {
    tree: RBTree<Node, u64>,
    held: u32,
}

impl PasidSet {
    /// An empty set.
    pub(crate) fn new() -> Self {
        Self {
            tree: RBTree::new(),
            held: 0,
        }
    }

    /// How many numbers the set holds.
    pub(crate) fn held(&self) -> u32 {
        self.held
    }

    /// Adds a number that the set does not hold.
    pub(crate) fn insert(&mut self, number: u32, spare: Reservation) {
        let node = Node::of(number);
        let bit = 1 << (number % NODE_BITS);
        match self.tree.get_mut(&node) {
            Some(word) => *word |= bit,
            None => {
                self.tree.insert(spare.into_node(node, bit));
            }
        }
        self.held += 1;
    }

    /// Takes every number of `range` out of the set and hands it to `release`, a node's numbers
    /// at a time. Numbers that the set does not hold are skipped.
    pub(crate) fn remove(&mut self, range: PasidRange, mut release: impl FnMut(Node, u64)) {
        let mut cursor = self.tree.cursor_lower_bound_mut(&Node::of(range.min));
        while let Some(mut here) = cursor {
            let (&node, word) = here.current_mut();
            let gone = *word & range.mask(node);
            if gone == 0 && node > Node::of(range.max) {
                break;
            }
            *word &= !gone;
            self.held -= gone.count_ones();
            release(node, gone);
            cursor = if *word == 0 {
                here.remove_current().0
            } else {
                here.move_next()
            };
            cond_resched();
        }
    }
}
