// SPDX-License-Identifier: GPL-2.0-only

//! Pages of a process: pinned, and charged to its locked memory.

use core::{
    cmp::min,
    mem::{forget, size_of_val},
    ops::Deref,
    ptr::null_mut,
    slice::from_ref, //
};

use kernel::{
    bindings,
    error::to_result,
    ffi::{c_int, c_uint, c_ulong},
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, //
    },
};

use super::{
    charge::{Account, Charge},
    errno::eopnotsupp,
    sched::{cond_resched, fatal_signal_pending},
    trace, //
};
use crate::interval::Interval;

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_page_to_pfn(page: *mut bindings::page) -> c_ulong;
    fn vfio_pasid_helper_pfn_to_page(pfn: c_ulong) -> *mut bindings::page;
    fn vfio_pasid_helper_add_pins(pfn: c_ulong, count: c_ulong) -> c_int;
    fn vfio_pasid_helper_pin_rest(pfn: c_ulong, most: c_ulong) -> c_ulong;
}

/// Pages that are pinned in one call.
const PAGES_AT_ONCE: usize = 512;

/// Pages that follow each other in memory.
#[derive(Clone, Copy)]
struct Run {
    /// How many pages of the range come before it.
    before: usize,
    pfn: usize,
}

/// Memory for runs.
enum RunVec {
    /// The only one needs none.
    One(Run),
    /// To grow, and for what fits into a page.
    Any(KVVec<Run>),
    /// For what is larger, where `kmalloc()` would round up to a power of two.
    Pages(VVec<Run>),
}

impl RunVec {
    /// To add `more` behind the others, for which there is room then.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` if they have been fitted.
    fn room(&mut self, more: usize) -> Result<&mut KVVec<Run>> {
        if let Self::One(first) = self {
            let mut runs = KVVec::with_capacity(1 + more, GFP_KERNEL_ACCOUNT)?;
            runs.push(*first, GFP_KERNEL_ACCOUNT)?;
            *self = Self::Any(runs);
        }
        let Self::Any(runs) = self else {
            return Err(EBUSY);
        };
        runs.reserve(more, GFP_KERNEL_ACCOUNT)?;
        Ok(runs)
    }

    /// Adds a run behind the others.
    ///
    /// # Errors
    ///
    /// Those of [`RunVec::room`].
    fn push(&mut self, run: Run) -> Result {
        if self.is_empty() {
            *self = Self::One(run);
            return Ok(());
        }
        Ok(self.room(1)?.push(run, GFP_KERNEL_ACCOUNT)?)
    }

    /// Moves them to memory of their size.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn fit(&mut self) -> Result {
        let Self::Any(runs) = self else {
            return Ok(());
        };
        if runs.len() == runs.capacity() {
            return Ok(());
        }
        *self = if size_of_val(&**runs) > PAGE_SIZE {
            let mut exact = VVec::new();
            exact.extend_from_slice(runs, GFP_KERNEL_ACCOUNT)?;
            Self::Pages(exact)
        } else {
            let mut exact = KVVec::new();
            exact.extend_from_slice(runs, GFP_KERNEL_ACCOUNT)?;
            Self::Any(exact)
        };
        Ok(())
    }
}

impl Deref for RunVec {
    type Target = [Run];

    fn deref(&self) -> &[Run] {
        match self {
            Self::One(run) => from_ref(run),
            Self::Any(runs) => runs,
            Self::Pages(runs) => runs,
        }
    }
}

/// The pages of a range, as runs.
struct Runs {
    /// In ascending order, the first with nothing before it.
    runs: RunVec,
    pages: usize,
}

impl Runs {
    fn new() -> Self {
        Self {
            runs: RunVec::Any(KVVec::new()),
            pages: 0,
        }
    }

    /// Notes the next pages, which are `pages`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and none is noted.
    ///
    /// # Safety
    ///
    /// They are valid.
    unsafe fn add_all(&mut self, pages: &[*mut bindings::page]) -> Result {
        let Some(&first) = pages.first() else {
            return Ok(());
        };
        // SAFETY: By the caller's promise.
        let first_pfn = unsafe { vfio_pasid_helper_page_to_pfn(first) };
        let pfn_of = |page: *mut bindings::page| {
            if cfg!(CONFIG_SPARSEMEM_VMEMMAP) {
                // SAFETY: Then the structures of all pages lie in one array, by their numbers.
                first_pfn.wrapping_add_signed(unsafe { page.offset_from(first) })
            } else {
                // SAFETY: By the caller's promise.
                unsafe { vfio_pasid_helper_page_to_pfn(page) }
            }
        };
        let mut count = run_length(pages);
        if count == pages.len() {
            return self.add(first_pfn, count);
        }
        let mut behind = self.behind().unwrap_or(usize::MAX);
        let mut before = self.pages;
        let runs = self.runs.room(pages.len())?;
        let mut rest = pages;
        while let Some(&page) = rest.first() {
            let pfn = pfn_of(page);
            if behind != pfn {
                let noted = runs.push_within_capacity(Run { before, pfn });
                debug_assert!(noted.is_ok());
            }
            behind = pfn + count;
            before += count;
            rest = rest.split_at(count).1;
            count = run_length(rest);
        }
        self.pages = before;
        Ok(())
    }

    /// The number of the page that is behind the last one in memory.
    fn behind(&self) -> Option<usize> {
        let run = self.runs.last()?;
        Some(run.pfn + (self.pages - run.before))
    }

    /// Notes the next pages, `count` of them from `pfn` on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, but not if they are behind the last one in memory.
    fn add(&mut self, pfn: usize, count: usize) -> Result {
        if self.behind() != Some(pfn) {
            let before = self.pages;
            self.runs.push(Run { before, pfn })?;
        }
        self.pages += count;
        Ok(())
    }

    /// The pages of the run at `index`: the first's number, and how many.
    fn run(&self, index: usize) -> (usize, usize) {
        let run = &self.runs[index];
        let behind = self
            .runs
            .get(index + 1)
            .map_or(self.pages, |next| next.before);
        (run.pfn, behind - run.before)
    }

    /// All of them, as [`Runs::run`].
    fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.runs.len()).map(|index| self.run(index))
    }

    /// The index of the run that has the page, which is one of the range.
    fn find(&self, page: usize) -> usize {
        self.runs.partition_point(|run| run.before <= page) - 1
    }

    /// As [`Runs::find`], but sooner if it is the run at `near` or the next.
    fn find_near(&self, page: usize, near: usize) -> usize {
        let begins = |index: usize| self.runs.get(index).map(|run| run.before <= page);
        let has = |index: usize| begins(index) == Some(true) && begins(index + 1) != Some(true);
        if has(near) {
            near
        } else if has(near + 1) {
            near + 1
        } else {
            self.find(page)
        }
    }

    /// As [`PinnedPages::pieces`].
    fn pieces(&self, offset: u64, size: u64) -> Pieces<'_> {
        self.pieces_from(self.find((offset >> PAGE_SHIFT) as usize), offset, size)
    }

    /// The same, where the first page is in the run at `start`.
    fn pieces_from(&self, start: usize, offset: u64, size: u64) -> Pieces<'_> {
        let page = (offset >> PAGE_SHIFT) as usize;
        Pieces {
            runs: &self.runs[start..],
            page,
            behind: page + (size >> PAGE_SHIFT) as usize,
        }
    }
}

/// The pieces of pages that follow each other in memory: physical address and size of each.
pub(super) struct Pieces<'a> {
    /// The first has the next page.
    runs: &'a [Run],
    page: usize,
    /// The page behind the last one.
    behind: usize,
}

impl Pieces<'_> {
    /// How many there are at most; 1 only if there is not another one.
    pub(super) fn most(&self) -> usize {
        match self.runs.get(1) {
            Some(next) if next.before < self.behind => {
                min(self.runs.len(), self.behind - self.page)
            }
            _ => 1,
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = (u64, u64);

    #[inline(always)]
    fn next(&mut self) -> Option<(u64, u64)> {
        if self.page >= self.behind {
            return None;
        }
        let (run, rest) = self.runs.split_first()?;
        let end = rest
            .first()
            .map_or(self.behind, |next| min(next.before, self.behind));
        let phys = (run.pfn + (self.page - run.before)) * PAGE_SIZE;
        let size = (end - self.page) * PAGE_SIZE;
        self.page = end;
        self.runs = rest;
        Some((phys as u64, size as u64))
    }
}

/// The pages of a range of virtual addresses. They stay pinned, and charged, until this is
/// dropped, whatever the process does to its mappings meanwhile.
///
/// # Invariants
///
/// The pages of `runs` are pinned (`FOLL_PIN`), for writing if `writable`.
pub(crate) struct PinnedPages {
    runs: Runs,
    range: Interval,
    writable: bool,
    _charge: Charge,
}

impl PinnedPages {
    /// Pins the pages of `range`, which is page-aligned, of the calling thread, and charges them to
    /// `account`, which is its process's. Takes its `mmap_lock`. Gives way, and stops at a fatal signal.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the range is not mapped (or not writable, but should be), or is memory that
    /// cannot be pinned for long; `EOPNOTSUPP` for files on DAX; `ENOMEM`, also for
    /// `RLIMIT_MEMLOCK`; `EINTR`.
    pub(crate) fn new(account: Arc<Account>, range: Interval, writable: bool) -> Result<Self> {
        let pages = (range.size() >> PAGE_SHIFT) as usize;
        let mut pinned = Self {
            runs: Runs::new(),
            range,
            writable,
            _charge: Charge::new(account, pages)?,
        };
        let mut one = [null_mut()];
        let mut many = KVec::new();
        let mut is_huge = true;
        while pinned.runs.pages < pages {
            let rest = pages - pinned.runs.pages;
            // A page of hugetlbfs takes one call.
            is_huge = if is_huge {
                pinned.pin(&mut one, rest)?
            } else {
                if many.is_empty() {
                    many = new_batch(rest)?;
                }
                // So that room for runs is not doubled for the one that came alone.
                let count = PAGES_AT_ONCE - pinned.runs.pages % PAGES_AT_ONCE;
                pinned.pin(&mut many[..min(rest, count)], rest)?
            };
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            cond_resched();
        }
        trace::pin(range, writable);
        pinned.runs.runs.fit()?;
        Ok(pinned)
    }

    /// Pins the next pages, up to as many as `batch` has room for; and then, if the last of them
    /// is of a page of hugetlbfs, all that is left of that, up to `rest` pages together. Returns
    /// whether there was something left.
    fn pin(&mut self, batch: &mut [*mut bindings::page], rest: usize) -> Result<bool> {
        let start = self.range.start() as usize + (self.runs.pages << PAGE_SHIFT);
        let batch = PinnedBatch::new(start, self.writable, batch)?;
        // SAFETY: They are pinned.
        unsafe { self.runs.add_all(batch.0) }?;
        // INVARIANT: And for writing, if `writable`.
        let rest = rest - batch.keep();
        let next = self.runs.behind().ok_or(EFAULT)?;
        // SAFETY: The page before it is pinned.
        let more = unsafe { vfio_pasid_helper_pin_rest(next, rest) };
        // INVARIANT: Just pinned, as the one before.
        self.runs.add(next, more)?;
        Ok(more > 0)
    }

    /// Whether the pages may be written.
    pub(crate) fn writable(&self) -> bool {
        self.writable
    }

    /// Whether the calling thread has these very pages in the range. Pins what it has there once
    /// more, a batch at a time, and charges nothing for that. Takes its `mmap_lock`. Gives way, and
    /// stops at a fatal signal.
    ///
    /// # Errors
    ///
    /// As [`PinnedPages::new`], but for `RLIMIT_MEMLOCK`.
    pub(crate) fn are_still_there(&self) -> Result<bool> {
        let pages = self.runs.pages;
        let mut batch = new_batch(pages)?;
        let mut expected = self.runs.iter().flat_map(|(pfn, count)| pfn..pfn + count);
        let mut done = 0;
        while done < pages {
            let start = self.range.start() as usize + (done << PAGE_SHIFT);
            let want = min(pages - done, PAGES_AT_ONCE);
            let again = PinnedBatch::new(start, self.writable, &mut batch[..want])?;
            for found in again.pfns() {
                if expected.next() != Some(found) {
                    return Ok(false);
                }
                done += 1;
            }
            drop(again);
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            cond_resched();
        }
        Ok(true)
    }

    /// Pins pages once more: those that follow each other in memory from `offset` on, of `size`
    /// bytes at most, which are both page-aligned and within the range. Returns the number of the
    /// first, and how many; the caller unpins them. Neither waits nor charges anybody. `near` is
    /// where they were the last time, as one call often begins where another one has ended.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if a page has too many references already; `EFAULT` if `size` is 0.
    pub(crate) fn pin_again(
        &self,
        near: &Atomic<usize>,
        offset: u64,
        size: u64,
    ) -> Result<(usize, usize)> {
        let page = (offset >> PAGE_SHIFT) as usize;
        let run = self.runs.find_near(page, near.load(Relaxed));
        near.store(run, Relaxed);
        let mut pieces = self.runs.pieces_from(run, offset, size);
        let (phys, size) = pieces.next().ok_or(EFAULT)?;
        let (pfn, count) = ((phys >> PAGE_SHIFT) as usize, (size >> PAGE_SHIFT) as usize);
        // SAFETY: By the type invariant they are pinned, so that they may be pinned again.
        to_result(unsafe { vfio_pasid_helper_add_pins(pfn, count) })?;
        Ok((pfn, count))
    }

    /// Where `size` bytes from `offset` on are in memory: physical address and size of each piece.
    /// Both are page-aligned, and within the range.
    pub(super) fn pieces(&self, offset: u64, size: u64) -> Pieces<'_> {
        self.runs.pieces(offset, size)
    }
}

impl Drop for PinnedPages {
    fn drop(&mut self) {
        for (pfn, count) in self.runs.iter() {
            // SAFETY: By the type invariant. A device may have written what was pinned for
            // writing, and no page table says so.
            unsafe {
                let page = vfio_pasid_helper_pfn_to_page(pfn);
                bindings::unpin_user_page_range_dirty_lock(page, count, self.writable);
            }
            cond_resched();
        }
        if self.runs.pages << PAGE_SHIFT == self.range.size() as usize {
            trace::unpin(self.range, self.writable);
        }
    }
}

/// Pages that are pinned until this is dropped, and charged to nobody.
///
/// # Invariants
///
/// They are pinned (`FOLL_PIN`).
struct PinnedBatch<'a>(&'a mut [*mut bindings::page]);

impl<'a> PinnedBatch<'a> {
    /// Pins up to as many pages as `batch` has room for.
    fn new(start: usize, writable: bool, batch: &'a mut [*mut bindings::page]) -> Result<Self> {
        let count = pin_batch(start, writable, batch)?;
        // INVARIANT: Just pinned.
        Ok(Self(&mut batch[..count]))
    }

    /// They stay pinned. Returns how many there are.
    fn keep(self) -> usize {
        let count = self.0.len();
        forget(self);
        count
    }

    fn pfns(&self) -> impl Iterator<Item = usize> + '_ {
        // SAFETY: By the type invariant the page is valid.
        (self.0.iter()).map(|&page| unsafe { vfio_pasid_helper_page_to_pfn(page) })
    }
}

impl Drop for PinnedBatch<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Nobody has written them by these pins.
        unsafe { bindings::unpin_user_pages(self.0.as_mut_ptr(), self.0.len()) };
    }
}

/// Room for as many of `pages` as are pinned in one call.
fn new_batch(pages: usize) -> Result<KVec<*mut bindings::page>> {
    let count = min(pages, PAGES_AT_ONCE);
    let mut batch = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
    // SAFETY: There is room for so many, and zeroed memory is null pointers.
    unsafe { batch.inc_len(count) };
    Ok(batch)
}

/// How many of the pages, one at least, certainly follow each other in memory: their structures do,
/// which lie by the pages' numbers in one array, or else one after the other.
fn run_length(pages: &[*mut bindings::page]) -> usize {
    if cfg!(not(CONFIG_SPARSEMEM_VMEMMAP)) {
        return 1;
    }
    let Some(&(mut next)) = pages.first() else {
        return 0;
    };
    let follows = |&&page: &&*mut bindings::page| {
        let follows = page == next;
        next = next.wrapping_add(1);
        follows
    };
    pages.iter().take_while(follows).count()
}

/// Pins up to as many pages of the calling thread as `batch` has room for, from `start` on, and
/// returns how many, at least one. The caller unpins them.
fn pin_batch(start: usize, writable: bool, batch: &mut [*mut bindings::page]) -> Result<usize> {
    let write = if writable { bindings::FOLL_WRITE } else { 0 };
    // SAFETY: `batch` has room for as many pages as it is long.
    let count = unsafe {
        bindings::pin_user_pages_fast(
            start,
            batch.len() as c_int,
            (bindings::FOLL_LONGTERM | write) as c_uint,
            batch.as_mut_ptr(),
        )
    };
    to_result(count).map_err(pin_error)?;
    if count == 0 {
        return Err(EFAULT);
    }
    Ok(count as usize)
}

/// Of what pinning may fail with, what a caller can tell apart.
fn pin_error(error: Error) -> Error {
    if error == ENOMEM || error == eopnotsupp() {
        error
    } else if error == EINTR || error == ERESTARTSYS || error == EAGAIN {
        EINTR
    } else {
        EFAULT
    }
}

#[kunit_tests(vfio_pasid_pages)]
mod tests {
    use super::*;

    /// The runs of these pages, and how many there is room for.
    fn fitted(pfns: impl ExactSizeIterator<Item = usize>) -> Result<(Runs, usize)> {
        let mut runs = Runs::new();
        for pfn in pfns {
            runs.add(pfn, 1)?;
        }
        runs.runs.fit()?;
        let room = match &runs.runs {
            RunVec::One(_) => 1,
            RunVec::Any(runs) => runs.capacity(),
            RunVec::Pages(runs) => runs.capacity(),
        };
        Ok((runs, room))
    }

    #[test]
    fn pages_that_follow_each_other_are_one_run() -> Result {
        let (runs, room) = fitted(1000..1512)?;
        assert_eq!((runs.runs.len(), room), (1, 1));
        assert_eq!(runs.run(0), (1000, 512));
        Ok(())
    }

    #[test]
    fn a_run_ends_where_the_next_page_is_another() {
        let pages = [7, 8, 9, 20, 21, 3].map(|pfn| null_mut::<bindings::page>().wrapping_add(pfn));
        let run = |from: usize| run_length(&pages[from..]);
        if cfg!(CONFIG_SPARSEMEM_VMEMMAP) {
            assert_eq!([0, 1, 3, 5].map(run), [3, 2, 2, 1]);
        }
    }

    #[test]
    fn scattered_pages_have_as_much_room_as_they_need() -> Result {
        for pages in [2, 255, 256, 257, 512, 1100] {
            let (runs, room) = fitted((0..pages).map(|page| 7 + 2 * page))?;
            assert_eq!((runs.runs.len(), room), (pages, pages));
            assert!(runs.iter().all(|(_, count)| count == 1));
            assert_eq!(runs.run(pages - 1), (7 + 2 * (pages - 1), 1));
        }
        Ok(())
    }

    #[test]
    fn a_page_is_found_wherever_the_last_one_was() -> Result {
        let (runs, _) = fitted([10, 11, 12, 20, 30, 31, 40].into_iter())?;
        for page in 0..7 {
            for near in 0..9 {
                assert_eq!(runs.find_near(page, near), runs.find(page));
            }
        }
        Ok(())
    }

    #[test]
    fn pieces_begin_and_end_within_runs() -> Result {
        // 10, 11, 12, then 20, then 30, 31.
        let (runs, _) = fitted([10, 11, 12, 20, 30, 31].into_iter())?;
        let expected = [(11, 2), (20, 1), (30, 1)];
        let page = PAGE_SIZE as u64;
        let mut seen = runs.pieces(page, 4 * page);
        for (pfn, count) in expected {
            assert_eq!(seen.next(), Some((pfn * page, count * page)));
        }
        assert_eq!(seen.next(), None);
        Ok(())
    }
}
