// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Containers: what PASIDs are asked of.

use std::{
    ops::RangeInclusive,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use nix::errno::Errno;
use vfio_bindings::bindings::vfio::{VFIO_TYPE1v2_IOMMU, VFIO_API_VERSION, VFIO_TYPE1_IOMMU};
use vm_memory::{bitmap::Bitmap, MmapRegion};

use crate::{
    aux_space::{AuxOptions, AuxSpace, Iovas},
    error::{self, Error, Result},
    hot_reset::HotReset,
    memory::RegisteredMemory,
    own_space::OwnSpace,
    pasid::{Pasid, PasidCaps, PasidInfo},
    pci::PciFunction,
    process_space::ProcessSpace,
    sys, uapi,
};

bitflags::bitflags! {
    /// What the loaded module can do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u32 {
        /// [`Container::alloc_pasid`], [`Container::free_pasids`], [`Container::pasid_info`].
        const PASID = uapi::VFIO_PASID_FEATURE_PASID;
        /// [`Container::create_aux_space`], and what an [`AuxSpace`] does.
        const AUX = uapi::VFIO_PASID_FEATURE_AUX;
        /// [`Container::register_memory`], and [`AuxSpace::map`].
        const MEMORY = uapi::VFIO_PASID_FEATURE_MEMORY;
        /// [`Container::setup_window`], and [`AuxOptions::window`].
        const WINDOW = uapi::VFIO_PASID_FEATURE_WINDOW;
        /// [`Container::hot_reset_info`].
        const HOT_RESET = uapi::VFIO_PASID_FEATURE_HOT_RESET;
        /// [`Container::own_space`].
        const OWN_SPACE = uapi::VFIO_PASID_FEATURE_OWN_SPACE;
        /// [`Container::process_space`].
        const PROCESS = uapi::VFIO_PASID_FEATURE_PROCESS;
    }
}

/// The IOMMU types of a container that offer PASIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IommuType {
    /// Unmapping may bisect a mapping.
    Type1,
    /// Unmapping may not bisect a mapping: the one to choose.
    Type1v2,
}

impl IommuType {
    fn number(self) -> u32 {
        match self {
            Self::Type1 => VFIO_TYPE1_IOMMU,
            Self::Type1v2 => VFIO_TYPE1v2_IOMMU,
        }
    }
}

/// The answer of [`Container::setup_window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnWindow {
    /// What was granted. Reserved regions in it cannot be mapped: `VFIO_IOMMU_GET_INFO`.
    pub window: Iovas,
    /// The page sizes that can be mapped, a bit for each.
    pub page_sizes: u64,
}

/// A VFIO container.
///
/// A clone is the same container. What it holds in the kernel goes back when its last group
/// leaves it or when the group's descriptor closes, whichever descriptors of the container itself
/// are still open.
#[derive(Clone, Debug)]
pub struct Container(Arc<OwnedFd>);

impl Container {
    /// Opens `/dev/vfio/vfio`.
    ///
    /// # Errors
    ///
    /// `ENOENT` without the module vfio, `EACCES` without the permission, `EPROTONOSUPPORT` if
    /// VFIO has a version of its API that this crate does not know.
    pub fn open() -> Result<Self> {
        let file = error::open(Path::new("/dev/vfio/vfio"))?;
        Self::checked(file.into())
    }

    /// The container of a program that has one already: its own descriptor is duplicated, and both
    /// are the same container. Programs with a descriptor to give away use
    /// [`Container::from`](#impl-From<OwnedFd>-for-Container).
    ///
    /// Its IOMMU type (`VFIO_SET_IOMMU`) is one of [`IommuType`], and this process has set it.
    /// [`crate::adopting`] shows how to get at the descriptor of vfio-ioctls and of DPDK.
    ///
    /// # Errors
    ///
    /// `ENOTTY` if the descriptor is not that of a container; `EMFILE` if the process may have no
    /// more descriptors; `EPROTONOSUPPORT` as [`Container::open`].
    pub fn adopt(container: BorrowedFd<'_>) -> Result<Self> {
        Self::checked(error::duplicate(container)?)
    }

    fn checked(fd: OwnedFd) -> Result<Self> {
        if sys::get_api_version(fd.as_fd())? != VFIO_API_VERSION {
            return Err(Error::new("VFIO_GET_API_VERSION", Errno::EPROTONOSUPPORT));
        }
        Ok(Self::from(fd))
    }

    /// What the loaded module can do: nothing if it is the kernel's stock type1.
    ///
    /// Can be asked at any time; before [`Container::set_iommu`] it is the answer for that call.
    pub fn features(&self) -> Result<Features> {
        let extension = uapi::VFIO_PASID_EXTENSION as i32;
        sys::check_extension(self.as_fd(), extension).map(Features::from_bits_retain)
    }

    /// Gives the container its IOMMU, and itself to the calling process.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the container has no group yet, or an IOMMU already.
    pub fn set_iommu(&self, iommu_type: IommuType) -> Result<()> {
        sys::set_iommu(self.as_fd(), iommu_type.number() as i32)
    }

    /// Takes the highest free PASID of `range`, narrowed to the module's `pasid_min` and
    /// `pasid_max`. No other process has the same number.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the process holds as many as its quota allows or no number of the range is
    /// free, `EINVAL` for an empty range, `ENOMEM`; and what every ioctl of the module may
    /// return: `EPERM` from another process than that of [`Container::set_iommu`], `EINVAL`
    /// before that call or without a group, `ENODEV` if the last group left meanwhile, `EINTR` if a
    /// fatal signal came while it waited, `ENOTTY` from a stock type1.
    pub fn alloc_pasid(&self, range: RangeInclusive<u32>) -> Result<Pasid> {
        let flag = uapi::VFIO_IOMMU_FLAG_ALLOC_PASID;
        let number = sys::pasid_request(self.as_fd(), flag, *range.start(), *range.end())?;
        Ok(Pasid::new(self.clone(), number))
    }

    /// Gives back every PASID of `range` that the process holds; other numbers, those of kernel
    /// drivers among them, are skipped.
    ///
    /// It is meant for numbers from [`Pasid::into_number`]. A [`Pasid`] in the range still frees
    /// its number when it is dropped, even if it has a new owner in this process by then.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an empty range, `EBUSY` if a number of the range is in use, which frees none;
    /// and what every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn free_pasids(&self, range: RangeInclusive<u32>) -> Result<()> {
        let flag = uapi::VFIO_IOMMU_FLAG_FREE_PASID;
        sys::pasid_request(self.as_fd(), flag, *range.start(), *range.end()).map(drop)
    }

    /// How many PASIDs the process may hold and does hold and, for an IOMMU group of this
    /// container (the N of `/dev/vfio/N`), what its device can do with them.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the group is not in this container, and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn pasid_info(&self, group: Option<u32>) -> Result<PasidInfo> {
        let group = group.unwrap_or(uapi::VFIO_PASID_NO_GROUP);
        let info = sys::pasid_info(self.as_fd(), group)?;
        Ok(PasidInfo {
            quota: info.quota,
            used: info.used,
            width: info.width,
            caps: PasidCaps::from_bits_retain(info.caps),
        })
    }

    /// Registers memory, for aux spaces of this container to map. It is pinned, and charged to the
    /// process's locked memory, once for all containers that register the very same range.
    ///
    /// Its start and size are multiples of the page size. Contiguous memory (huge pages) is faster
    /// to map. Of a region of guest memory (`GuestRegionMmap`), it is what `get_mmap()` returns,
    /// whichever bitmap it has.
    ///
    /// # Errors
    ///
    /// `EINVAL` if its size is not a multiple of the page size; `EEXIST` if it overlaps other
    /// registered memory of the process, or is registered read-only; `EFAULT` if it is not
    /// writable, or cannot be pinned for long: device memory, writable shared mappings of files on
    /// a disk; `EOPNOTSUPP` for files on DAX; `ENOSPC` if the process has as many ranges as
    /// `region_limit` allows; `ENOMEM`, also above `RLIMIT_MEMLOCK`; `EINTR` also if any signal
    /// came while another thread was registering or unregistering something that overlaps; and
    /// what every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn register_memory<B: Bitmap>(
        &self,
        memory: Arc<MmapRegion<B>>,
    ) -> Result<RegisteredMemory<B>> {
        RegisteredMemory::new(self.clone(), memory, false)
    }

    /// As [`Container::register_memory`], for memory that devices may only read.
    ///
    /// # Errors
    ///
    /// As there, but the memory need not be writable, and must not be registered as such.
    pub fn register_read_only_memory<B: Bitmap>(
        &self,
        memory: Arc<MmapRegion<B>>,
    ) -> Result<RegisteredMemory<B>> {
        RegisteredMemory::new(self.clone(), memory, true)
    }

    /// Narrows the container's own IO address space, that of `VFIO_IOMMU_MAP_DMA`, to the largest
    /// page-aligned part of `request` that there is, by default all. It cannot be widened again.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the request wraps around, or has a start and no size; `ERANGE` if nothing of it
    /// is there; `EBUSY` if something outside of it is mapped; `EOPNOTSUPP` if no group of the
    /// container has an IOMMU; `ENOMEM`; and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn setup_window(&self, request: Option<Iovas>) -> Result<OwnWindow> {
        let request = request.unwrap_or(Iovas::ALL);
        let mut setup = uapi::Setup {
            iova_start: request.start,
            iova_size: request.size,
            ..uapi::Setup::default()
        };
        sys::setup(self.as_fd(), &mut setup)?;
        Ok(OwnWindow {
            window: Iovas {
                start: setup.iova_start,
                size: setup.iova_size,
            },
            page_sizes: setup.pgsize_bitmap,
        })
    }

    /// The container's own IO address space, for registered memory.
    pub fn own_space(&self) -> OwnSpace {
        OwnSpace::new(self.clone())
    }

    /// Creates an aux space.
    ///
    /// Its PASID is [`AuxOptions::pasid`], or a new one that all PASID-capable groups of the
    /// container can use.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if no group of the container can use PASIDs; `ENOSPC` if the quota or the
    /// range of numbers is used up; `ENOENT` if the process does not hold the number asked for,
    /// `EBUSY` if that is in use; `ERANGE` if it is wider than a group can use, or if nothing of
    /// the window can be served; `EINVAL` if the window wraps around, or has a start and no size;
    /// `ENOMEM`; and what every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn create_aux_space(&self, options: AuxOptions) -> Result<AuxSpace> {
        AuxSpace::new(self.clone(), options)
    }

    /// The address space of this process, as a space of this container, which can have it once.
    ///
    /// Its PASID is what the kernel gives the process for this. Before the first such space of the
    /// process, a device that can have one must be open: [`PasidInfo::process_space`] tells.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if no open device of the container can have a process space; `ENODEV` if none is
    /// open that can use PASIDs; `EBUSY` if the container has the space already, if the process
    /// holds the number for something else, if another user has it on the device's group, or if the
    /// device is being reset; `ERANGE` if it is wider than the device can use; `ENOSPC` if the quota
    /// or the numbers that the device can use are used up; `EINVAL` from a module without
    /// [`Features::PROCESS`]; `EINTR` also for any signal that came meanwhile; `ENOMEM`; and what
    /// every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn process_space(&self) -> Result<ProcessSpace> {
        ProcessSpace::new(self.clone())
    }

    /// Whom a hot reset of `function`, which is open through this container, hits, and who owns
    /// them.
    ///
    /// # Errors
    ///
    /// `ENOENT` if `function` is not open through this container, `ENODEV` if neither its slot nor
    /// its bus can be reset, `ENOMEM`, and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn hot_reset_info(&self, function: PciFunction) -> Result<HotReset> {
        let mut room = 8;
        loop {
            let mut info = uapi::HotResetInfo {
                segment: function.segment(),
                bus: function.bus(),
                devfn: function.devfn(),
                ..uapi::HotResetInfo::default()
            };
            match sys::hot_reset_info(self.as_fd(), &mut info, room) {
                Ok(devices) => return Ok(HotReset::new(info.flags, &devices)),
                Err(error) if error.errno() == Errno::ENOSPC => room = info.count as usize,
                Err(error) if error.errno() == Errno::EAGAIN => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A container that was opened elsewhere, for programs that have one already.
impl From<OwnedFd> for Container {
    fn from(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }
}
