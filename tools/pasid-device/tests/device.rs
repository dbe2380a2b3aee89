// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Requests, from the doorbell to memory, with VT-d tables built on the host.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../vtd-witness/tests/tables/mod.rs"]
mod tables;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use pasid_device::config::Model;
use pasid_device::device::Device;
use pasid_device::dma::{carry_out, lock, Platform, View};
use pasid_device::page_request::{Answer, PageRequest};
use pasid_device::registers::{MAGIC, WINDOW_SIZE};
use pasid_device::status::{Refusal, BUSY, DONE, IDLE};
use pasid_device::translations::Trace;
use proptest::prelude::*;
use tables::*;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vtd_witness::Fault;

const READ: u32 = 1;
const WRITE: u32 = 2;
const FILL: u32 = 3;
const TAGGED: u32 = (1 << 31) | PASID;
const IOVA: u64 = 0x7000_0000;
/// Two frames of guest memory that are no tables, apart and in reverse order.
const FRAMES: [u64; 2] = [DATA - 0x1000, DATA - 0x3000];
/// Present, write, user; and accessed and dirty, so that the device has nothing to set.
const SEEN: u64 = 0x67;
const DEVCTL: u64 = 0x58;
const PASID_CONTROL: u64 = 0x106;

const MODEL: Model = Model {
    pasid_width: Some(20),
    tlp_prefix: true,
    ats: false,
    pri: false,
};

/// A machine, or none that answers.
struct Machine(Option<Tables>, Processor, Option<Trace>);

/// Who answers page requests.
#[derive(Default)]
struct Processor {
    asked: Vec<PageRequest>,
    /// Answers, the first one first; then there are no more such pages.
    answers: VecDeque<Answer>,
    /// A table entry, and what it is when the page is there.
    page: Option<(u64, u64)>,
}

impl Platform for Machine {
    type Memory = GuestMemoryMmap;

    fn view(&mut self) -> Result<View<'_, GuestMemoryMmap>, String> {
        let tables = self.0.as_ref().ok_or("no platform in this test")?;
        Ok(View {
            requester: (u16::from(BUS) << 8) | u16::from(DEVFN),
            registers: tables.registers,
            memory: &tables.memory,
            trace: self.2.as_mut(),
        })
    }

    fn request_page(&mut self, request: &PageRequest) -> Result<Answer, String> {
        self.1.asked.push(*request);
        let answer = self.1.answers.pop_front().unwrap_or(Answer::Invalid);
        if let (Answer::Success, Some((entry, value)), Some(tables)) =
            (answer, self.1.page, &self.0)
        {
            let entry = GuestAddress(entry);
            tables.memory.write_obj(value, entry).unwrap();
        }
        Ok(answer)
    }

    fn fill_queue(&mut self, request: &PageRequest) -> Result<u32, String> {
        self.1.asked.push(*request);
        Ok(127)
    }
}

/// A device whose tables map two pages at IOVA for PASID.
struct Bench {
    device: Mutex<Device>,
    platform: Machine,
    leaves: [u64; 2],
}

impl Bench {
    fn new() -> Self {
        Self::with(MODEL)
    }

    fn with(model: Model) -> Self {
        let tables = Tables::new();
        let top = tables.attach(PASID, FS);
        let leaves = [0, 1].map(|page: usize| {
            let iova = IOVA + page as u64 * 4096;
            tables.map(top, 4, 1, iova, FRAMES[page], SEEN)[3]
        });
        let device = Mutex::new(Device::new(model));
        lock(&device).write_config(0x04, &[4, 0]);
        lock(&device).write_config(PASID_CONTROL, &[1, 0]);
        Self {
            device,
            platform: Machine(Some(tables), Processor::default(), None),
            leaves,
        }
    }

    fn put(&self, offset: u64, value: u32) {
        lock(&self.device).write_bar(offset, &value.to_le_bytes());
    }

    fn get(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        lock(&self.device).registers.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    /// Sets a request up and rings the doorbell; returns STATUS after it has been carried out.
    fn run(&mut self, pasid: u32, iova: u64, length: u32, command: u32) -> u32 {
        self.put(0x08, pasid);
        self.put(0x0c, length);
        lock(&self.device).write_bar(0x10, &iova.to_le_bytes());
        let transfer = lock(&self.device).write_bar(0x18, &command.to_le_bytes());
        if let Some(transfer) = transfer {
            assert_eq!(self.get(0x1c), BUSY);
            carry_out(&transfer, &self.device, &mut self.platform);
        }
        self.get(0x1c)
    }

    fn fault_address(&self) -> u64 {
        (u64::from(self.get(0x24)) << 32) | u64::from(self.get(0x20))
    }

    fn tables(&self) -> &Tables {
        self.platform.0.as_ref().unwrap()
    }

    fn memory(&self, address: u64, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        let memory = &self.tables().memory;
        memory.read_slice(&mut data, GuestAddress(address)).unwrap();
        data
    }
}

fn refused(refusal: Refusal) -> u32 {
    refusal as u32
}

fn blocked(fault: Fault) -> u32 {
    fault.code().into()
}

fn pattern() -> Vec<u8> {
    (0..WINDOW_SIZE)
        .map(|at| (at * 7 + at / 256) as u8)
        .collect()
}

#[test]
fn says_what_it_is() {
    let bench = Bench::new();
    assert_eq!(bench.get(0x00), MAGIC);
    assert_eq!(bench.get(0x04), 1);
    assert_eq!(bench.get(0x1c), IDLE);
}

#[test]
fn writes_and_reads_across_pages() {
    let mut bench = Bench::new();
    lock(&bench.device).write_bar(0x1000, &pattern());
    assert_eq!(bench.run(TAGGED, IOVA + 0xff0, 0x30, WRITE), DONE);
    assert_eq!(bench.memory(FRAMES[0] + 0xff0, 0x10), pattern()[..0x10]);
    assert_eq!(bench.memory(FRAMES[1], 0x20), pattern()[0x10..0x30]);
    assert_eq!(bench.memory(FRAMES[1] + 0x20, 1), [0]);
    assert_eq!(bench.memory(FRAMES[0] + 0xfef, 1), [0]);

    lock(&bench.device).write_bar(0x1000, &[0; WINDOW_SIZE]);
    assert_eq!(bench.run(TAGGED, IOVA + 0xff0, 0x30, READ), DONE);
    let window = lock(&bench.device).registers.window(0x31);
    assert_eq!(window[..0x30], pattern()[..0x30]);
    assert_eq!(window[0x30], 0);

    assert_eq!(bench.get(0x28), 0x30, "TRANSFERRED");
    assert_eq!(bench.get(0x2c), (1 << 12) | 12, "PAGE_INFO");
    assert_eq!(bench.get(0x30), 0x03d1, "REQUESTER");
    assert_eq!(bench.get(0x34), 2, "COMPLETED");
    assert_eq!(bench.get(0x38), 0, "FAILED");
}

#[test]
fn a_fault_midway_says_how_far_it_came() {
    let mut bench = Bench::new();
    lock(&bench.device).write_bar(0x1000, &pattern());
    bench.tables().put(bench.leaves[1], 0);
    let status = bench.run(TAGGED, IOVA + 0xf00, 0x200, WRITE);
    assert_eq!(status, blocked(Fault::FirstStageNotPresent));
    assert_eq!(bench.get(0x28), 0x100);
    assert_eq!(bench.fault_address(), IOVA + 0x1000);
    assert_eq!(bench.memory(FRAMES[0] + 0xf00, 0x100), pattern()[..0x100]);
    assert_eq!(bench.memory(FRAMES[1], 0x100), [0; 0x100]);
    assert_eq!((bench.get(0x34), bench.get(0x38)), (0, 1));
    assert_eq!(bench.get(0x2c), 1 << 12, "no page, first stage");
}

#[test]
fn each_piece_is_translated_anew() {
    let mut bench = Bench::new();
    // The first piece overwrites the PASID table, so the second finds no address space.
    let table = bench.tables().pasid_entry(PASID) & !0xfff;
    bench.tables().put(bench.leaves[0], table | 7);
    let status = bench.run(TAGGED, IOVA + 0x100, 0x1000, WRITE);
    assert_eq!(status, blocked(Fault::PasidEntryNotPresent));
    assert_eq!(bench.get(0x28), 0xf00);
    assert_eq!(bench.get(0x2c), 0, "PAGE_INFO");
}

#[test]
fn whoever_reclaims_memory_learns_of_accesses() {
    const ACCESSED: u64 = 1 << 5;
    const DIRTY: u64 = 1 << 6;

    let mut bench = Bench::new();
    let before = bench.leaves.map(|leaf| {
        let entry = bench.tables().get(leaf) & !(ACCESSED | DIRTY);
        bench.tables().put(leaf, entry);
        entry
    });
    assert_eq!(bench.run(TAGGED, IOVA, 8, READ), DONE);
    assert_eq!(bench.tables().get(bench.leaves[0]), before[0] | ACCESSED);
    assert_eq!(bench.run(TAGGED, IOVA, 8, WRITE), DONE);
    let after = before[0] | ACCESSED | DIRTY;
    assert_eq!(bench.tables().get(bench.leaves[0]), after);
    assert_eq!(bench.tables().get(bench.leaves[1]), before[1]);

    // Nothing of what must not be written.
    bench.tables().put(bench.leaves[1], before[1] & !2);
    let status = bench.run(TAGGED, IOVA + 0x1000, 8, WRITE);
    assert_eq!(status, blocked(Fault::NoWrite));
    assert_eq!(bench.tables().get(bench.leaves[1]), before[1] & !2);
}

/// A device with ATS that keeps translations, and the trace that it reads.
fn bench_with_trace(name: &str) -> (Bench, File) {
    const ATS_CONTROL: u64 = 0x106;

    let mut bench = Bench::with(Model { ats: true, ..MODEL });
    lock(&bench.device).write_config(ATS_CONTROL, &[0, 1 << 7]);
    lock(&bench.device).write_config(PASID_CONTROL + 0x10, &[1, 0]);
    let path = std::env::temp_dir().join(format!("pasid-device-{}-{name}", std::process::id()));
    let trace = File::create(&path).unwrap();
    bench.platform.2 = Some(Trace::open(&path).unwrap());
    std::fs::remove_file(path).unwrap();
    (bench, trace)
}

const KEPT: u32 = 1 << 9;

/// What QEMU traces: `requester` shall forget the page at `iova` of PASID.
fn invalidation(requester: u64, iova: u64) -> String {
    let low = 8 | (requester << 16) | (u64::from(PASID) << 32);
    format!("vtd_inv_desc invalidate desc type device-piotlb high {iova:#x} low {low:#x}\n")
}

#[test]
fn a_translation_is_kept_until_it_is_invalid() {
    let (mut bench, mut trace) = bench_with_trace("kept");
    assert_eq!(bench.run(TAGGED, IOVA, 8, READ), DONE);
    assert_eq!(bench.get(0x2c) & KEPT, 0);
    bench.tables().put(bench.leaves[0], 0);
    assert_eq!(bench.run(TAGGED, IOVA + 8, 8, READ), DONE);
    assert_eq!(bench.get(0x2c), KEPT);

    // Of the other page, of another device; half a line.
    let ours = invalidation(0x03d1, IOVA);
    let (half, rest) = ours.split_at(ours.len() - 3);
    let text = [
        &invalidation(0x03d1, IOVA + 0x1000),
        &invalidation(0x03d0, IOVA),
        half,
    ];
    trace.write_all(text.concat().as_bytes()).unwrap();
    assert_eq!(bench.run(TAGGED, IOVA, 8, READ), DONE);
    trace.write_all(rest.as_bytes()).unwrap();
    let nothing = blocked(Fault::FirstStageNotPresent);
    assert_eq!(bench.run(TAGGED, IOVA, 8, READ), nothing);
    assert_eq!(bench.get(0x2c) & KEPT, 0);
}

#[test]
fn a_translation_is_kept_for_what_it_allows() {
    let (mut bench, _trace) = bench_with_trace("rights");
    let leaf = bench.tables().get(bench.leaves[0]);
    bench.tables().put(bench.leaves[0], leaf & !2);
    assert_eq!(bench.run(TAGGED, IOVA, 8, READ), DONE);
    let status = bench.run(TAGGED, IOVA, 8, WRITE);
    assert_eq!(status, blocked(Fault::NoWrite));
    // Without PASID there is another space.
    let nothing = blocked(Fault::PasidDirectoryNotPresent);
    assert_eq!(bench.run(PASID, IOVA, 8, READ), nothing);
}

#[test]
fn no_translation_is_kept_over_a_reset_or_without_ats() {
    let (mut bench, _trace) = bench_with_trace("reset");
    assert_eq!(bench.run(TAGGED, IOVA, 8, READ), DONE);
    bench.tables().put(bench.leaves[0], 0);
    let nothing = blocked(Fault::FirstStageNotPresent);
    lock(&bench.device).write_config(0x106, &[0, 0]);
    lock(&bench.device).write_config(0x106, &[0, 1 << 7]);
    assert_eq!(bench.run(TAGGED, IOVA, 8, READ), nothing);

    assert_eq!(bench.run(TAGGED, IOVA + 0x1000, 8, READ), DONE);
    bench.tables().put(bench.leaves[1], 0);
    lock(&bench.device).write_config(DEVCTL, &[0, 1 << 7]);
    lock(&bench.device).write_config(0x04, &[4, 0]);
    lock(&bench.device).write_config(0x106, &[0, 1 << 7]);
    lock(&bench.device).write_config(PASID_CONTROL + 0x10, &[1, 0]);
    assert_eq!(bench.run(TAGGED, IOVA + 0x1000, 8, READ), nothing);
}

#[test]
fn odd_register_writes_are_ignored() {
    let bench = Bench::new();
    let write = |offset: u64, data: &[u8]| {
        let transfer = lock(&bench.device).write_bar(offset, data);
        assert!(transfer.is_none());
    };
    for length in [1, 2, 3, 5, 6, 7, 12, 16] {
        write(0x08, &vec![0xff; length]);
    }
    for offset in [0x05, 0x06, 0x07, 0x09, 0x0a] {
        write(offset, &[0xff; 4]);
    }
    write(0x0c, &[0xff; 8]);
    for register in (0x08..0x40).step_by(4) {
        assert_eq!(bench.get(register), 0, "register {register:#x}");
    }
    write(0x08, &[1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!((bench.get(0x08), bench.get(0x0c)), (1, 2));
}

#[test]
fn refuses_what_a_device_would_not_send() {
    let mut bench = Bench::new();
    let too_long = WINDOW_SIZE as u32 + 1;
    assert_eq!(bench.run(TAGGED, IOVA, 8, 0), refused(Refusal::BadCommand));
    assert_eq!(bench.run(TAGGED, IOVA, 8, 4), refused(Refusal::BadCommand));
    assert_eq!(
        bench.run(TAGGED, IOVA, 0, READ),
        refused(Refusal::BadLength)
    );
    assert_eq!(
        bench.run(TAGGED, IOVA, too_long, READ),
        refused(Refusal::BadLength)
    );
    assert_eq!(
        bench.run(TAGGED, u64::MAX, 8, READ),
        refused(Refusal::AddressWraps)
    );
    assert_eq!(bench.fault_address(), u64::MAX);
    assert_eq!(
        bench.run(TAGGED | (1 << 20), IOVA, 8, READ),
        refused(Refusal::PasidTooWide)
    );
    lock(&bench.device).write_config(PASID_CONTROL, &[0, 0]);
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, READ),
        refused(Refusal::PasidDisabled)
    );
    lock(&bench.device).write_config(0x04, &[0, 0]);
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, READ),
        refused(Refusal::BusMasterOff)
    );
    assert_eq!(bench.get(0x38), 8);
}

#[test]
fn refuses_pasids_that_its_model_has_not() {
    let mut bench = Bench::with(Model {
        pasid_width: None,
        ..MODEL
    });
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, READ),
        refused(Refusal::NoPasidCapability)
    );
    let mut bench = Bench::with(Model {
        tlp_prefix: false,
        ..MODEL
    });
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, READ),
        refused(Refusal::NoTlpPrefix)
    );
    let mut bench = Bench::with(Model {
        pasid_width: Some(8),
        ..MODEL
    });
    let tagged = 1 << 31;
    assert_eq!(
        bench.run(tagged | 256, IOVA, 8, READ),
        refused(Refusal::PasidTooWide)
    );
    let nothing = blocked(Fault::PasidDirectoryNotPresent);
    assert_eq!(bench.run(tagged | 255, IOVA, 8, READ), nothing);
}

#[test]
fn a_request_without_pasid_uses_rid_pasid() {
    let mut bench = Bench::new();
    let nothing = blocked(Fault::PasidDirectoryNotPresent);
    assert_eq!(bench.run(PASID, IOVA, 8, READ), nothing);
    let tables = bench.tables();
    tables.put(tables.context_entry + 8, PASID.into());
    assert_eq!(bench.run(PASID, IOVA, 8, READ), DONE);
}

#[test]
fn translated_to_no_memory() {
    let mut bench = Bench::new();
    bench.tables().put(bench.leaves[0], DATA + 7);
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, READ),
        refused(Refusal::NotMemory)
    );
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, WRITE),
        refused(Refusal::NotMemory)
    );
    bench.platform = Machine(None, Processor::default(), None);
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, WRITE),
        refused(Refusal::NoPlatform)
    );
}

/// Starts a write and leaves it under way.
fn pending(bench: &Bench) -> pasid_device::device::Transfer {
    lock(&bench.device).write_bar(0x1000, &pattern());
    bench.put(0x08, TAGGED);
    bench.put(0x0c, 16);
    lock(&bench.device).write_bar(0x10, &IOVA.to_le_bytes());
    let transfer = lock(&bench.device).write_bar(0x18, &WRITE.to_le_bytes());
    transfer.unwrap()
}

#[test]
fn reset_drops_the_request_under_way() {
    let mut bench = Bench::new();
    let transfer = pending(&bench);
    lock(&bench.device).write_config(DEVCTL, &[0, 0x80]);
    carry_out(&transfer, &bench.device, &mut bench.platform);
    assert_eq!(bench.memory(FRAMES[0], 16), [0; 16]);
    for register in (0x08..0x3c).step_by(4) {
        assert_eq!(bench.get(register), 0, "register {register:#x}");
    }
    assert_eq!(
        lock(&bench.device).registers.window(WINDOW_SIZE),
        [0; WINDOW_SIZE]
    );
    assert_eq!(bench.get(0x3c), 1, "RESETS");
    assert!(!lock(&bench.device).config.bus_master());
}

#[test]
fn bus_master_off_stops_the_request_under_way() {
    let mut bench = Bench::new();
    let transfer = pending(&bench);
    lock(&bench.device).write_config(0x04, &[0, 0]);
    carry_out(&transfer, &bench.device, &mut bench.platform);
    assert_eq!(bench.get(0x1c), refused(Refusal::BusMasterOff));
    assert_eq!(bench.memory(FRAMES[0], 16), [0; 16]);
}

#[test]
fn registers_do_not_change_the_request_under_way() {
    let mut bench = Bench::new();
    let transfer = pending(&bench);
    bench.put(0x08, 0);
    bench.put(0x10, 0);
    lock(&bench.device).write_bar(0x1000, &[0; 64]);
    let second = lock(&bench.device).write_bar(0x18, &READ.to_le_bytes());
    assert!(second.is_none(), "a doorbell while busy does nothing");
    carry_out(&transfer, &bench.device, &mut bench.platform);
    assert_eq!(bench.get(0x1c), DONE);
    assert_eq!(bench.memory(FRAMES[0], 16), pattern()[..16]);
}

#[test]
fn every_end_of_a_request_interrupts() {
    let mut bench = Bench::new();
    let (mut interrupt, device_end) = UnixStream::pair().unwrap();
    interrupt.set_nonblocking(true).unwrap();
    let file = File::from(OwnedFd::from(device_end));
    lock(&bench.device).set_interrupt(Some(file));
    let mut interrupts = || {
        let mut data = [0; 64];
        interrupt.read(&mut data).unwrap_or(0) / 8
    };
    bench.run(TAGGED, IOVA, 8, READ);
    assert_eq!(interrupts(), 1);
    bench.run(TAGGED, 0, 8, READ);
    assert_eq!(interrupts(), 1);
    bench.run(TAGGED, 0, 0, READ);
    assert_eq!(interrupts(), 1);
    lock(&bench.device).write_config(0x04, &[0, 0]);
    bench.run(TAGGED, IOVA, 8, READ);
    assert_eq!(interrupts(), 0, "an MSI needs bus mastering");
    lock(&bench.device).write_config(0x04, &[4, 0]);
    lock(&bench.device).set_interrupt(None);
    bench.run(TAGGED, IOVA, 8, READ);
    assert_eq!(interrupts(), 0);
}

#[test]
fn every_code_is_documented() {
    let page = include_str!("../../../Documentation/device.rst");
    let refusals = Refusal::ALL
        .iter()
        .map(|refusal| (*refusal as u16, format!("{refusal:?}")));
    let faults = Fault::ALL
        .iter()
        .map(|fault| (fault.code(), format!("{fault:?}")));
    for (code, name) in refusals.chain(faults) {
        let found = page
            .lines()
            .any(|line| line.contains(&format!("{code:#x} ")) && line.contains(&name));
        assert!(found, "device.rst lacks {code:#x} {name}");
    }
}

#[derive(Clone, Debug)]
enum Access {
    ReadBar(u64, usize),
    WriteBar(u64, Vec<u8>),
    WriteConfig(u64, Vec<u8>),
    Request(u32, u64, u32, u32),
}

fn accesses() -> impl Strategy<Value = Access> {
    let offset = || prop_oneof![0..0x40u64, 0..0x2100u64, any::<u64>()];
    let data = || prop::collection::vec(any::<u8>(), 0..40);
    let pasid = prop_oneof![Just(TAGGED), any::<u32>()];
    let iova = prop_oneof![IOVA - 8192..IOVA + 16384, any::<u64>()];
    let length = prop_oneof![0..0x1100u32, any::<u32>()];
    prop_oneof![
        (offset(), 0..5000usize).prop_map(|(at, length)| Access::ReadBar(at, length)),
        (offset(), data()).prop_map(|(at, data)| Access::WriteBar(at, data)),
        (offset(), data()).prop_map(|(at, data)| Access::WriteConfig(at, data)),
        (pasid, iova, length, 0..4u32).prop_map(|(a, b, c, d)| Access::Request(a, b, c, d)),
    ]
}

proptest! {
    /// Any sequence of accesses is survived, every request ends with a known status, and
    /// nothing but the two mapped frames is written.
    #[test]
    fn any_access(sequence in prop::collection::vec(accesses(), 1..60)) {
        let mut bench = Bench::new();
        let around = [(0, FRAMES[1] as usize), (FRAMES[1] + 4096, 4096)];
        let before = around.map(|(at, length)| bench.memory(at, length));
        let known: Vec<u32> = Refusal::ALL
            .iter()
            .map(|refusal| refused(*refusal))
            .chain(Fault::ALL.iter().map(|fault| blocked(*fault)))
            .chain([IDLE, DONE])
            .collect();
        for access in sequence {
            match access {
                Access::ReadBar(offset, length) => {
                    lock(&bench.device).registers.read(offset, &mut vec![0; length]);
                }
                Access::WriteBar(offset, data) => {
                    let transfer = lock(&bench.device).write_bar(offset, &data);
                    if let Some(transfer) = transfer {
                        carry_out(&transfer, &bench.device, &mut bench.platform);
                    }
                }
                Access::WriteConfig(offset, data) => {
                    lock(&bench.device).write_config(offset, &data);
                }
                Access::Request(pasid, iova, length, command) => {
                    bench.run(pasid, iova, length, command);
                }
            }
            prop_assert!(known.contains(&bench.get(0x1c)));
            prop_assert_eq!(bench.get(0x00), MAGIC);
        }
        prop_assert!(around.map(|(at, length)| bench.memory(at, length)) == before);
    }
}

const PRI_CONTROL: u64 = 0x114;

/// A device with page requests, whose second page is not there yet.
fn asking(answers: &[Answer]) -> Bench {
    let mut bench = Bench::with(Model {
        ats: true,
        pri: true,
        ..MODEL
    });
    lock(&bench.device).write_config(PASID_CONTROL + 0x20, &[1, 0]);
    lock(&bench.device).write_config(PRI_CONTROL, &[1, 0]);
    let leaf = bench.leaves[1];
    let memory = &bench.tables().memory;
    let value: u64 = memory.read_obj(GuestAddress(leaf)).unwrap();
    memory.write_obj(0u64, GuestAddress(leaf)).unwrap();
    bench.platform.1.page = Some((leaf, value));
    bench.platform.1.answers = answers.iter().copied().collect();
    bench
}

#[test]
fn a_page_that_is_not_there_is_asked_for() {
    let mut bench = asking(&[Answer::Success]);
    assert_eq!(bench.run(TAGGED, IOVA + 4000, 200, READ), DONE);
    assert_eq!(bench.get(0x28), 200);
    assert_eq!(bench.get(0x40), 1, "PAGE_REQUESTS");
    let asked = &bench.platform.1.asked;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].address, IOVA + 4096);
    assert_eq!(asked[0].pasid, PASID);
    assert_eq!(asked[0].requester, (u16::from(BUS) << 8) | u16::from(DEVFN));
}

#[test]
fn an_answer_that_is_none_is_a_fault() {
    let fault = u32::from(Fault::FirstStageNotPresent.code());
    for (answer, status) in [
        (Answer::Invalid, fault),
        (Answer::QueueFull, Refusal::QueueFull as u32),
        (Answer::Nothing, Refusal::NoAnswer as u32),
    ] {
        let mut bench = asking(&[answer]);
        assert_eq!(bench.run(TAGGED, IOVA + 4096, 8, READ), status);
        assert_eq!(bench.fault_address(), IOVA + 4096);
        assert_eq!(bench.platform.1.asked.len(), 1);
    }
}

#[test]
fn nobody_is_asked_for_ever() {
    let mut bench = asking(&[Answer::Success; 1000]);
    bench.platform.1.page = None;
    let fault = u32::from(Fault::FirstStageNotPresent.code());
    assert_eq!(bench.run(TAGGED, IOVA + 4096, 8, READ), fault);
    assert_eq!(bench.platform.1.asked.len(), 64);
}

#[test]
fn nobody_is_asked_unless_it_is_enabled() {
    let fault = u32::from(Fault::FirstStageNotPresent.code());
    let mut bench = asking(&[Answer::Success]);
    lock(&bench.device).write_config(PRI_CONTROL, &[0, 0]);
    assert_eq!(bench.run(TAGGED, IOVA + 4096, 8, READ), fault);
    assert_eq!(
        bench.run(TAGGED, IOVA, 8, FILL),
        Refusal::NoPageRequests as u32
    );
    assert_eq!(bench.platform.1.asked, []);
}

#[test]
fn the_queue_can_be_filled() {
    let mut bench = asking(&[]);
    assert_eq!(bench.run(TAGGED, IOVA, 8, FILL), DONE);
    assert_eq!(bench.get(0x28), 127);
    assert_eq!(bench.platform.1.asked[0].address, IOVA);
}
