// SPDX-License-Identifier: Apache-2.0 OR MIT

//! PASID directory and PASID table: from a PASID to an address space.

use vm_memory::GuestMemory;

use crate::context::Context;
use crate::memory::{bits, read, read_entry, PAGE_MASK};
use crate::{first_stage, second_stage, Access, Fault, Page, Registers, Source};

/// How a PASID table entry translates (9.6, PGTT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TranslationType {
    /// First-stage tables, which have the processor's format.
    FirstStage = 1,
    /// Second-stage tables.
    SecondStage = 2,
    /// No translation.
    PassThrough = 4,
}

/// Levels and address of the tables.
#[derive(Clone, Copy, Debug)]
enum Tables {
    FirstStage { levels: u32, top: u64 },
    SecondStage { levels: u32, top: u64 },
    PassThrough,
}

/// What a PASID table entry says: the address space of a request.
#[derive(Clone, Copy, Debug)]
pub struct AddressSpace {
    registers: Registers,
    tables: Tables,
    with_pasid: bool,
    page_snoop: bool,
}

impl AddressSpace {
    /// Finds the address space of a request: root, context, PASID directory, PASID table.
    pub fn lookup<M: GuestMemory>(
        memory: &M,
        registers: &Registers,
        source: Source,
    ) -> Result<Self, Fault> {
        let context = Context::lookup(memory, registers, source)?;
        let table = pasid_table(memory, registers, &context)?;
        let address = table + u64::from(context.pasid & 0x3f) * 64;
        let entry: [u64; 8] = read_entry(memory, address, Fault::PasidEntryAccess)?;

        Ok(Self {
            registers: *registers,
            tables: tables(registers, &entry)?,
            with_pasid: source.pasid.is_some(),
            page_snoop: entry[1] & PGSNP != 0,
        })
    }

    /// How this address space translates.
    pub fn translation_type(&self) -> TranslationType {
        match self.tables {
            Tables::FirstStage { .. } => TranslationType::FirstStage,
            Tables::SecondStage { .. } => TranslationType::SecondStage,
            Tables::PassThrough => TranslationType::PassThrough,
        }
    }

    /// The PASID entry forces every access to snoop processor caches (9.6, PGSNP).
    pub fn page_snoop(&self) -> bool {
        self.page_snoop
    }

    /// Translates one IOVA. The privilege is user; execute is never asked for.
    pub fn translate<M: GuestMemory>(
        &self,
        memory: &M,
        iova: u64,
        access: Access,
    ) -> Result<Page, Fault> {
        // 3.14: with a PASID, the interrupt range is translated like any other address.
        if !self.with_pasid && is_interrupt(iova) {
            return Err(Fault::InterruptInput);
        }
        let registers = &self.registers;
        let mut page = match self.tables {
            Tables::FirstStage { levels, top } => {
                first_stage::walk(memory, registers, levels, top, iova, access)?
            }
            Tables::SecondStage { levels, top } => {
                second_stage::walk(memory, registers, levels, top, iova, access)?
            }
            Tables::PassThrough => pass_through(registers, iova)?,
        };
        if is_interrupt(page.address) {
            return Err(Fault::InterruptOutput);
        }
        page.snoop |= self.page_snoop;
        Ok(page)
    }
}

/// PASID directory entry (9.5): a pointer to a table of 64 PASIDs.
fn pasid_table<M: GuestMemory>(
    memory: &M,
    registers: &Registers,
    context: &Context,
) -> Result<u64, Fault> {
    let address = context.directory + u64::from(context.pasid >> 6) * 8;
    let entry = read(memory, address, Fault::PasidDirectoryAccess)?;

    if entry & 1 == 0 {
        return Err(Fault::PasidDirectoryNotPresent);
    }
    if entry & (bits(11, 2) | registers.beyond_host_address_width()) != 0 {
        return Err(Fault::PasidDirectoryReserved);
    }
    Ok(entry & PAGE_MASK)
}

const PWSNP: u64 = 1 << 23;
const PGSNP: u64 = 1 << 24;

/// PASID table entry (9.6), 64 bytes.
fn tables(registers: &Registers, entry: &[u64; 8]) -> Result<Tables, Fault> {
    let [first, _, third, ..] = *entry;

    if first & 1 == 0 {
        return Err(Fault::PasidEntryNotPresent);
    }
    if reserved(registers, entry) != 0 {
        return Err(Fault::PasidEntryReserved);
    }

    let pgtt = (first >> 6) & 7;
    match pgtt {
        1 if registers.first_stage() => {
            let levels = match (third >> 2) & 3 {
                0 => 4,
                1 if registers.five_level() => 5,
                _ => return Err(Fault::PasidEntryInvalid),
            };
            let top = third & PAGE_MASK;
            Ok(Tables::FirstStage { levels, top })
        }
        2 if registers.second_stage() => {
            let aw = ((first >> 2) & 7) as u32;
            // AW 1, 2 and 3 are 39, 48 and 57 bits; other encodings are reserved.
            if !(1..=3).contains(&aw) || !registers.has_address_width(aw) {
                return Err(Fault::PasidEntryInvalid);
            }
            let top = first & PAGE_MASK;
            Ok(Tables::SecondStage {
                levels: aw + 2,
                top,
            })
        }
        3 if registers.nested() => Err(Fault::Nested),
        4 if registers.pass_through() => Ok(Tables::PassThrough),
        _ => Err(Fault::PasidEntryInvalid),
    }
}

/// Bits of a PASID table entry that must be zero and are not.
fn reserved(registers: &Registers, entry: &[u64; 8]) -> u64 {
    let [first, second, third, rest @ ..] = *entry;
    let beyond = registers.beyond_host_address_width();

    let mut second_mask = bits(22, 16);
    if !registers.page_walk_coherency() {
        second_mask |= PWSNP;
    }
    if !registers.snoop_control() {
        second_mask |= PGSNP;
    }
    if !registers.memory_types() {
        second_mask |= bits(63, 25);
    }
    rest.iter().fold(
        first & (bits(11, 10) | beyond) | second & second_mask | third & (bits(11, 8) | beyond),
        |sum, word| sum | word,
    )
}

/// Pass-through (3.9): the IOVA is the address, within the unit's address width.
fn pass_through(registers: &Registers, iova: u64) -> Result<Page, Fault> {
    if iova >> registers.max_address_width().min(63) != 0 {
        return Err(Fault::AddressTooWide);
    }
    Ok(Page {
        address: iova,
        size: 4096,
        snoop: false,
        leaf: None,
    })
}

/// The interrupt address range (3.14).
fn is_interrupt(address: u64) -> bool {
    (0xfee0_0000..0xfef0_0000).contains(&address)
}
