// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the device learns from QEMU: where it is on the bus, what the remapping unit's
//! registers contain, and where guest memory is.
//!
//! Bus number and registers are asked for at every request, because the guest may change them
//! at any time. The layout of memory is fixed and asked for once.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{json, Value};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};
use vtd_witness::Registers;

use crate::dma::{Platform, View};
use crate::page_request::{self, Answer, PageRequest};
use crate::qmp::Qmp;
use crate::qtest::Qtest;
use crate::translations::Trace;

/// Where QEMU puts the registers of its VT-d unit (Q35_HOST_BRIDGE_IOMMU_ADDR).
const VTD_REGISTERS: u64 = 0xfed9_0000;

/// How long the processor may take to bring a page in: a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// QEMU, as its monitor shows it.
#[derive(Debug)]
pub struct Qemu {
    monitor: PathBuf,
    id: String,
    /// Bits that the capability registers have besides those that QEMU shows.
    cap: u64,
    ecap: u64,
    qtest: Option<PathBuf>,
    trace: Option<PathBuf>,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    qmp: Qmp,
    qtest: Option<Qtest>,
    trace: Option<Trace>,
    memory: GuestMemoryMmap,
}

impl Qemu {
    /// QEMU with a monitor at the socket `monitor`, where this device is called `id`.
    pub fn new(monitor: PathBuf, id: String) -> Self {
        Self {
            monitor,
            id,
            cap: 0,
            ecap: 0,
            qtest: None,
            trace: None,
            connection: None,
        }
    }

    /// Sends page requests by the qtest socket `qtest`.
    pub fn page_requests(&mut self, qtest: PathBuf) {
        self.qtest = Some(qtest);
    }

    /// Keeps translations until the file `trace`, QEMU's trace, says that they are invalid.
    pub fn keeps_translations(&mut self, trace: PathBuf) {
        self.trace = Some(trace);
    }

    /// Takes the unit for one that can walk the tables of processes: CAP.FS5LP and ECAP.SMPWC, which
    /// QEMU's has not.
    pub fn walks_processes(&mut self) {
        self.cap |= 1 << 60;
        self.ecap |= 1 << 48;
    }

    fn connect(&self) -> Result<Connection, String> {
        let mut qmp = Qmp::connect(&self.monitor)?;
        let memory = map_memory(&mut qmp)?;
        let qtest = self
            .qtest
            .as_deref()
            .map(|path| Qtest::connect(path, VTD_REGISTERS))
            .transpose()?;
        let trace = self.trace.as_deref().map(Trace::open).transpose()?;
        Ok(Connection {
            qmp,
            qtest,
            trace,
            memory,
        })
    }

    /// Does `call` with the unit's registers and guest memory. An error leaves no connection behind.
    fn with_unit<T>(
        &mut self,
        call: impl FnOnce(&mut Qtest, &GuestMemoryMmap) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let qtest = connection.qtest.as_mut().ok_or("no qtest socket")?;
        let result = call(qtest, &connection.memory)?;
        self.connection = Some(connection);
        Ok(result)
    }
}

impl Platform for Qemu {
    type Memory = GuestMemoryMmap;

    fn view(&mut self) -> Result<View<'_, GuestMemoryMmap>, String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        // An error leaves no connection behind: the next request makes a new one.
        let requester = requester(&mut connection.qmp, &self.id)?;
        let mut registers = registers(&mut connection.qmp)?;
        registers.cap |= self.cap;
        registers.ecap |= self.ecap;
        let Connection { memory, trace, .. } = self.connection.insert(connection);
        Ok(View {
            requester,
            registers,
            memory,
            trace: trace.as_mut(),
        })
    }

    fn request_page(&mut self, request: &PageRequest) -> Result<Answer, String> {
        self.with_unit(|unit, memory| page_request::ask(unit, memory, request, PATIENCE))
    }

    fn fill_queue(&mut self, request: &PageRequest) -> Result<u32, String> {
        self.with_unit(|unit, memory| page_request::fill(unit, memory, request))
    }
}

/// Bus number and devfn of the device called `id`.
fn requester(qmp: &mut Qmp, id: &str) -> Result<u16, String> {
    let buses = qmp.execute("query-pci", json!({}))?;
    find_device(&buses, id).ok_or_else(|| format!("QEMU has no PCI device with id={id}"))
}

/// Searches the answer to query-pci: buses with devices, which may be bridges with devices.
fn find_device(buses: &Value, id: &str) -> Option<u16> {
    buses.as_array()?.iter().find_map(|bus| {
        let devices = bus.get("devices")?.as_array()?;
        devices.iter().find_map(|device| {
            let number = |key| device.get(key)?.as_u64()?.try_into().ok();
            if device.get("qdev_id")?.as_str()? == id {
                let (bus, slot, function): (u8, u8, u8) =
                    (number("bus")?, number("slot")?, number("function")?);
                return Some((u16::from(bus) << 8) | (u16::from(slot) << 3) | u16::from(function));
            }
            let behind = device.get("pci_bridge")?.clone();
            find_device(&Value::Array(vec![behind]), id)
        })
    })
}

/// The remapping unit's registers: five words from the start of its register page.
fn registers(qmp: &mut Qmp) -> Result<Registers, String> {
    let text = qmp.human(&format!("xp /5gx {VTD_REGISTERS:#x}"))?;
    parse_registers(&text).ok_or_else(|| format!("QEMU shows no VT-d registers: {text:?}"))
}

fn parse_registers(text: &str) -> Option<Registers> {
    let words: Option<Vec<u64>> = text
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("0x"))
        .map(|word| u64::from_str_radix(word, 16).ok())
        .collect();
    let [_, cap, ecap, command_and_status, rtaddr] = words?.try_into().ok()?;
    Some(Registers {
        cap,
        ecap,
        gsts: (command_and_status >> 32) as u32,
        rtaddr,
        // QEMU's host address width is its aw-bits property, and so is CAP.MGAW.
        host_address_width: ((cap >> 16) & 0x3f) as u8 + 1,
    })
}

/// Maps guest memory: the file behind the machine's memory backend.
fn map_memory(qmp: &mut Qmp) -> Result<GuestMemoryMmap, String> {
    let help = "give QEMU -object memory-backend-file,id=ram0,size=...,mem-path=...,share=on \
                and -machine memory-backend=ram0";
    let backend = qmp.property("/machine", "memory-backend")?;
    let backend = backend.as_str().unwrap_or_default();
    if qmp.property(backend, "share")? != true {
        return Err(format!("guest memory is not shared; {help}"));
    }
    let path = qmp
        .property(backend, "mem-path")
        .map_err(|error| format!("guest memory is not in a file; {help} ({error})"))?;
    let path = path.as_str().unwrap_or_default();

    let layout = parse_layout(&qmp.human("info mtree")?);
    if layout.is_empty() {
        return Err("QEMU shows no RAM below 4 GiB; is the machine a q35?".to_owned());
    }
    let mut regions = Vec::new();
    for region in layout {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| format!("cannot open guest memory {path}: {error}"))?;
        let offset = FileOffset::new(file, region.offset);
        regions.push((GuestAddress(region.address), region.size, Some(offset)));
    }
    GuestMemoryMmap::from_ranges_with_files(&regions)
        .map_err(|error| format!("cannot map guest memory {path}: {error}"))
}

/// A piece of the memory backend in the guest's physical addresses.
#[derive(Debug, PartialEq, Eq)]
struct Ram {
    address: u64,
    size: usize,
    offset: u64,
}

/// Finds the RAM of a PC in what "info mtree" prints: lines of the form
/// `START-END (prio 0, ram): alias ram-below-4g @ram0 OFFSET-END`, and ram-above-4g. Every
/// address space repeats them.
fn parse_layout(mtree: &str) -> Vec<Ram> {
    let mut layout = Vec::new();
    for line in mtree.lines() {
        if !line.contains("alias ram-below-4g ") && !line.contains("alias ram-above-4g ") {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(guest), Some(backend)) = (words.next(), words.next_back()) else {
            continue;
        };
        let (Some((address, end)), Some((offset, _))) = (range(guest), range(backend)) else {
            continue;
        };
        let Some(size) = end
            .checked_sub(address)
            .and_then(|last| last.checked_add(1))
        else {
            continue;
        };
        let ram = Ram {
            address,
            size: size as usize,
            offset,
        };
        if !layout.contains(&ram) {
            layout.push(ram);
        }
    }
    layout
}

/// Parses `START-END`, both hexadecimal.
fn range(text: &str) -> Option<(u64, u64)> {
    let (start, end) = text.split_once('-')?;
    let parse = |text| u64::from_str_radix(text, 16).ok();
    Some((parse(start)?, parse(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_devices_behind_bridges() {
        let buses = json!([{ "bus": 0, "devices": [
            { "bus": 0, "slot": 1, "function": 0, "qdev_id": "" },
            { "bus": 0, "slot": 3, "function": 0, "qdev_id": "rp0", "pci_bridge": {
                "bus": { "secondary": 1 },
                "devices": [{ "bus": 1, "slot": 2, "function": 3, "qdev_id": "below" }],
            } },
            { "bus": 0, "slot": 4, "function": 0, "qdev_id": "root" },
            { "bus": 0, "slot": 5, "function": 0, "qdev_id": "rp1", "pci_bridge": {
                "bus": { "secondary": 2 },
            } },
        ] }]);
        assert_eq!(find_device(&buses, "root"), Some(0x0020));
        assert_eq!(find_device(&buses, "below"), Some(0x0113));
        assert_eq!(find_device(&buses, "none"), None);
        assert_eq!(find_device(&json!({}), "root"), None);
    }

    #[test]
    fn reads_registers() {
        let text = "fed90000: 0x0000000000000010 0x81d2008c222f0686\r\n\
                    fed90010: 0x0000899800f00f4a 0xc700000000000000\r\n\
                    fed90020: 0x0000000001cb9400\r\n";
        let registers = parse_registers(text).unwrap();
        assert_eq!(registers.cap, 0x81d2_008c_222f_0686);
        assert_eq!(registers.ecap, 0x0000_8998_00f0_0f4a);
        assert_eq!(registers.gsts, 0xc700_0000);
        assert_eq!(registers.rtaddr, 0x01cb_9400);
        assert_eq!(registers.host_address_width, 48);
        assert_eq!(parse_registers("Cannot access memory"), None);
    }

    #[test]
    fn finds_memory_below_and_above_4_gib() {
        let text = "\
            address-space: memory\r\n\
            \x20 0000000000000000-ffffffffffffffff (prio 0, i/o): system\r\n\
            \x20   0000000000000000-000000007fffffff (prio 0, ram): alias ram-below-4g @ram0 0000000000000000-000000007fffffff\r\n\
            \x20   0000000100000000-000000013fffffff (prio 0, ram): alias ram-above-4g @ram0 0000000080000000-00000000bfffffff\r\n\
            address-space: again\r\n\
            \x20   0000000000000000-000000007fffffff (prio 0, ram): alias ram-below-4g @ram0 0000000000000000-000000007fffffff\r\n";
        let ram = |address, size, offset| Ram {
            address,
            size,
            offset,
        };
        let expected = [ram(0, 2 << 30, 0), ram(4 << 30, 1 << 30, 2 << 30)];
        assert_eq!(parse_layout(text), expected);
        assert_eq!(parse_layout("x alias ram-below-4g y"), []);
    }
}
