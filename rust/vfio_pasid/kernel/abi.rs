// SPDX-License-Identifier: GPL-2.0-only

//! The structures and numbers of `include/uapi/linux/vfio_pasid.h`, which documents them.

use kernel::{
    ioctl::_IO,
    transmute::{AsBytes, FromBytes}, //
};

/// `VFIO_TYPE` of `linux/vfio.h`.
const VFIO_TYPE: u32 = b';' as u32;
/// `VFIO_BASE` of `linux/vfio.h`.
const VFIO_BASE: u32 = 100;

pub(crate) const VFIO_CHECK_EXTENSION: u32 = _IO(VFIO_TYPE, VFIO_BASE + 1);
pub(crate) const VFIO_PASID_EXTENSION: usize = 0x5041;
pub(crate) const VFIO_PASID_FEATURE_PASID: u32 = 1 << 0;

pub(crate) const VFIO_IOMMU_PASID_REQUEST: u32 = _IO(VFIO_TYPE, VFIO_BASE + 18);
pub(crate) const VFIO_IOMMU_FLAG_ALLOC_PASID: u32 = 1 << 0;
pub(crate) const VFIO_IOMMU_FLAG_FREE_PASID: u32 = 1 << 1;

#[repr(C)]
pub(crate) struct PasidRequest {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) min: u32,
    pub(crate) max: u32,
}

pub(crate) const VFIO_IOMMU_PASID_INFO: u32 = _IO(VFIO_TYPE, 0x40);
pub(crate) const VFIO_PASID_NO_GROUP: u32 = u32::MAX;
pub(crate) const VFIO_PASID_CAP_EXEC: u32 = 1 << 0;
pub(crate) const VFIO_PASID_CAP_PRIV: u32 = 1 << 1;

#[repr(C)]
pub(crate) struct PasidInfo {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) group: u32,
    pub(crate) quota: u32,
    pub(crate) used: u32,
    pub(crate) width: u32,
    pub(crate) caps: u32,
    pub(crate) reserved: u32,
}

/// A structure that starts with `argsz` and `flags`.
pub(crate) trait Argument: FromBytes + AsBytes {
    /// The size of the structure that the caller knows.
    fn argsz(&self) -> u32;
    /// Flags, of which each ioctl knows some.
    fn flags(&self) -> u32;
}

macro_rules! argument {
    ($name:ty, $size:literal) => {
        const _: () = assert!(core::mem::size_of::<$name>() == $size);

        // SAFETY: All fields are integers: every bit pattern is valid.
        unsafe impl FromBytes for $name {}
        // SAFETY: All fields are integers, and the size asserted above is the sum of theirs, so
        // there is no padding.
        unsafe impl AsBytes for $name {}

        impl Argument for $name {
            fn argsz(&self) -> u32 {
                self.argsz
            }
            fn flags(&self) -> u32 {
                self.flags
            }
        }
    };
}

argument!(PasidRequest, 16);
argument!(PasidInfo, 32);
