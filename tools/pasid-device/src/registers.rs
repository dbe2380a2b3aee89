// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The registers of BAR 0 (Documentation/device.rst has the table).
//!
//! Reads of any size work. A write to a register must have 4 or 8 bytes and be aligned to its
//! size, and is ignored otherwise. The data window takes writes of any size.

use vtd_witness::{AddressSpace, Page};

use crate::status;

/// Contents of MAGIC: "PSID".
pub const MAGIC: u32 = 0x4449_5350;
/// Contents of VERSION.
pub const VERSION: u32 = 1;
/// Offset of the data window in BAR 0.
pub const WINDOW: u64 = 0x1000;
/// Size of the data window in bytes.
pub const WINDOW_SIZE: usize = 0x1000;

const REG_MAGIC: u64 = 0x00;
const REG_VERSION: u64 = 0x04;
const REG_PASID: u64 = 0x08;
const REG_LENGTH: u64 = 0x0c;
const REG_IOVA: u64 = 0x10;
const REG_IOVA_HIGH: u64 = 0x14;
const REG_DOORBELL: u64 = 0x18;
const REG_STATUS: u64 = 0x1c;
const REG_FAULT_ADDRESS: u64 = 0x20;
const REG_FAULT_ADDRESS_HIGH: u64 = 0x24;
const REG_TRANSFERRED: u64 = 0x28;
const REG_PAGE_INFO: u64 = 0x2c;
const REG_REQUESTER: u64 = 0x30;
const REG_COMPLETED: u64 = 0x34;
const REG_FAILED: u64 = 0x38;
const REG_RESETS: u64 = 0x3c;
const REG_PAGE_REQUESTS: u64 = 0x40;

/// BAR 0.
#[derive(Debug)]
pub struct Registers {
    /// PASID: bit 31 says that the request has one.
    pub pasid: u32,
    /// LENGTH in bytes.
    pub length: u32,
    /// IOVA of the first byte.
    pub iova: u64,
    /// STATUS.
    pub status: u32,
    /// FAULT_ADDRESS: IOVA of the first byte that was not transferred.
    pub fault_address: u64,
    /// TRANSFERRED: bytes.
    pub transferred: u32,
    /// PAGE_INFO: how the last page was translated.
    pub page_info: u32,
    /// REQUESTER: bus number and devfn that the last request was translated for.
    pub requester: u16,
    /// COMPLETED: requests that ended in DONE.
    pub completed: u32,
    /// FAILED: requests that ended otherwise.
    pub failed: u32,
    /// RESETS: resets since the server was started.
    pub resets: u32,
    /// PAGE_REQUESTS: page requests that were sent, one at a time.
    pub page_requests: u32,
    window: Vec<u8>,
}

impl Registers {
    /// Registers after a reset, the `resets`-th.
    pub fn new(resets: u32) -> Self {
        Self {
            pasid: 0,
            length: 0,
            iova: 0,
            status: status::IDLE,
            fault_address: 0,
            transferred: 0,
            page_info: 0,
            requester: 0,
            completed: 0,
            failed: 0,
            resets,
            page_requests: 0,
            window: vec![0; WINDOW_SIZE],
        }
    }

    /// Reads any bytes of the BAR; what is not a register is 0.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        for (index, byte) in data.iter_mut().enumerate() {
            let at = offset.saturating_add(index as u64);
            *byte = match at.checked_sub(WINDOW) {
                Some(at) => usize::try_from(at)
                    .ok()
                    .and_then(|at| self.window.get(at).copied())
                    .unwrap_or(0),
                None => (self.word(at & !3) >> ((at & 3) * 8)) as u8,
            };
        }
    }

    /// Writes to the BAR. Returns the command if the doorbell is rung.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Option<u32> {
        if let Some(at) = offset.checked_sub(WINDOW) {
            self.write_window(at, data);
            return None;
        }
        if ![4, 8].contains(&data.len()) || offset % data.len() as u64 != 0 {
            return None;
        }
        let mut command = None;
        for (at, word) in (offset..).step_by(4).zip(data.chunks_exact(4)) {
            let word = word
                .iter()
                .rev()
                .fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
            command = command.or(self.write_word(at, word));
        }
        command
    }

    /// The first `length` bytes of the data window.
    pub fn window(&self, length: usize) -> Vec<u8> {
        self.window.iter().take(length).copied().collect()
    }

    /// Writes to the data window, as far as it reaches.
    pub fn write_window(&mut self, offset: u64, data: &[u8]) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let window = self.window.iter_mut().skip(offset);
        window.zip(data).for_each(|(to, from)| *to = *from);
    }

    /// Notes in PAGE_INFO what is known of the translation: bits 7:0 binary logarithm of the
    /// page size (0: no page), bit 8 snoop, bits 14:12 the PASID entry's translation type.
    pub fn note(&mut self, space: &AddressSpace, page: Option<&Page>) {
        let snoop = page.map_or(space.page_snoop(), |page| page.snoop);
        let size = page.map_or(0, |page| page.size.trailing_zeros());
        self.page_info = size | (u32::from(snoop) << 8) | ((space.translation_type() as u32) << 12);
    }

    /// Notes in PAGE_INFO that the translation was not looked up: bit 9, and nothing else.
    pub fn note_kept(&mut self) {
        self.page_info = 1 << 9;
    }

    fn word(&self, offset: u64) -> u32 {
        match offset {
            REG_MAGIC => MAGIC,
            REG_VERSION => VERSION,
            REG_PASID => self.pasid,
            REG_LENGTH => self.length,
            REG_IOVA => self.iova as u32,
            REG_IOVA_HIGH => (self.iova >> 32) as u32,
            REG_STATUS => self.status,
            REG_FAULT_ADDRESS => self.fault_address as u32,
            REG_FAULT_ADDRESS_HIGH => (self.fault_address >> 32) as u32,
            REG_TRANSFERRED => self.transferred,
            REG_PAGE_INFO => self.page_info,
            REG_REQUESTER => self.requester.into(),
            REG_COMPLETED => self.completed,
            REG_FAILED => self.failed,
            REG_RESETS => self.resets,
            REG_PAGE_REQUESTS => self.page_requests,
            _ => 0,
        }
    }

    fn write_word(&mut self, offset: u64, word: u32) -> Option<u32> {
        match offset {
            REG_PASID => self.pasid = word,
            REG_LENGTH => self.length = word,
            REG_IOVA => self.iova = self.iova & !0xffff_ffff | u64::from(word),
            REG_IOVA_HIGH => self.iova = self.iova & 0xffff_ffff | (u64::from(word) << 32),
            REG_DOORBELL => return Some(word),
            _ => {}
        }
        None
    }
}
