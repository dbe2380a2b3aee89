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
    /// What a device offers with its PASIDs, and what there is for process spaces. vfio-pci hides
    /// the PASID capability in config space.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PasidCaps: u32 {
        /// Requests may ask for execute permission.
        const EXEC = uapi::VFIO_PASID_CAP_EXEC;
        /// Requests may be marked as privileged.
        const PRIV = uapi::VFIO_PASID_CAP_PRIV;
        /// A process space can be attached: [`PasidInfo::process_space`] says why not.
        const SVA = uapi::VFIO_PASID_CAP_SVA;
        /// The device may request pages (PRI).
        const PRI = uapi::VFIO_PASID_CAP_PRI;
        /// The device may keep translations (ATS).
        const ATS = uapi::VFIO_PASID_CAP_ATS;
        /// The IOMMU can walk the tables of processes.
        const SVA_IOMMU = uapi::VFIO_PASID_CAP_SVA_IOMMU;
        /// The parameters of the module allow process spaces.
        const SVA_ALLOWED = uapi::VFIO_PASID_CAP_SVA_ALLOWED;
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

impl PasidInfo {
    /// Whether the process can be attached to the device of the group
    /// ([`Container::process_space`]).
    ///
    /// # Errors
    ///
    /// Why it cannot: the first of the reasons that there are.
    pub fn process_space(&self) -> std::result::Result<(), NoProcessSpace> {
        let lacks = |cap| !self.caps.contains(cap);
        Err(match () {
            () if self.caps.contains(PasidCaps::SVA) => return Ok(()),
            () if self.width == 0 => NoProcessSpace::NoPasids,
            () if lacks(PasidCaps::SVA_IOMMU) => NoProcessSpace::Iommu,
            () if lacks(PasidCaps::ATS) => NoProcessSpace::NoAts,
            () if lacks(PasidCaps::SVA_ALLOWED) && lacks(PasidCaps::PRI) => {
                NoProcessSpace::NotAllowed
            }
            () if lacks(PasidCaps::SVA_ALLOWED) => NoProcessSpace::PriNotAllowed,
            () => NoProcessSpace::AddressMasking,
        })
    }
}

/// Why a process space cannot be attached to the device of a group. Shows as a sentence that says
/// what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProcessSpace {
    /// The group has no device that can use PASIDs, or several; or no group was asked for.
    #[error("the group has no device that can use PASIDs, or several")]
    NoPasids,
    /// The IOMMU, or its driver, cannot.
    #[error("the IOMMU cannot walk the page tables of processes")]
    Iommu,
    /// The device cannot keep translations, or the IOMMU driver does not let it.
    #[error("the device has no ATS, or the IOMMU does not use it")]
    NoAts,
    /// Root has not allowed process spaces.
    #[error("vfio_pasid is loaded without process_space=1")]
    NotAllowed,
    /// Root has not allowed process spaces for a device that may request pages.
    #[error(
        "the device may request pages, and vfio_pasid is loaded without process_space=1 and \
         process_space_pri=1"
    )]
    PriNotAllowed,
    /// The process has switched linear address masking on.
    #[error("the process uses linear address masking, which devices do not know")]
    AddressMasking,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_against_a_process_space_is_told() {
        let said = |width, caps: PasidCaps| {
            let info = PasidInfo {
                quota: 1,
                used: 0,
                width,
                caps,
            };
            info.process_space()
        };
        let mut caps = PasidCaps::EXEC | PasidCaps::PRIV;
        assert_eq!(said(0, caps), Err(NoProcessSpace::NoPasids));
        assert_eq!(said(20, caps), Err(NoProcessSpace::Iommu));
        caps |= PasidCaps::SVA_IOMMU;
        assert_eq!(said(20, caps), Err(NoProcessSpace::NoAts));
        caps |= PasidCaps::ATS;
        assert_eq!(said(20, caps), Err(NoProcessSpace::NotAllowed));
        let pri = caps | PasidCaps::PRI;
        assert_eq!(said(20, pri), Err(NoProcessSpace::PriNotAllowed));
        caps |= PasidCaps::SVA_ALLOWED;
        assert_eq!(said(20, caps), Err(NoProcessSpace::AddressMasking));
        assert_eq!(said(20, caps | PasidCaps::SVA), Ok(()));
    }
}
