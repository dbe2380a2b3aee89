// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Second-stage translation (3.7, entries in 9.8).

use vm_memory::GuestMemory;

use crate::memory::{bits, read};
use crate::{Access, Fault, Page, Registers};

const READ: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const SNOOP: u64 = 1 << 11;
const ADDRESS: u64 = bits(51, 12);

/// Translates `iova` with the `levels` (3 to 5) of tables at `top`.
pub fn walk<M: GuestMemory>(
    memory: &M,
    registers: &Registers,
    levels: u32,
    top: u64,
    iova: u64,
    access: Access,
) -> Result<Page, Fault> {
    let width = (levels * 9 + 12).min(registers.max_address_width());
    if iova >> width != 0 {
        return Err(Fault::AddressTooWide);
    }

    let (mut table, mut rights) = (top, READ | WRITE);
    for level in (1..=levels).rev() {
        let shift = level * 9 + 3;
        let fault = if level == levels {
            Fault::SecondStageTopAccess
        } else {
            Fault::SecondStageAccess
        };
        let entry = read(memory, table + ((iova >> shift) & 0x1ff) * 8, fault)?;

        if entry & (READ | WRITE) == 0 {
            return Err(Fault::SecondStageNotPresent);
        }
        let leaf = level == 1 || entry & LARGE != 0;
        if entry & reserved(registers, level, leaf) != 0 {
            return Err(Fault::SecondStageReserved);
        }
        rights &= entry;
        if leaf {
            check(rights, access)?;
            let size = 1 << shift;
            return Ok(Page {
                address: (entry & ADDRESS & !(size - 1)) | (iova & (size - 1)),
                size,
                snoop: entry & SNOOP != 0,
                leaf: None,
            });
        }
        table = entry & ADDRESS;
    }
    // Not reached: level 1 is always a leaf.
    Err(Fault::SecondStageNotPresent)
}

/// Bits of an entry that must be zero (9.8).
fn reserved(registers: &Registers, level: u32, leaf: bool) -> u64 {
    let snoop = if leaf && registers.snoop_control() {
        0
    } else {
        SNOOP
    };
    let size = match (level, leaf) {
        (1, _) | (_, false) => 0,
        (_, true) if !registers.second_stage_large(level) => LARGE,
        (_, true) => bits(level * 9 + 2, 12),
    };
    registers.paging_reserved() | snoop | size
}

/// A right must be granted at every level (3.7.1).
fn check(rights: u64, access: Access) -> Result<(), Fault> {
    match access {
        Access::Read if rights & READ == 0 => Err(Fault::NoRead),
        Access::Write if rights & WRITE == 0 => Err(Fault::NoWrite),
        _ => Ok(()),
    }
}
