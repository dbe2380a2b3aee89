// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT

//! The numbers and structures of `include/uapi/linux/vfio_pasid.h`, under their C names less the
//! prefix. That header documents them; the package `uapi-check` compares the two.

use nix::{libc::c_ulong, request_code_none};
use vfio_bindings::bindings::vfio::{VFIO_BASE, VFIO_TYPE};

/// Argument of `VFIO_CHECK_EXTENSION`: answered with a set of features.
pub const VFIO_PASID_EXTENSION: c_ulong = 0x5041;
/// Feature: `VFIO_IOMMU_PASID_REQUEST` and `VFIO_IOMMU_PASID_INFO`.
pub const VFIO_PASID_FEATURE_PASID: u32 = 1 << 0;
/// Feature: `VFIO_IOMMU_AUX_CREATE` to `VFIO_IOMMU_AUX_INFO`.
pub const VFIO_PASID_FEATURE_AUX: u32 = 1 << 1;
/// Feature: registered memory, and mapping it in aux spaces.
pub const VFIO_PASID_FEATURE_MEMORY: u32 = 1 << 2;
/// Feature: `VFIO_IOMMU_SETUP`, and the window of `VFIO_IOMMU_AUX_CREATE`.
pub const VFIO_PASID_FEATURE_WINDOW: u32 = 1 << 3;
/// Feature: `VFIO_IOMMU_HOT_RESET_INFO`.
pub const VFIO_PASID_FEATURE_HOT_RESET: u32 = 1 << 4;
/// Feature: [`VFIO_AUX_OWN_SPACE`].
pub const VFIO_PASID_FEATURE_OWN_SPACE: u32 = 1 << 5;
/// Feature: [`VFIO_AUX_PROCESS`].
pub const VFIO_PASID_FEATURE_PROCESS: u32 = 1 << 6;
/// The PASID that names the container's own space, in [`AuxMap`], [`AuxUnmap`] and [`AuxInfo`].
pub const VFIO_AUX_OWN_SPACE: u32 = 0;

/// Takes a PASID, or gives PASIDs back: [`PasidRequest`].
pub const VFIO_IOMMU_PASID_REQUEST: c_ulong = request_code_none!(VFIO_TYPE, VFIO_BASE + 18);
/// Flag of [`PasidRequest`]: take one number of the range.
pub const VFIO_IOMMU_FLAG_ALLOC_PASID: u32 = 1 << 0;
/// Flag of [`PasidRequest`]: give back all numbers of the range.
pub const VFIO_IOMMU_FLAG_FREE_PASID: u32 = 1 << 1;

/// `struct vfio_iommu_type1_pasid_request`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PasidRequest {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// One of the two flags.
    pub flags: u32,
    /// First number of the range.
    pub min: u32,
    /// Last number of the range.
    pub max: u32,
}

/// Tells quota, use and what a group's device can do: [`PasidInfo`].
pub const VFIO_IOMMU_PASID_INFO: c_ulong = request_code_none!(VFIO_TYPE, 0x40);
/// Group number of [`PasidInfo`] that stands for no group.
pub const VFIO_PASID_NO_GROUP: u32 = !0;
/// Capability in [`PasidInfo`]: execute permission.
pub const VFIO_PASID_CAP_EXEC: u32 = 1 << 0;
/// Capability in [`PasidInfo`]: privileged mode.
pub const VFIO_PASID_CAP_PRIV: u32 = 1 << 1;
/// Capability in [`PasidInfo`]: a process space can be attached.
pub const VFIO_PASID_CAP_SVA: u32 = 1 << 2;
/// Capability in [`PasidInfo`]: the device may request pages (PRI).
pub const VFIO_PASID_CAP_PRI: u32 = 1 << 3;
/// Capability in [`PasidInfo`]: the device may keep translations (ATS).
pub const VFIO_PASID_CAP_ATS: u32 = 1 << 4;
/// Capability in [`PasidInfo`]: the IOMMU can walk the tables of processes.
pub const VFIO_PASID_CAP_SVA_IOMMU: u32 = 1 << 5;
/// Capability in [`PasidInfo`]: the parameters of the module allow process spaces.
pub const VFIO_PASID_CAP_SVA_ALLOWED: u32 = 1 << 6;

/// `struct vfio_iommu_pasid_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PasidInfo {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// 0.
    pub flags: u32,
    /// In: a group of the container, or [`VFIO_PASID_NO_GROUP`].
    pub group: u32,
    /// Out: how many PASIDs the process may hold.
    pub quota: u32,
    /// Out: how many it holds.
    pub used: u32,
    /// Out: bits of a PASID for the devices of the group; 0 for none.
    pub width: u32,
    /// Out: `VFIO_PASID_CAP_*`.
    pub caps: u32,
    /// 0.
    pub reserved: u32,
}

/// Pins memory of the process, for aux spaces to map: [`RegisterMemory`].
pub const VFIO_IOMMU_REGISTER_MEMORY: c_ulong = request_code_none!(VFIO_TYPE, 0x41);
/// Takes one registration back: [`RegisterMemory`].
pub const VFIO_IOMMU_UNREGISTER_MEMORY: c_ulong = request_code_none!(VFIO_TYPE, 0x42);
/// Flag of [`RegisterMemory`]: devices may only read.
pub const VFIO_MEMORY_READ_ONLY: u32 = 1 << 0;

/// `struct vfio_iommu_register_memory`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RegisterMemory {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// [`VFIO_MEMORY_READ_ONLY`] or 0; 0 to unregister.
    pub flags: u32,
    /// Where the memory starts.
    pub vaddr: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Creates an aux space: [`AuxCreate`].
pub const VFIO_IOMMU_AUX_CREATE: c_ulong = request_code_none!(VFIO_TYPE, 0x43);
/// Flag of [`AuxCreate`]: `pasid` is one that the process holds.
pub const VFIO_AUX_FIXED_PASID: u32 = 1 << 0;
/// Flag of [`AuxCreate`]: the space is the address space of the process.
pub const VFIO_AUX_PROCESS: u32 = 1 << 1;

/// `struct vfio_iommu_aux_create`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AuxCreate {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// [`VFIO_AUX_FIXED_PASID`], [`VFIO_AUX_PROCESS`] or 0.
    pub flags: u32,
    /// In with the first flag; out: the name of the space.
    pub pasid: u32,
    /// 0.
    pub reserved: u32,
    /// In: start of the requested window; out: granted.
    pub iova_start: u64,
    /// In: its size in bytes, or 0 for all there is; out: granted.
    pub iova_size: u64,
    /// Out: the page sizes that can be mapped, a bit for each.
    pub pgsize_bitmap: u64,
}

/// Detaches, unmaps and frees an aux space: [`AuxDestroy`].
pub const VFIO_IOMMU_AUX_DESTROY: c_ulong = request_code_none!(VFIO_TYPE, 0x44);

/// `struct vfio_iommu_aux_destroy`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AuxDestroy {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// 0.
    pub flags: u32,
    /// The space.
    pub pasid: u32,
    /// 0.
    pub reserved: u32,
}

/// Attaches an aux space to the device of a group: [`AuxAttach`].
pub const VFIO_IOMMU_AUX_ATTACH: c_ulong = request_code_none!(VFIO_TYPE, 0x45);
/// Detaches it: [`AuxAttach`].
pub const VFIO_IOMMU_AUX_DETACH: c_ulong = request_code_none!(VFIO_TYPE, 0x46);

/// `struct vfio_iommu_aux_attach`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AuxAttach {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// 0.
    pub flags: u32,
    /// The space.
    pub pasid: u32,
    /// A group of the container.
    pub group: u32,
}

/// Maps registered memory in an aux space: [`AuxMap`].
pub const VFIO_IOMMU_AUX_MAP: c_ulong = request_code_none!(VFIO_TYPE, 0x47);
/// Flag of [`AuxMap`]: devices may read.
pub const VFIO_AUX_MAP_READ: u32 = 1 << 0;
/// Flag of [`AuxMap`]: devices may write.
pub const VFIO_AUX_MAP_WRITE: u32 = 1 << 1;

/// `struct vfio_iommu_aux_map`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AuxMap {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// One or both of the two flags.
    pub flags: u32,
    /// The space.
    pub pasid: u32,
    /// 0.
    pub reserved: u32,
    /// Where in registered memory.
    pub vaddr: u64,
    /// Where in the space.
    pub iova: u64,
    /// How many bytes.
    pub size: u64,
}

/// Unmaps a part of an aux space, or all of it: [`AuxUnmap`].
pub const VFIO_IOMMU_AUX_UNMAP: c_ulong = request_code_none!(VFIO_TYPE, 0x48);
/// Flag of [`AuxUnmap`]: everything.
pub const VFIO_AUX_UNMAP_ALL: u32 = 1 << 0;

/// `struct vfio_iommu_aux_unmap`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AuxUnmap {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// [`VFIO_AUX_UNMAP_ALL`] or 0.
    pub flags: u32,
    /// The space.
    pub pasid: u32,
    /// 0.
    pub reserved: u32,
    /// Where in the space; 0 with the flag.
    pub iova: u64,
    /// In: how many bytes, 0 with the flag; out: how many of them were mapped.
    pub size: u64,
}

/// Tells what an aux space is, what it is attached to and what it maps: [`AuxInfo`], followed by
/// room for [`AuxEntry`].
pub const VFIO_IOMMU_AUX_INFO: c_ulong = request_code_none!(VFIO_TYPE, 0x49);
/// Flag of [`AuxInfo`]: the space is the address space of the process.
pub const VFIO_AUX_INFO_PROCESS: u32 = 1 << 0;
/// Type of [`AuxEntry`]: a part of the window that cannot be mapped.
pub const VFIO_AUX_ENTRY_HOLE: u32 = 1;
/// Type of [`AuxEntry`]: a group that the space is attached to.
pub const VFIO_AUX_ENTRY_GROUP: u32 = 2;
/// Type of [`AuxEntry`]: a mapping.
pub const VFIO_AUX_ENTRY_MAPPING: u32 = 3;

/// `struct vfio_iommu_aux_info`, without its entries.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AuxInfo {
    /// Size of the structure in bytes, with the room for the entries.
    pub argsz: u32,
    /// In: 0; out: [`VFIO_AUX_INFO_PROCESS`] or 0.
    pub flags: u32,
    /// The space.
    pub pasid: u32,
    /// Out: entries filled in.
    pub count: u32,
    /// Out: start of the window.
    pub iova_start: u64,
    /// Out: its size in bytes.
    pub iova_size: u64,
    /// Out: the page sizes that can be mapped, a bit for each.
    pub pgsize_bitmap: u64,
    /// In: 0, or what the last call left; out: 0 when nothing is left.
    pub cursor: u64,
}

/// `struct vfio_iommu_aux_entry`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AuxEntry {
    /// `VFIO_AUX_ENTRY_*`.
    pub entry_type: u32,
    /// Group: its number. Mapping: `VFIO_AUX_MAP_*`.
    pub data: u32,
    /// Hole, mapping: where it starts.
    pub iova: u64,
    /// Hole, mapping: bytes.
    pub size: u64,
    /// Mapping: where in the memory of the process.
    pub vaddr: u64,
}

/// Narrows the container's own address space to a window: [`Setup`].
pub const VFIO_IOMMU_SETUP: c_ulong = request_code_none!(VFIO_TYPE, 0x4a);

/// `struct vfio_iommu_setup`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Size of the structure in bytes.
    pub argsz: u32,
    /// 0.
    pub flags: u32,
    /// In: start of the requested window; out: granted.
    pub iova_start: u64,
    /// In: its size in bytes, or 0 for all there is; out: granted.
    pub iova_size: u64,
    /// Out: the page sizes that can be mapped, a bit for each.
    pub pgsize_bitmap: u64,
}

/// Tells whom a hot reset hits, and who owns them: [`HotResetInfo`], followed by one
/// [`HotResetDevice`] for each.
pub const VFIO_IOMMU_HOT_RESET_INFO: c_ulong = request_code_none!(VFIO_TYPE, 0x4b);

/// `struct vfio_iommu_hot_reset_info`, without its devices.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HotResetInfo {
    /// Size of the structure in bytes, with the room for the devices.
    pub argsz: u32,
    /// In: 0; out: `VFIO_PCI_HOT_RESET_FLAG_*`.
    pub flags: u32,
    /// PCI segment of the device in question.
    pub segment: u16,
    /// Its bus.
    pub bus: u8,
    /// Its device and function.
    pub devfn: u8,
    /// Out: how many devices are hit.
    pub count: u32,
}

/// `struct vfio_pci_dependent_device` of `linux/vfio.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct HotResetDevice {
    /// A number above 0, `VFIO_PCI_DEVID_OWNED` or `VFIO_PCI_DEVID_NOT_OWNED`.
    pub devid: u32,
    /// PCI segment.
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device and function.
    pub devfn: u8,
}
