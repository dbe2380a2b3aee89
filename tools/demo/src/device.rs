// SPDX-License-Identifier: GPL-2.0-only

//! A driver of the PASID-capable test device that `Documentation/device.rst` describes: it sends a
//! request under a PASID, and tells what came of it.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{ensure, Result};
use vfio_pasid::{Device, Region};

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

/// What MAGIC reads on a device that is alive.
const ALIVE: u32 = 0x4449_5350;
/// PASID: the request has one.
const HAS_PASID: u32 = 1 << 31;
/// DOORBELL: read memory.
const READ: u32 = 1;
/// STATUS.
const IDLE: u32 = 0;
const BUSY: u32 = 1;

/// How long a request may take; it takes milliseconds, unless the host is very busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a request: STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(u32);

impl Outcome {
    /// The PASID has an address space, and there is no page: with first-stage tables, as `make run`
    /// has them.
    pub const NO_PAGE: Self = Self(0x71);
    /// The PASID has no address space.
    pub const NO_PASID_ENTRY: Self = Self(0x59);
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::NO_PAGE => "no page",
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

    /// Reads 8 bytes of memory at `iova` under `pasid`.
    pub fn read_memory(&self, pasid: u32, iova: u64) -> Result<Outcome> {
        self.write(PASID, HAS_PASID | pasid)?;
        self.write(LENGTH, 8)?;
        self.registers.write(IOVA, &iova.to_le_bytes())?;
        self.write(DOORBELL, READ)?;
        let status = self.wait()?;
        // A device that has died reads all ones, which is no answer.
        self.check_alive()?;
        ensure!(status != IDLE, "the device did not take the request");
        let address = u64::from_le_bytes(self.registers.read(FAULT_ADDRESS)?);
        ensure!(
            address == iova,
            "the device says that {address:#x} failed, not {iova:#x}"
        );
        Ok(Outcome(status))
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
