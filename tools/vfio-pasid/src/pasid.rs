// SPDX-License-Identifier: Apache-2.0 OR MIT

//! PASIDs that a process holds, and what it can do with them.

use std::ops::RangeInclusive;

use crate::{container::Container, error::Result, uapi};

/// Every PASID there is. 0 is not one: it stands for requests without a PASID.
pub const ANY_PASID: RangeInclusive<u32> = 1..=(1 << 20) - 1;

/// A PASID of this process. It goes back when dropped.
#[derive(Debug)]
#[must_use = "dropping a PASID gives it back"]
pub struct Pasid {
    /// Nothing once the number has been handed out or given back.
    container: Option<Container>,
    number: u32,
}

impl Pasid {
    pub(crate) fn new(container: Container, number: u32) -> Self {
        Self {
            container: Some(container),
            number,
        }
    }

    /// The number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Keeps the number beyond this value: [`Container::free_pasids`] gives it back, or the end
    /// of the container.
    pub fn into_number(mut self) -> u32 {
        self.container = None;
        self.number
    }

    /// Gives the number back, and says if that failed, which dropping cannot.
    ///
    /// # Errors
    ///
    /// As [`Container::free_pasids`].
    pub fn free(mut self) -> Result<()> {
        match self.container.take() {
            Some(container) => container.free_pasids(self.number..=self.number),
            None => Ok(()),
        }
    }
}

impl Drop for Pasid {
    fn drop(&mut self) {
        if let Some(container) = self.container.take() {
            // It fails if the number went back with the container, or if this is a forked child,
            // whose number it is not. Nothing is left to do in either case.
            let _ = container.free_pasids(self.number..=self.number);
        }
    }
}

bitflags::bitflags! {
    /// What a device's PASID capability offers. vfio-pci hides it in config space.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PasidCaps: u32 {
        /// Requests may ask for execute permission.
        const EXEC = uapi::VFIO_PASID_CAP_EXEC;
        /// Requests may be marked as privileged.
        const PRIV = uapi::VFIO_PASID_CAP_PRIV;
    }
}

/// The answer of [`Container::pasid_info`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasidInfo {
    /// How many PASIDs the process may hold.
    pub quota: u32,
    /// How many it holds.
    pub used: u32,
    /// How many bits a PASID may have for the device of the group; 0 if the group has no device
    /// that can use PASIDs, or several, or if no group was asked for.
    pub width: u32,
    /// What the device of the group offers.
    pub caps: PasidCaps,
}
