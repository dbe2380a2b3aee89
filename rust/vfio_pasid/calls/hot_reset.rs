// SPDX-License-Identifier: GPL-2.0-only

//! Hot reset: whom else the reset of a device's slot or bus hits, and whether the container owns
//! them.

use kernel::prelude::*;

use crate::{
    container::View,
    kernel::{
        abi::{
            HotResetDevice,
            VFIO_PCI_DEVID_NOT_OWNED,
            VFIO_PCI_DEVID_OWNED,
            VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
            VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED, //
        },
        pci::{Address, PciDevice},
        reset::ResetScope,
        vfio::{PinnedDevice, SetGuard}, //
    }, //
};

/// Whom a hot reset hits.
///
/// # Invariants
///
/// The device that was asked for is one of them.
pub(crate) struct Affected {
    devices: KVec<HotResetDevice>,
}

impl Affected {
    /// Whom a hot reset of `device` hits. `set`, its locked device set, keeps VFIO's view as it is.
    ///
    /// # Errors
    ///
    /// `ENODEV` if neither the device's slot nor its bus can be reset; `EAGAIN` if a device was
    /// added, or the slot changed, meanwhile; `ENOMEM`.
    pub(crate) fn find(device: &PinnedDevice, view: &View, set: &SetGuard<'_>) -> Result<Self> {
        let scope = ResetScope::of(device)?;
        let mut count = 0;
        scope.for_each(|_| {
            count += 1;
            Ok(())
        })?;

        let mut devices = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        let mut found = false;
        scope.for_each(|hit| {
            found |= PciDevice::of(device.device()) == Some(hit);
            devices
                .push_within_capacity(entry(hit.address(), devid(hit, view, set))?)
                .map_err(|_| EAGAIN)
        })?;
        if !found {
            return Err(EAGAIN);
        }
        // INVARIANT: It was found.
        Ok(Self { devices })
    }

    /// The devices.
    pub(crate) fn devices(&self) -> &[HotResetDevice] {
        &self.devices
    }

    /// The flags that say how to read the list.
    pub(crate) fn flags(&self) -> u32 {
        let all_owned = self
            .devices
            .iter()
            .all(|device| device.devid != VFIO_PCI_DEVID_NOT_OWNED);
        if all_owned {
            VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED
        } else {
            VFIO_PCI_HOT_RESET_FLAG_DEV_ID
        }
    }
}

/// What is said of the device at `address`.
///
/// # Errors
///
/// `ENOENT` if the structure cannot say the segment. Who asks has named it, so it can.
fn entry(address: Address, devid: u32) -> Result<HotResetDevice> {
    Ok(HotResetDevice {
        devid,
        segment: address.segment.try_into().map_err(|_| ENOENT)?,
        bus: address.bus,
        devfn: address.devfn,
    })
}

/// Whose a device is: VFIO resets only what is in the device set (it is bound to a vfio driver,
/// and is hit by the same reset), and only for the owner of all of it.
fn devid(device: PciDevice<'_>, view: &View, set: &SetGuard<'_>) -> u32 {
    match set.find(device) {
        Some(member) if view.has_open(&member) => member.id(),
        Some(member) if view.owns(member.device()) => VFIO_PCI_DEVID_OWNED,
        _ => VFIO_PCI_DEVID_NOT_OWNED,
    }
}
