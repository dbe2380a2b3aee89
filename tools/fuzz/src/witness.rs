// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Tables that were good, until a guest changed them.

use arbitrary::{Arbitrary, Unstructured};
use vtd_witness::{translate, Access, AddressSpace, Source};

use crate::{
    tables::{Tables, BUS, DATA, DEVFN, FS, PASID, SS},
    Change, Place,
};

#[derive(Arbitrary, Debug)]
struct Input {
    second_stage: bool,
    five_levels: bool,
    level: u8,
    writable: bool,
    changes: Vec<(Place, Change)>,
    registers: Option<Registers>,
    requests: Vec<Request>,
}

#[derive(Arbitrary, Debug)]
struct Registers {
    cap: u64,
    ecap: u64,
    gsts: u32,
    rtaddr: u64,
    host_address_width: u8,
}

#[derive(Arbitrary, Debug)]
struct Request {
    bus: Option<u8>,
    devfn: Option<u8>,
    pasid: Option<u32>,
    usual_pasid: bool,
    iova: u64,
    near: bool,
    write: bool,
}

const IOVA: u64 = 0x40_0000_0000;

/// Translates requests by arbitrary tables.
///
/// # Panics
///
/// If the witness does, or returns a page that cannot be.
pub fn witness(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut tables = Tables::new();
    let (pgtt, levels) = match (input.second_stage, input.five_levels) {
        (true, five) => (SS, if five { 5 } else { 4 }),
        (false, five) => (FS, if five { 5 } else { 4 }),
    };
    let level = u32::from(input.level % 3) + 1;
    let top = tables.attach_levels(PASID, pgtt, levels);
    let flags = if input.writable { 7 } else { 5 };
    let walk = tables.map(top, levels as u32, level, IOVA, DATA, flags);
    let good = tables.read(Some(PASID), IOVA);
    // DATA is not aligned to larger pages.
    if level == 1 {
        assert_eq!(good.map(|page| page.address), Ok(DATA));
        assert_eq!(tables.write(Some(PASID), IOVA).is_ok(), input.writable);
    }

    for (place, change) in input.changes.into_iter().take(64) {
        change.apply(&tables, place, PASID, &walk);
    }
    if let Some(registers) = input.registers {
        tables.registers.cap ^= registers.cap;
        tables.registers.ecap ^= registers.ecap;
        tables.registers.gsts ^= registers.gsts;
        tables.registers.rtaddr ^= registers.rtaddr;
        tables.registers.host_address_width = registers.host_address_width;
    }
    for request in input.requests.into_iter().take(64) {
        check(&tables, &request);
    }
}

fn check(tables: &Tables, request: &Request) {
    let source = Source {
        bus: request.bus.unwrap_or(BUS),
        devfn: request.devfn.unwrap_or(DEVFN),
        pasid: if request.usual_pasid {
            Some(PASID)
        } else {
            request.pasid
        },
    };
    let iova = if request.near {
        IOVA + (request.iova & 0x3fff_ffff)
    } else {
        request.iova
    };
    let access = if request.write {
        Access::Write
    } else {
        Access::Read
    };
    let result = translate(&tables.memory, &tables.registers, source, iova, access);
    let again = AddressSpace::lookup(&tables.memory, &tables.registers, source)
        .and_then(|space| space.translate(&tables.memory, iova, access));
    assert_eq!(result, again, "one request, two answers");
    if let Ok(page) = result {
        assert!([12, 21, 30].contains(&page.size.trailing_zeros()) && page.size.is_power_of_two());
        assert_eq!(page.address % page.size, iova % page.size);
        assert_eq!(page.remaining(), page.size - iova % page.size);
    }
}
