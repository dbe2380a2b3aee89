// SPDX-License-Identifier: GPL-2.0-only

//! The set of PASIDs that one process holds.

use kernel::{
    prelude::*,
    rbtree::{Entry, RBTree, RBTreeNodeReservation}, //
};

use crate::kernel::sched::cond_resched;

use super::range::{Node, PasidRange, NODE_BITS};

/// Nodes that are looked at in one go.
const NODES_AT_ONCE: u32 = 64;

/// For whom a number was taken: each gives back its own numbers only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The process, by ioctl.
    User,
    /// A kernel driver, for the process.
    Driver,
}

/// What the set knows of the 64 numbers of a node, a bit each.
pub(crate) struct Word {
    held: u64,
    /// A part of `held`: numbers that an aux space or an attachment uses.
    in_use: u64,
    /// A part of `held`: numbers of kernel drivers.
    driver: u64,
}

impl Word {
    /// The held numbers of `holder`.
    fn of(&self, holder: Holder) -> u64 {
        match holder {
            Holder::User => self.held & !self.driver,
            Holder::Driver => self.driver,
        }
    }

    /// Takes out what `holder` has of `mask` and does not use, and returns it.
    fn take(&mut self, holder: Holder, mask: u64) -> u64 {
        let gone = self.of(holder) & !self.in_use & mask;
        self.held &= !gone;
        self.driver &= !gone;
        gone
    }
}

/// Memory for a node of the tree.
pub(crate) type NodePlace = RBTreeNodeReservation<Node, Word>;

/// The PASIDs that one process holds: a tree with 64 numbers in each node, so that freeing part
/// of a range never has to split a node and never allocates.
pub(crate) struct PasidSet {
    tree: RBTree<Node, Word>,
    /// For the next number that no node is there for. What was a node before becomes one again, so
    /// that a process which takes a number and gives it back allocates nothing.
    spare: Option<NodePlace>,
    held: u32,
    in_use: u32,
    /// How many of these are the host's, which may be free for everybody else: what a driver holds
    /// and uses is such a number, and nothing else is.
    of_host: u32,
    /// Who uses the number of the process itself, if it is held.
    of_process: u32,
    sweeps: u32,
}

impl PasidSet {
    /// An empty set.
    pub(crate) fn new() -> Self {
        Self {
            tree: RBTree::new(),
            spare: None,
            held: 0,
            in_use: 0,
            of_host: 0,
            of_process: 0,
            sweeps: 0,
        }
    }

    /// How often everything of the user was swept out of the set. What was in use then goes when
    /// its use ends.
    pub(crate) fn sweeps(&self) -> u32 {
        self.sweeps
    }

    /// Everything of the user is about to be removed.
    pub(crate) fn start_sweep(&mut self) {
        self.sweeps = self.sweeps.wrapping_add(1);
    }

    /// How many numbers the set holds.
    pub(crate) fn held(&self) -> u32 {
        self.held
    }

    /// Whether [`PasidSet::insert`] may be called.
    pub(crate) fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Keeps memory for [`PasidSet::insert`].
    pub(crate) fn keep_spare(&mut self, spare: NodePlace) {
        self.spare = Some(spare);
    }

    /// Adds a number that the set does not hold, marked as in use if `in_use`. The set has a spare
    /// node.
    pub(crate) fn insert(&mut self, number: u32, holder: Holder, in_use: bool) {
        let (node, bit) = (Node::of(number), Node::bit(number));
        let new = Word {
            held: bit,
            in_use: if in_use { bit } else { 0 },
            driver: if holder == Holder::Driver { bit } else { 0 },
        };
        self.held += 1;
        self.in_use += u32::from(in_use);
        self.of_host += u32::from(in_use && holder == Holder::Driver);
        match self.tree.entry(node) {
            Entry::Occupied(mut entry) => {
                let word = entry.get_mut();
                word.held |= new.held;
                word.in_use |= new.in_use;
                word.driver |= new.driver;
            }
            Entry::Vacant(entry) => {
                if let Some(spare) = self.spare.take() {
                    entry.insert(new, spare);
                } else {
                    debug_assert!(false);
                }
            }
        }
    }

    /// Whether the set holds the number.
    pub(crate) fn holds(&self, number: u32) -> bool {
        let word = self.tree.get(&Node::of(number));
        word.is_some_and(|word| word.held & Node::bit(number) != 0)
    }

    /// The first numbers from `from` on that follow each other and have one holder. What goes on
    /// for long is cut, so that this is a short look.
    pub(crate) fn range_from(&self, from: u32) -> Option<(PasidRange, Holder)> {
        let mut found: Option<(PasidRange, Holder)> = None;
        let mut next = from;
        for _ in 0..NODES_AT_ONCE {
            let Some(cursor) = self.tree.cursor_lower_bound(&Node::of(next)) else {
                break;
            };
            let (&node, word) = cursor.current();
            let first = node.number(0);
            let start = next.max(first);
            let left = word.held & (u64::MAX << (start - first));
            let (bit, holder) = match found {
                // What follows does so without a gap, and has the same holder.
                Some((_, holder)) if start == next => (start - first, holder),
                Some(_) => break,
                None if left == 0 => {
                    next = first + NODE_BITS;
                    continue;
                }
                None => {
                    let bit = left.trailing_zeros();
                    let driver = word.driver >> bit & 1 != 0;
                    (bit, if driver { Holder::Driver } else { Holder::User })
                }
            };
            let count = (!(word.of(holder) >> bit)).trailing_zeros();
            if count > 0 {
                let min = found.map_or(first + bit, |(range, _)| range.min);
                let max = first + bit + count - 1;
                found = Some((PasidRange { min, max }, holder));
            }
            if bit + count < NODE_BITS {
                break;
            }
            next = first + NODE_BITS;
        }
        found
    }

    /// Whether the set holds the number although the number space may have it free.
    pub(crate) fn holds_of_host(&self, number: u32) -> bool {
        self.of_host != 0 && self.holds(number)
    }

    /// Counts one more use of the process's own number, which the set holds from the first to the
    /// last; returns whether this is the first.
    pub(crate) fn start_process_use(&mut self) -> bool {
        self.of_process += 1;
        self.of_process == 1
    }

    /// Counts one use less; returns whether this was the last.
    pub(crate) fn end_process_use(&mut self) -> bool {
        self.of_process -= 1;
        self.of_process == 0
    }

    /// Marks a number of the user as in use, which keeps it from being removed.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the user does not hold it; `EBUSY` if it is in use already.
    pub(crate) fn start_use(&mut self, number: u32) -> Result {
        let bit = Node::bit(number);
        let word = self.tree.get_mut(&Node::of(number)).ok_or(ENOENT)?;
        if word.of(Holder::User) & bit == 0 {
            return Err(ENOENT);
        }
        if word.in_use & bit != 0 {
            return Err(EBUSY);
        }
        word.in_use |= bit;
        self.in_use += 1;
        Ok(())
    }

    /// Takes the mark of [`PasidSet::start_use`] off.
    pub(crate) fn end_use(&mut self, number: u32) {
        if let Some(word) = self.tree.get_mut(&Node::of(number)) {
            let bit = Node::bit(number);
            word.in_use &= !bit;
            self.in_use -= 1;
            self.of_host -= u32::from(word.driver & bit != 0);
        }
    }

    /// Whether any number of the user in `range` is in use.
    pub(crate) fn any_in_use(&mut self, range: PasidRange) -> bool {
        if self.in_use == 0 {
            return false;
        }
        let mut cursor = self.tree.cursor_lower_bound_mut(&Node::of(range.min));
        while let Some(here) = cursor {
            let (&node, word) = here.current();
            if node > Node::of(range.max) {
                break;
            }
            if word.of(Holder::User) & word.in_use & range.mask(node) != 0 {
                return true;
            }
            cursor = here.move_next();
            cond_resched();
        }
        false
    }

    /// Takes every number of `holder` in `range` that is not in use out of the set and hands it to
    /// `release`, a node's numbers at a time. Numbers that the holder has not are skipped.
    pub(crate) fn remove(
        &mut self,
        range: PasidRange,
        holder: Holder,
        release: impl FnMut(Node, u64),
    ) {
        if Node::of(range.min) == Node::of(range.max) {
            self.remove_in_node(range, holder, release);
        } else {
            self.remove_in_nodes(range, holder, release);
        }
    }

    /// As [`PasidSet::remove`], for a range within a node: no other is looked for.
    fn remove_in_node(
        &mut self,
        range: PasidRange,
        holder: Holder,
        mut release: impl FnMut(Node, u64),
    ) {
        let node = Node::of(range.min);
        let Some(mut entry) = self.tree.find_mut(&node) else {
            return;
        };
        let gone = entry.get_mut().take(holder, range.mask(node));
        if gone == 0 {
            return;
        }
        self.held -= gone.count_ones();
        release(node, gone);
        if entry.get().held == 0 {
            let removed = entry.remove_node();
            self.spare.get_or_insert_with(|| removed.into_reservation());
        }
    }

    fn remove_in_nodes(
        &mut self,
        range: PasidRange,
        holder: Holder,
        mut release: impl FnMut(Node, u64),
    ) {
        let mut cursor = self.tree.cursor_lower_bound_mut(&Node::of(range.min));
        while let Some(mut here) = cursor {
            let (&node, word) = here.current_mut();
            if node > Node::of(range.max) {
                break;
            }
            let gone = word.take(holder, range.mask(node));
            let empty = word.held == 0;
            if gone != 0 {
                self.held -= gone.count_ones();
                release(node, gone);
            }
            // At the end of the tree the cursor steps back, to a node that has nothing to remove.
            cursor = if empty {
                let (next, removed) = here.remove_current();
                self.spare.get_or_insert_with(|| removed.into_reservation());
                next
            } else {
                here.move_next()
            };
            cond_resched();
        }
    }
}

#[kunit_tests(vfio_pasid_set)]
mod tests {
    use super::*;
    use crate::pasid::range::PASID_LAST;

    fn set_of(numbers: &[u32]) -> Result<PasidSet> {
        let mut set = PasidSet::new();
        for &number in numbers {
            set.keep_spare(NodePlace::new(GFP_KERNEL)?);
            set.insert(number, Holder::User, false);
        }
        Ok(set)
    }

    /// Removes `min..=max` and returns what went, in the order in which it went.
    fn removed(set: &mut PasidSet, min: u32, max: u32) -> Result<KVec<u32>> {
        let mut gone = KVec::new();
        set.remove(PasidRange::new(min, max)?, Holder::User, |node, word| {
            for bit in (0..NODE_BITS).filter(|bit| word >> bit & 1 != 0) {
                let _ = gone.push(node.number(bit), GFP_KERNEL);
            }
        });
        Ok(gone)
    }

    #[test]
    fn remove_takes_held_numbers_and_skips_holes() -> Result {
        let mut set = set_of(&[1, 63, 64, 70, 200, PASID_LAST])?;
        assert_eq!(set.held(), 6);
        assert_eq!(removed(&mut set, 63, 199)?.as_slice(), &[63, 64, 70]);
        assert_eq!(set.held(), 3);
        assert_eq!(removed(&mut set, 63, 199)?.len(), 0);
        assert_eq!(
            removed(&mut set, 0, u32::MAX)?.as_slice(),
            &[1, 200, PASID_LAST]
        );
        assert_eq!(set.held(), 0);
        assert!(set.tree.is_empty());
        Ok(())
    }

    #[test]
    fn remove_ends_where_the_last_node_goes() -> Result {
        // Removing the last node of the tree steps the cursor back, to one that keeps a number.
        let mut set = set_of(&[1, 2, 640])?;
        assert_eq!(removed(&mut set, 2, 640)?.as_slice(), &[2, 640]);
        assert_eq!(set.held(), 1);
        Ok(())
    }

    #[test]
    fn ranges_end_at_gaps_and_at_other_holders() -> Result {
        let mut set = set_of(&[1, 2, 63, 64, 127, 128, 129, 700])?;
        set.keep_spare(NodePlace::new(GFP_KERNEL)?);
        set.insert(130, Holder::Driver, false);
        let range = |from| {
            let found = set.range_from(from);
            found.map(|(range, holder)| (range.min, range.max, holder == Holder::Driver))
        };
        assert_eq!(range(0), Some((1, 2, false)));
        assert_eq!(range(2), Some((2, 2, false)));
        assert_eq!(range(3), Some((63, 64, false)));
        assert_eq!(range(65), Some((127, 129, false)));
        assert_eq!(range(130), Some((130, 130, true)));
        assert_eq!(range(131), Some((700, 700, false)));
        assert_eq!(range(701), None);
        Ok(())
    }

    #[test]
    fn long_ranges_are_cut() -> Result {
        let mut set = PasidSet::new();
        for number in 10..10 + 2 * NODES_AT_ONCE * NODE_BITS {
            set.keep_spare(NodePlace::new(GFP_KERNEL)?);
            set.insert(number, Holder::User, false);
        }
        let end = 10 + 2 * NODES_AT_ONCE * NODE_BITS;
        let mut next = 0;
        let mut ranges = 0;
        while let Some((range, _)) = set.range_from(next) {
            assert_eq!(range.min, next.max(10));
            assert!(range.max - range.min < NODES_AT_ONCE * NODE_BITS);
            next = range.max + 1;
            ranges += 1;
        }
        assert_eq!(next, end);
        assert_eq!(ranges, 3);
        Ok(())
    }

    #[test]
    fn number_in_use_is_neither_removed_nor_used_again() -> Result {
        let mut set = set_of(&[5, 6])?;
        assert_eq!(set.start_use(7), Err(ENOENT));
        assert_eq!(set.start_use(500), Err(ENOENT));
        assert_eq!(set.start_use(5), Ok(()));
        assert_eq!(set.start_use(5), Err(EBUSY));
        assert!(set.any_in_use(PasidRange::new(1, 5)?));
        assert!(!set.any_in_use(PasidRange::new(6, u32::MAX)?));
        assert_eq!(removed(&mut set, 1, 100)?.as_slice(), &[6]);
        assert_eq!(set.held(), 1);
        set.end_use(5);
        assert_eq!(removed(&mut set, 1, 100)?.as_slice(), &[5]);
        Ok(())
    }

    #[test]
    fn each_holder_gives_back_its_own() -> Result {
        let mut set = set_of(&[5])?;
        set.keep_spare(NodePlace::new(GFP_KERNEL)?);
        set.insert(6, Holder::Driver, false);
        set.insert(7, Holder::Driver, true);
        assert_eq!(set.start_use(6), Err(ENOENT));
        assert!(!set.any_in_use(PasidRange::ALL));
        assert_eq!(removed(&mut set, 1, 100)?.as_slice(), &[5]);
        let mut of_driver = 0;
        set.remove(PasidRange::ALL, Holder::Driver, |_, word| of_driver = word);
        assert_eq!(of_driver, 1 << 6);
        assert_eq!(set.held(), 1);
        assert!(set.holds(7));
        Ok(())
    }

    #[test]
    fn a_node_is_taken_only_where_there_is_none_and_kept() -> Result {
        let mut set = set_of(&[64])?;
        assert!(!set.has_spare());
        set.insert(65, Holder::User, false);
        assert!(!set.has_spare());
        assert_eq!(removed(&mut set, 64, 64)?.as_slice(), &[64]);
        assert!(!set.has_spare());
        assert_eq!(removed(&mut set, 65, 65)?.as_slice(), &[65]);
        assert!(set.has_spare());
        set.insert(1000, Holder::User, false);
        assert!(!set.has_spare());
        assert!(set.holds(1000));
        set.keep_spare(NodePlace::new(GFP_KERNEL)?);
        set.insert(1001, Holder::User, false);
        assert!(set.has_spare());
        Ok(())
    }

    #[test]
    fn only_a_number_of_the_host_may_be_free() -> Result {
        let mut set = set_of(&[5])?;
        set.start_use(5)?;
        assert!(!set.holds_of_host(5));
        set.keep_spare(NodePlace::new(GFP_KERNEL)?);
        set.insert(70, Holder::Driver, true);
        assert!(set.holds_of_host(70));
        assert!(!set.holds_of_host(71));
        set.end_use(5);
        assert!(set.holds_of_host(70));
        set.end_use(70);
        assert!(!set.holds_of_host(70));
        Ok(())
    }

    #[test]
    fn uses_are_counted_until_the_last_ends() -> Result {
        let mut set = set_of(&[5, 6])?;
        set.start_use(5)?;
        set.start_use(6)?;
        set.end_use(5);
        assert!(!set.any_in_use(PasidRange::single(5)));
        assert!(set.any_in_use(PasidRange::single(6)));
        set.end_use(6);
        assert!(!set.any_in_use(PasidRange::ALL));
        Ok(())
    }
}
