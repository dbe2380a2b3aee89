// SPDX-License-Identifier: Apache-2.0 OR MIT

//! PCI functions in sysfs: which group they are in, and which driver has them.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use nix::errno::Errno;

use crate::error::{self, Error, Result};

const BUS: &str = "/sys/bus/pci";

/// A PCI function of this machine, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PciFunction {
    segment: u16,
    bus: u8,
    device: u8,
    function: u8,
}

impl PciFunction {
    pub(crate) fn new(segment: u16, bus: u8, devfn: u8) -> Self {
        Self {
            segment,
            bus,
            device: devfn >> 3,
            function: devfn & 7,
        }
    }

    pub(crate) fn segment(&self) -> u16 {
        self.segment
    }

    pub(crate) fn bus(&self) -> u8 {
        self.bus
    }

    pub(crate) fn devfn(&self) -> u8 {
        (self.device << 3) | self.function
    }

    fn attribute(&self, name: &str) -> PathBuf {
        Path::new(BUS)
            .join("devices")
            .join(self.to_string())
            .join(name)
    }

    /// Vendor and device ID, as `8086:10d3`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such function.
    pub fn id(&self) -> Result<String> {
        let vendor = error::read(&self.attribute("vendor"))?;
        let device = error::read(&self.attribute("device"))?;
        let digits = |text: &str| text.trim().trim_start_matches("0x").to_owned();
        Ok(format!("{}:{}", digits(&vendor), digits(&device)))
    }

    /// The number of its IOMMU group: the N of `/dev/vfio/N`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it is in none: the machine has no IOMMU, or the kernel does not use it.
    pub fn iommu_group(&self) -> Result<u32> {
        let path = self.attribute("iommu_group");
        error::link_name(&path)?
            .and_then(|name| name.parse().ok())
            .ok_or_else(|| Error::new(format!("read link {}", path.display()), Errno::ENODEV))
    }

    /// The driver that has it, if any.
    pub fn driver(&self) -> Result<Option<String>> {
        error::link_name(&self.attribute("driver"))
    }
}

impl fmt::Display for PciFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            segment,
            bus,
            device,
            function,
        } = self;
        write!(f, "{segment:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

impl FromStr for PciFunction {
    type Err = Error;

    /// Reads an address: `0000:00:10.0`, or `00:10.0` for segment 0.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            let call = format!("'{text}' is no PCI address such as 0000:00:10.0");
            Error::new(call, Errno::EINVAL)
        })
    }
}

fn parse(text: &str) -> Option<PciFunction> {
    let hex = |text: &str, limit: u16| {
        let number = u16::from_str_radix(text, 16).ok()?;
        (number <= limit && !text.starts_with('+')).then_some(number)
    };
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (segment, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
    Some(PciFunction {
        segment: hex(segment, u16::MAX)?,
        bus: hex(bus, 0xff)? as u8,
        device: hex(device, 0x1f)? as u8,
        function: hex(function, 7)? as u8,
    })
}
