// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls as safe functions: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::{
    ffi::{c_int, CStr},
    mem::{size_of, size_of_val},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    slice,
};

use vfio_bindings::bindings::vfio::vfio_group_status;

use crate::{
    error::{Error, Result},
    uapi::{HotResetDevice, HotResetInfo, PasidInfo, PasidRequest},
};

/// The system calls. Those with a plain argument are safe with any; those with a pointer want it
/// valid for the structure that the kernel reads and writes.
mod raw {
    use nix::{libc::c_char, request_code_none};
    use vfio_bindings::bindings::vfio::{vfio_group_status, VFIO_BASE, VFIO_TYPE};

    use crate::uapi::{
        PasidInfo, PasidRequest, VFIO_IOMMU_HOT_RESET_INFO, VFIO_IOMMU_PASID_INFO,
        VFIO_IOMMU_PASID_REQUEST,
    };

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
    nix::ioctl_write_ptr_bad!(pasid_request, VFIO_IOMMU_PASID_REQUEST, PasidRequest);
    nix::ioctl_readwrite_bad!(pasid_info, VFIO_IOMMU_PASID_INFO, PasidInfo);
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
