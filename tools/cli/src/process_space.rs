// SPDX-License-Identifier: GPL-2.0-only

//! Whether a process can be attached to a device, and if not, why.

use crate::{device::Config, iommu::Iommu, module, reason::Reason, system::System};

/// Capabilities (PCI Code and ID Assignment Specification), and what is in them (PCIe 6.0, 10.5.1 and
/// 10.5.2).
const EXT_CAP_ATS: u16 = 0x0f;
const ATS_CONTROL: usize = 6;
const ATS_ENABLED: u16 = 1 << 15;
const EXT_CAP_PRI: u16 = 0x13;
const PRI_CONTROL: usize = 4;
const PRI_ENABLED: u16 = 1 << 0;

/// Why none can be attached to a device that can use PASIDs, behind `iommu`.
pub(crate) fn why_not(
    system: &System,
    iommu: Option<&Iommu>,
    config: &Config,
) -> Result<(), Reason> {
    if let Some(reason) = iommu.and_then(|iommu| iommu.process_space) {
        return Err(reason);
    }
    let control = |capability, control| {
        let at = config.extended_capability(capability)?;
        config.u16(at + control)
    };
    let ats = control(EXT_CAP_ATS, ATS_CONTROL).ok_or(Reason::NoAts)?;
    if ats & ATS_ENABLED == 0 {
        return Err(Reason::AtsOff);
    }
    let pri = control(EXT_CAP_PRI, PRI_CONTROL);
    if pri.is_some_and(|pri| pri & PRI_ENABLED == 0) {
        return Err(Reason::PriOff);
    }
    module::missing(module::loaded(system)).map_or(Ok(()), Err)?;
    let allowed = |name| module::switch(system, name) == Some(true);
    match (allowed("process_space"), allowed("process_space_pri")) {
        (false, _) => Err(Reason::ProcessSpaceOff),
        (true, false) if pri.is_some() => Err(Reason::ProcessSpacePriOff),
        _ => Ok(()),
    }
}
