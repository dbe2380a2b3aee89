// SPDX-License-Identifier: GPL-2.0-only

//! What the reset of a device's slot or bus hits besides it.

use kernel::{bindings, prelude::*};

use super::{
    pci::{PciDevice, SlotId},
    vfio::{PinnedDevice, SetId}, //
};

/// What a hot reset of a device resets: its slot, or else its bus.
///
/// `pci_probe_reset_slot()` looks into the slot, so it cannot be asked. VFIO has asked it when the
/// device was bound: then the device set is that of the slot. A slot of which this is not known is
/// taken for the whole bus, which no slot exceeds.
pub(crate) struct ResetScope<'a> {
    device: PciDevice<'a>,
    slot: Option<SlotId>,
}

impl<'a> ResetScope<'a> {
    /// Takes `pci_bus_sem`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if neither slot nor bus can be reset.
    pub(crate) fn of(device: &'a PinnedDevice) -> Result<Self> {
        let SetId(set) = device.set_id();
        let device = PciDevice::of(device.device()).ok_or(ENODEV)?;
        let slot = device.slot().filter(|&slot| slot == SlotId(set));
        // The kernel looks at all functions of the bus, and nothing but `pci_bus_sem` keeps those
        // from going away. The first one will do; there is one, `device`.
        let mut resettable = false;
        let _: Result = device.walk_bus(|_| {
            // SAFETY: The function keeps its bus.
            resettable = unsafe { bindings::pci_probe_reset_bus(device.bus()) } == 0;
            Err(EINTR)
        });
        // What forbids the reset of a slot, forbids that of its bus.
        if !resettable {
            return Err(ENODEV);
        }
        Ok(Self { device, slot })
    }

    /// Calls `look` for every function that the reset hits, until one fails. Takes `pci_bus_sem`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the slot changed meanwhile.
    pub(crate) fn for_each(&self, mut look: impl FnMut(PciDevice<'_>) -> Result) -> Result {
        self.device.walk_bus(|function| {
            let slot = function.on_bus(self.device.bus()).and_then(PciDevice::slot);
            match (self.slot, slot) {
                (Some(own), Some(other)) if own != other => Ok(()),
                // Functions enter and leave a slot one after another, so one without a slot may
                // be of ours as well.
                _ => look(function),
            }
        })?;
        if self.slot.is_some() && self.device.slot() != self.slot {
            return Err(EAGAIN);
        }
        Ok(())
    }
}
