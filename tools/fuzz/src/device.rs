// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A guest that writes what it likes to the device, and to the tables that it is translated by.

use std::sync::Mutex;

use arbitrary::{Arbitrary, Unstructured};
use pasid_device::{
    config::{ConfigSpace, Model, DEVICE_ID, SIZE, VENDOR_ID},
    device::{Device, Transfer},
    dma::{carry_out, lock, Platform, View},
    page_request::{Answer, PageRequest},
    registers::{MAGIC, WINDOW, WINDOW_SIZE},
    status::{BUSY, DONE, IDLE},
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::{
    tables::{Tables, BUS, DATA, DEVFN, FS, PASID, SS},
    Change, Place,
};

const IOVA: u64 = 0x7000_0000;
/// The only page that the tables lead to, as long as they are good.
const FRAME: u64 = DATA - 0x1000;
/// A page that no table leads to, and no change that is tried here.
const GUARD: u64 = DATA - 0x3000;

const COMMAND: u64 = 0x04;
const STATUS: u64 = 0x1c;
const TRANSFERRED: u64 = 0x28;

#[derive(Arbitrary, Debug)]
struct Input {
    width: u8,
    no_tlp_prefix: bool,
    ats: bool,
    pri: bool,
    second_stage: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    ReadConfig {
        offset: u64,
        length: u16,
    },
    WriteConfig {
        offset: u64,
        data: Vec<u8>,
    },
    ReadBar {
        offset: u64,
        length: u16,
    },
    WriteBar {
        offset: u64,
        data: Vec<u8>,
    },
    WriteRegister {
        register: u8,
        value: u64,
        wide: bool,
    },
    BusMaster {
        on: bool,
    },
    EnablePasid,
    /// A request as drivers make them.
    Request {
        tagged: bool,
        near: u16,
        length: u16,
        write: bool,
    },
    /// The request under way, if any, is carried out.
    CarryOut,
    Reset,
    ChangeTable {
        place: Place,
        change: Change,
    },
}

struct Machine<'a>(&'a Tables);

impl Platform for Machine<'_> {
    type Memory = GuestMemoryMmap;

    fn view(&mut self) -> Result<View<'_, GuestMemoryMmap>, String> {
        Ok(View {
            requester: (u16::from(BUS) << 8) | u16::from(DEVFN),
            registers: self.0.registers,
            memory: &self.0.memory,
            trace: None,
        })
    }

    fn request_page(&mut self, _: &PageRequest) -> Result<Answer, String> {
        Ok(Answer::Invalid)
    }

    fn fill_queue(&mut self, _: &PageRequest) -> Result<u32, String> {
        Ok(0)
    }
}

/// Everything around one device.
struct Bench {
    device: Mutex<Device>,
    tables: Tables,
    walk: Vec<u64>,
    under_way: Option<Transfer>,
    /// Where the capabilities are, which nobody can move.
    capabilities: Vec<u64>,
    /// No table was changed yet.
    good: bool,
}

/// Does what a guest could do.
///
/// # Panics
///
/// If the device does, or if it does not keep to `Documentation/device.rst`.
pub fn device(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let widths = [None, Some(8), Some(16), Some(20)];
    let model = Model {
        pasid_width: widths
            .into_iter()
            .nth(usize::from(input.width % 4))
            .flatten(),
        tlp_prefix: !input.no_tlp_prefix,
        ats: input.ats,
        pri: input.pri,
    };
    let mut bench = Bench::new(model, if input.second_stage { SS } else { FS });
    for step in input.steps.into_iter().take(256) {
        bench.step(step);
        bench.check();
    }
}

impl Bench {
    fn new(model: Model, pgtt: u64) -> Self {
        let tables = Tables::new();
        let top = tables.attach(PASID, pgtt);
        let walk = tables.map(top, 4, 1, IOVA, FRAME, 7);
        let device = Device::new(model);
        let capabilities = capabilities(&device.config);
        Self {
            device: Mutex::new(device),
            tables,
            walk,
            under_way: None,
            capabilities,
            good: true,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::ReadConfig { offset, length } => self.read_config(offset, length.into()),
            Step::WriteConfig { offset, data } => {
                // Most of it where there is something.
                let offset = if offset >> 63 == 0 {
                    offset % 4096
                } else {
                    offset
                };
                self.write_config(offset, &data);
            }
            Step::ReadBar { offset, length } => {
                let mut data = vec![0; length.into()];
                lock(&self.device).registers.read(offset, &mut data);
            }
            Step::WriteBar { offset, data } => self.write_bar(offset, &data),
            Step::WriteRegister {
                register,
                value,
                wide,
            } => {
                let data = value.to_le_bytes();
                let length = if wide { 8 } else { 4 };
                self.write_bar(
                    u64::from(register & 0x3c),
                    data.get(..length).unwrap_or(&data),
                );
            }
            Step::BusMaster { on } => self.write_config(COMMAND, &[if on { 4 } else { 0 }, 0]),
            Step::EnablePasid => {
                let at = extended(&lock(&self.device).config, 0x1b);
                if let Some(at) = at {
                    self.write_config(at + 6, &[1, 0]);
                }
            }
            Step::Request {
                tagged,
                near,
                length,
                write,
            } => {
                let pasid = if tagged { (1 << 31) | PASID } else { 0 };
                self.write_bar(0x08, &pasid.to_le_bytes());
                self.write_bar(0x0c, &u32::from(length).to_le_bytes());
                self.write_bar(0x10, &(IOVA + u64::from(near)).to_le_bytes());
                self.write_bar(0x18, &(1 + u32::from(write)).to_le_bytes());
            }
            Step::CarryOut => self.carry_out(),
            Step::Reset => lock(&self.device).reset(),
            Step::ChangeTable { place, change } => {
                self.good = false;
                change.apply(&self.tables, place, PASID, &self.walk);
            }
        }
    }

    fn read_config(&self, offset: u64, length: usize) {
        let mut data = vec![0xa5; length];
        let all = lock(&self.device).config.read(offset, &mut data);
        let end = offset.checked_add(length as u64);
        assert_eq!(all, end.is_some_and(|end| end <= SIZE as u64));
        assert!(all || data.iter().all(|&byte| byte == 0xa5));
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        lock(&self.device).write_config(offset, data);
    }

    fn write_bar(&mut self, offset: u64, data: &[u8]) {
        let was_busy = self.register(STATUS) == BUSY;
        let transfer = lock(&self.device).write_bar(offset, data);
        if let Some(transfer) = transfer {
            assert!(!was_busy, "a second request");
            assert!((1..=WINDOW_SIZE).contains(&transfer.length));
            assert!(transfer.iova.checked_add(transfer.length as u64).is_some());
            assert_eq!(self.register(STATUS), BUSY);
            self.under_way = Some(transfer);
        }
    }

    fn carry_out(&mut self) {
        let Some(transfer) = self.under_way.take() else {
            return;
        };
        let wanted = lock(&self.device).runs(&transfer);
        let before = self.register(STATUS);
        let bus_master = lock(&self.device).config.bus_master();
        carry_out(&transfer, &self.device, &mut Machine(&self.tables));
        let (status, done) = (self.register(STATUS), self.register(TRANSFERRED));
        if !wanted {
            assert_eq!(status, before, "a reset drops requests");
            return;
        }
        assert!(status != BUSY && status != IDLE);
        assert_eq!(status == DONE, done as usize == transfer.length);
        assert!(bus_master || status != DONE);
        if self.good && status == DONE {
            // All that can be reached is that one page, under that PASID.
            assert_eq!(transfer.pasid, Some(PASID));
            assert!((IOVA..IOVA + 4096).contains(&transfer.iova));
            assert!(transfer.iova + transfer.length as u64 <= IOVA + 4096);
        }
    }

    fn register(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        lock(&self.device).registers.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    /// What holds at any time.
    fn check(&self) {
        assert_eq!(self.register(0), MAGIC);
        let mut ids = [0; 4];
        assert!(lock(&self.device).config.read(0, &mut ids));
        assert_eq!(
            u32::from_le_bytes(ids),
            (u32::from(DEVICE_ID) << 16) | u32::from(VENDOR_ID)
        );
        assert_eq!(capabilities(&lock(&self.device).config), self.capabilities);
        assert!(self.register(TRANSFERRED) as usize <= WINDOW_SIZE);
        let mut beyond = [0xa5; 8];
        let end = WINDOW + WINDOW_SIZE as u64;
        lock(&self.device).registers.read(end, &mut beyond);
        assert_eq!(beyond, [0; 8]);
        if self.good {
            let mut guard = [0xa5; 4096];
            let read = self
                .tables
                .memory
                .read_slice(&mut guard, GuestAddress(GUARD));
            assert!(read.is_ok() && guard.iter().all(|&byte| byte == 0));
        }
    }
}

/// The capabilities as a driver finds them: each id above where it is.
fn capabilities(config: &ConfigSpace) -> Vec<u64> {
    let mut found = Vec::new();
    let mut at = u64::from(byte(config, 0x34));
    while at != 0 && found.len() < 64 {
        found.push((u64::from(byte(config, at)) << 16) | at);
        at = byte(config, at + 1).into();
    }
    at = 0x100;
    while at != 0 && found.len() < 128 {
        let header = long(config, at);
        found.push((u64::from(header) << 16) | at);
        at = (header >> 20).into();
    }
    found
}

fn extended(config: &ConfigSpace, id: u64) -> Option<u64> {
    capabilities(config)
        .into_iter()
        .find(|found| (found >> 16) & 0xffff == id && found & 0xffff >= 0x100)
        .map(|found| found & 0xffff)
}

fn byte(config: &ConfigSpace, offset: u64) -> u8 {
    let mut data = [0];
    config.read(offset, &mut data);
    u8::from_le_bytes(data)
}

fn long(config: &ConfigSpace, offset: u64) -> u32 {
    let mut data = [0; 4];
    config.read(offset, &mut data);
    u32::from_le_bytes(data)
}
