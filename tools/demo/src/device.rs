// SPDX-License-Identifier: GPL-2.0-only

//! A driver of the PASID-capable test device that `Documentation/device.rst` describes: it sends
//! requests, and tells what came of them.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{ensure, Result};
use vfio_pasid::{Device, Region};

/// Vendor and device ID.
pub const TEST_DEVICE: &str = "1234:5041";

/// The PCI command register, and its bits Memory Space Enable and Bus Master Enable (PCI Local Bus
/// Specification 3.0, section 6.2.2).
const COMMAND: u64 = 4;
const MEMORY_AND_BUS_MASTER: u16 = (1 << 1) | (1 << 2);

/// Registers of BAR 0.
const MAGIC: u64 = 0x000;
const PASID: u64 = 0x008;
const LENGTH: u64 = 0x00c;
const IOVA: u64 = 0x010;
const DOORBELL: u64 = 0x018;
const STATUS: u64 = 0x01c;
const FAULT_ADDRESS: u64 = 0x020;
const DATA: u64 = 0x1000;

/// What MAGIC reads on a device that is alive.
const ALIVE: u32 = 0x4449_5350;
/// PASID: the request has one.
const HAS_PASID: u32 = 1 << 31;
/// DOORBELL.
const READ: u32 = 1;
const WRITE: u32 = 2;
/// STATUS.
const IDLE: u32 = 0;
const BUSY: u32 = 1;
const DONE: u32 = 2;

/// How long a request may take; it takes milliseconds, unless the host is very busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What requests carry.
pub type Message = [u8; 16];

/// What came of a request.
pub type Answer<T> = std::result::Result<T, Fault>;

/// Why a request failed: STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(u32);

impl Fault {
    /// The PASID has an address space, and there is no page: with first-stage tables, as `make run`
    /// has them.
    pub const NO_PAGE: Self = Self(0x71);
    /// There is a page, and it must not be written.
    pub const NO_WRITE: Self = Self(0x85);
    /// The PASID has no address space.
    pub const NO_PASID_ENTRY: Self = Self(0x59);
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::NO_PAGE => "no page",
            Self::NO_WRITE => "no write permission",
            Self::NO_PASID_ENTRY => "no PASID entry",
            _ => "see Documentation/device.rst",
        };
        write!(f, "fault {:#x}: {text}", self.0)
    }
}

/// A device that may access memory.
pub struct TestDevice<'a> {
    registers: Region<'a>,
}

impl<'a> TestDevice<'a> {
    /// Lets the device access memory.
    pub fn new(device: &'a Device) -> Result<Self> {
        let config = device.region(Region::CONFIG)?;
        let command = u16::from_le_bytes(config.read(COMMAND)?) | MEMORY_AND_BUS_MASTER;
        config.write(COMMAND, &command.to_le_bytes())?;
        let device = Self {
            registers: device.region(Region::BAR0)?,
        };
        device.check_alive()?;
        Ok(device)
    }

    /// Lets the device read memory at `iova`, under `pasid` or without one.
    pub fn read_memory(&self, pasid: Option<u32>, iova: u64) -> Result<Answer<Message>> {
        self.registers.write(DATA, &Message::default())?;
        Ok(match self.request(READ, pasid, iova)? {
            Ok(()) => Ok(self.registers.read(DATA)?),
            Err(fault) => Err(fault),
        })
    }

    /// Lets the device write memory.
    pub fn write_memory(
        &self,
        pasid: Option<u32>,
        iova: u64,
        message: &Message,
    ) -> Result<Answer<()>> {
        self.registers.write(DATA, message)?;
        self.request(WRITE, pasid, iova)
    }

    fn request(&self, command: u32, pasid: Option<u32>, iova: u64) -> Result<Answer<()>> {
        self.write(PASID, pasid.map_or(0, |pasid| HAS_PASID | pasid))?;
        self.write(LENGTH, size_of::<Message>() as u32)?;
        self.registers.write(IOVA, &iova.to_le_bytes())?;
        self.write(DOORBELL, command)?;
        let status = self.wait()?;
        // A device that has died reads all ones, which is no answer.
        self.check_alive()?;
        ensure!(status != IDLE, "the device did not take the request");
        if status == DONE {
            return Ok(Ok(()));
        }
        let address = u64::from_le_bytes(self.registers.read(FAULT_ADDRESS)?);
        ensure!(
            address == iova,
            "the device says that {address:#x} failed, not {iova:#x}"
        );
        Ok(Err(Fault(status)))
    }

    fn wait(&self) -> Result<u32> {
        let start = Instant::now();
        loop {
            let status = self.read(STATUS)?;
            if status != BUSY {
                return Ok(status);
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "the device is busy for too long"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn check_alive(&self) -> Result<()> {
        let magic = self.read(MAGIC)?;
        ensure!(
            magic == ALIVE,
            "the device is dead, or no pasid-device: MAGIC is {magic:#x}"
        );
        Ok(())
    }

    fn read(&self, register: u64) -> Result<u32> {
        Ok(u32::from_le_bytes(self.registers.read(register)?))
    }

    fn write(&self, register: u64, value: u32) -> Result<()> {
        Ok(self.registers.write(register, &value.to_le_bytes())?)
    }
}
