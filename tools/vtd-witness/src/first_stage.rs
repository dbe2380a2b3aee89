// SPDX-License-Identifier: Apache-2.0 OR MIT

//! First-stage translation (3.6, entries in 9.7).

use vm_memory::GuestMemory;

use crate::memory::{bits, read};
use crate::{Access, Fault, Leaf, Page, Registers};

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = bits(51, 12);

/// Translates `iova` with the `levels` (4 or 5) of tables at `top`.
pub fn walk<M: GuestMemory>(
    memory: &M,
    registers: &Registers,
    levels: u32,
    top: u64,
    iova: u64,
    access: Access,
) -> Result<Page, Fault> {
    if !is_canonical(iova, levels * 9 + 12) {
        return Err(Fault::NotCanonical);
    }

    let (mut table, mut rights) = (top, WRITE | USER);
    for level in (1..=levels).rev() {
        let shift = level * 9 + 3;
        let fault = if level == levels {
            Fault::FirstStageTopAccess
        } else {
            Fault::FirstStageAccess
        };
        let at = table + ((iova >> shift) & 0x1ff) * 8;
        let entry = read(memory, at, fault)?;

        if entry & PRESENT == 0 {
            return Err(Fault::FirstStageNotPresent);
        }
        let leaf = level == 1 || entry & LARGE != 0;
        if entry & reserved(registers, level, leaf) != 0 {
            return Err(Fault::FirstStageReserved);
        }
        rights &= entry;
        if leaf {
            check(rights, access)?;
            let size = 1 << shift;
            return Ok(Page {
                address: (entry & ADDRESS & !(size - 1)) | (iova & (size - 1)),
                size,
                snoop: false,
                leaf: Some(Leaf { at, entry }),
            });
        }
        table = entry & ADDRESS;
    }
    // Not reached: level 1 is always a leaf.
    Err(Fault::FirstStageNotPresent)
}

/// All bits above the highest of `width` equal it (3.6).
fn is_canonical(iova: u64, width: u32) -> bool {
    let sign = (iova as i64) >> (width - 1);
    sign == 0 || sign == -1
}

/// Bits of an entry that must be zero (9.7).
fn reserved(registers: &Registers, level: u32, leaf: bool) -> u64 {
    let size = match (level, leaf) {
        (1, _) | (_, false) => 0,
        (_, true) if !registers.first_stage_large(level) => LARGE,
        // Bit 12 of a large page is PAT.
        (_, true) => bits(level * 9 + 2, 13),
    };
    registers.paging_reserved() | size
}

/// A right must be granted at every level (3.6.1). Requests are user requests.
fn check(rights: u64, access: Access) -> Result<(), Fault> {
    if rights & USER == 0 {
        return Err(Fault::Supervisor);
    }
    if access == Access::Write && rights & WRITE == 0 {
        return Err(Fault::NoWrite);
    }
    Ok(())
}
