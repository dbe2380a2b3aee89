// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The ioctls as safe functions: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::{
    ffi::{c_int, CStr},
    mem::{size_of, size_of_val},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    slice,
};

use nix::errno::Errno;
use vfio_bindings::bindings::vfio::{vfio_group_status, vfio_region_info};
use vm_memory::{bitmap::Bitmap, MmapRegion};

use crate::{
    aux_space::Iovas,
    error::{Error, Result},
    uapi::{
        AuxAttach, AuxCreate, AuxDestroy, AuxEntry, AuxInfo, AuxMap, AuxUnmap, HotResetDevice,
        HotResetInfo, PasidInfo, PasidRequest, RegisterMemory, Setup, VFIO_AUX_UNMAP_ALL,
    },
};

/// The system calls. Those with a plain argument are safe with any; those with a pointer want it
/// valid for the structure that the kernel reads and writes.
mod raw {
    use nix::{libc::c_char, request_code_none};
    use vfio_bindings::bindings::vfio::{
        vfio_group_status, vfio_region_info, VFIO_BASE, VFIO_TYPE,
    };

    use super::AuxInfoWithRoom;
    use crate::uapi::*;

    nix::ioctl_none_bad!(get_api_version, request_code_none!(VFIO_TYPE, VFIO_BASE));
    nix::ioctl_write_int_bad!(
        check_extension,
        request_code_none!(VFIO_TYPE, VFIO_BASE + 1)
    );
    nix::ioctl_write_int_bad!(set_iommu, request_code_none!(VFIO_TYPE, VFIO_BASE + 2));
    nix::ioctl_read_bad!(
        group_get_status,
        request_code_none!(VFIO_TYPE, VFIO_BASE + 3),
        vfio_group_status
    );
    nix::ioctl_write_ptr_bad!(
        group_set_container,
        request_code_none!(VFIO_TYPE, VFIO_BASE + 4),
        i32
    );
    nix::ioctl_write_ptr_bad!(
        group_get_device_fd,
        request_code_none!(VFIO_TYPE, VFIO_BASE + 6),
        c_char
    );
    nix::ioctl_readwrite_bad!(
        device_region_info,
        request_code_none!(VFIO_TYPE, VFIO_BASE + 8),
        vfio_region_info
    );
    nix::ioctl_write_ptr_bad!(pasid_request, VFIO_IOMMU_PASID_REQUEST, PasidRequest);
    nix::ioctl_readwrite_bad!(pasid_info, VFIO_IOMMU_PASID_INFO, PasidInfo);
    nix::ioctl_write_ptr_bad!(register_memory, VFIO_IOMMU_REGISTER_MEMORY, RegisterMemory);
    nix::ioctl_write_ptr_bad!(
        unregister_memory,
        VFIO_IOMMU_UNREGISTER_MEMORY,
        RegisterMemory
    );
    nix::ioctl_readwrite_bad!(aux_create, VFIO_IOMMU_AUX_CREATE, AuxCreate);
    nix::ioctl_write_ptr_bad!(aux_destroy, VFIO_IOMMU_AUX_DESTROY, AuxDestroy);
    nix::ioctl_write_ptr_bad!(aux_attach, VFIO_IOMMU_AUX_ATTACH, AuxAttach);
    nix::ioctl_write_ptr_bad!(aux_detach, VFIO_IOMMU_AUX_DETACH, AuxAttach);
    nix::ioctl_write_ptr_bad!(aux_map, VFIO_IOMMU_AUX_MAP, AuxMap);
    nix::ioctl_readwrite_bad!(aux_unmap, VFIO_IOMMU_AUX_UNMAP, AuxUnmap);
    nix::ioctl_readwrite_bad!(aux_info, VFIO_IOMMU_AUX_INFO, AuxInfoWithRoom);
    nix::ioctl_readwrite_bad!(setup, VFIO_IOMMU_SETUP, Setup);
    nix::ioctl_readwrite_bad!(hot_reset_info, VFIO_IOMMU_HOT_RESET_INFO, u32);
    nix::ioctl_write_ptr_bad!(
        hot_reset,
        request_code_none!(VFIO_TYPE, VFIO_BASE + 13),
        u32
    );
}

fn named(call: &'static str, result: nix::Result<c_int>) -> Result<u32> {
    result
        .map(|value| value as u32)
        .map_err(|errno| Error::new(call, errno))
}

pub(crate) fn get_api_version(container: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY: No argument.
    let result = unsafe { raw::get_api_version(container.as_raw_fd()) };
    named("VFIO_GET_API_VERSION", result)
}

pub(crate) fn check_extension(container: BorrowedFd<'_>, extension: c_int) -> Result<u32> {
    // SAFETY: A plain argument.
    let result = unsafe { raw::check_extension(container.as_raw_fd(), extension) };
    named("VFIO_CHECK_EXTENSION", result)
}

pub(crate) fn set_iommu(container: BorrowedFd<'_>, iommu_type: c_int) -> Result<()> {
    // SAFETY: A plain argument.
    let result = unsafe { raw::set_iommu(container.as_raw_fd(), iommu_type) };
    named("VFIO_SET_IOMMU", result).map(drop)
}

pub(crate) fn group_flags(group: BorrowedFd<'_>) -> Result<u32> {
    let mut status = vfio_group_status {
        argsz: size_of::<vfio_group_status>() as u32,
        flags: 0,
    };
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::group_get_status(group.as_raw_fd(), &mut status) };
    named("VFIO_GROUP_GET_STATUS", result)?;
    Ok(status.flags)
}

pub(crate) fn group_set_container(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: The kernel reads one int.
    let result = unsafe { raw::group_set_container(group.as_raw_fd(), &container.as_raw_fd()) };
    named("VFIO_GROUP_SET_CONTAINER", result).map(drop)
}

pub(crate) fn group_device(group: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    // SAFETY: The kernel reads a string up to its end.
    let result = unsafe { raw::group_get_device_fd(group.as_raw_fd(), name.as_ptr()) };
    let fd = result.map_err(|errno| Error::new("VFIO_GROUP_GET_DEVICE_FD", errno))?;
    // SAFETY: The call succeeded, so this is a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Offset, in the device's file, and size of a region.
pub(crate) fn device_region(device: BorrowedFd<'_>, index: u32) -> Result<(u64, u64)> {
    let mut info = vfio_region_info {
        argsz: size_of::<vfio_region_info>() as u32,
        index,
        ..vfio_region_info::default()
    };
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::device_region_info(device.as_raw_fd(), &mut info) };
    named("VFIO_DEVICE_GET_REGION_INFO", result)?;
    Ok((info.offset, info.size))
}

pub(crate) fn pasid_request(
    container: BorrowedFd<'_>,
    flags: u32,
    min: u32,
    max: u32,
) -> Result<u32> {
    let request = PasidRequest {
        argsz: size_of::<PasidRequest>() as u32,
        flags,
        min,
        max,
    };
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::pasid_request(container.as_raw_fd(), &request) };
    named("VFIO_IOMMU_PASID_REQUEST", result)
}

pub(crate) fn pasid_info(container: BorrowedFd<'_>, group: u32) -> Result<PasidInfo> {
    let mut info = PasidInfo {
        argsz: size_of::<PasidInfo>() as u32,
        group,
        ..PasidInfo::default()
    };
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::pasid_info(container.as_raw_fd(), &mut info) };
    named("VFIO_IOMMU_PASID_INFO", result)?;
    Ok(info)
}

/// Only pins pages and counts them: no access to the memory comes of it. What devices may do with
/// it is what [`aux_map`] says.
pub(crate) fn register_memory(
    container: BorrowedFd<'_>,
    flags: u32,
    vaddr: u64,
    size: u64,
) -> Result<()> {
    let register = RegisterMemory {
        argsz: size_of::<RegisterMemory>() as u32,
        flags,
        vaddr,
        size,
    };
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::register_memory(container.as_raw_fd(), &register) };
    named("VFIO_IOMMU_REGISTER_MEMORY", result).map(drop)
}

pub(crate) fn unregister_memory(container: BorrowedFd<'_>, vaddr: u64, size: u64) -> Result<()> {
    let unregister = RegisterMemory {
        argsz: size_of::<RegisterMemory>() as u32,
        flags: 0,
        vaddr,
        size,
    };
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::unregister_memory(container.as_raw_fd(), &unregister) };
    named("VFIO_IOMMU_UNREGISTER_MEMORY", result).map(drop)
}

/// `create` is the request, and what was granted.
pub(crate) fn aux_create(container: BorrowedFd<'_>, create: &mut AuxCreate) -> Result<()> {
    create.argsz = size_of::<AuxCreate>() as u32;
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::aux_create(container.as_raw_fd(), create) };
    named("VFIO_IOMMU_AUX_CREATE", result).map(drop)
}

pub(crate) fn aux_destroy(container: BorrowedFd<'_>, pasid: u32) -> Result<()> {
    let destroy = AuxDestroy {
        argsz: size_of::<AuxDestroy>() as u32,
        pasid,
        ..AuxDestroy::default()
    };
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::aux_destroy(container.as_raw_fd(), &destroy) };
    named("VFIO_IOMMU_AUX_DESTROY", result).map(drop)
}

fn attach_argument(pasid: u32, group: u32) -> AuxAttach {
    AuxAttach {
        argsz: size_of::<AuxAttach>() as u32,
        flags: 0,
        pasid,
        group,
    }
}

pub(crate) fn aux_attach(container: BorrowedFd<'_>, pasid: u32, group: u32) -> Result<()> {
    let attach = attach_argument(pasid, group);
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::aux_attach(container.as_raw_fd(), &attach) };
    named("VFIO_IOMMU_AUX_ATTACH", result).map(drop)
}

pub(crate) fn aux_detach(container: BorrowedFd<'_>, pasid: u32, group: u32) -> Result<()> {
    let detach = attach_argument(pasid, group);
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::aux_detach(container.as_raw_fd(), &detach) };
    named("VFIO_IOMMU_AUX_DETACH", result).map(drop)
}

/// Lets devices access `offset..offset + size` of `memory`.
///
/// # Errors
///
/// As the ioctl, and `ENOENT` if `memory` has not so much.
pub(crate) fn aux_map<B: Bitmap>(
    container: BorrowedFd<'_>,
    pasid: u32,
    flags: u32,
    memory: &MmapRegion<B>,
    offset: u64,
    iovas: Iovas,
) -> Result<()> {
    let call = "VFIO_IOMMU_AUX_MAP";
    let end = offset.checked_add(iovas.size);
    if end.is_none_or(|end| end > memory.size() as u64) {
        return Err(Error::new(call, Errno::ENOENT));
    }
    let map = AuxMap {
        argsz: size_of::<AuxMap>() as u32,
        flags,
        pasid,
        vaddr: memory.as_ptr() as u64 + offset,
        iova: iovas.start,
        size: iovas.size,
        ..AuxMap::default()
    };
    // SAFETY: The structure is ours, and argsz is its size. Devices may write what is mapped from
    // now on; all of it is in `memory`, which is made to be shared: nobody has references to what
    // is in there.
    let result = unsafe { raw::aux_map(container.as_raw_fd(), &map) };
    named(call, result).map(drop)
}

/// Unmaps `iovas`, or everything, and returns how many bytes were mapped.
pub(crate) fn aux_unmap(
    container: BorrowedFd<'_>,
    pasid: u32,
    iovas: Option<Iovas>,
) -> Result<u64> {
    let mut unmap = AuxUnmap {
        argsz: size_of::<AuxUnmap>() as u32,
        pasid,
        ..AuxUnmap::default()
    };
    match iovas {
        Some(iovas) => (unmap.iova, unmap.size) = (iovas.start, iovas.size),
        None => unmap.flags = VFIO_AUX_UNMAP_ALL,
    }
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::aux_unmap(container.as_raw_fd(), &mut unmap) };
    named("VFIO_IOMMU_AUX_UNMAP", result)?;
    Ok(unmap.size)
}

/// As many entries as one call is asked for: a kilobyte.
pub(crate) const AUX_ENTRIES: usize = 32;

/// `struct vfio_iommu_aux_info`, with its entries.
#[repr(C)]
pub(crate) struct AuxInfoWithRoom {
    info: AuxInfo,
    entries: [AuxEntry; AUX_ENTRIES],
}

impl AuxInfoWithRoom {
    /// The structure without its entries: what is in the window, and the cursor.
    pub(crate) fn info(&self) -> &AuxInfo {
        &self.info
    }

    /// The entries that were filled in.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &AuxEntry> {
        self.entries.iter().take(self.info.count as usize)
    }
}

pub(crate) fn aux_info(
    container: BorrowedFd<'_>,
    pasid: u32,
    cursor: u64,
) -> Result<AuxInfoWithRoom> {
    let mut answer = AuxInfoWithRoom {
        info: AuxInfo {
            argsz: size_of::<AuxInfoWithRoom>() as u32,
            pasid,
            cursor,
            ..AuxInfo::default()
        },
        entries: [AuxEntry::default(); AUX_ENTRIES],
    };
    // SAFETY: The structure is ours, argsz is its size, and any content will do for its fields.
    let result = unsafe { raw::aux_info(container.as_raw_fd(), &mut answer) };
    named("VFIO_IOMMU_AUX_INFO", result)?;
    Ok(answer)
}

/// `setup` is the request, and what was granted.
pub(crate) fn setup(container: BorrowedFd<'_>, setup: &mut Setup) -> Result<()> {
    setup.argsz = size_of::<Setup>() as u32;
    // SAFETY: The structure is ours, and argsz is its size.
    let result = unsafe { raw::setup(container.as_raw_fd(), setup) };
    named("VFIO_IOMMU_SETUP", result).map(drop)
}

/// Devices behind a structure that ends with them, as the kernel wants both in memory.
struct WithRoom(Vec<u32>);

impl WithRoom {
    /// A structure of four words with room for `room` devices.
    fn new(info: HotResetInfo, room: usize) -> Self {
        let size = size_of::<HotResetInfo>() + room * size_of::<HotResetDevice>();
        let mut words = vec![0; size / size_of::<u32>()];
        // SAFETY: There is space for it, and it wants the alignment of a word.
        unsafe { words.as_mut_ptr().cast::<HotResetInfo>().write(info) };
        Self(words)
    }

    fn info(&self) -> HotResetInfo {
        // SAFETY: `new()` wrote one there; the kernel may have written another.
        unsafe { self.0.as_ptr().cast::<HotResetInfo>().read() }
    }

    fn devices(&self, count: usize) -> Vec<HotResetDevice> {
        let (_, words) = self
            .0
            .split_at(size_of::<HotResetInfo>() / size_of::<u32>());
        let room = size_of_val(words) / size_of::<HotResetDevice>();
        // SAFETY: There are at least so many; any content will do.
        unsafe { slice::from_raw_parts(words.as_ptr().cast::<HotResetDevice>(), count.min(room)) }
            .to_vec()
    }
}

/// `info` is the question, and its `count` and `flags` part of the answer, also of a refusal.
pub(crate) fn hot_reset_info(
    container: BorrowedFd<'_>,
    info: &mut HotResetInfo,
    room: usize,
) -> Result<Vec<HotResetDevice>> {
    info.argsz = (size_of::<HotResetInfo>() + room * size_of::<HotResetDevice>()) as u32;
    let mut memory = WithRoom::new(*info, room);
    // SAFETY: The memory is ours, and argsz is its size.
    let result = unsafe { raw::hot_reset_info(container.as_raw_fd(), memory.0.as_mut_ptr()) };
    *info = memory.info();
    named("VFIO_IOMMU_HOT_RESET_INFO", result)?;
    Ok(memory.devices(info.count as usize))
}

pub(crate) fn hot_reset(device: BorrowedFd<'_>, groups: &[BorrowedFd<'_>]) -> Result<()> {
    // argsz, flags, count, and the descriptors: struct vfio_pci_hot_reset.
    let mut words = vec![0, 0, groups.len() as u32];
    words.extend(groups.iter().map(|group| group.as_raw_fd() as u32));
    let size = size_of_val(words.as_slice()) as u32;
    if let Some(argsz) = words.first_mut() {
        *argsz = size;
    }
    // SAFETY: The memory is ours, argsz is its size, and count fits it.
    let result = unsafe { raw::hot_reset(device.as_raw_fd(), words.as_ptr()) };
    named("VFIO_DEVICE_PCI_HOT_RESET", result).map(drop)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    #[test]
    fn nothing_behind_the_memory_is_mapped() {
        // Whatever comes to the ioctl is refused, with ENOTTY.
        let file = File::open("/dev/null").expect("/dev/null");
        let memory: MmapRegion = MmapRegion::new(0x4000).expect("memory");
        let map = |offset, size| {
            let iovas = Iovas { start: 0, size };
            aux_map(file.as_fd(), 1, 0, &memory, offset, iovas)
                .expect_err("no container")
                .errno()
        };
        assert_eq!(map(0, 0x4000), Errno::ENOTTY);
        assert_eq!(map(0x3000, 0x1000), Errno::ENOTTY);
        assert_eq!(map(0, 0x5000), Errno::ENOENT);
        assert_eq!(map(0x4000, 0x1000), Errno::ENOENT);
        assert_eq!(map(0x3000, u64::MAX), Errno::ENOENT);
    }
}
