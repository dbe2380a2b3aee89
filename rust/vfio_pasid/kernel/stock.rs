// SPDX-License-Identifier: GPL-2.0-only

//! The stock type1 behind a container.

use core::{
    marker::PhantomData,
    mem::{offset_of, size_of},
    ptr::NonNull, //
};

use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    ffi::{c_int, c_long, c_uint, c_ulong, c_void},
    prelude::*, //
};

use super::{
    access::Access,
    group::Group,
    sched::{cond_resched, fatal_signal_pending},
    vfio::{vfio_device, PinnedDevice}, //
};
use crate::interval::Interval;

/// Of `container.h`, which documents it. Named as there, because kCFI compares the types of
/// functions by name.
#[allow(non_camel_case_types)]
#[repr(C)]
pub(crate) struct vfio_pasid_own_space {
    iova_start: u64,
    iova_last: u64,
    pgsize_bitmap: u64,
}

/// `vfio_pasid_choose_t` of `container.h`.
type Choose = unsafe extern "C" fn(
    context: *mut c_void,
    space: *const vfio_pasid_own_space,
    start: *mut u64,
    last: *mut u64,
) -> c_int;

/// Of `container.h`, which documents it.
#[allow(non_camel_case_types)]
#[repr(C)]
pub(crate) struct vfio_pasid_own_map {
    iova: u64,
    size: u64,
    vaddr: u64,
    own: *mut c_void,
    commit: unsafe extern "C" fn(context: *mut c_void) -> c_int,
    context: *mut c_void,
    prot: c_int,
}

/// `vfio_pasid_see_t` of `container.h`.
type See =
    unsafe extern "C" fn(context: *mut c_void, start: u64, last: u64, own: *mut c_void) -> bool;

/// Of `container.h`, which documents it.
#[allow(non_camel_case_types)]
#[repr(C)]
pub(crate) struct vfio_pasid_own_sum {
    space: vfio_pasid_own_space,
    mappings: u64,
    bytes: u64,
    next: u64,
}

/// `struct vfio_pasid_stock_ops` of `container.h`, which documents it.
#[repr(C)]
pub(crate) struct StockOps {
    owner: *mut bindings::module,
    open: unsafe extern "C" fn(iommu_type: c_ulong) -> *mut c_void,
    release: unsafe extern "C" fn(data: *mut c_void),
    ioctl: unsafe extern "C" fn(data: *mut c_void, cmd: c_uint, arg: c_ulong) -> c_long,
    attach_group: unsafe extern "C" fn(
        data: *mut c_void,
        group: *mut bindings::iommu_group,
        group_type: c_uint,
    ) -> c_int,
    detach_group: unsafe extern "C" fn(data: *mut c_void, group: *mut bindings::iommu_group),
    register_device: unsafe extern "C" fn(data: *mut c_void, device: *mut vfio_device),
    unregister_device: unsafe extern "C" fn(data: *mut c_void, device: *mut vfio_device),
    setup: unsafe extern "C" fn(data: *mut c_void, choose: Choose, context: *mut c_void) -> c_int,
    own_map: unsafe extern "C" fn(data: *mut c_void, map: *const vfio_pasid_own_map) -> c_int,
    own_unmap:
        unsafe extern "C" fn(data: *mut c_void, start: u64, last: u64, size: *mut u64) -> c_int,
    own_look: unsafe extern "C" fn(
        data: *mut c_void,
        from: u64,
        space: *mut vfio_pasid_own_space,
        see: See,
        context: *mut c_void,
    ) -> c_int,
    own_sum: unsafe extern "C" fn(data: *mut c_void, sum: *mut vfio_pasid_own_sum) -> c_int,
}

/// `symbols.c` asserts the same of the C structures.
const _: () = {
    assert!(size_of::<vfio_pasid_own_space>() == 24);
    assert!(offset_of!(vfio_pasid_own_space, iova_last) == 8);
    assert!(offset_of!(vfio_pasid_own_space, pgsize_bitmap) == 16);
    assert!(size_of::<vfio_pasid_own_map>() == 56);
    assert!(offset_of!(vfio_pasid_own_map, size) == 8);
    assert!(offset_of!(vfio_pasid_own_map, vaddr) == 16);
    assert!(offset_of!(vfio_pasid_own_map, own) == 24);
    assert!(offset_of!(vfio_pasid_own_map, commit) == 32);
    assert!(offset_of!(vfio_pasid_own_map, context) == 40);
    assert!(offset_of!(vfio_pasid_own_map, prot) == 48);
    assert!(size_of::<vfio_pasid_own_sum>() == 48);
    assert!(offset_of!(vfio_pasid_own_sum, mappings) == 24);
    assert!(offset_of!(vfio_pasid_own_sum, bytes) == 32);
    assert!(offset_of!(vfio_pasid_own_sum, next) == 40);
    assert!(size_of::<StockOps>() == 104);
    assert!(offset_of!(StockOps, open) == 8);
    assert!(offset_of!(StockOps, release) == 16);
    assert!(offset_of!(StockOps, ioctl) == 24);
    assert!(offset_of!(StockOps, attach_group) == 32);
    assert!(offset_of!(StockOps, detach_group) == 40);
    assert!(offset_of!(StockOps, register_device) == 48);
    assert!(offset_of!(StockOps, unregister_device) == 56);
    assert!(offset_of!(StockOps, setup) == 64);
    assert!(offset_of!(StockOps, own_map) == 72);
    assert!(offset_of!(StockOps, own_unmap) == 80);
    assert!(offset_of!(StockOps, own_look) == 88);
    assert!(offset_of!(StockOps, own_sum) == 96);
};

// SAFETY: The table is constant, and its functions may be called on any thread.
unsafe impl Sync for StockOps {}

impl StockOps {
    /// `.ioctl` of a container that has no IOMMU type.
    pub(crate) fn ioctl_without_container(&self, cmd: u32, arg: usize) -> isize {
        // SAFETY: VFIO asks so too, before VFIO_SET_IOMMU.
        unsafe { (self.ioctl)(core::ptr::null_mut(), cmd, arg) }
    }
}

/// The container's own address space, as the stock type1 keeps it.
pub(crate) struct OwnSpace {
    /// From the first to the last IO address that can be mapped.
    pub(crate) aperture: Interval,
    /// The page sizes that can be mapped, a bit for each.
    pub(crate) page_sizes: u64,
}

/// What the own space maps, by whatever ioctl.
pub(crate) struct OwnSum {
    /// From the first to the last IO address that can be mapped.
    pub(crate) aperture: Interval,
    /// How many mappings there are.
    pub(crate) mappings: u64,
    /// How many bytes they have.
    pub(crate) bytes: u64,
}

/// Something of the own space.
pub(crate) enum OwnPart<'a, M> {
    /// IO addresses that can be mapped.
    Range(Interval),
    /// A mapping of registered memory.
    Mapping(&'a M),
}

/// A reference to the module that the stock operations are in: it cannot be unloaded.
///
/// # Invariants
///
/// Holds one reference.
struct ModuleRef(*mut bindings::module);

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::module_put(self.0) };
    }
}

/// A mapping of registered memory, which the stock code keeps.
///
/// # Safety
///
/// `vfio_pasid_own_pin()` and `vfio_pasid_own_unmapped()`, which the stock code calls with it, take
/// it for this type. So there is only one.
pub(crate) unsafe trait StockMapping: Send + Sync {
    /// The IO addresses.
    fn iova(&self) -> Interval;
    /// The virtual address that the first of them is mapped to.
    fn vaddr(&self) -> u64;
    /// What the device may do.
    fn access(&self) -> Access;
}

/// The stock type1's side of an open container, which keeps an `M` for each mapping of registered
/// memory. Dropping it is the stock `.release`; all groups have left then, so that no device
/// reaches anything and nothing is pinned any more.
///
/// # Invariants
///
/// `data` is from `.open` of `ops`, and not released. What it has as `own` of a mapping is a
/// `KBox<M>`.
pub(crate) struct Stock<M: StockMapping> {
    data: NonNull<c_void>,
    ops: &'static StockOps,
    _mappings: PhantomData<M>,
    /// Dropped last, and with it the code of `ops` may go.
    _module: ModuleRef,
}

// SAFETY: Only stock operations look behind the pointer, and they do their own locking.
unsafe impl<M: StockMapping> Send for Stock<M> {}
// SAFETY: As above.
unsafe impl<M: StockMapping> Sync for Stock<M> {}

impl<M: StockMapping> Stock<M> {
    /// The stock `.open`, which VFIO calls with a reference to the module.
    pub(crate) fn open(ops: &'static StockOps, iommu_type: usize) -> Result<Self> {
        // SAFETY: There is a reference, VFIO's own, so this may take another.
        unsafe { bindings::__module_get(ops.owner) };
        // INVARIANT: Just taken.
        let module = ModuleRef(ops.owner);
        // SAFETY: Any type will do.
        let data = from_err_ptr(unsafe { (ops.open)(iommu_type) })?;
        // INVARIANT: Just opened, and without mappings.
        Ok(Self {
            data: NonNull::new(data).ok_or(ENODEV)?,
            ops,
            _mappings: PhantomData,
            _module: module,
        })
    }

    /// The pointer that stock operations want, for as long as `self` is borrowed.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.data.as_ptr()
    }

    /// `.ioctl`.
    pub(crate) fn ioctl(&self, cmd: u32, arg: usize) -> isize {
        // SAFETY: By the type invariant; any command and argument will do.
        unsafe { (self.ops.ioctl)(self.as_ptr(), cmd, arg) }
    }

    /// `.attach_group`; `group_type` is VFIO's `enum vfio_group_type`.
    pub(crate) fn attach_group(&self, group: &Group, group_type: u32) -> Result {
        // SAFETY: By the type invariant; the group is valid.
        to_result(unsafe { (self.ops.attach_group)(self.as_ptr(), group.as_ptr(), group_type) })
    }

    /// `.detach_group`.
    pub(crate) fn detach_group(&self, group: &Group) {
        // SAFETY: By the type invariant; the group is valid.
        unsafe { (self.ops.detach_group)(self.as_ptr(), group.as_ptr()) }
    }

    /// `.register_device`.
    pub(crate) fn register_device(&self, device: &PinnedDevice) {
        // SAFETY: By the type invariant; the device is registered.
        unsafe { (self.ops.register_device)(self.as_ptr(), device.as_ptr()) }
    }

    /// `.unregister_device`.
    pub(crate) fn unregister_device(&self, device: &PinnedDevice) {
        // SAFETY: By the type invariant; the device is registered.
        unsafe { (self.ops.unregister_device)(self.as_ptr(), device.as_ptr()) }
    }

    /// Narrows the container's own address space to the window that `choose` makes of it. Nobody
    /// else uses the address space meanwhile.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if it is not on an IOMMU, because all its groups are emulated or have left;
    /// `EBUSY` if something outside the window is mapped; `ERANGE` if nothing would be left;
    /// `ENOMEM`; those of `choose`.
    pub(crate) fn setup<F: FnMut(OwnSpace) -> Result<Interval>>(&self, mut choose: F) -> Result {
        /// # Safety
        ///
        /// `choose` is an `F`, and the other pointers are valid.
        unsafe extern "C" fn call<F: FnMut(OwnSpace) -> Result<Interval>>(
            choose: *mut c_void,
            space: *const vfio_pasid_own_space,
            start: *mut u64,
            last: *mut u64,
        ) -> c_int {
            // SAFETY: By the caller's promise.
            let (choose, space, start, last) =
                unsafe { (&mut *choose.cast::<F>(), &*space, &mut *start, &mut *last) };
            let aperture = Interval::new(space.iova_start, space.iova_last).ok_or(ERANGE);
            let window = aperture.and_then(|aperture| {
                choose(OwnSpace {
                    aperture,
                    page_sizes: space.pgsize_bitmap,
                })
            });
            match window {
                Ok(window) => {
                    *start = window.start();
                    *last = window.last();
                    0
                }
                Err(error) => error.to_errno(),
            }
        }
        // SAFETY: By the type invariant; `choose` outlives the call.
        to_result(unsafe {
            (self.ops.setup)(self.as_ptr(), call::<F>, (&raw mut choose).cast())
            //
        })
    }
}

impl<M: StockMapping> Stock<M> {
    /// Maps what `mapping` says, and gives it to the stock code, unless `commit` fails, which is
    /// asked under `iommu->lock` when all is done.
    ///
    /// # Errors
    ///
    /// `EINVAL` if something is not aligned to the smallest page; `ERANGE` outside the window, or
    /// if the IOMMU cannot address the memory; `EEXIST` if something is mapped there; `ENOSPC` for
    /// stock's `dma_entry_limit`; `EBUSY` while virtual addresses are being updated; `ENOMEM`;
    /// `EINTR`; those of `commit`.
    pub(crate) fn own_map<F: FnMut(&M) -> Result>(&self, mapping: KBox<M>, commit: F) -> Result {
        struct Context<M, F> {
            own: *mut M,
            commit: F,
        }

        /// # Safety
        ///
        /// `context` is a `Context<M, F>` whose mapping is valid.
        unsafe extern "C" fn call<M, F: FnMut(&M) -> Result>(context: *mut c_void) -> c_int {
            // SAFETY: By the caller's promise.
            let context = unsafe { &mut *context.cast::<Context<M, F>>() };
            // SAFETY: As above.
            match (context.commit)(unsafe { &*context.own }) {
                Ok(()) => 0,
                Err(error) => error.to_errno(),
            }
        }

        let (iova, vaddr, access) = (mapping.iova(), mapping.vaddr(), mapping.access());
        let own = KBox::into_raw(mapping);
        let mut context = Context { own, commit };
        let map = vfio_pasid_own_map {
            iova: iova.start(),
            size: iova.size(),
            vaddr,
            own: own.cast(),
            commit: call::<M, F>,
            context: (&raw mut context).cast(),
            prot: access.prot(),
        };
        // SAFETY: By the type invariant; `map`, and what it points to, outlives the call.
        // INVARIANT: `own` is a `KBox<M>`.
        let result = to_result(unsafe { (self.ops.own_map)(self.as_ptr(), &map) });
        if result.is_err() {
            // SAFETY: The stock code has not taken it, so it is still ours.
            drop(unsafe { KBox::from_raw(own) });
        }
        result
    }

    /// Unmaps the mappings of registered memory in `range`, and returns how many bytes they had.
    ///
    /// # Errors
    ///
    /// `EINVAL`, and nothing is unmapped, if the range is not aligned to the smallest page, or has
    /// only a part of such a mapping; `EINTR`.
    pub(crate) fn own_unmap(&self, range: Interval) -> Result<u64> {
        let mut size = 0;
        // SAFETY: By the type invariant; `size` outlives the call.
        to_result(unsafe {
            (self.ops.own_unmap)(self.as_ptr(), range.start(), range.last(), &mut size)
        })?;
        Ok(size)
    }

    /// Shows `see` the ranges that can be mapped, and then the mappings of registered memory that
    /// end at or behind `from`, both in ascending order, until it returns `false`. Returns the
    /// space. Without an IOMMU there are no ranges, and all can be mapped. Nobody else uses the
    /// space meanwhile.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal came first.
    pub(crate) fn own_look<F: FnMut(OwnPart<'_, M>) -> bool>(
        &self,
        from: u64,
        mut see: F,
    ) -> Result<OwnSpace> {
        /// # Safety
        ///
        /// `see` is an `F`, and `own` null or of a mapping that the stock code has, so an `M`.
        unsafe extern "C" fn call<M, F: FnMut(OwnPart<'_, M>) -> bool>(
            see: *mut c_void,
            start: u64,
            last: u64,
            own: *mut c_void,
        ) -> bool {
            // SAFETY: By the caller's promise; under `iommu->lock` it stays.
            let (see, own) = unsafe { (&mut *see.cast::<F>(), own.cast::<M>().as_ref()) };
            match (own, Interval::new(start, last)) {
                (Some(own), _) => see(OwnPart::Mapping(own)),
                (None, Some(range)) => see(OwnPart::Range(range)),
                (None, None) => true,
            }
        }

        let mut space = vfio_pasid_own_space {
            iova_start: 0,
            iova_last: 0,
            pgsize_bitmap: 0,
        };
        // SAFETY: By the type invariant; `space` and `see` outlive the call.
        to_result(unsafe {
            (self.ops.own_look)(
                self.as_ptr(),
                from,
                &mut space,
                call::<M, F>,
                (&raw mut see).cast(),
            )
        })?;
        Ok(OwnSpace {
            aperture: Interval::new(space.iova_start, space.iova_last).ok_or(ERANGE)?,
            page_sizes: space.pgsize_bitmap,
        })
    }
}

impl<M: StockMapping> Stock<M> {
    /// Adds up what the own space maps, a few hundred mappings at a time; what changes meanwhile may
    /// be missed. `None` if stock code is busy with it: it is not waited for.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal came first.
    pub(crate) fn own_sum(&self) -> Result<Option<OwnSum>> {
        let mut sum = vfio_pasid_own_sum {
            space: vfio_pasid_own_space {
                iova_start: 0,
                iova_last: 0,
                pgsize_bitmap: 0,
            },
            mappings: 0,
            bytes: 0,
            next: 0,
        };
        loop {
            // SAFETY: By the type invariant; `sum` outlives the call.
            if unsafe { (self.ops.own_sum)(self.as_ptr(), &mut sum) } != 0 {
                return Ok(None);
            }
            if sum.next == 0 {
                break;
            }
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            cond_resched();
        }
        let aperture = Interval::new(sum.space.iova_start, sum.space.iova_last);
        Ok(aperture.map(|aperture| OwnSum {
            aperture,
            mappings: sum.mappings,
            bytes: sum.bytes,
        }))
    }
}

impl<M: StockMapping> Drop for Stock<M> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; this is the last use.
        unsafe { (self.ops.release)(self.as_ptr()) };
    }
}
