// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls as safe functions: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::{
    ffi::{c_int, CStr},
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use vfio_bindings::bindings::vfio::vfio_group_status;

use crate::{
    error::{Error, Result},
    uapi::{PasidInfo, PasidRequest},
};

/// The system calls. Those with a plain argument are safe with any; those with a pointer want it
/// valid for the structure that the kernel reads and writes.
mod raw {
    use nix::{libc::c_char, request_code_none};
    use vfio_bindings::bindings::vfio::{vfio_group_status, VFIO_BASE, VFIO_TYPE};

    use crate::uapi::{PasidInfo, PasidRequest, VFIO_IOMMU_PASID_INFO, VFIO_IOMMU_PASID_REQUEST};

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
