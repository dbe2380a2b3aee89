// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Regions of a device: configuration space, and what its BARs are.

use std::{
    io,
    os::{fd::AsFd, unix::fs::FileExt},
};

use nix::errno::Errno;
use vfio_bindings::bindings::vfio::{VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX};

use crate::{
    error::{Error, Result},
    group::Device,
    sys,
};

/// A region of an open device, read and written through the kernel, one access a call.
///
/// vfio-pci makes one access of the device's bus of each that is aligned and has 1, 2, 4 or, in a
/// BAR, 8 bytes.
#[derive(Debug)]
pub struct Region<'a> {
    device: &'a Device,
    index: u32,
    offset: u64,
    size: u64,
}

impl<'a> Region<'a> {
    /// The configuration space of a PCI device.
    pub const CONFIG: u32 = VFIO_PCI_CONFIG_REGION_INDEX;
    /// The first base address register of a PCI device.
    pub const BAR0: u32 = VFIO_PCI_BAR0_REGION_INDEX;

    pub(crate) fn new(device: &'a Device, index: u32) -> Result<Self> {
        let (offset, size) = sys::device_region(device.as_fd(), index)?;
        Ok(Self {
            device,
            index,
            offset,
            size,
        })
    }

    /// How many bytes it has; 0 if the device has no such region.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads `N` bytes at `at`.
    ///
    /// # Errors
    ///
    /// `EINVAL` beyond the end of the region, `EIO` if memory space is not enabled in the
    /// configuration space.
    pub fn read<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut data = [0; N];
        let place = self.place("read", at, N)?;
        let result = self.device.file().read_exact_at(&mut data, place);
        self.named("read", at, result).map(|()| data)
    }

    /// Writes `data` at `at`.
    ///
    /// # Errors
    ///
    /// As [`Region::read`].
    pub fn write(&self, at: u64, data: &[u8]) -> Result<()> {
        let place = self.place("write", at, data.len())?;
        let result = self.device.file().write_all_at(data, place);
        self.named("write", at, result)
    }

    /// Where in the device's file `size` bytes at `at` are.
    fn place(&self, call: &str, at: u64, size: usize) -> Result<u64> {
        let end = at.checked_add(size as u64);
        if end.is_some_and(|end| end <= self.size) {
            Ok(self.offset + at)
        } else {
            Err(self.error(call, at, Errno::EINVAL))
        }
    }

    /// An access that came back short says no errno.
    fn named(&self, call: &str, at: u64, result: io::Result<()>) -> Result<()> {
        result.map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            self.error(call, at, errno)
        })
    }

    fn error(&self, call: &str, at: u64, errno: Errno) -> Error {
        Error::new(format!("{call} region {} at {at:#x}", self.index), errno)
    }
}
