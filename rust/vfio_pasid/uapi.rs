// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls: decoded, checked, dispatched. `include/uapi/linux/vfio_pasid.h` documents them.

use core::mem::size_of;

use kernel::{
    prelude::*,
    uaccess::{UserPtr, UserSlice}, //
};

use crate::{
    container::Contents,
    kernel::{abi::*, group::PasidSupport},
    pasid::PasidRange, //
};

/// The features that VFIO_CHECK_EXTENSION reports.
const FEATURES: u32 = VFIO_PASID_FEATURE_PASID;

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
pub(crate) fn ioctl(contents: &Contents, cmd: u32, arg: usize) -> Option<Result<isize>> {
    let ioctl = match cmd {
        VFIO_CHECK_EXTENSION if arg == VFIO_PASID_EXTENSION => return Some(Ok(FEATURES as isize)),
        VFIO_IOMMU_PASID_REQUEST => pasid_request,
        VFIO_IOMMU_PASID_INFO => pasid_info,
        _ => return None,
    };
    if !contents.vmm().is_current() {
        return Some(Err(EPERM));
    }
    Some(ioctl(contents, UserPtr::from_addr(arg)))
}

/// Reads the structure at `arg` and checks what all of them have in common.
fn read<T: Argument>(arg: UserPtr, known_flags: u32) -> Result<T> {
    let value: T = UserSlice::new(arg, size_of::<T>()).reader().read()?;
    if (value.argsz() as usize) < size_of::<T>() || value.flags() & !known_flags != 0 {
        return Err(EINVAL);
    }
    Ok(value)
}

/// Writes the results back to where [`read`] found the structure.
fn write<T: Argument>(arg: UserPtr, value: &T) -> Result {
    UserSlice::new(arg, size_of::<T>()).writer().write(value)
}

fn pasid_request(contents: &Contents, arg: UserPtr) -> Result<isize> {
    let request: PasidRequest = read(
        arg,
        VFIO_IOMMU_FLAG_ALLOC_PASID | VFIO_IOMMU_FLAG_FREE_PASID,
    )?;
    let range = PasidRange::new(request.min, request.max)?;
    match request.flags {
        VFIO_IOMMU_FLAG_ALLOC_PASID => Ok(contents.vmm().alloc_pasid(range)? as isize),
        VFIO_IOMMU_FLAG_FREE_PASID => {
            contents.vmm().free_pasids(range);
            Ok(0)
        }
        _ => Err(EINVAL),
    }
}

fn pasid_info(contents: &Contents, arg: UserPtr) -> Result<isize> {
    let mut info: PasidInfo = read(arg, 0)?;
    if info.reserved != 0 {
        return Err(EINVAL);
    }
    let support = match info.group {
        VFIO_PASID_NO_GROUP => PasidSupport::NONE,
        number => contents.group(number)?.pasid_support(),
    };
    info.quota = contents.vmm().quota();
    info.used = contents.vmm().held();
    info.width = support.width;
    info.caps = 0;
    if support.exec {
        info.caps |= VFIO_PASID_CAP_EXEC;
    }
    if support.privileged {
        info.caps |= VFIO_PASID_CAP_PRIV;
    }
    write(arg, &info)?;
    Ok(0)
}
