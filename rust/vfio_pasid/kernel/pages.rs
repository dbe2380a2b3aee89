// SPDX-License-Identifier: GPL-2.0-only

//! Pages of a process: pinned, and charged to its locked memory.

use core::{
    cmp::min,
    mem::size_of_val,
    ops::Deref, //
};

use kernel::{
    bindings,
    error::to_result,
    ffi::{c_int, c_uint, c_ulong},
    mm::Mm,
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed}, //
    },
};

use super::{
    charge::Charge,
    errno::eopnotsupp,
    sched::{cond_resched, fatal_signal_pending},
    trace, //
};
use crate::window::Interval;

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_page_to_pfn(page: *mut bindings::page) -> c_ulong;
    fn vfio_pasid_helper_pfn_to_page(pfn: c_ulong) -> *mut bindings::page;
    fn vfio_pasid_helper_add_pins(pfn: c_ulong, count: c_ulong) -> c_int;
}

/// Pages that are pinned in one call.
const BATCH: usize = 512;

/// Pages that follow each other in memory.
#[derive(Clone, Copy)]
struct Run {
    /// How many pages of the range come before it.
    before: usize,
    pfn: usize,
}

/// Memory for runs.
enum RunVec {
    /// To grow, and for what fits into a page.
    Any(KVVec<Run>),
    /// For what is larger, where `kmalloc()` would round up to a power of two.
    Pages(VVec<Run>),
}

impl Deref for RunVec {
    type Target = [Run];

    fn deref(&self) -> &[Run] {
        match self {
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

    /// Makes room for `pages` more, wherever they are.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn reserve(&mut self, pages: usize) -> Result {
        if let RunVec::Any(runs) = &mut self.runs {
            runs.reserve(pages, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    /// Notes the next pages, `count` of them from `pfn` on, for which there is room.
    fn add(&mut self, pfn: usize, count: usize) {
        let follows = self
            .runs
            .last()
            .is_some_and(|run| run.pfn + (self.pages - run.before) == pfn);
        if let (false, RunVec::Any(runs)) = (follows, &mut self.runs) {
            let run = Run {
                before: self.pages,
                pfn,
            };
            let noted = runs.push_within_capacity(run);
            debug_assert!(noted.is_ok());
        }
        self.pages += count;
    }

    /// Moves the runs, of which there will be no more, to memory of their size: what was reserved
    /// is for pages that do not follow each other.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn fit(&mut self) -> Result {
        self.runs = if size_of_val(&*self.runs) > PAGE_SIZE {
            let mut exact = VVec::new();
            exact.extend_from_slice(&self.runs, GFP_KERNEL_ACCOUNT)?;
            RunVec::Pages(exact)
        } else {
            let mut exact = KVVec::new();
            exact.extend_from_slice(&self.runs, GFP_KERNEL_ACCOUNT)?;
            RunVec::Any(exact)
        };
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
    fn pieces(&self, offset: u64, size: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.pieces_from(self.find((offset >> PAGE_SHIFT) as usize), offset, size)
    }

    /// The same, where the first page is in the run at `start`.
    fn pieces_from(
        &self,
        start: usize,
        offset: u64,
        size: u64,
    ) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = (offset >> PAGE_SHIFT) as usize;
        let behind = first + (size >> PAGE_SHIFT) as usize;
        (start..self.runs.len())
            .take_while(move |&index| self.runs[index].before < behind)
            .map(move |index| {
                let (pfn, count) = self.run(index);
                let before = self.runs[index].before;
                let skip = first.saturating_sub(before);
                let count = min(count, behind - before) - skip;
                (
                    ((pfn + skip) * PAGE_SIZE) as u64,
                    (count * PAGE_SIZE) as u64,
                )
            })
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
    /// Pins the pages of `range`, which is page-aligned, of the calling thread, whose address
    /// space is `mm`. Takes its `mmap_lock`. Gives way, and stops at a fatal signal.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the range is not mapped (or not writable, but should be), or is memory that
    /// cannot be pinned for long; `EOPNOTSUPP` for files on DAX; `ENOMEM`, also for
    /// `RLIMIT_MEMLOCK`; `EINTR`.
    pub(crate) fn new(mm: ARef<Mm>, range: Interval, writable: bool) -> Result<Self> {
        let pages = (range.size() >> PAGE_SHIFT) as usize;
        let mut pinned = Self {
            runs: Runs::new(),
            range,
            writable,
            _charge: Charge::new(mm, pages)?,
        };
        let mut batch = new_batch(pages)?;
        while pinned.runs.pages < pages {
            let start = range.start() as usize + (pinned.runs.pages << PAGE_SHIFT);
            let want = min(pages - pinned.runs.pages, BATCH);
            pinned.pin(start, &mut batch[..want])?;
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            cond_resched();
        }
        trace::pin(range, writable);
        pinned.runs.fit()?;
        Ok(pinned)
    }

    /// Pins up to as many pages as `batch` has room for.
    fn pin(&mut self, start: usize, batch: &mut [*mut bindings::page]) -> Result {
        // What is pinned must be noted, which then cannot fail.
        self.runs.reserve(batch.len())?;
        let count = pin_batch(start, self.writable, batch)?;
        let mut rest = &batch[..count];
        while let Some(&page) = rest.first() {
            let run = run_length(rest);
            // SAFETY: The page is valid, because it is pinned.
            let pfn = unsafe { vfio_pasid_helper_page_to_pfn(page) };
            // INVARIANT: They are pinned, for writing if `writable`.
            self.runs.add(pfn, run);
            rest = &rest[run..];
        }
        Ok(())
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
            let want = min(pages - done, BATCH);
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
    /// first, and how many; the caller unpins them. Neither waits nor charges anybody. `place` is
    /// where they were the last time, as one call often begins where another one has ended.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if a page has too many references already; `EFAULT` if `size` is 0.
    pub(crate) fn pin_again(
        &self,
        place: &Atomic<usize>,
        offset: u64,
        size: u64,
    ) -> Result<(usize, usize)> {
        let page = (offset >> PAGE_SHIFT) as usize;
        let run = self.runs.find_near(page, place.load(Relaxed));
        place.store(run, Relaxed);
        let mut pieces = self.runs.pieces_from(run, offset, size);
        let (phys, size) = pieces.next().ok_or(EFAULT)?;
        let (pfn, count) = ((phys >> PAGE_SHIFT) as usize, (size >> PAGE_SHIFT) as usize);
        // SAFETY: By the type invariant they are pinned, so that they may be pinned again.
        to_result(unsafe { vfio_pasid_helper_add_pins(pfn, count) })?;
        Ok((pfn, count))
    }

    /// Where `size` bytes from `offset` on are in memory: physical address and size of each piece.
    /// Both are page-aligned, and within the range.
    pub(super) fn pieces(&self, offset: u64, size: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
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
    let count = min(pages, BATCH);
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
    let mut run = 1;
    while run < pages.len() && pages[run - 1].wrapping_add(1) == pages[run] {
        run += 1;
    }
    run
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
    use core::ptr::null_mut;

    use super::*;

    /// The runs of these pages, and how many there is room for.
    fn fitted(pfns: impl ExactSizeIterator<Item = usize>) -> Result<(Runs, usize)> {
        let mut runs = Runs::new();
        runs.reserve(pfns.len())?;
        pfns.for_each(|pfn| runs.add(pfn, 1));
        runs.fit()?;
        let room = match &runs.runs {
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
