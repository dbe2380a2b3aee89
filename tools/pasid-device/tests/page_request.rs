// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Page requests, answered by a driver that is played here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::time::Duration;

use pasid_device::page_request::{ask, fill, Answer, PageRequest, Unit};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vtd_witness::Access;

const REQUESTS: u64 = 0x1_0000;
const DESCRIPTORS: u64 = 0x2_0000;
const WIDE: u64 = 1 << 11;

const REQUEST: PageRequest = PageRequest {
    requester: 0x0108,
    pasid: 0x8_0001,
    address: 0x7fff_1234_5678,
    access: Access::Write,
    group: 0x155,
};

/// A unit, and the driver that its interrupt wakes.
struct Machine {
    memory: GuestMemoryMmap,
    registers: HashMap<u64, u64>,
    interrupts: Vec<(u64, u32)>,
    /// Response codes of the answers that the driver gives to each request.
    codes: Vec<u64>,
    /// What it answers for, instead of the request's group.
    group: Option<u64>,
}

impl Machine {
    /// With a queue of 4 KiB for requests, 128, and of 256 wide descriptors.
    fn new(codes: &[u64]) -> Self {
        let registers = [
            (0x88, 0x1fe0),
            (0x90, DESCRIPTORS | WIDE | 1),
            (0xc0, 0xfe0),
            (0xc8, 0xfe0),
            (0xd0, REQUESTS),
            (0xe0, 0x21 << 32),
            (0xe8, 0xfee0_0000),
        ];
        Self {
            memory: GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x4_0000)]).unwrap(),
            registers: registers.into(),
            interrupts: Vec::new(),
            codes: codes.to_vec(),
            group: None,
        }
    }

    fn word(&self, address: u64) -> u64 {
        self.memory.read_obj(GuestAddress(address)).unwrap()
    }

    /// The driver's side: takes all requests, and answers.
    fn serve(&mut self) {
        while self.registers[&0xc0] != self.registers[&0xc8] {
            let head = self.registers[&0xc0];
            let (low, high) = (self.word(REQUESTS + head), self.word(REQUESTS + head + 8));
            self.registers.insert(0xc0, (head + 32) & 0xfe0);
            for code in self.codes.clone() {
                let at = DESCRIPTORS + self.registers[&0x88];
                let group = self.group.unwrap_or((high >> 3) & 0x1ff);
                let answer = 9 | (code << 12) | (low & !0xffff);
                self.memory.write_obj(answer, GuestAddress(at)).unwrap();
                self.memory
                    .write_obj(group << 3, GuestAddress(at + 8))
                    .unwrap();
                let tail = (self.registers[&0x88] + 32) & 0x1fff;
                self.registers.insert(0x88, tail);
            }
        }
    }
}

/// The memory is the machine's own; this is its other half.
struct Registers<'a>(&'a mut Machine);

impl Unit for Registers<'_> {
    fn read(&mut self, offset: u64) -> Result<u64, String> {
        Ok(self.0.registers[&offset])
    }

    fn write(&mut self, offset: u64, value: u64) -> Result<(), String> {
        self.0.registers.insert(offset, value);
        Ok(())
    }

    fn interrupt(&mut self, address: u64, data: u32) -> Result<(), String> {
        self.0.interrupts.push((address, data));
        self.0.serve();
        Ok(())
    }
}

fn ask_of(machine: &mut Machine) -> Answer {
    let memory = machine.memory.clone();
    let patience = Duration::from_millis(20);
    ask(&mut Registers(machine), &memory, &REQUEST, patience).unwrap()
}

#[test]
fn a_request_is_as_vt_d_says() {
    let mut machine = Machine::new(&[0]);
    assert_eq!(ask_of(&mut machine), Answer::Success);
    assert_eq!(machine.interrupts, [(0xfee0_0000, 0x21)]);
    // At the end of the queue, which goes on at its start.
    assert_eq!(machine.registers[&0xc8], 0);
    let words = [0, 8, 16, 24].map(|at| machine.word(REQUESTS + 0xfe0 + at));
    assert_eq!(words[0], 0x0008_0001_0108_0101);
    assert_eq!(words[1], 0x7fff_1234_5000 | (0x155 << 3) | (1 << 2) | 2);
    assert_eq!(words[2..], [0, 0]);
}

#[test]
fn the_answer_says_what_becomes_of_it() {
    assert_eq!(ask_of(&mut Machine::new(&[0])), Answer::Success);
    assert_eq!(ask_of(&mut Machine::new(&[1])), Answer::Invalid);
    assert_eq!(ask_of(&mut Machine::new(&[0xf])), Answer::Invalid);
    // The first one counts.
    assert_eq!(ask_of(&mut Machine::new(&[1, 0])), Answer::Invalid);
}

#[test]
fn the_answer_to_another_one_is_none() {
    let mut machine = Machine::new(&[0]);
    machine.group = Some(0x154);
    assert_eq!(ask_of(&mut machine), Answer::Nothing);
}

#[test]
fn a_queue_without_room_is_said_to_be_full() {
    let mut machine = Machine::new(&[0]);
    let memory = machine.memory.clone();
    let count = fill(&mut Registers(&mut machine), &memory, &REQUEST).unwrap();
    assert_eq!(count, 127);
    assert_eq!(machine.interrupts, []);
    assert_eq!(ask_of(&mut machine), Answer::QueueFull);
    // The driver is told, and has made room.
    assert_eq!(machine.interrupts.len(), 1);
    assert_eq!(ask_of(&mut machine), Answer::Success);
}

#[test]
fn an_event_that_is_masked_is_not_sent() {
    let mut machine = Machine::new(&[0]);
    machine.registers.insert(0xe0, (0x21 << 32) | (1 << 31));
    assert_eq!(ask_of(&mut machine), Answer::Nothing);
    assert_eq!(machine.interrupts, []);
}
