// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Every rule of the specification that the library knows, one by one, and every fault.

mod tables;

use tables::*;
use vtd_witness::{Access, AddressSpace, Fault, Page, TranslationType};

const IOVA: u64 = 0x12_3456_7000;
/// Present, write, user in the first stage; read, write in the second (where bit 2 is ignored).
const RW: u64 = 7;

/// One 4 KiB page at IOVA for PASID.
fn mapped(pgtt: u64) -> (Tables, Vec<u64>) {
    let t = Tables::new();
    let top = t.attach(PASID, pgtt);
    let entries = t.map(top, 4, 1, IOVA, DATA, RW);
    (t, entries)
}

fn page(address: u64, size: u64) -> Result<Page, Fault> {
    Ok(Page {
        address,
        size,
        snoop: false,
        leaf: None,
    })
}

#[track_caller]
fn set(t: &Tables, address: u64, set: u64, fault: Fault) {
    let old = t.get(address);
    t.put(address, old | set);
    assert_eq!(t.read(Some(PASID), IOVA), Err(fault), "with {set:#x} set");
    t.put(address, old);
    assert!(t.read(Some(PASID), IOVA).is_ok());
}

#[track_caller]
fn set_each(t: &Tables, address: u64, bits: impl IntoIterator<Item = u32>, fault: Fault) {
    for bit in bits {
        set(t, address, 1 << bit, fault);
    }
}

#[track_caller]
fn replaced(t: &Tables, address: u64, word: u64, fault: Fault) {
    let old = t.get(address);
    t.put(address, word);
    assert_eq!(t.read(Some(PASID), IOVA), Err(fault));
    t.put(address, old);
}

#[test]
fn pages_of_all_sizes_in_all_formats() {
    for (pgtt, levels) in [(FS, 4), (FS, 5), (SS, 3), (SS, 4), (SS, 5)] {
        for level in 1..=3 {
            let t = Tables::new();
            let top = t.attach_levels(PASID, pgtt, levels);
            let size = 1u64 << (12 + 9 * (level - 1));
            let (iova, to) = (5 * size, 1 << 40);
            t.map(top, levels as u32, level, iova, to, RW);
            let last = size - 1;
            assert_eq!(t.read(Some(PASID), iova), page(to, size));
            assert_eq!(t.write(Some(PASID), iova + last), page(to + last, size));
            assert_eq!(t.read(Some(PASID), iova + last).unwrap().remaining(), 1);
            assert!(t.read(Some(PASID), iova - 1).is_err());
            assert!(t.read(Some(PASID), iova + size).is_err());
        }
    }
}

#[test]
fn each_pasid_has_its_own_addresses() {
    let t = Tables::new();
    for (pasid, pgtt) in [(1, FS), (63, SS), (64, FS), (0xfffff, SS)] {
        let top = t.attach(pasid, pgtt);
        t.map(top, 4, 1, IOVA, DATA + u64::from(pasid) * 4096, RW);
    }
    for pasid in [1, 63, 64, 0xfffff] {
        let to = DATA + u64::from(pasid) * 4096;
        assert_eq!(t.read(Some(pasid), IOVA), page(to, 4096));
    }
    assert_eq!(t.read(Some(2), IOVA), Err(Fault::PasidEntryNotPresent));
    assert_eq!(
        t.read(Some(0x80), IOVA),
        Err(Fault::PasidDirectoryNotPresent)
    );
}

#[test]
fn without_pasid_rid_pasid_is_used() {
    let (mut t, _) = mapped(SS);
    assert_eq!(t.read(None, IOVA), Err(Fault::PasidDirectoryNotPresent));
    t.put(t.context_entry + 8, u64::from(PASID));
    assert_eq!(t.read(None, IOVA), page(DATA, 4096));
    // ECAP.RPS clear: PASID 0, whatever the field says.
    t.registers.ecap &= !(1 << 49);
    assert_eq!(t.read(None, IOVA), Err(Fault::PasidDirectoryNotPresent));
}

#[test]
fn unit_registers() {
    let (mut t, _) = mapped(FS);
    let good = t.registers;
    let mut check = |change: &dyn Fn(&mut vtd_witness::Registers), pasid, fault| {
        t.registers = good;
        change(&mut t.registers);
        assert_eq!(t.read(pasid, IOVA), Err(fault));
    };
    check(&|r| r.gsts = 0, Some(PASID), Fault::TranslationOff);
    check(&|r| r.rtaddr &= !0xc00, Some(PASID), Fault::LegacyModePasid);
    check(&|r| r.rtaddr &= !0xc00, None, Fault::LegacyMode);
    check(&|r| r.rtaddr |= 0xc00, Some(PASID), Fault::AbortMode);
    check(&|r| r.rtaddr ^= 0xc00, Some(PASID), Fault::AbortMode);
    check(
        &|r| r.ecap &= !(1 << 43),
        Some(PASID),
        Fault::RootAddressInvalid,
    );
    check(
        &|r| r.rtaddr |= 1 << 46,
        Some(PASID),
        Fault::RootAddressInvalid,
    );
    check(
        &|r| r.rtaddr |= 1 << 45,
        Some(PASID),
        Fault::RootEntryAccess,
    );
    check(
        &|r| r.ecap &= !(1 << 47),
        Some(PASID),
        Fault::PasidEntryInvalid,
    );
}

#[test]
fn root_entry() {
    let (t, _) = mapped(FS);
    replaced(&t, t.root_entry, 0, Fault::RootEntryNotPresent);
    set_each(
        &t,
        t.root_entry,
        (1..12).chain(46..64),
        Fault::RootEntryReserved,
    );
    // The other half is for devices 0 to 15.
    t.put(t.root_entry - 8, u64::MAX);
    assert!(t.read(Some(PASID), IOVA).is_ok());
}

#[test]
fn context_entry() {
    let (t, _) = mapped(FS);
    let entry = t.context_entry;
    replaced(&t, t.root_entry, (1 << 45) | 1, Fault::ContextEntryAccess);
    replaced(&t, entry, 0, Fault::ContextEntryNotPresent);
    set_each(&t, entry, (5..9).chain(46..64), Fault::ContextEntryReserved);
    set_each(&t, entry + 8, 21..64, Fault::ContextEntryReserved);
    set_each(&t, entry + 16, 0..64, Fault::ContextEntryReserved);
    set_each(&t, entry + 24, 0..64, Fault::ContextEntryReserved);
    replaced(
        &t,
        entry,
        t.directory | (7 << 9) | 1,
        Fault::PasidNotEnabled,
    );
    // FPD, DTE, PRE do not matter to these requests.
    t.put(entry, t.get(entry) | (1 << 1) | (1 << 2) | (1 << 4));
    assert!(t.read(Some(PASID), IOVA).is_ok());
}

#[test]
fn directory_size() {
    let (t, _) = mapped(FS);
    for pdts in 0..8 {
        t.put(t.context_entry, t.directory | (pdts << 9) | (1 << 3) | 1);
        let limit = 1 << (pdts + 13);
        let within = t.read(Some(limit - 1), IOVA).unwrap_err();
        assert_ne!(within, Fault::PasidTooLarge);
        assert_eq!(t.read(Some(limit), IOVA), Err(Fault::PasidTooLarge));
        assert_eq!(t.read(Some(u32::MAX), IOVA), Err(Fault::PasidTooLarge));
    }
    t.put(t.context_entry, t.directory | 1);
    t.put(t.context_entry + 8, 0x2000);
    assert_eq!(t.read(None, IOVA), Err(Fault::RidPasidTooLarge));
}

#[test]
fn directory_entry() {
    let (t, _) = mapped(FS);
    let entry = t.directory_entry(PASID);
    let context = t.get(t.context_entry);
    replaced(
        &t,
        t.context_entry,
        (1 << 45) | context & 0xfff,
        Fault::PasidDirectoryAccess,
    );
    replaced(&t, entry, 0, Fault::PasidDirectoryNotPresent);
    set_each(
        &t,
        entry,
        (2..12).chain(46..64),
        Fault::PasidDirectoryReserved,
    );
    replaced(&t, entry, (1 << 45) | 1, Fault::PasidEntryAccess);
}

#[test]
fn pasid_entry() {
    let (mut t, _) = mapped(FS);
    let entry = t.pasid_entry(PASID);
    replaced(&t, entry, 0, Fault::PasidEntryNotPresent);
    set_each(&t, entry, (10..12).chain(46..64), Fault::PasidEntryReserved);
    set_each(
        &t,
        entry + 8,
        (16..23).chain(25..64),
        Fault::PasidEntryReserved,
    );
    set_each(
        &t,
        entry + 16,
        (8..12).chain(46..64),
        Fault::PasidEntryReserved,
    );
    for word in 3..8 {
        set_each(&t, entry + word * 8, 0..64, Fault::PasidEntryReserved);
    }
    for pgtt in [0, 5, 6, 7] {
        replaced(&t, entry, (pgtt << 6) | 1, Fault::PasidEntryInvalid);
    }
    replaced(&t, entry, (3 << 6) | 1, Fault::Nested);
    t.registers.ecap &= !(1 << 26);
    replaced(&t, entry, (3 << 6) | 1, Fault::PasidEntryInvalid);
    // FSPM: 0 and 1 are defined, 1 needs CAP.FS5LP.
    set(&t, entry + 16, 2 << 2, Fault::PasidEntryInvalid);
    set(&t, entry + 16, 3 << 2, Fault::PasidEntryInvalid);
    t.registers.cap &= !(1 << 60);
    set(&t, entry + 16, 1 << 2, Fault::PasidEntryInvalid);
}

#[test]
fn pasid_entry_snoop() {
    let (mut t, _) = mapped(FS);
    let entry = t.pasid_entry(PASID);
    t.put(entry + 8, (1 << 24) | (1 << 23));
    assert!(t.read(Some(PASID), IOVA).unwrap().snoop);
    let source = t.source(Some(PASID));
    let space = AddressSpace::lookup(&t.memory, &t.registers, source).unwrap();
    assert!(space.page_snoop());
    assert_eq!(space.translation_type(), TranslationType::FirstStage);
    // Without ECAP.SMPWC, PWSNP is reserved; without ECAP.SC, PGSNP.
    t.registers.ecap &= !(1 << 48);
    assert_eq!(t.read(Some(PASID), IOVA), Err(Fault::PasidEntryReserved));
    t.put(entry + 8, 1 << 24);
    assert!(t.read(Some(PASID), IOVA).is_ok());
    t.registers.ecap &= !(1 << 7);
    assert_eq!(t.read(Some(PASID), IOVA), Err(Fault::PasidEntryReserved));
}

#[test]
fn second_stage_width() {
    let (mut t, _) = mapped(SS);
    let entry = t.pasid_entry(PASID);
    let top = t.get(entry) & !0xfff;
    for aw in [0, 4, 5, 6, 7] {
        let word = top | (SS << 6) | (aw << 2) | 1;
        replaced(&t, entry, word, Fault::PasidEntryInvalid);
    }
    assert_eq!(t.read(Some(PASID), 1 << 48), Err(Fault::AddressTooWide));
    // MGAW limits the second stage, too.
    t.registers.cap = t.registers.cap & !(0x3f << 16) | (36 << 16);
    assert_eq!(t.read(Some(PASID), 1 << 37), Err(Fault::AddressTooWide));
    assert!(t.read(Some(PASID), IOVA).is_ok());
    // SAGAW without 48 bits.
    t.registers.cap &= !(1 << 10);
    assert_eq!(t.read(Some(PASID), IOVA), Err(Fault::PasidEntryInvalid));
}

#[test]
fn first_stage_entries() {
    let (t, entries) = mapped(FS);
    replaced(
        &t,
        t.pasid_entry(PASID) + 16,
        1 << 45,
        Fault::FirstStageTopAccess,
    );
    for entry in &entries[..3] {
        replaced(&t, *entry, (1 << 45) | 7, Fault::FirstStageAccess);
    }
    for entry in &entries {
        replaced(&t, *entry, 0, Fault::FirstStageNotPresent);
        replaced(&t, *entry, !1, Fault::FirstStageNotPresent);
        set_each(&t, *entry, 46..52, Fault::FirstStageReserved);
        replaced(&t, *entry, t.get(*entry) & !4, Fault::Supervisor);
        // Bits 62:52 are ignored.
        let old = t.get(*entry);
        t.put(*entry, old | (0x7ff << 52));
        assert_eq!(t.read(Some(PASID), IOVA), page(DATA, 4096));
        // Write permission is needed at every level.
        t.put(*entry, old & !2);
        assert_eq!(t.write(Some(PASID), IOVA), Err(Fault::NoWrite));
        assert_eq!(t.read(Some(PASID), IOVA), page(DATA, 4096));
        t.put(*entry, old);
    }
    set(&t, entries[0], 1 << 7, Fault::FirstStageReserved);
}

#[test]
fn first_stage_large_pages() {
    let mut t = Tables::new();
    let top = t.attach(PASID, FS);
    let two = t.map(top, 4, 2, 2 << 20, 4 << 20, RW)[2];
    t.map(top, 4, 3, 1 << 30, 1 << 30, RW);
    for bit in 13..21 {
        t.put(two, (4 << 20) | RW | (1 << 7) | (1 << bit));
        assert_eq!(t.read(Some(PASID), 2 << 20), Err(Fault::FirstStageReserved));
    }
    // PAT.
    t.put(two, (4 << 20) | RW | (1 << 7) | (1 << 12));
    assert_eq!(t.read(Some(PASID), 2 << 20), page(4 << 20, 2 << 20));
    assert_eq!(t.read(Some(PASID), 1 << 30), page(1 << 30, 1 << 30));
    t.registers.cap &= !(1 << 56);
    assert_eq!(t.read(Some(PASID), 1 << 30), Err(Fault::FirstStageReserved));
}

#[test]
fn canonical_addresses() {
    for (levels, bit) in [(4, 47), (5, 56)] {
        let t = Tables::new();
        let top = t.attach_levels(PASID, FS, levels);
        let negative = u64::MAX << bit;
        t.map(top, levels as u32, 1, negative, DATA, RW);
        assert_eq!(t.read(Some(PASID), negative), page(DATA, 4096));
        assert_eq!(t.read(Some(PASID), 1 << bit), Err(Fault::NotCanonical));
        assert_eq!(t.read(Some(PASID), negative - 1), Err(Fault::NotCanonical));
    }
}

#[test]
fn second_stage_entries() {
    let (mut t, entries) = mapped(SS);
    let entry = t.pasid_entry(PASID);
    replaced(
        &t,
        entry,
        (1 << 45) | t.get(entry) & 0xfff,
        Fault::SecondStageTopAccess,
    );
    for entry in &entries[..3] {
        replaced(&t, *entry, (1 << 45) | 3, Fault::SecondStageAccess);
        set(&t, *entry, 1 << 11, Fault::SecondStageReserved);
    }
    for entry in &entries {
        let old = t.get(*entry);
        replaced(&t, *entry, 0, Fault::SecondStageNotPresent);
        replaced(&t, *entry, old & !3, Fault::SecondStageNotPresent);
        set_each(&t, *entry, 46..52, Fault::SecondStageReserved);
        replaced(&t, *entry, old & !1, Fault::NoRead);
        assert!(t.write(Some(PASID), IOVA).is_ok());
        t.put(*entry, old & !2);
        assert_eq!(t.write(Some(PASID), IOVA), Err(Fault::NoWrite));
        assert!(t.read(Some(PASID), IOVA).is_ok());
        t.put(*entry, old);
    }
    set(&t, entries[0], 1 << 7, Fault::SecondStageReserved);
    // SNP is a leaf's bit, if the unit has snoop control.
    t.put(entries[3], t.get(entries[3]) | (1 << 11));
    assert!(t.read(Some(PASID), IOVA).unwrap().snoop);
    t.registers.ecap &= !(1 << 7);
    assert_eq!(t.read(Some(PASID), IOVA), Err(Fault::SecondStageReserved));
}

#[test]
fn second_stage_large_pages() {
    let mut t = Tables::new();
    let top = t.attach(PASID, SS);
    let two = t.map(top, 4, 2, 2 << 20, 4 << 20, RW)[2];
    t.map(top, 4, 3, 1 << 30, 1 << 30, RW);
    assert_eq!(t.read(Some(PASID), 2 << 20), page(4 << 20, 2 << 20));
    assert_eq!(t.read(Some(PASID), 1 << 30), page(1 << 30, 1 << 30));
    for bit in 12..21 {
        t.put(two, (4 << 20) | RW | (1 << 7) | (1 << bit));
        assert_eq!(
            t.read(Some(PASID), 2 << 20),
            Err(Fault::SecondStageReserved)
        );
    }
    t.registers.cap &= !(1 << 35);
    assert_eq!(
        t.read(Some(PASID), 1 << 30),
        Err(Fault::SecondStageReserved)
    );
}

#[test]
fn pass_through() {
    let mut t = Tables::new();
    t.put(t.pasid_entry(PASID), (4 << 6) | 1);
    assert_eq!(t.write(Some(PASID), 0x1234), page(0x1234, 4096));
    assert_eq!(t.read(Some(PASID), 1 << 57), Err(Fault::AddressTooWide));
    assert_eq!(
        t.read(Some(PASID), 0xfee0_0000),
        Err(Fault::InterruptOutput)
    );
    t.registers.ecap &= !(1 << 6);
    assert_eq!(t.read(Some(PASID), 0x1234), Err(Fault::PasidEntryInvalid));
}

#[test]
fn interrupt_range() {
    for pgtt in [FS, SS] {
        let t = Tables::new();
        let top = t.attach(0, pgtt);
        t.map(top, 4, 1, 0xfeef_f000, DATA, RW);
        t.map(top, 4, 1, 0xfef0_0000, DATA, RW);
        t.map(top, 4, 1, IOVA, 0xfee0_0000, RW);
        assert_eq!(t.write(None, 0xfeef_ffff), Err(Fault::InterruptInput));
        assert_eq!(t.write(Some(0), 0xfeef_f000), page(DATA, 4096));
        assert_eq!(t.write(None, 0xfef0_0000), page(DATA, 4096));
        assert_eq!(t.read(None, IOVA), Err(Fault::InterruptOutput));
    }
}

#[test]
fn access_is_checked_per_request() {
    let (t, entries) = mapped(SS);
    t.put(entries[3], DATA | 2);
    let source = t.source(Some(PASID));
    let space = AddressSpace::lookup(&t.memory, &t.registers, source).unwrap();
    assert_eq!(
        space.translate(&t.memory, IOVA, Access::Read),
        Err(Fault::NoRead)
    );
    assert!(space.translate(&t.memory, IOVA, Access::Write).is_ok());
}
