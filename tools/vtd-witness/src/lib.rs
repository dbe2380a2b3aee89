// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Translates DMA requests the way VT-d hardware in scalable mode does, from the tables that
//! the guest's IOMMU driver keeps in guest memory.
//!
//! It shares no code with the IOMMU model of the machine emulator, keeps no IOTLB and no PASID
//! cache, and only reads: it is a second opinion on what the tables say at this instant.
//!
//! Section numbers are those of the "Intel Virtualization Technology for Directed I/O
//! Architecture Specification", revision 4.1 (chapter 9: tables, 7.1.3: fault conditions,
//! 11.4: registers).

mod context;
mod fault;
mod first_stage;
mod memory;
mod pasid;
mod registers;
mod second_stage;

pub use fault::Fault;
pub use pasid::{AddressSpace, TranslationType};
pub use registers::Registers;

use vm_memory::GuestMemory;

/// Who sends a DMA request, and under which PASID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// PCI bus number.
    pub bus: u8,
    /// PCI device number (bits 7:3) and function number (bits 2:0).
    pub devfn: u8,
    /// PASID of the request's TLP prefix; `None` for a request without PASID.
    pub pasid: Option<u32>,
}

/// What a DMA request does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The device reads memory.
    Read,
    /// The device writes memory.
    Write,
}

/// Where an IOVA lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Physical address of the very byte that was asked for.
    pub address: u64,
    /// Size in bytes of the page (4 KiB, 2 MiB or 1 GiB) that maps it. For pass-through, where
    /// there are no pages, 4 KiB.
    pub size: u64,
    /// The access is forced to snoop processor caches (PASID entry or leaf entry).
    pub snoop: bool,
    /// The entry of first-stage tables that maps it, which has flags that hardware sets.
    pub leaf: Option<Leaf>,
}

/// A leaf entry of first-stage tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Physical address of the entry.
    pub at: u64,
    /// What it was when the page was looked up.
    pub entry: u64,
}

impl Leaf {
    /// The entry as hardware leaves it (3.6.2): accessed, and dirty if the access is a write.
    pub fn after(&self, access: Access) -> u64 {
        const ACCESSED: u64 = 1 << 5;
        const DIRTY: u64 = 1 << 6;

        match access {
            Access::Read => self.entry | ACCESSED,
            Access::Write => self.entry | ACCESSED | DIRTY,
        }
    }
}

impl Page {
    /// Bytes from this address to the end of its page.
    pub fn remaining(&self) -> u64 {
        self.size - (self.address & (self.size - 1))
    }
}

/// Translates one request: the tables are walked from the root.
pub fn translate<M: GuestMemory>(
    memory: &M,
    registers: &Registers,
    source: Source,
    iova: u64,
    access: Access,
) -> Result<Page, Fault> {
    AddressSpace::lookup(memory, registers, source)?.translate(memory, iova, access)
}
