// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls: decoded, checked, dispatched. `include/uapi/linux/vfio_pasid.h` documents them.

use core::mem::{size_of, size_of_val};

use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{UserPtr, UserSlice}, //
};

use crate::{
    aux::{AuxSpace, Place},
    aux_info::Report,
    container::{Container, Contents},
    hot_reset::Affected,
    kernel::{abi::*, iommu::Access, pci::Address, rwsem::ReadGuard},
    mapping,
    memory::Registration,
    mm::PasidInUse,
    pasid::PasidRange,
    registered::{self, Held},
    window::{Interval, Wish}, //
};

/// The features that VFIO_CHECK_EXTENSION reports.
const FEATURES: u32 = VFIO_PASID_FEATURE_PASID
    | VFIO_PASID_FEATURE_AUX
    | VFIO_PASID_FEATURE_MEMORY
    | VFIO_PASID_FEATURE_WINDOW
    | VFIO_PASID_FEATURE_HOT_RESET;

/// An ioctl on a container that has no IOMMU type yet. VFIO asks for extensions so; anything else
/// met the release of the container.
pub(crate) fn ioctl_without_container(
    cmd: u32,
    arg: usize,
    stock_ioctl: impl FnOnce() -> isize,
) -> Result<isize> {
    match (cmd, arg) {
        (VFIO_CHECK_EXTENSION, VFIO_PASID_EXTENSION) => Ok(FEATURES as isize),
        (VFIO_CHECK_EXTENSION, _) => Ok(stock_ioctl()),
        _ => Err(ENODEV),
    }
}

/// Does an ioctl of ours; `None` if it is not ours.
pub(crate) fn ioctl(container: &Container, cmd: u32, arg: usize) -> Option<Result<isize>> {
    let ioctl = match cmd {
        VFIO_CHECK_EXTENSION if arg == VFIO_PASID_EXTENSION => return Some(Ok(FEATURES as isize)),
        VFIO_IOMMU_PASID_REQUEST => pasid_request,
        VFIO_IOMMU_PASID_INFO => pasid_info,
        VFIO_IOMMU_REGISTER_MEMORY => register_memory,
        VFIO_IOMMU_UNREGISTER_MEMORY => unregister_memory,
        VFIO_IOMMU_AUX_CREATE => aux_create,
        VFIO_IOMMU_AUX_DESTROY => aux_destroy,
        VFIO_IOMMU_AUX_ATTACH => aux_attach,
        VFIO_IOMMU_AUX_DETACH => aux_detach,
        VFIO_IOMMU_AUX_MAP => aux_map,
        VFIO_IOMMU_AUX_UNMAP => aux_unmap,
        VFIO_IOMMU_AUX_INFO => aux_info,
        VFIO_IOMMU_SETUP => setup,
        VFIO_IOMMU_HOT_RESET_INFO => hot_reset_info,
        _ => return None,
    };
    Some(ioctl(container, UserPtr::from_addr(arg)))
}

/// What `container` holds, for a caller that may use it.
///
/// # Errors
///
/// `ENODEV` if the container was released; `EPERM` if the caller belongs to another process.
fn enter(container: &Container) -> Result<ReadGuard<'_, Contents>> {
    let contents = container.contents()?;
    if !contents.vmm().is_current() {
        return Err(EPERM);
    }
    Ok(contents)
}

/// Reads the structure at `arg` and checks what all of them have in common.
fn read<T: Argument>(arg: UserPtr, known_flags: u32) -> Result<T> {
    let value: T = UserSlice::new(arg, size_of::<T>()).reader().read()?;
    if (value.argsz() as usize) < size_of::<T>()
        || value.flags() & !known_flags != 0
        || value.reserved() != 0
    {
        return Err(EINVAL);
    }
    Ok(value)
}

/// Writes the results back to where [`read`] found the structure.
fn write<T: Argument>(arg: UserPtr, value: &T) -> Result {
    UserSlice::new(arg, size_of::<T>()).writer().write(value)
}

fn pasid_request(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let request: PasidRequest = read(
        arg,
        VFIO_IOMMU_FLAG_ALLOC_PASID | VFIO_IOMMU_FLAG_FREE_PASID,
    )?;
    let range = PasidRange::new(request.min, request.max)?;
    match request.flags {
        VFIO_IOMMU_FLAG_ALLOC_PASID => Ok(contents.vmm().alloc_pasid(range)? as isize),
        VFIO_IOMMU_FLAG_FREE_PASID => contents.vmm().free_pasids(range).map(|()| 0),
        _ => Err(EINVAL),
    }
}

fn pasid_info(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let mut info: PasidInfo = read(arg, 0)?;
    let support = match info.group {
        VFIO_PASID_NO_GROUP => None,
        number => contents.group(number)?.pasid_support(),
    };
    info.quota = contents.vmm().quota();
    info.used = contents.vmm().held();
    info.width = support.map_or(0, |support| support.width);
    info.caps = support.map_or(0, |support| {
        (if support.exec { VFIO_PASID_CAP_EXEC } else { 0 })
            | (if support.privileged {
                VFIO_PASID_CAP_PRIV
            } else {
                0
            })
    });
    write(arg, &info)?;
    Ok(0)
}

/// The page-aligned range of virtual addresses that a user means.
///
/// # Errors
///
/// `EINVAL` if it is empty, not page-aligned, or wraps around.
fn memory_range(vaddr: u64, size: u64) -> Result<Interval> {
    let range = Interval::sized(vaddr, size)?;
    range
        .is_aligned(PAGE_SIZE as u64)
        .then_some(range)
        .ok_or(EINVAL)
}

fn register_memory(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let register: RegisterMemory = read(arg, VFIO_MEMORY_READ_ONLY)?;
    let range = memory_range(register.vaddr, register.size)?;
    let writable = register.flags & VFIO_MEMORY_READ_ONLY == 0;
    let place = registered::Place::new(GFP_KERNEL_ACCOUNT)?;
    let registration = Registration::new(contents.vmm().arc(), range, writable)?;
    let held = Held::new(registration)?;
    let surplus = container.registered(&contents).add(held, place);
    drop(surplus);
    Ok(0)
}

fn unregister_memory(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let unregister: RegisterMemory = read(arg, 0)?;
    let range = memory_range(unregister.vaddr, unregister.size)?;
    let gone = container.registered(&contents).remove(range)?;
    // Not before all is unlocked: it may take long.
    drop(gone);
    Ok(0)
}

fn aux_create(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let mut create: AuxCreate = read(arg, VFIO_AUX_FIXED_PASID)?;
    let wish = Wish::new(create.iova_start, create.iova_size)?;
    let place = Place::new(GFP_KERNEL_ACCOUNT)?;
    let (group, width) = contents.narrowest_group()?;
    let usable = PasidRange::of_width(width);
    let space = AuxSpace::new(group, wish, || {
        let vmm = contents.vmm().arc();
        if create.flags & VFIO_AUX_FIXED_PASID == 0 {
            return PasidInUse::new(vmm, usable);
        }
        let pasid = PasidInUse::existing(vmm, create.pasid)?;
        usable
            .contains(pasid.number())
            .then_some(pasid)
            .ok_or(ERANGE)
    })?;
    create.pasid = space.pasid();
    create.iova_start = space.window().interval().start();
    create.iova_size = space.window().interval().size();
    create.pgsize_bitmap = space.page_sizes();
    // The space is not linked yet: if this fails, dropping it undoes everything.
    write(arg, &create)?;
    container.spaces(&contents).add(space, place);
    Ok(0)
}

fn aux_destroy(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let destroy: AuxDestroy = read(arg, 0)?;
    container.spaces(&contents).destroy(destroy.pasid)?;
    Ok(0)
}

fn aux_attach(container: &Container, arg: UserPtr) -> Result<isize> {
    let (attach, device) = {
        let contents = enter(container)?;
        let attach: AuxAttach = read(arg, 0)?;
        container.spaces(&contents).get(attach.pasid)?;
        let group = contents.group(attach.group)?;
        (attach, contents.open_device(group)?.clone())
    };
    // Only under the lock of its set is the device surely open, or not. The lock comes before
    // ours, so everything else is looked up anew.
    let _set = device.lock_set();
    let contents = enter(container)?;
    let mut spaces = container.spaces(&contents);
    let space = spaces.get(attach.pasid)?;
    let group = contents.group(attach.group)?;
    if *contents.open_device(group)? != device {
        return Err(ENODEV);
    }
    space.attach(group, device.clone())?;
    Ok(0)
}

fn aux_detach(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let detach: AuxAttach = read(arg, 0)?;
    let mut spaces = container.spaces(&contents);
    let space = spaces.get(detach.pasid)?;
    space.detach(contents.group(detach.group)?)?;
    Ok(0)
}

fn aux_map(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let map: AuxMap = read(arg, VFIO_AUX_MAP_READ | VFIO_AUX_MAP_WRITE)?;
    let access = Access::from_flags(map.flags)?;
    let iova = Interval::sized(map.iova, map.size)?;
    let memory = Interval::sized(map.vaddr, map.size)?;
    let place = mapping::Place::new(GFP_KERNEL_ACCOUNT)?;
    let mut spaces = container.spaces(&contents);
    let space = spaces.get(map.pasid)?;
    space.map(iova, memory, access, place, |memory| {
        container.registered(&contents).map(memory)
    })?;
    Ok(0)
}

fn aux_unmap(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let mut unmap: AuxUnmap = read(arg, VFIO_AUX_UNMAP_ALL)?;
    let range = match (unmap.flags, unmap.iova, unmap.size) {
        (0, iova, size) => Some(Interval::sized(iova, size)?),
        (_, 0, 0) => None,
        _ => return Err(EINVAL),
    };
    // What is unmapped cannot be mapped again, so find out first whether the result can be told.
    write(arg, &unmap)?;
    unmap.size = {
        let mut spaces = container.spaces(&contents);
        let space = spaces.get(unmap.pasid)?;
        match range {
            Some(range) => space.unmap(range)?,
            None => space.mappings().clear(),
        }
    };
    write(arg, &unmap)?;
    Ok(0)
}

fn aux_info(container: &Container, arg: UserPtr) -> Result<isize> {
    let contents = enter(container)?;
    let mut info: AuxInfo = read(arg, 0)?;
    let room = (info.argsz as usize - size_of::<AuxInfo>()) / size_of::<AuxEntry>();
    let mut entries = UserSlice::new(
        arg.wrapping_byte_add(size_of::<AuxInfo>()),
        room * size_of::<AuxEntry>(),
    )
    .writer();
    let mut report = Report::new(room)?;
    info.count = 0;
    loop {
        {
            let mut spaces = container.spaces(&contents);
            let space = spaces.get(info.pasid)?;
            info.iova_start = space.window().interval().start();
            info.iova_size = space.window().interval().size();
            info.pgsize_bitmap = space.page_sizes();
            info.cursor = report.gather(space, info.cursor);
        }
        for entry in report.batch() {
            entries.write(entry)?;
            info.count += 1;
        }
        if info.cursor == 0 || !report.has_room() {
            break;
        }
    }
    write(arg, &info)?;
    Ok(0)
}

fn setup(container: &Container, arg: UserPtr) -> Result<isize> {
    enter(container)?;
    let mut setup: Setup = read(arg, 0)?;
    let wish = Wish::new(setup.iova_start, setup.iova_size)?;
    // What is narrowed cannot be widened, so find out first whether the result can be told.
    write(arg, &setup)?;
    let (window, page_sizes) = container.setup(wish)?;
    setup.iova_start = window.start();
    setup.iova_size = window.size();
    setup.pgsize_bitmap = page_sizes;
    write(arg, &setup)?;
    Ok(0)
}

fn hot_reset_info(container: &Container, arg: UserPtr) -> Result<isize> {
    let mut info: HotResetInfo = read(arg, 0)?;
    let address = Address {
        segment: info.segment,
        bus: info.bus,
        devfn: info.devfn,
    };
    let device = enter(container)?.open_device_at(address)?.clone();
    let affected = {
        // Comes before our locks, so what was looked up before it is looked up anew.
        let set = device.lock_set();
        let contents = enter(container)?;
        if !contents.has_open(&device) {
            return Err(ENOENT);
        }
        Affected::find(&device, &contents, &set)?
    };

    // No lock is held while user memory is touched.
    let room = (info.argsz as usize - size_of::<HotResetInfo>()) / size_of::<HotResetDevice>();
    let count = affected.devices().len();
    info.count = count as u32;
    if room < count {
        write(arg, &info)?;
        return Err(ENOSPC);
    }
    info.flags = affected.flags();
    let mut devices = UserSlice::new(
        arg.wrapping_byte_add(size_of::<HotResetInfo>()),
        size_of_val(affected.devices()),
    )
    .writer();
    for device in affected.devices() {
        devices.write(device)?;
    }
    write(arg, &info)?;
    Ok(0)
}
