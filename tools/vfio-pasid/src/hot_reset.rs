// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Whom a hot reset hits, and who owns them: `Documentation/hot-reset.rst`.

use std::num::NonZeroU32;

use vfio_bindings::bindings::vfio::VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;

use crate::{pci::PciFunction, uapi};

/// What the reset of a device's slot or bus hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotReset {
    /// Whether everything that is hit is owned: then [`crate::Device::hot_reset`] with the groups
    /// of the container succeeds.
    pub owned: bool,
    /// The devices that are hit, the one that was asked for included.
    pub devices: Vec<HotResetDevice>,
}

/// A device that is hit by a hot reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotResetDevice {
    /// The device.
    pub function: PciFunction,
    /// Whose it is.
    pub ownership: Ownership,
}

/// Whose a device is, seen from a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It is open through the container. The number is its own for as long as it is bound to its
    /// driver.
    Open(NonZeroU32),
    /// It is not open, but its group is in the container, and it is bound to a VFIO driver.
    Owned,
    /// Anything else.
    NotOwned,
}

impl HotReset {
    pub(crate) fn new(flags: u32, devices: &[uapi::HotResetDevice]) -> Self {
        Self {
            owned: flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED != 0,
            devices: devices.iter().map(HotResetDevice::new).collect(),
        }
    }
}

impl HotResetDevice {
    fn new(device: &uapi::HotResetDevice) -> Self {
        Self {
            function: PciFunction::new(device.segment, device.bus, device.devfn),
            ownership: Ownership::new(device.devid),
        }
    }
}

impl Ownership {
    /// The kernel takes the numbers for signed ones: -1 is VFIO_PCI_DEVID_NOT_OWNED.
    fn new(devid: u32) -> Self {
        match NonZeroU32::new(devid) {
            None => Self::Owned,
            Some(number) if number.get() <= i32::MAX as u32 => Self::Open(number),
            Some(_) => Self::NotOwned,
        }
    }
}

#[cfg(test)]
mod tests {
    use vfio_bindings::bindings::vfio::{VFIO_PCI_DEVID_NOT_OWNED, VFIO_PCI_DEVID_OWNED};

    use super::*;

    #[test]
    fn devids_are_those_of_the_kernel() {
        let ownership = |devid| Ownership::new(devid as u32);
        assert_eq!(ownership(VFIO_PCI_DEVID_OWNED as i32), Ownership::Owned);
        assert_eq!(ownership(VFIO_PCI_DEVID_NOT_OWNED), Ownership::NotOwned);
        assert_eq!(ownership(1), Ownership::Open(NonZeroU32::MIN));
    }
}
