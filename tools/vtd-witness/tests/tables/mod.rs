// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Builds VT-d tables in memory, entry by entry, and remembers where each entry is so that a
//! test can break it.

#![allow(clippy::unwrap_used, dead_code)]

use std::cell::Cell;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vtd_witness::{translate, Access, Fault, Page, Registers, Source};

/// Size in bytes of the memory, which begins at 0.
pub const MEMORY: usize = 16 << 20;

/// Where the tables end: tests map addresses from here on, which need not be memory.
pub const DATA: u64 = MEMORY as u64;

pub const BUS: u8 = 3;
pub const DEVFN: u8 = 0xd1;
pub const PASID: u32 = 0x1234;

pub const FS: u64 = 1;
pub const SS: u64 = 2;

/// A unit with all that the library knows, scalable mode, translation on.
pub fn registers(root: u64) -> Registers {
    Registers {
        // FS5LP, FS1GP, SSLPS 2M and 1G, MGAW 57, SAGAW 39, 48 and 57.
        cap: (1 << 60) | (1 << 56) | (3 << 34) | (56 << 16) | (0xe << 8),
        // RPS, SMPWC, FSTS, SSTS, SMTS, PASID, NEST, SC, PT.
        ecap: (1 << 49)
            | (1 << 48)
            | (1 << 47)
            | (1 << 46)
            | (1 << 43)
            | (1 << 40)
            | (1 << 26)
            | (1 << 7)
            | (1 << 6),
        gsts: 1 << 31,
        rtaddr: root | (1 << 10),
        host_address_width: 46,
    }
}

/// Guest memory with one device, whose context entry enables PASIDs with a full directory.
pub struct Tables {
    pub memory: GuestMemoryMmap,
    pub registers: Registers,
    next: Cell<u64>,
    pub root_entry: u64,
    pub context_entry: u64,
    pub directory: u64,
}

impl Tables {
    pub fn new() -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        let mut tables = Self {
            memory,
            registers: registers(0),
            next: Cell::new(0x1000),
            root_entry: 0,
            context_entry: 0,
            directory: 0,
        };
        let root = tables.table();
        let context = tables.table();
        tables.directory = tables.tables(32);
        tables.registers = registers(root);
        tables.root_entry = root + u64::from(BUS) * 16 + 8;
        tables.context_entry = context + u64::from(DEVFN & 0x7f) * 32;
        tables.put(tables.root_entry, context | 1);
        // P, PASIDE, PDTS 7; RID_PASID 0.
        tables.put(
            tables.context_entry,
            tables.directory | (7 << 9) | (1 << 3) | 1,
        );
        tables
    }

    /// A new zeroed 4 KiB table.
    pub fn table(&self) -> u64 {
        self.tables(1)
    }

    fn tables(&self, count: u64) -> u64 {
        let address = self.next.get();
        self.next.set(address + count * 4096);
        assert!(self.next.get() <= DATA, "the tables need more memory");
        address
    }

    pub fn put(&self, address: u64, word: u64) {
        self.memory
            .write_obj(word.to_le(), GuestAddress(address))
            .unwrap();
    }

    pub fn get(&self, address: u64) -> u64 {
        u64::from_le(self.memory.read_obj(GuestAddress(address)).unwrap())
    }

    pub fn directory_entry(&self, pasid: u32) -> u64 {
        self.directory + u64::from(pasid >> 6) * 8
    }

    /// Address of a PASID's table entry; makes the table if there is none.
    pub fn pasid_entry(&self, pasid: u32) -> u64 {
        let entry = self.directory_entry(pasid);
        if self.get(entry) == 0 {
            self.put(entry, self.table() | 1);
        }
        (self.get(entry) & !0xfff) + u64::from(pasid & 0x3f) * 64
    }

    /// Gives a PASID an empty address space with 4-level tables; returns the top table.
    pub fn attach(&self, pasid: u32, pgtt: u64) -> u64 {
        self.attach_levels(pasid, pgtt, 4)
    }

    pub fn attach_levels(&self, pasid: u32, pgtt: u64, levels: u64) -> u64 {
        let entry = self.pasid_entry(pasid);
        let top = self.table();
        if pgtt == FS {
            self.put(entry + 16, top | ((levels - 4) << 2));
            self.put(entry, (FS << 6) | 1);
        } else {
            self.put(entry, top | (SS << 6) | ((levels - 2) << 2) | 1);
        }
        top
    }

    /// Maps one page of 4 KiB (`level` 1), 2 MiB (2) or 1 GiB (3) with the leaf's low bits
    /// `flags` in the tables at `top`. Returns the addresses of the entries, top first.
    pub fn map(
        &self,
        top: u64,
        levels: u32,
        level: u32,
        iova: u64,
        to: u64,
        flags: u64,
    ) -> Vec<u64> {
        let (mut table, mut entries) = (top, Vec::new());
        for at in (level..=levels).rev() {
            let entry = table + ((iova >> (at * 9 + 3)) & 0x1ff) * 8;
            entries.push(entry);
            if at == level {
                let large = if level > 1 { 1 << 7 } else { 0 };
                self.put(entry, to | flags | large);
            } else {
                if self.get(entry) == 0 {
                    // Read, write and user: what both formats need.
                    self.put(entry, self.table() | 7);
                }
                table = self.get(entry) & !0xfff;
            }
        }
        entries
    }

    pub fn source(&self, pasid: Option<u32>) -> Source {
        Source {
            bus: BUS,
            devfn: DEVFN,
            pasid,
        }
    }

    pub fn read(&self, pasid: Option<u32>, iova: u64) -> Result<Page, Fault> {
        self.translate(pasid, iova, Access::Read)
    }

    pub fn write(&self, pasid: Option<u32>, iova: u64) -> Result<Page, Fault> {
        self.translate(pasid, iova, Access::Write)
    }

    /// Without the leaf, so that pages can be compared.
    pub fn translate(&self, pasid: Option<u32>, iova: u64, access: Access) -> Result<Page, Fault> {
        let page = translate(
            &self.memory,
            &self.registers,
            self.source(pasid),
            iova,
            access,
        )?;
        Ok(Page { leaf: None, ..page })
    }
}
