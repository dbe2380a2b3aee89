// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IOMMU groups, and the devices in them.

use std::{
    ffi::CString,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use nix::errno::Errno;
use vfio_bindings::bindings::vfio::VFIO_GROUP_FLAGS_VIABLE;

use crate::{
    container::Container,
    error::{self, Error, Result},
    region::Region,
    sys,
};

/// An IOMMU group that this process has open. Closing it takes it out of its container.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
    number: u32,
}

impl Group {
    /// Opens `/dev/vfio/<number>`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if no device of the group is bound to a VFIO driver, `EBUSY` if it is open
    /// already, `EACCES` without the permission.
    pub fn open(number: u32) -> Result<Self> {
        let path = PathBuf::from(format!("/dev/vfio/{number}"));
        Ok(Self {
            fd: error::open(&path)?.into(),
            number,
        })
    }

    /// The number of the group.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether every device of the group is bound to a VFIO driver, or to none.
    pub fn is_viable(&self) -> Result<bool> {
        Ok(sys::group_flags(self.as_fd())? & VFIO_GROUP_FLAGS_VIABLE != 0)
    }

    /// Puts the group into a container.
    ///
    /// # Errors
    ///
    /// `EPERM` if the group is not viable, `EINVAL` if it is in a container already.
    pub fn set_container(&self, container: &Container) -> Result<()> {
        sys::group_set_container(self.as_fd(), container.as_fd())
    }

    /// Opens a device of the group, a PCI device by its address such as `0000:00:10.0`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the group has no such device, `EINVAL` if the group is not in a container that
    /// has an IOMMU.
    pub fn device(&self, name: &str) -> Result<Device> {
        let name = CString::new(name)
            .map_err(|_| Error::new("VFIO_GROUP_GET_DEVICE_FD", Errno::ENODEV))?;
        let fd = sys::group_device(self.as_fd(), &name)?;
        Ok(Device(File::from(fd)))
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A device that this process has open. It keeps its group in the container.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// A region of the device, such as [`Region::CONFIG`].
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device's kind has no region of this number.
    pub fn region(&self, index: u32) -> Result<Region<'_>> {
        Region::new(self, index)
    }

    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Resets the slot or bus of the device, and with it whatever
    /// [`Container::hot_reset_info`] lists.
    ///
    /// # Errors
    ///
    /// `EINVAL` if something that is hit is not owned through `groups`, or if there are more groups
    /// than devices that are hit; `EBUSY` or `EAGAIN` if someone was in the way: try again;
    /// `ENODEV` if neither slot nor bus can be reset.
    pub fn hot_reset(&self, groups: &[&Group]) -> Result<()> {
        let groups: Vec<_> = groups.iter().map(|group| group.as_fd()).collect();
        sys::hot_reset(self.as_fd(), &groups)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
