// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Page requests (PCI Express 5.0, 10.4; VT-d 7.4 to 7.7): the device asks the processor for a
//! page, and waits for the answer to the group of requests that it is.
//!
//! A remapping unit of hardware would put the request into its queue, and pass the answer on. QEMU
//! does neither for a vfio-user device, so this is done here: the request is written to the queue
//! in guest memory, and the answer is found among the descriptors that the driver gives the unit.

use std::thread::sleep;
use std::time::{Duration, Instant};

use vm_memory::{Bytes, GuestAddress, GuestMemory};
use vtd_witness::Access;

/// Between two looks for the answer. The driver's queue has 256 descriptors, and is not filled in
/// that time.
const PAUSE: Duration = Duration::from_micros(200);

// Offsets of registers of the unit (VT-d 11.4).
const INVALIDATION_TAIL: u64 = 0x88;
const INVALIDATION_ADDRESS: u64 = 0x90;
const REQUEST_HEAD: u64 = 0xc0;
const REQUEST_TAIL: u64 = 0xc8;
const REQUEST_ADDRESS: u64 = 0xd0;
/// Control in the lower half, data in the upper.
const EVENT_CONTROL: u64 = 0xe0;
const EVENT_ADDRESS: u64 = 0xe8;

/// Bytes of a descriptor in the queue of page requests.
const DESCRIPTOR: u64 = 32;

/// What the device asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Bus number (bits 15:8) and devfn (bits 7:0) of the device.
    pub requester: u16,
    /// PASID of the space.
    pub pasid: u32,
    /// An address of the page.
    pub address: u64,
    /// What the device wants to do there.
    pub access: Access,
    /// Page request group index, 9 bits: which request an answer is of.
    pub group: u16,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The page is there.
    Success,
    /// There is no such page, or it must not be accessed so.
    Invalid,
    /// The queue had no room; the unit answers for the driver.
    QueueFull,
    /// None came.
    Nothing,
}

/// The registers of the unit, and what it writes to besides memory.
pub trait Unit {
    /// Reads the register at `offset`.
    fn read(&mut self, offset: u64) -> Result<u64, String>;
    /// Writes it.
    fn write(&mut self, offset: u64, value: u64) -> Result<(), String>;
    /// Sends the message that an interrupt is.
    fn interrupt(&mut self, address: u64, data: u32) -> Result<(), String>;
}

/// Asks, and waits for the answer, but no longer than `patience`.
pub fn ask<M: GuestMemory>(
    unit: &mut impl Unit,
    memory: &M,
    request: &PageRequest,
    patience: Duration,
) -> Result<Answer, String> {
    let mut answers = Answers::from_now(unit)?;
    let sent = put(unit, memory, request)?;
    // Also without room: the driver is told that there was an overflow.
    interrupt(unit)?;
    if !sent {
        return Ok(Answer::QueueFull);
    }
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if let Some(answer) = answers.find(unit, memory, request)? {
            return Ok(answer);
        }
        sleep(PAUSE);
    }
    Ok(Answer::Nothing)
}

/// Fills the queue with the same request, and tells nobody. Returns how many there was room for.
pub fn fill<M: GuestMemory>(
    unit: &mut impl Unit,
    memory: &M,
    request: &PageRequest,
) -> Result<u32, String> {
    let mut count = 0;
    while put(unit, memory, request)? {
        count += 1;
    }
    Ok(count)
}

/// Puts a request into the queue; whether there was room.
fn put<M: GuestMemory>(
    unit: &mut impl Unit,
    memory: &M,
    request: &PageRequest,
) -> Result<bool, String> {
    const TYPE: u64 = 1;
    const PASID_PRESENT: u64 = 1 << 8;
    const LAST: u64 = 1 << 2;

    let address = unit.read(REQUEST_ADDRESS)?;
    let mask = (4096 << (address & 7)) - DESCRIPTOR;
    let tail = unit.read(REQUEST_TAIL)? & mask;
    let next = (tail + DESCRIPTOR) & mask;
    if next == unit.read(REQUEST_HEAD)? & mask {
        return Ok(false);
    }
    let access = match request.access {
        Access::Read => 1,
        Access::Write => 2,
    };
    let words = [
        TYPE | PASID_PRESENT
            | (u64::from(request.requester) << 16)
            | (u64::from(request.pasid) << 32),
        access | LAST | (u64::from(request.group & 0x1ff) << 3) | (request.address & !0xfff),
        0,
        0,
    ];
    for (at, word) in ((address & !0xfff) + tail..).step_by(8).zip(words) {
        memory
            .write_obj(word.to_le(), GuestAddress(at))
            .map_err(|error| format!("the queue of page requests is no memory: {error}"))?;
    }
    unit.write(REQUEST_TAIL, next)?;
    Ok(true)
}

/// Page request event (VT-d 7.8).
fn interrupt(unit: &mut impl Unit) -> Result<(), String> {
    const MASKED: u64 = 1 << 31;

    let control = unit.read(EVENT_CONTROL)?;
    if control & MASKED != 0 {
        return Ok(());
    }
    let address = unit.read(EVENT_ADDRESS)?;
    unit.interrupt(address, (control >> 32) as u32)
}

/// The descriptors that the driver gives the unit from some moment on.
struct Answers {
    seen: u64,
}

impl Answers {
    fn from_now(unit: &mut impl Unit) -> Result<Self, String> {
        Ok(Self {
            seen: unit.read(INVALIDATION_TAIL)?,
        })
    }

    /// The answer to `request`, if it has come by now: a page group response descriptor
    /// (VT-d 7.7.1).
    fn find<M: GuestMemory>(
        &mut self,
        unit: &mut impl Unit,
        memory: &M,
        request: &PageRequest,
    ) -> Result<Option<Answer>, String> {
        const WIDE: u64 = 1 << 11;
        const RESPONSE: u64 = 9;

        let address = unit.read(INVALIDATION_ADDRESS)?;
        let width = if address & WIDE != 0 { 32 } else { 16 };
        let mask = (4096 << (address & 7)) - width;
        let end = unit.read(INVALIDATION_TAIL)? & mask;
        let mut at = self.seen & mask;
        while at != end {
            let word = |offset| {
                memory
                    .read_obj(GuestAddress((address & !0xfff) + at + offset))
                    .map(u64::from_le)
                    .map_err(|error| format!("the invalidation queue is no memory: {error}"))
            };
            let (low, high): (u64, u64) = (word(0)?, word(8)?);
            at = (at + width) & mask;
            let is_ours = low & 0xf == RESPONSE
                && (low >> 16) as u16 == request.requester
                && (low >> 32) as u32 & 0xf_ffff == request.pasid
                && (high >> 3) as u16 & 0x1ff == request.group & 0x1ff;
            if is_ours {
                self.seen = at;
                return Ok(Some(match (low >> 12) & 0xf {
                    0 => Answer::Success,
                    _ => Answer::Invalid,
                }));
            }
        }
        self.seen = end;
        Ok(None)
    }
}
