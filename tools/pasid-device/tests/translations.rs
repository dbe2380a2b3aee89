// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Translations that the device keeps, and what makes it forget them.

#![allow(clippy::unwrap_used)]

use pasid_device::translations::{Invalidation, Translations};
use vtd_witness::Access::{Read, Write};

const PASID: u32 = 0x8_0001;
const REQUESTER: u64 = 0x0108;
const LOW: u64 = 8 | (REQUESTER << 16) | ((PASID as u64) << 32);
const IOVA: u64 = 0x7fff_1234_5000;

/// Pages that are kept from IOVA on after an invalidation with these two words.
fn kept_after(low: u64, high: u64, pages: u64) -> Vec<u64> {
    let mut kept = Translations::default();
    for page in 0..pages {
        kept.keep(PASID, IOVA + page * 4096, Read, page * 4096);
    }
    kept.invalidate(&Invalidation::parse(low, high).unwrap());
    let is_kept = |page: &u64| kept.find(PASID, IOVA + page * 4096, Read).is_some();
    (0..pages).filter(is_kept).collect()
}

#[test]
fn a_page_is_found_for_the_access_that_it_was_looked_up_for() {
    let mut kept = Translations::default();
    kept.keep(PASID, IOVA + 8, Read, 0x1_2348);
    assert_eq!(kept.find(PASID, IOVA + 0xff8, Read), Some(0x1_2ff8));
    assert_eq!(kept.find(PASID, IOVA, Write), None);
    assert_eq!(kept.find(PASID + 1, IOVA, Read), None);
    assert_eq!(kept.find(PASID, IOVA + 0x1000, Read), None);
    kept.clear();
    assert_eq!(kept.find(PASID, IOVA, Read), None);
}

#[test]
fn room_is_limited() {
    let mut kept = Translations::default();
    let found = |kept: &Translations| {
        (0..10_000)
            .filter(|page| kept.find(PASID, page * 4096, Read).is_some())
            .count()
    };
    for page in 0..10_000 {
        kept.keep(PASID, page * 4096, Read, 0);
    }
    assert!((1..=256).contains(&found(&kept)));
}

#[test]
fn an_invalidation_is_of_a_page_or_of_a_power_of_two() {
    assert_eq!(kept_after(LOW, IOVA, 4), [1, 2, 3]);
    // The address is one that the range has.
    assert_eq!(kept_after(LOW, IOVA + 0x1000, 4), [0, 2, 3]);
    // IOVA is 5 pages after a boundary of 8: of 2, 4 and 8 pages.
    let several = 1 << 11;
    assert_eq!(kept_after(LOW, (IOVA & !0x1fff) | several, 4), [1, 2, 3]);
    assert_eq!(kept_after(LOW, (IOVA & !0x3fff) | 0x1000 | several, 4), [3]);
    assert_eq!(kept_after(LOW, (IOVA & !0x7fff) | 0x3000 | several, 4), [3]);
    assert_eq!(
        kept_after(LOW, (u64::MAX >> 1) & !0xfff | several, 4),
        [0; 0]
    );
}

#[test]
fn an_invalidation_is_of_one_pasid_or_of_all() {
    let other = 8 | (REQUESTER << 16) | (5 << 32);
    assert_eq!(kept_after(other, IOVA, 1), [0]);
    assert_eq!(kept_after(other, IOVA | 1, 1), [0; 0]);
}

#[test]
fn only_its_own_descriptor_is_one() {
    assert_eq!(Invalidation::parse(LOW, 0).unwrap().requester, 0x0108);
    for other in (0..16).filter(|other| *other != 8) {
        assert_eq!(Invalidation::parse(LOW & !0xf | other, 0), None);
    }
    assert_eq!(Invalidation::parse(LOW | (1 << 9), 0), None);
}
