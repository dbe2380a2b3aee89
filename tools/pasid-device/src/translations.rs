// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Translations that the device keeps (PCI Express 5.0, 10.1), until it is told that they are
//! invalid (VT-d 6.5.2.6).
//!
//! A remapping unit of hardware sends the device each invalidation that its driver asks for. QEMU
//! has none for a vfio-user device, but its trace says which descriptors the unit has carried out,
//! and says it before the driver goes on.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use vtd_witness::Access;

/// A page of a translation, whatever the size of the page in the tables.
const PAGE: u64 = 4096;

/// Translations that a device has room for.
const ROOM: usize = 256;

/// The translations of one device, of requests with a PASID.
#[derive(Debug, Default)]
pub struct Translations(HashMap<(u32, u64, Access), u64>);

impl Translations {
    /// Where `iova` of `pasid` was when it was looked up for this `access`.
    pub fn find(&self, pasid: u32, iova: u64, access: Access) -> Option<u64> {
        let page = self.0.get(&(pasid, iova / PAGE, access))?;
        Some(page + iova % PAGE)
    }

    /// Notes that it is at `address`. Without room, all others are forgotten.
    pub fn keep(&mut self, pasid: u32, iova: u64, access: Access, address: u64) {
        if self.0.len() >= ROOM {
            self.clear();
        }
        self.0
            .insert((pasid, iova / PAGE, access), address - address % PAGE);
    }

    /// Forgets what is invalid.
    pub fn invalidate(&mut self, invalid: &Invalidation) {
        self.0
            .retain(|(pasid, page, _), _| !invalid.covers(*pasid, page * PAGE));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What a PASID-based device-TLB invalidation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Bus number (bits 15:8) and devfn (bits 7:0) of the device that it is for.
    pub requester: u16,
    pasid: Option<u32>,
    first: u64,
    last: u64,
}

impl Invalidation {
    /// From the lower two words of a descriptor; `None` if it is another one.
    pub fn parse(low: u64, high: u64) -> Option<Self> {
        const TYPE: u64 = 8;
        const ALL_PASIDS: u64 = 1;
        const SEVERAL_PAGES: u64 = 1 << 11;

        if low & 0xf != TYPE || (low >> 9) & 7 != 0 {
            return None;
        }
        // The lowest bit of the address that is 0 says how many pages; none, that it is all.
        let size = match high & SEVERAL_PAGES {
            0 => PAGE,
            _ => 1u64
                .checked_shl((high | (PAGE - 1)).trailing_ones() + 1)
                .unwrap_or(0),
        };
        let below = size.wrapping_sub(1);
        Some(Self {
            requester: (low >> 16) as u16,
            pasid: (high & ALL_PASIDS == 0).then_some((low >> 32) as u32 & 0xf_ffff),
            first: high & !below & !(PAGE - 1),
            last: high | below,
        })
    }

    /// Whether it is of `iova` of `pasid`.
    pub fn covers(&self, pasid: u32, iova: u64) -> bool {
        self.pasid.is_none_or(|only| only == pasid) && (self.first..=self.last).contains(&iova)
    }
}

/// QEMU's trace, with the event `vtd_inv_desc`.
#[derive(Debug)]
pub struct Trace {
    file: BufReader<File>,
    line: String,
}

impl Trace {
    /// Opens it; its beginning is read first.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path)
            .map_err(|error| format!("cannot open QEMU's trace {}: {error}", path.display()))?;
        Ok(Self {
            file: BufReader::new(file),
            line: String::new(),
        })
    }

    /// The next invalidation; `None` if QEMU has not said more by now.
    pub fn read(&mut self) -> Result<Option<Invalidation>, String> {
        loop {
            let read = self.file.read_line(&mut self.line);
            read.map_err(|error| format!("cannot read QEMU's trace: {error}"))?;
            // The rest of the line is still to come.
            if !self.line.ends_with('\n') {
                return Ok(None);
            }
            let found = parse(&self.line);
            self.line.clear();
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}

/// `vtd_inv_desc ... high 0x... low 0x...`
fn parse(line: &str) -> Option<Invalidation> {
    let word = |name| {
        let (_, text) = line.split_once(name)?;
        u64::from_str_radix(text.split_whitespace().next()?, 16).ok()
    };
    Invalidation::parse(word(" low 0x")?, word(" high 0x")?)
}
