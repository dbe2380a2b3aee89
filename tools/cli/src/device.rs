// SPDX-License-Identifier: GPL-2.0-only

//! The PCI functions that can be given to VFIO, and what their PASIDs are.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{iommu::Iommu, process_space, reason::Reason, system::System};

const DEVICES: &str = "/sys/bus/pci/devices";

/// Capabilities (PCI Code and ID Assignment Specification), and what is in them (PCIe 6.0, 7.5.3,
/// 7.7.11 and 7.8.9).
const CAP_EXPRESS: u8 = 0x10;
const EXT_CAP_ACS: u16 = 0x0d;
const EXT_CAP_PASID: u16 = 0x1b;
const DEVCAP2: usize = 0x24;
const DEVCAP2_PREFIX: u32 = 1 << 21;
const ACS_CONTROL: usize = 6;
const ACS_REDIRECT: u16 = (1 << 2) | (1 << 4);
const PASID_CAPABILITY: usize = 4;
const PASID_CONTROL: usize = 6;
/// Device/port types in the PCI Express capabilities register.
const TYPE_ROOT_PORT: u8 = 4;
const TYPE_DOWNSTREAM: u8 = 6;
const TYPE_ROOT_ENDPOINT: u8 = 9;

/// A PCI function.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Device {
    /// Its address.
    pub address: String,
    /// Vendor and device ID.
    pub id: String,
    /// Its driver.
    pub driver: Option<String>,
    /// Its IOMMU group, the N of `/dev/vfio/N`.
    pub group: Option<u32>,
    /// How many bits its PASIDs may have; none if it cannot use any.
    pub width: Option<u32>,
    /// Why it cannot, or not yet.
    pub reasons: Vec<Reason>,
    /// Why no process can be attached to it; none if one can.
    pub process_space: Option<Reason>,
}

impl Device {
    /// Whether a driver of VFIO has it.
    pub fn is_bound(&self) -> bool {
        self.driver
            .as_deref()
            .is_some_and(|driver| driver.contains("vfio"))
    }
}

/// Configuration space, as much of it as can be read.
pub(crate) struct Config(Vec<u8>);

impl Config {
    fn read(system: &System, address: &str) -> Self {
        let file = format!("{DEVICES}/{address}/config");
        Self(system.bytes(&file).unwrap_or_default())
    }

    /// Without root it ends after 64 bytes.
    fn is_whole(&self) -> bool {
        self.0.len() > 64
    }

    fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    /// Of what is there to read, at an offset in bytes.
    pub(crate) fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.0.get(at..at + 2)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Type 1 is a bridge.
    fn is_endpoint(&self) -> bool {
        self.u8(0x0e).is_some_and(|kind| kind & 0x7f == 0)
    }

    fn is_multifunction(&self) -> bool {
        self.u8(0x0e).is_some_and(|kind| kind & 0x80 != 0)
    }

    fn capability(&self, id: u8) -> Option<usize> {
        let mut at = usize::from(self.u8(0x34)? & !3);
        // As many as there is room for: a list may be a ring.
        for _ in 0..48 {
            if at < 0x40 {
                return None;
            }
            if self.u8(at)? == id {
                return Some(at);
            }
            at = usize::from(self.u8(at + 1)? & !3);
        }
        None
    }

    /// Where the extended capability is, if it has it.
    pub(crate) fn extended_capability(&self, id: u16) -> Option<usize> {
        let mut at = 0x100;
        for _ in 0..960 {
            let header = self.u32(at)?;
            if header == 0 || header == u32::MAX {
                return None;
            }
            if header as u16 == id {
                return Some(at);
            }
            at = (header >> 20) as usize & !3;
            if at < 0x100 {
                return None;
            }
        }
        None
    }

    fn express_type(&self) -> Option<u8> {
        let at = self.capability(CAP_EXPRESS)?;
        Some(((self.u16(at + 2)? >> 4) & 0xf) as u8)
    }

    fn takes_prefixes(&self) -> bool {
        let devcap2 = self
            .capability(CAP_EXPRESS)
            .and_then(|at| self.u32(at + DEVCAP2));
        devcap2.is_some_and(|bits| bits & DEVCAP2_PREFIX != 0)
    }

    /// As the kernel's `pci_acs_enabled()` asks it, for what a PASID needs (`pci_enable_pasid()`).
    fn redirects(&self) -> bool {
        let kind = self.express_type();
        let needs = match kind {
            Some(TYPE_ROOT_PORT | TYPE_DOWNSTREAM) => true,
            Some(TYPE_ROOT_ENDPOINT) => false,
            _ => self.is_multifunction(),
        };
        let Some(at) = self.extended_capability(EXT_CAP_ACS) else {
            return !needs;
        };
        let control = self.u16(at + ACS_CONTROL).unwrap_or_default();
        !needs || control & ACS_REDIRECT == ACS_REDIRECT
    }
}

/// All functions that are no bridges, in order.
pub fn all(system: &System, iommus: &[Iommu]) -> Vec<Device> {
    let addresses = system.names(DEVICES);
    let mut devices: Vec<_> = addresses
        .iter()
        .filter(|address| Config::read(system, address).is_endpoint())
        .map(|address| look(system, iommus, address))
        .collect();
    let capable = devices.clone();
    for device in &mut devices {
        let others = capable.iter().filter(|other| {
            other.group.is_some() && other.group == device.group && other.width.is_some()
        });
        if device.width.is_some() && others.count() > 1 {
            device.width = None;
            device.reasons.push(Reason::SeveralInGroup);
            device.process_space = Some(Reason::SeveralInGroup);
        }
        if device.reasons.is_empty() && !device.is_bound() {
            device.reasons.push(Reason::NotBound);
        }
    }
    devices
}

fn look(system: &System, iommus: &[Iommu], address: &str) -> Device {
    let file = |name: &str| format!("{DEVICES}/{address}/{name}");
    let digits = |name| {
        let text = system.text(&file(name)).unwrap_or_default();
        text.trim_start_matches("0x").to_owned()
    };
    let group = system
        .link(&file("iommu_group"))
        .and_then(|name| name.parse().ok());
    let own = system.link(&file("iommu"));
    let iommu = iommus
        .iter()
        .find(|iommu| own.as_ref() == Some(&iommu.name))
        .or(iommus.first());
    let config = Config::read(system, address);
    let (width, reason) = match pasid(system, iommu, &config, address, group) {
        Ok(width) => (Some(width), None),
        Err(reason) => (None, Some(reason)),
    };
    let process_space = match reason {
        // What AMD's driver does not do with domains it may do with processes.
        None | Some(Reason::Amd) => process_space::why_not(system, iommu, &config).err(),
        reason => reason,
    };
    Device {
        address: address.to_owned(),
        id: format!("{}:{}", digits("vendor"), digits("device")),
        driver: system.link(&file("driver")),
        group,
        width,
        reasons: reason.into_iter().collect(),
        process_space,
    }
}

/// The width of the device's PASIDs, or the first reason on the way why there are none.
fn pasid(
    system: &System,
    iommu: Option<&Iommu>,
    config: &Config,
    address: &str,
    group: Option<u32>,
) -> Result<u32, Reason> {
    let iommu = iommu.ok_or(Reason::NoIommu)?;
    if group.is_none() {
        return Err(Reason::NoGroup);
    }
    if !config.is_whole() {
        return Err(Reason::NeedsRoot);
    }
    let at = config
        .extended_capability(EXT_CAP_PASID)
        .ok_or(Reason::NoCapability)?;
    if let Some(reason) = iommu.reason {
        return Err(reason);
    }
    let way = way_to_root(system, address);
    let way: Vec<_> = way
        .iter()
        .map(|bridge| Config::read(system, bridge))
        .collect();
    let all = || way.iter().chain([config]);
    if !all().all(Config::takes_prefixes) {
        return Err(Reason::NoPrefix);
    }
    if !all().all(Config::redirects) {
        return Err(Reason::NoAcs);
    }
    if config
        .u16(at + PASID_CONTROL)
        .is_none_or(|control| control & 1 == 0)
    {
        return Err(Reason::NotEnabled);
    }
    let capability = config.u16(at + PASID_CAPABILITY).unwrap_or_default();
    Ok(u32::from((capability >> 8) & 0x1f))
}

/// The bridges above it: sysfs has a device in the folder of the bridge that it is behind.
fn way_to_root(system: &System, address: &str) -> Vec<String> {
    let path = system.path(&format!("{DEVICES}/{address}"));
    let Ok(real) = path.canonicalize() else {
        return Vec::new();
    };
    let names = real
        .components()
        .map(|name| name.as_os_str().to_string_lossy());
    names
        .filter(|name| name != address && system.has(&format!("{DEVICES}/{name}/config")))
        .map(|name| name.into_owned())
        .collect()
}
