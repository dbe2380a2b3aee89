// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Root table and scalable-mode context table: from a device to its PASID directory.

use vm_memory::GuestMemory;

use crate::memory::{bits, read, read_entry, PAGE_MASK};
use crate::{Fault, Registers, Source};

/// Where a request's PASID directory is, and which of its PASIDs the request uses.
pub struct Context {
    /// Address of the PASID directory.
    pub directory: u64,
    /// The PASID of the request, or RID_PASID. It is within the directory.
    pub pasid: u32,
}

impl Context {
    /// Finds the context of a request.
    pub fn lookup<M: GuestMemory>(
        memory: &M,
        registers: &Registers,
        source: Source,
    ) -> Result<Self, Fault> {
        let root = registers.root_table(source.pasid.is_some())?;
        let table = context_table(memory, registers, root, source)?;
        context_entry(memory, registers, table, source)
    }
}

/// Scalable-mode root entry (9.2): one pointer for devices 0 to 15, one for 16 to 31.
fn context_table<M: GuestMemory>(
    memory: &M,
    registers: &Registers,
    root: u64,
    source: Source,
) -> Result<u64, Fault> {
    let half = u64::from(source.devfn >> 7);
    let address = root + u64::from(source.bus) * 16 + half * 8;
    let entry = read(memory, address, Fault::RootEntryAccess)?;

    if entry & 1 == 0 {
        return Err(Fault::RootEntryNotPresent);
    }
    if entry & (bits(11, 1) | registers.beyond_host_address_width()) != 0 {
        return Err(Fault::RootEntryReserved);
    }
    Ok(entry & PAGE_MASK)
}

/// Scalable-mode context entry (9.4), 32 bytes.
fn context_entry<M: GuestMemory>(
    memory: &M,
    registers: &Registers,
    table: u64,
    source: Source,
) -> Result<Context, Fault> {
    const PASIDE: u64 = 1 << 3;

    let address = table + u64::from(source.devfn & 0x7f) * 32;
    let entry: [u64; 4] = read_entry(memory, address, Fault::ContextEntryAccess)?;
    let [low, high, third, fourth] = entry;

    if low & 1 == 0 {
        return Err(Fault::ContextEntryNotPresent);
    }
    let reserved = low & (bits(8, 5) | registers.beyond_host_address_width())
        | high & bits(63, 21)
        | third
        | fourth;
    if reserved != 0 {
        return Err(Fault::ContextEntryReserved);
    }

    // PDTS: the directory has 2^(PDTS + 7) entries of 64 PASIDs each.
    let pdts = ((low >> 9) & 7) as u32;
    let limit = 1u32 << (pdts + 7 + 6);
    let pasid = match source.pasid {
        Some(_) if low & PASIDE == 0 => return Err(Fault::PasidNotEnabled),
        Some(pasid) if pasid >= limit => return Err(Fault::PasidTooLarge),
        Some(pasid) => pasid,
        None if !registers.rid_pasid() => 0,
        None => {
            let pasid = (high & bits(19, 0)) as u32;
            if pasid >= limit {
                return Err(Fault::RidPasidTooLarge);
            }
            pasid
        }
    };
    Ok(Context {
        directory: low & PAGE_MASK,
        pasid,
    })
}
