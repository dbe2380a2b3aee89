// SPDX-License-Identifier: GPL-2.0-only

//! Reserved regions: IO addresses that the devices of a group must not have mapped.

use core::mem::offset_of;

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

use super::group::Group;
use crate::interval::Interval;

// What makes an entry of the list a region.
const _: () = assert!(offset_of!(bindings::iommu_resv_region, list) == 0);

/// The reserved regions of `group`, but for those that assigning a device relaxes
/// (`vfio_iommu_resv_exclude()` of the stock type1 draws the same line).
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn reserved_regions(group: &Group) -> Result<KVec<Interval>> {
    let list = Opaque::uninit();
    let head = list.get();
    // SAFETY: There is room for a list's head.
    unsafe { bindings::INIT_LIST_HEAD(head) };
    // SAFETY: The caller holds a reference to the group; `list` is an empty list that stays where
    // it is.
    let mut result = to_result(unsafe {
        bindings::iommu_get_group_resv_regions(group.as_ptr(), head) //
    });

    let mut regions = KVec::new();
    // SAFETY: `list` is the head of a valid list, of which the loop changes nothing but the way.
    let mut entry = unsafe { (*head).next };
    while entry != head {
        // SAFETY: Every entry is the first member (see above) of a region that `kmalloc()` made and that is
        // ours now (`iommu_alloc_resv_region()`); it is read before it is freed.
        let (region, next) = unsafe {
            let region = entry.cast::<bindings::iommu_resv_region>().read();
            bindings::kfree(entry.cast());
            (region, region.list.next)
        };
        entry = next;
        result = result.and_then(|()| add(&mut regions, &region));
    }
    result?;
    Ok(regions)
}

fn add(regions: &mut KVec<Interval>, region: &bindings::iommu_resv_region) -> Result {
    if region.type_ == bindings::iommu_resv_type_IOMMU_RESV_DIRECT_RELAXABLE {
        return Ok(());
    }
    let last = region
        .start
        .saturating_add((region.length as u64).saturating_sub(1));
    if let Some(interval) = Interval::new(region.start, last) {
        regions.push(interval, GFP_KERNEL)?;
    }
    Ok(())
}
