// SPDX-License-Identifier: GPL-2.0-only

//! The C functions: `include/linux/vfio_pasid.h` for any module, `container.h` for the shim. Those
//! headers document them; `symbols.c` exports them. And those that `kernel/records.c` calls.

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::from_result,
    ffi::{c_int, c_long, c_uint, c_ulong, c_void},
    prelude::*,
    seq_file::{seq_print, SeqFile},
    sync::{Arc, ArcBorrow}, //
};

use crate::{
    container::Container,
    handle::Handle,
    held::Reader,
    interval::Interval,
    kernel::{
        access::Access,
        device::GroupDevice,
        group::Group,
        iommu::{self, HardwareEntry},
        maker::Maker,
        mm::task_mm,
        stock::{StockMapping, StockOps},
        vfio::{vfio_device, PinnedDevice},
        warn::warn_not_attached, //
    },
    pasid::{in_use::HasPasids, range::PasidRange, set::Holder},
    space::own::OwnMapping,
    uapi,
    vfio_mm::{VfioMm, VfioMmRef}, //
};

/// # Safety
///
/// `task` is null or a task that the caller keeps from being freed.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_mm_get_from_task(
    task: *mut bindings::task_struct,
) -> *mut VfioMm {
    // SAFETY: The caller's promise is the same.
    let mm = unsafe { task_mm(task) };
    // SAFETY: What has an address space is a task, and the caller keeps it.
    let maker = || unsafe { Maker::of(task) };
    let vmm = mm.and_then(|mm| VfioMmRef::get(mm, maker));
    match vmm {
        Ok(vmm) => vmm.into_raw().cast_mut(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// `vmm` is from [`vfio_mm_get_from_task`] and is not used again.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_mm_put(vmm: *mut VfioMm) {
    // SAFETY: `into_raw()` left this reference to the caller, who gives it back.
    drop(VfioMmRef::from_arc(unsafe { Arc::from_raw(vmm) }));
}

/// # Safety
///
/// `vmm` is from [`vfio_mm_get_from_task`].
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_alloc(
    vmm: *mut VfioMm,
    min: c_uint,
    max: c_uint,
) -> c_int {
    // SAFETY: The caller's reference keeps it valid.
    let vmm = unsafe { &*vmm };
    from_result(|| {
        let number = vmm
            .pasids()
            .alloc(PasidRange::new(min, max)?, Holder::Driver, || Ok(()))?;
        Ok(number as c_int)
    })
}

/// # Safety
///
/// `vmm` is from [`vfio_mm_get_from_task`].
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_free_range(vmm: *mut VfioMm, min: c_uint, max: c_uint) {
    // SAFETY: The caller's reference keeps it valid.
    let vmm = unsafe { &*vmm };
    if let Ok(range) = PasidRange::new(min, max) {
        vmm.pasids().free_unused(range);
    }
}

/// # Safety
///
/// `vmm` is from [`vfio_mm_get_from_task`]; `domain` is a paging domain, and stays valid until it
/// is detached again; `dev` until then stays bound to its driver.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_aux_attach_device(
    vmm: *mut VfioMm,
    domain: NonNull<bindings::iommu_domain>,
    dev: NonNull<bindings::device>,
) -> c_int {
    // SAFETY: The caller's reference keeps it valid.
    let vmm = unsafe { ArcBorrow::from_raw(vmm) };
    // SAFETY: The caller's device is in its group.
    let host = unsafe { GroupDevice::new(dev) };
    // SAFETY: By the caller's promise.
    let attach = |pasid| unsafe { HardwareEntry::new(domain, dev, pasid) };
    let mut attached = vmm.default_pasids();
    let result = attached.attach(
        vmm.into(),
        domain.addr().get(),
        dev.addr().get(),
        host,
        attach,
    );
    from_result(|| result.map(|()| 0))
}

/// # Safety
///
/// As [`vfio_aux_attach_device`].
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_aux_detach_device(
    vmm: *mut VfioMm,
    domain: NonNull<bindings::iommu_domain>,
    dev: NonNull<bindings::device>,
) {
    // SAFETY: The caller's reference keeps it valid.
    let vmm = unsafe { &*vmm };
    let result = vmm
        .default_pasids()
        .detach(domain.addr().get(), dev.addr().get());
    if result.is_err() {
        warn_not_attached();
    }
}

/// # Safety
///
/// `vmm` is from [`vfio_mm_get_from_task`].
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_aux_get_pasid(
    vmm: *mut VfioMm,
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
) -> c_int {
    // SAFETY: The caller's reference keeps it valid.
    let vmm = unsafe { &*vmm };
    let result = vmm.default_pasids().pasid(domain.addr(), dev.addr());
    from_result(|| result.map(|number| number as c_int))
}

fn find(handle: *mut c_void) -> Result<Arc<Container>> {
    Container::find(handle.addr() as Handle)
}

/// # Safety
///
/// `ops` is constant for as long as its owner is loaded.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_container_open(
    iommu_type: c_ulong,
    ops: &'static StockOps,
) -> *mut c_void {
    match Container::open(iommu_type, ops) {
        Ok(handle) => core::ptr::without_provenance_mut(handle as usize),
        Err(error) => error.to_ptr(),
    }
}

#[no_mangle]
pub(crate) extern "C" fn vfio_pasid_container_release(handle: *mut c_void) {
    Container::release(handle.addr() as Handle);
}

/// # Safety
///
/// As [`vfio_pasid_container_open`].
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_container_ioctl(
    handle: *mut c_void,
    cmd: c_uint,
    arg: c_ulong,
    ops: &'static StockOps,
) -> c_long {
    let result = if handle.is_null() {
        uapi::ioctl_without_container(cmd, arg, ops)
    } else {
        find(handle).and_then(|container| uapi::ioctl(&container, cmd, arg))
    };
    match result {
        Ok(value) => value,
        Err(error) => error.to_errno() as c_long,
    }
}

/// # Safety
///
/// `group` is valid.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_container_attach_group(
    handle: *mut c_void,
    group: *mut bindings::iommu_group,
    group_type: c_uint,
) -> c_int {
    // SAFETY: The caller's group is valid.
    let group = unsafe { Group::get(group) };
    from_result(|| {
        find(handle)?.attach_group(group, group_type)?;
        Ok(0)
    })
}

/// # Safety
///
/// As [`vfio_pasid_container_attach_group`].
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_container_detach_group(
    handle: *mut c_void,
    group: *mut bindings::iommu_group,
) {
    // SAFETY: The caller's group is valid.
    let group = unsafe { Group::get(group) };
    if let Ok(container) = find(handle) {
        container.detach_group(&group);
    }
}

/// # Safety
///
/// `device` is registered with VFIO.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_container_register_device(
    handle: *mut c_void,
    device: NonNull<vfio_device>,
) {
    // SAFETY: The caller's device is registered.
    let device = unsafe { PinnedDevice::new(device) };
    if let Ok(container) = find(handle) {
        container.register_device(device);
    }
}

/// # Safety
///
/// As [`vfio_pasid_container_register_device`].
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_container_unregister_device(
    handle: *mut c_void,
    device: NonNull<vfio_device>,
) {
    // SAFETY: The caller's device is registered.
    let device = unsafe { PinnedDevice::new(device) };
    if let Ok(container) = find(handle) {
        container.unregister_device(&device);
    }
}

/// VFIO keeps the container open during the call, and so what is returned for as long as it uses
/// it.
#[no_mangle]
pub(crate) extern "C" fn vfio_pasid_container_stock(handle: *mut c_void) -> *mut c_void {
    match find(handle) {
        Ok(container) => container.stock().as_ptr(),
        Err(_) => core::ptr::null_mut(),
    }
}

// SAFETY: The two functions below that the stock code calls take it for an `OwnMapping`.
unsafe impl StockMapping for OwnMapping {
    fn iova(&self) -> Interval {
        self.iova()
    }

    fn vaddr(&self) -> u64 {
        self.vaddr()
    }

    fn access(&self) -> Access {
        self.access()
    }
}

/// # Safety
///
/// `own` is a mapping that the stock code has, and `pfn` is valid.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_own_pin(
    own: *mut c_void,
    offset: u64,
    npage: c_ulong,
    pfn: *mut c_ulong,
) -> c_long {
    // SAFETY: By the caller's promise; an `OwnMapping` is the only `StockMapping`.
    let (own, pfn) = unsafe { (&*own.cast::<OwnMapping>(), &mut *pfn) };
    match own.pin(offset, npage) {
        Ok((first, count)) => {
            *pfn = first;
            count as c_long
        }
        Err(error) => error.to_errno() as c_long,
    }
}

/// # Safety
///
/// `domain` is valid, and `gather` of what was unmapped from it.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_iotlb_sync(
    domain: *mut bindings::iommu_domain,
    gather: &mut bindings::iommu_iotlb_gather,
) {
    // SAFETY: By the caller's promise.
    unsafe { iommu::sync(domain, gather) };
}

/// # Safety
///
/// `own` is a mapping that the stock code has, and does not use again.
#[no_mangle]
pub(crate) unsafe extern "C" fn vfio_pasid_own_unmapped(own: *mut c_void) {
    // SAFETY: `Stock::own_map()` left the box to the caller, who gives it back.
    let own = unsafe { KBox::from_raw(own.cast::<OwnMapping>()) };
    KBox::into_inner(own).unmapped();
}

/// A new reading, or null.
#[no_mangle]
extern "C" fn vfio_pasid_records_open() -> *mut Reader {
    KBox::new(Reader::new(), GFP_KERNEL_ACCOUNT).map_or(core::ptr::null_mut(), KBox::into_raw)
}

/// # Safety
///
/// `reader` is from [`vfio_pasid_records_open`], and is not used again.
#[no_mangle]
unsafe extern "C" fn vfio_pasid_records_close(reader: *mut Reader) {
    // SAFETY: By the caller's promise.
    drop(unsafe { KBox::from_raw(reader) });
}

/// 1 if there is a record at `index`, 0 at the end, or an error.
///
/// # Safety
///
/// `reader` is from [`vfio_pasid_records_open`], and nobody else uses it.
#[no_mangle]
unsafe extern "C" fn vfio_pasid_records_find(reader: *mut Reader, index: u64) -> c_int {
    // SAFETY: By the caller's promise.
    match unsafe { &mut *reader }.find(index) {
        Ok(record) => record.is_some().into(),
        Err(error) => error.to_errno(),
    }
}

/// Writes the record that was found last.
///
/// # Safety
///
/// As [`vfio_pasid_records_find`]; `seq` is the file, which nobody else uses.
#[no_mangle]
unsafe extern "C" fn vfio_pasid_records_show(reader: *mut Reader, seq: *mut bindings::seq_file) {
    // SAFETY: By the caller's promise.
    let (reader, seq) = unsafe { (&*reader, SeqFile::from_raw(seq)) };
    if let Some(record) = reader.record() {
        seq_print!(seq, "{}", record);
    }
}
