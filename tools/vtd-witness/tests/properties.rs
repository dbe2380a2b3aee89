// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What holds for any tables, well-formed or not.

mod tables;

use std::collections::BTreeMap;

use proptest::prelude::*;
use tables::*;
use vm_memory::{Bytes, GuestAddress};
use vtd_witness::{translate, Access, Fault, Registers, Source};

const PAGES: u64 = 64;

/// Number of 4 KiB tables that are filled with arbitrary words.
const ARBITRARY: u64 = 16;

/// Mappings of an address space: page number to (frame number, writable).
fn mappings() -> impl Strategy<Value = BTreeMap<u64, (u64, bool)>> {
    prop::collection::btree_map(0..PAGES, (0..PAGES, any::<bool>()), 0..32)
}

/// Spreads page numbers over the tables, so that all levels are used.
fn iova(page: u64) -> u64 {
    ((page & 7) << 12) | (((page >> 3) & 3) << 21) | (((page >> 5) & 1) << 39)
}

/// A word as tables have them: half of them point somewhere into memory.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0..DATA / 4096, 0..4096u64).prop_map(|(page, low)| (page << 12) | low),
        (0..ARBITRARY, 0..4096u64).prop_map(|(page, low)| (page << 12) | low | 7),
    ]
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![Just(Access::Read), Just(Access::Write)]
}

proptest! {
    /// Two address spaces under two PASIDs translate exactly as mapped, and apart.
    #[test]
    fn as_mapped(
        first in mappings(),
        second in mappings(),
        pgtt in prop_oneof![Just(FS), Just(SS)],
        pasids in (1..0x100000u32, 1..0x100000u32).prop_filter("differ", |(a, b)| a != b),
    ) {
        let t = Tables::new();
        for (pasid, map) in [(pasids.0, &first), (pasids.1, &second)] {
            let top = t.attach(pasid, pgtt);
            for (page, (frame, writable)) in map {
                let flags = if *writable { 7 } else { 5 };
                t.map(top, 4, 1, iova(*page), DATA + frame * 4096, flags);
            }
        }
        let nothing = if pgtt == FS {
            Fault::FirstStageNotPresent
        } else {
            Fault::SecondStageNotPresent
        };
        for (pasid, map) in [(pasids.0, &first), (pasids.1, &second)] {
            for page in 0..PAGES {
                let offset = page * 61 % 4096;
                let read = t.read(Some(pasid), iova(page) + offset).map(|p| p.address);
                let write = t.write(Some(pasid), iova(page) + offset).map(|p| p.address);
                match map.get(&page) {
                    None => {
                        prop_assert_eq!(read, Err(nothing));
                        prop_assert_eq!(write, Err(nothing));
                    }
                    Some((frame, writable)) => {
                        let address = DATA + frame * 4096 + offset;
                        let expected = if *writable { Ok(address) } else { Err(Fault::NoWrite) };
                        prop_assert_eq!(read, Ok(address));
                        prop_assert_eq!(write, expected);
                    }
                }
            }
        }
    }

    /// One flipped bit in any entry on the way: no panic, and the result is a page of the same
    /// mapping, an address that the flipped bit moved, or a fault.
    #[test]
    fn flipped_bit(
        pgtt in prop_oneof![Just(FS), Just(SS)],
        which in 0..8usize,
        bit in 0..64u32,
        access in access(),
    ) {
        let t = Tables::new();
        let top = t.attach(PASID, pgtt);
        let mut entries = t.map(top, 4, 1, 0x7000, DATA, 7);
        let pasid_entry = t.pasid_entry(PASID);
        entries.extend([t.root_entry, t.context_entry, t.directory_entry(PASID), pasid_entry]);
        t.put(entries[which], t.get(entries[which]) ^ (1 << bit));
        if let Ok(page) = t.translate(Some(PASID), 0x7123, access) {
            let moved = if which == 3 { 1 << bit } else { 0 };
            let address = DATA + 0x123;
            prop_assert!([address, address ^ moved].contains(&page.address) || which < 3, "{page:?}");
        }
    }

    /// Tables of arbitrary words: never a panic, and a page has the offset of its IOVA.
    #[test]
    fn arbitrary_tables(
        words in prop::collection::vec(word(), 512..2048),
        source in (any::<u8>(), any::<u8>(), prop::option::of(any::<u32>())),
        cap in any::<u64>(),
        ecap in any::<u64>(),
        rtaddr in prop_oneof![any::<u64>(), (0..ARBITRARY).prop_map(|page| (page << 12) | (1 << 10))],
        host_address_width in any::<u8>(),
        iova in any::<u64>(),
        access in access(),
    ) {
        let t = Tables::new();
        for (at, address) in (0..).step_by(8).take(ARBITRARY as usize * 512).enumerate() {
            t.memory.write_obj(words[at % words.len()], GuestAddress(address)).unwrap();
        }
        let registers = Registers {
            cap,
            ecap: ecap | (1 << 43),
            gsts: 1 << 31,
            rtaddr,
            host_address_width,
        };
        let source = Source { bus: source.0, devfn: source.1, pasid: source.2 };
        if let Ok(page) = translate(&t.memory, &registers, source, iova, access) {
            prop_assert!(page.size.is_power_of_two() && (4096..=1 << 30).contains(&page.size));
            prop_assert_eq!(page.address & (page.size - 1), iova & (page.size - 1));
            prop_assert!(page.remaining() >= 1 && page.remaining() <= page.size);
        }
    }

    /// Valid tables down to a level of arbitrary words: deeper than the test above gets.
    #[test]
    fn arbitrary_paging_entries(
        words in prop::collection::vec(word(), 512),
        pgtt in prop_oneof![Just(FS), Just(SS)],
        levels in 4..6u64,
        iova in any::<u64>(),
        access in access(),
    ) {
        let t = Tables::new();
        let top = t.attach_levels(PASID, pgtt, levels);
        for address in (top..DATA).step_by(8).take(ARBITRARY as usize * 512) {
            t.put(address, words[(address / 8 % 509) as usize]);
        }
        let _ = t.translate(Some(PASID), iova, access);
        let _ = t.translate(Some(PASID), iova & 0x7fff_ffff_ffff, access);
    }
}
