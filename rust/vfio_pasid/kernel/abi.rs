// SPDX-License-Identifier: GPL-2.0-only

//! The structures and numbers of `include/uapi/linux/vfio_pasid.h`, which documents them.

use kernel::{
    ioctl::_IO,
    prelude::*,
    transmute::{AsBytes, FromBytes}, //
};

use super::access::Access;

/// `VFIO_TYPE` of `linux/vfio.h`.
const VFIO_TYPE: u32 = b';' as u32;
/// `VFIO_BASE` of `linux/vfio.h`.
const VFIO_BASE: u32 = 100;

pub(crate) const VFIO_CHECK_EXTENSION: u32 = _IO(VFIO_TYPE, VFIO_BASE + 1);
pub(crate) const VFIO_PASID_EXTENSION: usize = 0x5041;
pub(crate) const VFIO_PASID_FEATURE_PASID: u32 = 1 << 0;
pub(crate) const VFIO_PASID_FEATURE_AUX: u32 = 1 << 1;
pub(crate) const VFIO_PASID_FEATURE_MEMORY: u32 = 1 << 2;
pub(crate) const VFIO_PASID_FEATURE_WINDOW: u32 = 1 << 3;
pub(crate) const VFIO_PASID_FEATURE_HOT_RESET: u32 = 1 << 4;
pub(crate) const VFIO_PASID_FEATURE_OWN_SPACE: u32 = 1 << 5;
pub(crate) const VFIO_PASID_FEATURE_PROCESS: u32 = 1 << 6;

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
pub(crate) const VFIO_PASID_CAP_SVA: u32 = 1 << 2;
pub(crate) const VFIO_PASID_CAP_PRI: u32 = 1 << 3;
pub(crate) const VFIO_PASID_CAP_ATS: u32 = 1 << 4;
pub(crate) const VFIO_PASID_CAP_SVA_IOMMU: u32 = 1 << 5;
pub(crate) const VFIO_PASID_CAP_SVA_ALLOWED: u32 = 1 << 6;

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

pub(crate) const VFIO_IOMMU_REGISTER_MEMORY: u32 = _IO(VFIO_TYPE, 0x41);
pub(crate) const VFIO_IOMMU_UNREGISTER_MEMORY: u32 = _IO(VFIO_TYPE, 0x42);
pub(crate) const VFIO_MEMORY_READ_ONLY: u32 = 1 << 0;

#[repr(C)]
pub(crate) struct RegisterMemory {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) vaddr: u64,
    pub(crate) size: u64,
}

pub(crate) const VFIO_AUX_OWN_SPACE: u32 = 0;

pub(crate) const VFIO_IOMMU_AUX_CREATE: u32 = _IO(VFIO_TYPE, 0x43);
pub(crate) const VFIO_AUX_FIXED_PASID: u32 = 1 << 0;
pub(crate) const VFIO_AUX_PROCESS: u32 = 1 << 1;

#[repr(C)]
pub(crate) struct AuxCreate {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) pasid: u32,
    pub(crate) reserved: u32,
    pub(crate) iova_start: u64,
    pub(crate) iova_size: u64,
    pub(crate) pgsize_bitmap: u64,
}

pub(crate) const VFIO_IOMMU_AUX_DESTROY: u32 = _IO(VFIO_TYPE, 0x44);

#[repr(C)]
pub(crate) struct AuxDestroy {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) pasid: u32,
    pub(crate) reserved: u32,
}

pub(crate) const VFIO_IOMMU_AUX_ATTACH: u32 = _IO(VFIO_TYPE, 0x45);
pub(crate) const VFIO_IOMMU_AUX_DETACH: u32 = _IO(VFIO_TYPE, 0x46);

#[repr(C)]
pub(crate) struct AuxAttach {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) pasid: u32,
    pub(crate) group: u32,
}

pub(crate) const VFIO_IOMMU_AUX_MAP: u32 = _IO(VFIO_TYPE, 0x47);
pub(crate) const VFIO_AUX_MAP_READ: u32 = 1 << 0;
pub(crate) const VFIO_AUX_MAP_WRITE: u32 = 1 << 1;

#[repr(C)]
pub(crate) struct AuxMap {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) pasid: u32,
    pub(crate) reserved: u32,
    pub(crate) vaddr: u64,
    pub(crate) iova: u64,
    pub(crate) size: u64,
}

impl Access {
    /// From `VFIO_AUX_MAP_*`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for neither.
    pub(crate) fn from_flags(flags: u32) -> Result<Self> {
        let read = flags & VFIO_AUX_MAP_READ != 0;
        let write = flags & VFIO_AUX_MAP_WRITE != 0;
        if !read && !write {
            return Err(EINVAL);
        }
        Ok(Self { read, write })
    }

    /// As `VFIO_AUX_MAP_*`.
    pub(crate) fn into_flags(self) -> u32 {
        let read = if self.read { VFIO_AUX_MAP_READ } else { 0 };
        let write = if self.write { VFIO_AUX_MAP_WRITE } else { 0 };
        read | write
    }
}

pub(crate) const VFIO_IOMMU_AUX_UNMAP: u32 = _IO(VFIO_TYPE, 0x48);
pub(crate) const VFIO_AUX_UNMAP_ALL: u32 = 1 << 0;

#[repr(C)]
pub(crate) struct AuxUnmap {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) pasid: u32,
    pub(crate) reserved: u32,
    pub(crate) iova: u64,
    pub(crate) size: u64,
}

pub(crate) const VFIO_IOMMU_AUX_INFO: u32 = _IO(VFIO_TYPE, 0x49);
pub(crate) const VFIO_AUX_INFO_PROCESS: u32 = 1 << 0;
pub(crate) const VFIO_AUX_ENTRY_HOLE: u32 = 1;
pub(crate) const VFIO_AUX_ENTRY_GROUP: u32 = 2;
pub(crate) const VFIO_AUX_ENTRY_MAPPING: u32 = 3;

#[repr(C)]
#[derive(Default)]
pub(crate) struct AuxEntry {
    pub(crate) entry_type: u32,
    pub(crate) data: u32,
    pub(crate) iova: u64,
    pub(crate) size: u64,
    pub(crate) vaddr: u64,
}

#[repr(C)]
pub(crate) struct AuxInfo {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) pasid: u32,
    pub(crate) count: u32,
    pub(crate) iova_start: u64,
    pub(crate) iova_size: u64,
    pub(crate) pgsize_bitmap: u64,
    pub(crate) cursor: u64,
}

pub(crate) const VFIO_IOMMU_SETUP: u32 = _IO(VFIO_TYPE, 0x4a);

#[repr(C)]
pub(crate) struct Setup {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) iova_start: u64,
    pub(crate) iova_size: u64,
    pub(crate) pgsize_bitmap: u64,
}

pub(crate) const VFIO_IOMMU_HOT_RESET_INFO: u32 = _IO(VFIO_TYPE, 0x4b);
/// These four are of `linux/vfio.h`.
pub(crate) const VFIO_PCI_HOT_RESET_FLAG_DEV_ID: u32 = 1 << 0;
pub(crate) const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED: u32 = 1 << 1;
pub(crate) const VFIO_PCI_DEVID_OWNED: u32 = 0;
pub(crate) const VFIO_PCI_DEVID_NOT_OWNED: u32 = u32::MAX;

#[repr(C)]
pub(crate) struct HotResetInfo {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) segment: u16,
    pub(crate) bus: u8,
    pub(crate) devfn: u8,
    pub(crate) count: u32,
}

/// `struct vfio_pci_dependent_device` of `linux/vfio.h`.
#[repr(C)]
pub(crate) struct HotResetDevice {
    pub(crate) devid: u32,
    pub(crate) segment: u16,
    pub(crate) bus: u8,
    pub(crate) devfn: u8,
}

/// A structure that starts with `argsz` and `flags`.
pub(crate) trait Argument: FromBytes + AsBytes {
    /// The size of the structure that the caller knows.
    fn argsz(&self) -> u32;
    /// Flags, of which each ioctl knows some.
    fn flags(&self) -> u32;
    /// A field that must be 0; 0 where there is none.
    fn reserved(&self) -> u32;
}

macro_rules! plain_bytes {
    ($name:ty, $size:literal) => {
        const _: () = assert!(core::mem::size_of::<$name>() == $size);

        // SAFETY: All fields are integers: every bit pattern is valid.
        unsafe impl FromBytes for $name {}
        // SAFETY: All fields are integers, and the size asserted above is the sum of theirs, so
        // there is no padding.
        unsafe impl AsBytes for $name {}
    };
}

macro_rules! argument {
    ($name:ty, $size:literal $(, $reserved:ident)?) => {
        plain_bytes!($name, $size);

        impl Argument for $name {
            fn argsz(&self) -> u32 {
                self.argsz
            }
            fn flags(&self) -> u32 {
                self.flags
            }
            fn reserved(&self) -> u32 {
                0 $(| self.$reserved)?
            }
        }
    };
}

argument!(PasidRequest, 16);
argument!(PasidInfo, 32, reserved);
argument!(RegisterMemory, 24);
argument!(AuxCreate, 40, reserved);
argument!(AuxDestroy, 16, reserved);
argument!(AuxAttach, 16);
argument!(AuxMap, 40, reserved);
argument!(AuxUnmap, 32, reserved);
argument!(AuxInfo, 48);
plain_bytes!(AuxEntry, 32);
argument!(Setup, 32);
argument!(HotResetInfo, 16);
plain_bytes!(HotResetDevice, 8);
