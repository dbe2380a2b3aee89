// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The registers of a remapping unit that decide how requests are translated.

use crate::memory::{bits, PAGE_MASK};
use crate::Fault;

/// Register contents of the remapping unit that serves a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Capability register (11.4.2).
    pub cap: u64,
    /// Extended capability register (11.4.3).
    pub ecap: u64,
    /// Global status register (11.4.4.2).
    pub gsts: u32,
    /// Root table address register (11.4.5).
    pub rtaddr: u64,
    /// Host address width in bits, from the ACPI DMAR table (8.1).
    pub host_address_width: u8,
}

impl Registers {
    /// Address of the scalable-mode root table, after the checks that come before any table is
    /// read.
    pub(crate) fn root_table(&self, with_pasid: bool) -> Result<u64, Fault> {
        const TES: u32 = 1 << 31;

        if self.gsts & TES == 0 {
            return Err(Fault::TranslationOff);
        }
        // TTM, bits 11:10 of RTADDR.
        match (self.rtaddr >> 10) & 3 {
            0 if with_pasid => return Err(Fault::LegacyModePasid),
            0 => return Err(Fault::LegacyMode),
            1 if self.scalable_mode() => {}
            1 => return Err(Fault::RootAddressInvalid),
            _ => return Err(Fault::AbortMode),
        }
        let root = self.rtaddr & PAGE_MASK;
        if root & self.beyond_host_address_width() != 0 {
            return Err(Fault::RootAddressInvalid);
        }
        Ok(root)
    }

    /// Bits of an address that the host does not have; reserved in every table pointer.
    pub(crate) fn beyond_host_address_width(&self) -> u64 {
        u64::MAX << self.host_address_width.clamp(12, 63)
    }

    /// Bits of a paging entry's address field (51:12) that the host does not have.
    pub(crate) fn paging_reserved(&self) -> u64 {
        self.beyond_host_address_width() & bits(51, 12)
    }

    /// CAP.MGAW: widest IOVA in bits.
    pub(crate) fn max_address_width(&self) -> u32 {
        ((self.cap >> 16) & 0x3f) as u32 + 1
    }

    /// CAP.SAGAW has the second-stage address width with this PASID entry encoding (9.6, AW).
    pub(crate) fn has_address_width(&self, aw: u32) -> bool {
        (self.cap >> 8) & (1 << aw) & 0x1f != 0
    }

    /// CAP.SSLPS: second-stage pages of 2 MiB (level 2) and 1 GiB (level 3).
    pub(crate) fn second_stage_large(&self, level: u32) -> bool {
        match level {
            2 => self.cap & (1 << 34) != 0,
            3 => self.cap & (1 << 35) != 0,
            _ => false,
        }
    }

    /// First-stage pages of 2 MiB (level 2, always) and 1 GiB (level 3, CAP.FS1GP).
    pub(crate) fn first_stage_large(&self, level: u32) -> bool {
        level == 2 || (level == 3 && self.cap & (1 << 56) != 0)
    }

    /// CAP.FS5LP: five-level first-stage paging.
    pub(crate) fn five_level(&self) -> bool {
        self.cap & (1 << 60) != 0
    }

    /// ECAP.PT: pass-through.
    pub(crate) fn pass_through(&self) -> bool {
        self.ecap & (1 << 6) != 0
    }

    /// ECAP.SC: snoop control.
    pub(crate) fn snoop_control(&self) -> bool {
        self.ecap & (1 << 7) != 0
    }

    /// ECAP.MTS: memory types in the PASID entry.
    pub(crate) fn memory_types(&self) -> bool {
        self.ecap & (1 << 25) != 0
    }

    /// ECAP.NEST: nested translation.
    pub(crate) fn nested(&self) -> bool {
        self.ecap & (1 << 26) != 0
    }

    /// ECAP.SMTS: scalable mode.
    fn scalable_mode(&self) -> bool {
        self.ecap & (1 << 43) != 0
    }

    /// ECAP.SSTS: second-stage translation.
    pub(crate) fn second_stage(&self) -> bool {
        self.ecap & (1 << 46) != 0
    }

    /// ECAP.FSTS: first-stage translation.
    pub(crate) fn first_stage(&self) -> bool {
        self.ecap & (1 << 47) != 0
    }

    /// ECAP.SMPWC: page-walk coherency is a choice of the PASID entry.
    pub(crate) fn page_walk_coherency(&self) -> bool {
        self.ecap & (1 << 48) != 0
    }

    /// ECAP.RPS: the context entry has a RID_PASID field.
    pub(crate) fn rid_pasid(&self) -> bool {
        self.ecap & (1 << 49) != 0
    }
}
