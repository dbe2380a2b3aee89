// SPDX-License-Identifier: GPL-2.0-only

//! IOMMU domains, and their attachments to devices under a PASID.

use core::{
    cmp::min,
    mem::{forget, MaybeUninit},
    ptr::{null_mut, NonNull}, //
};

use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    ffi::c_ulong,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full},
        Arc, //
    },
};

use super::{
    access::Access,
    device::GroupDevice,
    errno::eopnotsupp,
    pages::{Pieces, PinnedPages},
    scatter::ScatterList,
    sched::{cond_resched, fatal_signal_pending},
    trace,
    vfio::PinnedDevice,
    warn::warn_short_unmap, //
};
use crate::interval::{largest_page, smallest_page, Interval};

#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_gather_init(gather: *mut bindings::iommu_iotlb_gather);
    fn vfio_pasid_helper_iotlb_sync(
        domain: *mut bindings::iommu_domain,
        gather: *mut bindings::iommu_iotlb_gather,
    );
}

/// A paging domain that can be attached under a PASID.
///
/// # Invariants
///
/// The domain is valid, and ours to free.
pub(crate) struct Domain {
    domain: NonNull<bindings::iommu_domain>,
    coherent: bool,
    /// How often it is attached.
    attachments: Atomic<usize>,
}

// SAFETY: Domains may be freed on any thread.
unsafe impl Send for Domain {}
// SAFETY: What we read of it does not change; the IOMMU core locks the rest.
unsafe impl Sync for Domain {}

impl Domain {
    /// A domain for `device` and its like. Where the IOMMU can, it enforces cache coherency from
    /// the start, as VFIO promises KVM for every domain of such a device
    /// (`vfio_file_enforced_coherent()`); drivers refuse that once something is mapped.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the IOMMU driver has no such domains; `EINVAL` if it should enforce
    /// coherency and does not; `ENOMEM`.
    pub(crate) fn new(device: GroupDevice<'_>) -> Result<Self> {
        // SAFETY: The device is valid and in its group.
        let domain = from_err_ptr(unsafe {
            bindings::iommu_paging_domain_alloc_flags(
                device.as_ptr(),
                bindings::iommufd_hwpt_alloc_flags_IOMMU_HWPT_ALLOC_PASID,
            )
        })?;
        // INVARIANT: Just allocated, and not an error.
        let domain = Self {
            domain: NonNull::new(domain).ok_or(ENOMEM)?,
            coherent: device.is_coherent(),
            attachments: Atomic::new(0),
        };
        if domain.coherent && !domain.enforce_cache_coherency() {
            return Err(EINVAL);
        }
        Ok(domain)
    }

    fn enforce_cache_coherency(&self) -> bool {
        // SAFETY: A paging domain has operations; they do not change.
        let enforce = unsafe { (*(*self.as_ptr()).ops).enforce_cache_coherency };
        // SAFETY: The domain is valid.
        enforce.is_some_and(|enforce| unsafe { enforce(self.as_ptr()) })
    }

    /// The page sizes that can be mapped, a bit for each.
    pub(crate) fn page_sizes(&self) -> u64 {
        // SAFETY: By the type invariant; the field does not change.
        unsafe { (*self.as_ptr()).pgsize_bitmap as u64 }
    }

    /// The smallest page in bytes.
    pub(crate) fn page(&self) -> u64 {
        smallest_page(self.page_sizes())
    }

    /// What is mapped or unmapped in one step never crosses a multiple of so many bytes, the
    /// largest page.
    fn block(&self) -> u64 {
        largest_page(self.page_sizes())
    }

    /// Whether a device may reach what is mapped.
    fn is_attached(&self) -> bool {
        self.attachments.load(Acquire) > 0
    }

    /// The IO addresses that the domain can map.
    ///
    /// # Errors
    ///
    /// `ERANGE` if there are none.
    pub(crate) fn aperture(&self) -> Result<Interval> {
        // SAFETY: By the type invariant; the field does not change.
        let geometry = unsafe { (*self.as_ptr()).geometry };
        Interval::new(geometry.aperture_start, geometry.aperture_end).ok_or(ERANGE)
    }

    fn as_ptr(&self) -> *mut bindings::iommu_domain {
        self.domain.as_ptr()
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; every attachment holds a reference to it.
        unsafe { bindings::iommu_domain_free(self.as_ptr()) };
    }
}

/// Unmaps the ranges of `domain` that `each` hands over, and flushes once, before it returns: the
/// ranges may be dropped then, and their pages with them.
///
/// `each` keeps the ranges until then. Without an attachment there is nothing to flush. A range
/// that the IOMMU driver does not unmap as a whole, which it should, stays mapped.
pub(crate) fn unmap_together(domain: &Domain, each: impl FnOnce(&mut dyn FnMut(&mut MappedRange))) {
    let mut gather = MaybeUninit::uninit();
    let gather: *mut bindings::iommu_iotlb_gather = gather.as_mut_ptr();
    // SAFETY: It stays where it is until it is used for the last time, below.
    unsafe { vfio_pasid_helper_gather_init(gather) };

    each(&mut |range| {
        let Ok(mapped) = Interval::sized(range.iova.start(), range.size) else {
            return; // Nothing is.
        };
        let mut short = false;
        for block in mapped.blocks(domain.block()) {
            // SAFETY: By the type invariant of the range; the gather is initialised.
            let unmapped = unsafe {
                bindings::iommu_unmap_fast(
                    domain.as_ptr(),
                    block.start() as c_ulong,
                    block.size() as usize,
                    gather,
                )
            };
            short |= unmapped as u64 != block.size();
            cond_resched();
        }
        if short {
            warn_short_unmap();
            return;
        }
        // INVARIANT: Nothing of it is mapped any more.
        range.size = 0;
    });

    // SAFETY: The domain is valid, the gather is initialised, and nobody else uses it.
    unsafe { sync(domain.as_ptr(), &mut *gather) };
}

/// Flushes what was gathered: as it is if it does not cross a multiple of the largest page, so that
/// a VT-d with pages of that size can do it (MAMV), and everything else. `cache_tag_flush_iotlb()`
/// of the kernel does not look where tables are first-stage, and the hardware would refuse, and
/// keep stale entries.
///
/// # Safety
///
/// `domain` is valid, and `gather` of what was unmapped from it.
pub(crate) unsafe fn sync(
    domain: *mut bindings::iommu_domain,
    gather: &mut bindings::iommu_iotlb_gather,
) {
    // SAFETY: The caller's domain is valid; the field does not change.
    let block = largest_page(unsafe { (*domain).pgsize_bitmap as u64 });
    if gather.start < gather.end && (gather.start ^ gather.end) as u64 >= block {
        gather.start = 0;
        gather.end = c_ulong::MAX;
    }
    // SAFETY: By the caller's promise.
    unsafe { vfio_pasid_helper_iotlb_sync(domain, gather) };
}

/// IO addresses of a domain, mapped to pinned pages. Dropping it unmaps and flushes before it
/// returns, unless [`unmap_together`] has done so. If that fails while the domain is attached, the
/// pages stay pinned for ever, because a device may reach them.
///
/// # Invariants
///
/// The first `size` bytes of `iova` are mapped to pages of `pages`, and nothing else maps them.
pub(crate) struct MappedRange {
    domain: Arc<Domain>,
    iova: Interval,
    size: u64,
    /// All of it was mapped once.
    complete: bool,
    access: Access,
    pasid: u32,
    /// Dropped last, when no device can reach the pages any more.
    pages: Arc<PinnedPages>,
}

impl MappedRange {
    /// Maps all of `iova`, where nothing is mapped and which is aligned to the domain's page, to
    /// `pages` from `offset` bytes on. The IOMMU's larger pages are used where the pages follow
    /// each other in memory and the alignment allows it. `pasid` names the domain's space.
    ///
    /// # Errors
    ///
    /// `EACCES` if `access` is to write and the pages are not; `ENOMEM`; `ERANGE` if the IOMMU
    /// cannot address the memory; `EINTR` at a fatal signal.
    pub(crate) fn new(
        domain: Arc<Domain>,
        pasid: u32,
        iova: Interval,
        pages: &Arc<PinnedPages>,
        offset: u64,
        access: Access,
    ) -> Result<Self> {
        if access.write && !pages.writable() {
            return Err(EACCES);
        }
        let pieces = pages.pieces(offset, iova.size());
        // INVARIANT: Nothing is mapped yet.
        let mut range = Self {
            domain,
            iova,
            size: 0,
            complete: false,
            access,
            pasid,
            pages: pages.clone(),
        };
        if pieces.most() == 1 {
            range.map_each(pieces)?;
        } else {
            range.map_lists(pieces)?;
        }
        range.complete = true;
        trace::map(pasid, iova, access);
        Ok(range)
    }

    /// Maps the pieces one by one. What is mapped in one step does not cross a block.
    fn map_each(&mut self, pieces: Pieces<'_>) -> Result {
        let block = self.domain.block();
        for (mut phys, mut rest) in pieces {
            while rest > 0 {
                let size = min(rest, block - (self.next() & (block - 1)));
                self.map_piece(phys, size)?;
                (phys, rest) = (phys + size, rest - size);
            }
        }
        Ok(())
    }

    /// Maps the pieces in lists. None of them crosses a block.
    fn map_lists(&mut self, pieces: Pieces<'_>) -> Result {
        let mut list = ScatterList::new(pieces.most())?;
        let block = self.domain.block();
        // How much there is up to the next block.
        let mut room = block - (self.iova.start() & (block - 1));
        for (mut phys, mut rest) in pieces {
            while rest > 0 {
                let size = min(rest, room);
                list.add(phys, size);
                (phys, rest, room) = (phys + size, rest - size, room - size);
                if room == 0 || list.is_full() {
                    self.map_list(&mut list)?;
                }
                if room == 0 {
                    room = block;
                }
            }
        }
        self.map_list(&mut list)
    }

    /// Maps the piece that comes next.
    fn map_piece(&mut self, phys: u64, size: u64) -> Result {
        // SAFETY: The domain is valid; nothing is mapped there; the pages stay pinned until this
        // is dropped. (`GFP_KERNEL_ACCOUNT`: whoever maps pays for the tables.)
        let result = to_result(unsafe {
            bindings::iommu_map(
                self.domain.as_ptr(),
                self.next() as c_ulong,
                phys,
                size as usize,
                self.access.cacheable(),
                bindings::GFP_KERNEL_ACCOUNT,
            )
        });
        self.mapped(result.map(|()| size))
    }

    /// Maps all of the list, which comes next.
    #[inline(never)]
    fn map_list(&mut self, list: &mut ScatterList) -> Result {
        let next = self.next();
        // SAFETY: As above.
        let mapped = unsafe { list.map(self.domain.as_ptr(), next, self.access.cacheable()) };
        self.mapped(mapped)
    }

    /// The IO address of what comes next.
    fn next(&self) -> u64 {
        self.iova.start() + self.size
    }

    /// Notes what was mapped, or why not. Gives way, and looks at signals.
    fn mapped(&mut self, result: Result<u64>) -> Result {
        let size = result.map_err(|error| if error == ENOMEM { error } else { ERANGE })?;
        // INVARIANT: Just mapped.
        self.size += size;
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        cond_resched();
        Ok(())
    }

    /// The IO addresses.
    pub(crate) fn iova(&self) -> Interval {
        self.iova
    }

    /// What the device may do.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Whether something of it is mapped.
    pub(crate) fn is_mapped(&self) -> bool {
        self.size > 0
    }
}

impl Drop for MappedRange {
    fn drop(&mut self) {
        if self.size > 0 {
            let domain = self.domain.clone();
            unmap_together(&domain, |unmap| unmap(self));
            if self.is_mapped() && domain.is_attached() {
                forget(self.pages.clone());
                return;
            }
        }
        if self.complete {
            trace::unmap(self.pasid, self.iova, self.access);
        }
    }
}

/// A hardware entry: under its PASID, a device addresses a domain. Dropping it detaches and
/// flushes before it returns.
///
/// # Invariants
///
/// `domain` is attached to `dev` under `pasid`; both are valid until this is dropped.
pub(crate) struct HardwareEntry {
    domain: NonNull<bindings::iommu_domain>,
    dev: NonNull<bindings::device>,
    pasid: u32,
}

// SAFETY: Detaching may happen on any thread.
unsafe impl Send for HardwareEntry {}
// SAFETY: There is nothing to do with a shared one.
unsafe impl Sync for HardwareEntry {}

impl HardwareEntry {
    /// Attaches `domain` to `dev` under `pasid`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the PASID is taken on the device's group or the device is being reset; `EINVAL`
    /// if the device cannot use the domain; `ENOSPC` if the IOMMU has no domain id left;
    /// `EOPNOTSUPP`; `ENOMEM`.
    ///
    /// # Safety
    ///
    /// `domain` is valid until this is dropped, and `dev` until then stays in its group.
    pub(crate) unsafe fn new(
        domain: NonNull<bindings::iommu_domain>,
        dev: NonNull<bindings::device>,
        pasid: u32,
    ) -> Result<Self> {
        // SAFETY: By the caller's promise.
        to_result(unsafe {
            bindings::iommu_attach_device_pasid(domain.as_ptr(), dev.as_ptr(), pasid, null_mut())
        })
        // Of VT-d, which says so when it has no memory for a table (`intel_pasid_get_entry()`).
        .map_err(|error| if error == ENODEV { ENOMEM } else { error })?;
        // SAFETY: The device is valid.
        unsafe { trace::attach(dev, pasid) };
        // INVARIANT: Just attached.
        Ok(Self { domain, dev, pasid })
    }
}

impl Drop for HardwareEntry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::iommu_detach_device_pasid(
                self.domain.as_ptr(),
                self.dev.as_ptr(),
                self.pasid,
            );
            trace::detach(self.dev, self.pasid);
        };
    }
}

/// A domain of ours, attached to a device of VFIO's.
///
/// The fields are dropped in this order: what the entry points to is kept by the other two, and
/// the domain counts as attached until it is not.
pub(crate) struct Attachment {
    _entry: HardwareEntry,
    _domain: CountedDomain,
    device: PinnedDevice,
}

/// A domain that is attached once more for as long as this is there.
struct CountedDomain(Arc<Domain>);

impl CountedDomain {
    fn new(domain: Arc<Domain>) -> Self {
        domain.attachments.fetch_add(1, Full);
        Self(domain)
    }
}

impl Drop for CountedDomain {
    fn drop(&mut self) {
        self.0.attachments.fetch_sub(1, Full);
    }
}

impl Attachment {
    /// Attaches `domain` to `device` under `pasid`, which fits the device.
    ///
    /// # Errors
    ///
    /// As [`HardwareEntry::new`], and `EINVAL` if the device differs from the one that the domain
    /// was made for in whether coherency is enforced: then VFIO's promise to KVM would be broken.
    pub(crate) fn new(domain: Arc<Domain>, device: PinnedDevice, pasid: u32) -> Result<Self> {
        if device.device().is_coherent() != domain.coherent {
            return Err(EINVAL);
        }
        let dev = device.device().as_non_null();
        // Before the device can reach anything.
        let domain = CountedDomain::new(domain);
        // SAFETY: The domain and the pinned device are kept beside the entry, and outlive it.
        let entry = unsafe { HardwareEntry::new(domain.0.domain, dev, pasid) }?;
        Ok(Self {
            _entry: entry,
            _domain: domain,
            device,
        })
    }

    /// The device.
    pub(crate) fn device(&self) -> &PinnedDevice {
        &self.device
    }
}

/// A number of the host's own allocator, given back when dropped.
///
/// # Invariants
///
/// The number is from `iommu_alloc_global_pasid()`.
pub(crate) struct GlobalPasid(u32);

impl GlobalPasid {
    /// Takes the lowest free number that `device` can use.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the device cannot use PASIDs; `ENOSPC` for all else, which the host's
    /// allocator does not tell apart.
    pub(crate) fn new(device: GroupDevice<'_>) -> Result<Self> {
        device.pasid_support().ok_or_else(eopnotsupp)?;
        // SAFETY: The device is in a group and has PASIDs, so it has a `dev_iommu`.
        let number = unsafe { bindings::iommu_alloc_global_pasid(device.as_ptr()) };
        if number == bindings::IOMMU_PASID_INVALID as u32 {
            return Err(ENOSPC);
        }
        Ok(Self(number))
    }

    /// The number.
    pub(crate) fn number(&self) -> u32 {
        self.0
    }
}

impl Drop for GlobalPasid {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; no hardware entry carries the number any more.
        unsafe { bindings::iommu_free_global_pasid(self.0) };
    }
}
