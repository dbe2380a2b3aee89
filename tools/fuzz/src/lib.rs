// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Arbitrary input for the test device and the witness, which must neither panic nor do what they
//! should not, whatever a guest writes.
//!
//! [`device`] and [`witness`] take any bytes and panic if something is wrong. `cargo test` calls
//! them with a fixed number of inputs, and with every input that ever found something
//! (`found/`); `scripts/fuzz` lets libFuzzer look for more.

mod device;
#[path = "../../vtd-witness/tests/tables/mod.rs"]
mod tables;
mod witness;

pub use device::device;
pub use witness::witness;

use arbitrary::Arbitrary;
use tables::Tables;

/// Where a table entry is.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Place {
    Root,
    Context,
    Directory {
        pasid: u32,
    },
    PasidEntry {
        word: u8,
    },
    /// An entry of the walk to a mapping.
    Walk {
        entry: u8,
    },
    /// Anywhere among the tables.
    Any {
        table: u8,
        entry: u16,
    },
}

/// A guest changes a table entry.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Change {
    Flip {
        bit: u8,
    },
    Set {
        word: u64,
    },
    /// Points to another table.
    Point {
        table: u8,
        low: u16,
    },
}

impl Change {
    fn apply(self, tables: &Tables, place: Place, pasid: u32, walk: &[u64]) {
        let address = match place {
            Place::Root => tables.root_entry,
            Place::Context => tables.context_entry,
            Place::Directory { pasid } => tables.directory_entry(pasid & 0xf_ffff),
            Place::PasidEntry { word } => entry_of(tables, pasid) + u64::from(word & 7) * 8,
            Place::Walk { entry } => walk
                .get(usize::from(entry) % walk.len().max(1))
                .copied()
                .unwrap_or(tables.root_entry),
            Place::Any { table, entry } => {
                (u64::from(table) << 12) | (u64::from(entry & 0x1ff) << 3)
            }
        };
        let word = match self {
            Change::Flip { bit } => tables.get(address) ^ (1 << (bit & 63)),
            Change::Set { word } => word,
            Change::Point { table, low } => (u64::from(table) << 12) | u64::from(low & 0xfff),
        };
        tables.put(address, word);
    }
}

/// Where the entry of `pasid` was put when its tables were good.
fn entry_of(tables: &Tables, pasid: u32) -> u64 {
    let table = tables.get(tables.directory_entry(pasid)) & (tables::DATA - 1) & !0xfff;
    table + u64::from(pasid & 0x3f) * 64
}
