// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device: configuration space, registers, and the request under way.

use std::fs::File;
use std::io::Write;

use vtd_witness::Access;

use crate::config::{ConfigSpace, Model};
use crate::registers::{Registers, WINDOW_SIZE};
use crate::status::{self, Failure, Refusal};
use crate::translations::Translations;

/// A request as it was when the doorbell was rung; later register writes do not change it.
#[derive(Debug)]
pub struct Transfer {
    /// Resets before the request; a later reset drops it.
    resets: u32,
    /// PASID, if the request has one.
    pub pasid: Option<u32>,
    /// IOVA of the first byte; `iova + length` does not overflow.
    pub iova: u64,
    /// What is done to memory, or asked for.
    pub access: Access,
    /// Nothing is done to memory: page requests for the first byte fill their queue.
    pub fills_queue: bool,
    /// Bytes, at least 1.
    pub length: usize,
    /// What to write; empty for a read.
    pub data: Vec<u8>,
}

/// The device.
#[derive(Debug)]
pub struct Device {
    /// Configuration space.
    pub config: ConfigSpace,
    /// BAR 0.
    pub registers: Registers,
    /// What the device remembers of translations.
    pub translations: Translations,
    interrupt: Option<File>,
}

impl Device {
    /// A device after power-on.
    pub fn new(model: Model) -> Self {
        Self {
            config: ConfigSpace::new(model),
            registers: Registers::new(0),
            translations: Translations::default(),
            interrupt: None,
        }
    }

    /// A write to configuration space, which may reset the function.
    pub fn write_config(&mut self, offset: u64, data: &[u8]) {
        if self.config.write(offset, data) {
            self.reset();
        }
        if !self.config.ats_enabled() {
            self.translations.clear();
        }
    }

    /// A write to BAR 0. Returns the request that it starts. Ringing the doorbell while a
    /// request is under way does nothing.
    pub fn write_bar(&mut self, offset: u64, data: &[u8]) -> Option<Transfer> {
        let command = self.registers.write(offset, data)?;
        if self.registers.status == status::BUSY {
            return None;
        }
        self.registers.status = status::BUSY;
        self.registers.fault_address = 0;
        self.registers.transferred = 0;
        self.registers.page_info = 0;
        match self.start(command) {
            Ok(transfer) => Some(transfer),
            Err(refusal) => {
                self.fail(refusal.into(), self.registers.iova);
                None
            }
        }
    }

    /// Function-level reset: a request under way is dropped, every register is as after
    /// power-on. Only the number of resets survives.
    pub fn reset(&mut self) {
        self.config.reset();
        self.registers = Registers::new(self.registers.resets.wrapping_add(1));
        self.translations.clear();
    }

    /// The eventfd that delivers the completion interrupt; `None` while MSI is off.
    pub fn set_interrupt(&mut self, eventfd: Option<File>) {
        self.interrupt = eventfd;
    }

    /// The request is still wanted: no reset has come.
    pub fn runs(&self, transfer: &Transfer) -> bool {
        transfer.resets == self.registers.resets
    }

    /// Ends the request under way with success.
    pub fn complete(&mut self) {
        self.registers.completed = self.registers.completed.wrapping_add(1);
        self.finish(status::DONE);
    }

    /// Ends the request under way: the byte at `iova` could not be transferred.
    pub fn fail(&mut self, failure: Failure, iova: u64) {
        self.registers.failed = self.registers.failed.wrapping_add(1);
        self.registers.fault_address = iova;
        self.finish(failure.code());
    }

    fn finish(&mut self, status: u32) {
        self.registers.status = status;
        // An MSI is a memory write, so it needs bus mastering.
        if let (Some(eventfd), true) = (&mut self.interrupt, self.config.bus_master()) {
            if let Err(error) = eventfd.write_all(&1u64.to_ne_bytes()) {
                eprintln!("pasid-device: error: interrupt not delivered: {error}");
            }
        }
    }

    /// The checks that a device does before it sends anything.
    fn start(&self, command: u32) -> Result<Transfer, Refusal> {
        let (access, fills_queue) = match command {
            1 => (Access::Read, false),
            2 => (Access::Write, false),
            3 => (Access::Read, true),
            _ => return Err(Refusal::BadCommand),
        };
        let length = usize::try_from(self.registers.length).unwrap_or(usize::MAX);
        if !(1..=WINDOW_SIZE).contains(&length) {
            return Err(Refusal::BadLength);
        }
        let iova = self.registers.iova;
        if iova.checked_add(length as u64).is_none() {
            return Err(Refusal::AddressWraps);
        }
        if !self.config.bus_master() {
            return Err(Refusal::BusMasterOff);
        }
        let pasid = self.pasid()?;
        if fills_queue && (pasid.is_none() || !self.config.page_requests_enabled()) {
            return Err(Refusal::NoPageRequests);
        }
        Ok(Transfer {
            resets: self.registers.resets,
            pasid,
            iova,
            access,
            fills_queue,
            length,
            data: match access {
                Access::Read => Vec::new(),
                Access::Write => self.registers.window(length),
            },
        })
    }

    /// The PASID of the request, if the device may send one.
    fn pasid(&self) -> Result<Option<u32>, Refusal> {
        const VALID: u32 = 1 << 31;

        if self.registers.pasid & VALID == 0 {
            return Ok(None);
        }
        let pasid = self.registers.pasid & !VALID;
        let model = self.config.model();
        let width = model.pasid_width.ok_or(Refusal::NoPasidCapability)?;
        if !model.tlp_prefix {
            return Err(Refusal::NoTlpPrefix);
        }
        if !self.config.pasid_enabled() {
            return Err(Refusal::PasidDisabled);
        }
        if pasid >> width != 0 {
            return Err(Refusal::PasidTooWide);
        }
        Ok(Some(pasid))
    }
}
