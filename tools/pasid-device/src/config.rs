// SPDX-License-Identifier: Apache-2.0 OR MIT

//! PCI configuration space.
//!
//! QEMU answers for the BARs, the MSI capability and the link registers itself; the rest of
//! what the guest reads and writes comes here.

/// Size of the configuration space in bytes.
pub const SIZE: usize = 4096;
/// PCI vendor id, the one of QEMU's own unregistered test devices.
pub const VENDOR_ID: u16 = 0x1234;
/// PCI device id.
pub const DEVICE_ID: u16 = 0x5041;
/// Size of BAR 0 in bytes.
pub const BAR0_SIZE: u32 = 0x2000;

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const BAR0: usize = 0x10;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;

const PM: usize = 0x40;
const PMCSR: usize = PM + 4;
const PCIE: usize = 0x50;
const DEVCTL: usize = PCIE + 0x08;
const MSI: usize = 0x90;
const EXTENDED: usize = 0x100;

/// What kind of device this is; fixed when the server starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Bits of a PASID; `None` for a device without PASID capability.
    pub pasid_width: Option<u8>,
    /// Device Capabilities 2 says that End-End TLP prefixes are supported.
    pub tlp_prefix: bool,
    /// The device has an ATS capability.
    pub ats: bool,
    /// The device has a page request interface.
    pub pri: bool,
}

/// Configuration space of one function.
#[derive(Debug)]
pub struct ConfigSpace {
    model: Model,
    bytes: Vec<u8>,
    writable: Vec<u8>,
    pasid_control: Option<usize>,
    page_request_control: Option<usize>,
    ats_control: Option<usize>,
}

impl ConfigSpace {
    /// Configuration space after a reset.
    pub fn new(model: Model) -> Self {
        let mut config = Self {
            model,
            bytes: vec![0; SIZE],
            writable: vec![0; SIZE],
            pasid_control: None,
            page_request_control: None,
            ats_control: None,
        };
        config.header();
        config.power_management();
        config.pci_express();
        config.msi();
        config.extended();
        config
    }

    /// Copies bytes from `offset` on; false if they are not all within.
    pub fn read(&self, offset: u64, data: &mut [u8]) -> bool {
        let source = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(data.len())?))
            .and_then(|range| self.bytes.get(range));
        if let Some(source) = source {
            data.copy_from_slice(source);
        }
        source.is_some()
    }

    /// Writes what is writable of `data`. True if that starts a function-level reset, which is
    /// left to the caller.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        const INITIATE_FLR: u8 = 1 << 7;

        let mut reset = false;
        let Ok(offset) = usize::try_from(offset) else {
            return false;
        };
        for (index, new) in data.iter().enumerate() {
            let at = offset.saturating_add(index);
            let (Some(byte), Some(mask)) = (self.bytes.get_mut(at), self.writable.get(at)) else {
                break;
            };
            *byte = (*byte & !mask) | (new & mask);
            reset |= at == DEVCTL + 1 && new & INITIATE_FLR != 0;
        }
        reset
    }

    /// Everything as after power-on.
    pub fn reset(&mut self) {
        *self = Self::new(self.model);
    }

    /// The function may send memory requests: Bus Master Enable, in D0.
    pub fn bus_master(&self) -> bool {
        self.word(COMMAND) & (1 << 2) != 0 && self.word(PMCSR) & 3 == 0
    }

    /// PASIDs are enabled in the PASID control register.
    pub fn pasid_enabled(&self) -> bool {
        self.pasid_control
            .is_some_and(|control| self.word(control) & 1 != 0)
    }

    /// Translations may be kept: ATS is enabled in the ATS control register.
    pub fn ats_enabled(&self) -> bool {
        self.ats_control
            .is_some_and(|control| self.word(control) & (1 << 15) != 0)
    }

    /// Page requests are enabled in the page request control register.
    pub fn page_requests_enabled(&self) -> bool {
        self.page_request_control
            .is_some_and(|control| self.word(control) & 1 != 0)
    }

    /// What kind of device this is.
    pub fn model(&self) -> Model {
        self.model
    }

    fn word(&self, offset: usize) -> u16 {
        let byte = |at| self.bytes.get(at).copied().unwrap_or(0);
        u16::from_le_bytes([byte(offset), byte(offset + 1)])
    }

    /// Sets a little-endian field, and which of its bits are writable.
    fn set<const N: usize>(&mut self, offset: usize, value: [u8; N], writable: [u8; N]) {
        for (at, (value, writable)) in (offset..).zip(value.into_iter().zip(writable)) {
            if let (Some(byte), Some(mask)) = (self.bytes.get_mut(at), self.writable.get_mut(at)) {
                (*byte, *mask) = (value, writable);
            }
        }
    }

    fn set16(&mut self, offset: usize, value: u16, writable: u16) {
        self.set(offset, value.to_le_bytes(), writable.to_le_bytes());
    }

    fn set32(&mut self, offset: usize, value: u32, writable: u32) {
        self.set(offset, value.to_le_bytes(), writable.to_le_bytes());
    }

    /// Adds a capability's id and the offset of the next one.
    fn capability(&mut self, offset: usize, id: u8, next: usize) {
        self.set16(offset, u16::from(id) | ((next as u16) << 8), 0);
    }

    /// PCI Local Bus 3.0, 6.1.
    fn header(&mut self) {
        self.set16(0x00, VENDOR_ID, 0);
        self.set16(0x02, DEVICE_ID, 0);
        // Memory space, bus master, parity, SERR, INTx disable.
        self.set16(COMMAND, 0, 0x0546);
        // Capabilities list.
        self.set16(STATUS, 1 << 4, 0);
        // Revision 1, class 0xff: fits none.
        self.set32(0x08, 0xff00_0001, 0);
        // 32-bit memory, not prefetchable.
        self.set32(BAR0, 0, !(BAR0_SIZE - 1));
        self.set16(0x2c, VENDOR_ID, 0);
        self.set16(0x2e, DEVICE_ID, 0);
        self.set16(CAPABILITIES, PM as u16, 0);
        self.set16(INTERRUPT_LINE, 0, 0xff);
    }

    /// PCI Power Management 1.2, 3.2: D0 and D3hot, which keeps the state (No_Soft_Reset).
    fn power_management(&mut self) {
        self.capability(PM, 0x01, PCIE);
        self.set16(PM + 2, 3, 0);
        self.set16(PMCSR, 1 << 3, 3);
    }

    /// PCI Express 5.0, 7.5.3: an endpoint with function-level reset.
    fn pci_express(&mut self) {
        self.capability(PCIE, 0x10, MSI);
        // Version 2, endpoint.
        self.set16(PCIE + 2, 2, 0);
        // Role-based error reporting, FLR.
        self.set32(PCIE + 4, (1 << 15) | (1 << 28), 0);
        // Initiate FLR (bit 15) reads as 0.
        self.set16(DEVCTL, 0, 0x7fff);
        // Link: 2.5 GT/s, one lane.
        self.set32(PCIE + 0x0c, 0x11, 0);
        self.set16(PCIE + 0x10, 0, 0x03);
        self.set16(PCIE + 0x12, 0x11, 0);
        // Extended Fmt, End-End TLP prefixes, at most one.
        let prefixes = (1 << 20) | (1 << 21) | (1 << 22);
        self.set32(
            PCIE + 0x24,
            if self.model.tlp_prefix { prefixes } else { 0 },
            0,
        );
    }

    /// PCI Local Bus 3.0, 6.8.1: one vector, 64-bit address.
    fn msi(&mut self) {
        self.capability(MSI, 0x05, 0);
        self.set16(MSI + 2, 1 << 7, 1);
        self.set32(MSI + 4, 0, !3);
        self.set32(MSI + 8, 0, !0);
        self.set16(MSI + 12, 0, !0);
    }

    /// Extended capabilities, each at its place: ATS (PCI Express 5.0, 10.5.1), page requests
    /// (10.5.2) and PASID (7.8.8).
    fn extended(&mut self) {
        const SIZE: usize = 0x10;

        let mut at = EXTENDED;
        if self.model.ats {
            let more = self.model.pri || self.model.pasid_width.is_some();
            self.extended_capability(at, 0x000f, if more { at + SIZE } else { 0 });
            // Page Aligned Request; queue depth 32.
            self.set16(at + 4, 1 << 5, 0);
            // Enable, smallest translation unit.
            self.set16(at + 6, 0, (1 << 15) | 0x1f);
            self.ats_control = Some(at + 6);
            at += SIZE;
        }
        if self.model.pri {
            let more = self.model.pasid_width.is_some();
            self.extended_capability(at, 0x0013, if more { at + SIZE } else { 0 });
            // Enable.
            self.set16(at + 4, 0, 1);
            // Stopped; answers have a PASID.
            self.set16(at + 6, (1 << 8) | (1 << 15), 0);
            // Requests that may be outstanding, and that the driver allows.
            self.set32(at + 8, 32, 0);
            self.set32(at + 12, 0, !0);
            self.page_request_control = Some(at + 4);
            at += SIZE;
        }
        if let Some(width) = self.model.pasid_width {
            self.extended_capability(at, 0x001b, 0);
            // Width, privileged mode, execute permission.
            self.set16(at + 4, (u16::from(width) << 8) | (1 << 2) | (1 << 1), 0);
            self.set16(at + 6, 0, 7);
            self.pasid_control = Some(at + 6);
        }
    }

    fn extended_capability(&mut self, offset: usize, id: u16, next: usize) {
        self.set32(offset, u32::from(id) | (1 << 16) | ((next as u32) << 20), 0);
    }
}
