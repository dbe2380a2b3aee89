// SPDX-License-Identifier: GPL-2.0-only

//! What each ioctl does, between decoding and encoding. Nothing here can reach user memory, and
//! what fails has changed nothing.

pub(crate) mod aux_info;
pub(crate) mod hot_reset;
mod process_space;

use kernel::{page::PAGE_SIZE, prelude::*};

use self::hot_reset::Affected;
use crate::{
    container::Caller,
    interval::Interval,
    kernel::{
        abi::*, access::Access, device::PasidSupport, pci::Address, sva::process_can_be_bound,
    },
    limit,
    memory::{
        of_container::{HeldRange, RangePlace},
        registration::Registration, //
    },
    pasid::{
        in_use::{HasPasids, PasidInUse},
        range::PasidRange,
        set::Holder, //
    },
    space::{
        attachment::{AttachedPlace, ProcessSupport},
        aux::AuxSpace,
        mapping::MappingPlace,
        own::{check_alignment, OwnMapping, SpaceName},
        window::WindowRequest,
        Space,
        SpacePlace, //
    }, //
};

/// VFIO_IOMMU_PASID_REQUEST.
pub(crate) fn pasid_request(caller: &Caller<'_>, request: &PasidRequest) -> Result<isize> {
    let range = PasidRange::new(request.min, request.max)?;
    match request.flags {
        VFIO_IOMMU_FLAG_ALLOC_PASID => caller
            .vmm()
            .pasids()
            .alloc(range, Holder::User, || caller.check_alive())
            .inspect_err(|&error| limit::no_pasid(caller.vmm(), error))
            .map(|number| number as isize),
        VFIO_IOMMU_FLAG_FREE_PASID => {
            caller.check_alive()?;
            caller.vmm().pasids().free(range).map(|()| 0)
        }
        _ => Err(EINVAL),
    }
}

/// VFIO_IOMMU_PASID_INFO.
pub(crate) fn pasid_info(caller: &Caller<'_>, info: &mut PasidInfo) -> Result {
    let group = match info.group {
        VFIO_PASID_NO_GROUP => None,
        number => Some(caller.state()?.group(number)?.clone()),
    };
    let device = group.and_then(|group| {
        group.with_pasid_device(|device, support| {
            Ok::<_, Error>((support, ProcessSupport::of(device, support)?))
        })
    });
    let device = device.transpose()?;
    caller.check_alive()?;
    info.quota = caller.vmm().pasids().quota();
    info.used = caller.vmm().pasids().held();
    info.width = device.as_ref().map_or(0, |(support, _)| support.width);
    info.caps = device.map_or(0, |(support, process)| capabilities(support, &process));
    Ok(())
}

/// As `VFIO_PASID_CAP_*`, for the calling process.
fn capabilities(support: PasidSupport, process: &ProcessSupport) -> u32 {
    let attachable = process.is_complete() && process_can_be_bound();
    [
        (support.exec, VFIO_PASID_CAP_EXEC),
        (support.privileged, VFIO_PASID_CAP_PRIV),
        (attachable, VFIO_PASID_CAP_SVA),
        (support.pri, VFIO_PASID_CAP_PRI),
        (support.ats, VFIO_PASID_CAP_ATS),
        (process.iommu, VFIO_PASID_CAP_SVA_IOMMU),
        (process.allowed, VFIO_PASID_CAP_SVA_ALLOWED),
    ]
    .iter()
    .fold(0, |caps, &(has, cap)| if has { caps | cap } else { caps })
}

/// The page-aligned range of virtual addresses that a user means.
///
/// # Errors
///
/// `EINVAL` if it is empty, not page-aligned, or wraps around.
fn memory_range(vaddr: u64, size: u64) -> Result<Interval> {
    let range = Interval::sized(vaddr, size)?;
    range
        .is_aligned(PAGE_SIZE as u64)
        .then_some(range)
        .ok_or(EINVAL)
}

/// VFIO_IOMMU_REGISTER_MEMORY. Pinning may take for ever: it holds the process's `vfio_mm`, and
/// the container is looked at again when it is done.
pub(crate) fn register_memory(caller: &Caller<'_>, register: &RegisterMemory) -> Result<isize> {
    let range = memory_range(register.vaddr, register.size)?;
    let writable = register.flags & VFIO_MEMORY_READ_ONLY == 0;
    let place = RangePlace::new(GFP_KERNEL_ACCOUNT)?;
    let registration = Registration::new(caller.vmm(), range, writable)
        .inspect_err(|&error| limit::not_registered(caller.vmm(), error, range.size()))?;
    let held = HeldRange::new(registration)?;
    let surplus = caller.state()?.registered().add(held, place);
    drop(surplus);
    Ok(0)
}

/// VFIO_IOMMU_UNREGISTER_MEMORY.
pub(crate) fn unregister_memory(caller: &Caller<'_>, unregister: &RegisterMemory) -> Result<isize> {
    let range = memory_range(unregister.vaddr, unregister.size)?;
    let gone = caller.state()?.registered().remove(range)?;
    // Not before all is unlocked: it may take long.
    drop(gone);
    Ok(0)
}

/// A space that VFIO_IOMMU_AUX_CREATE has made, and that nobody can name yet.
pub(crate) struct Unpublished {
    space: Space,
    place: SpacePlace,
}

/// VFIO_IOMMU_AUX_CREATE, but for [`aux_publish`].
pub(crate) fn aux_create(caller: &Caller<'_>, create: &mut AuxCreate) -> Result<Unpublished> {
    if create.flags & VFIO_AUX_PROCESS != 0 {
        return create_process_space(caller, create);
    }
    let request = WindowRequest::new(create.iova_start, create.iova_size)?;
    let fixed = (create.flags & VFIO_AUX_FIXED_PASID != 0)
        .then(|| SpaceName::new(create.pasid).aux())
        .transpose()?;
    let place = SpacePlace::new(GFP_KERNEL_ACCOUNT)?;
    let (group, width) = {
        let state = caller.state()?;
        let (group, width) = state.narrowest_group()?;
        (group.clone(), width)
    };
    let usable = PasidRange::of_width(width);
    let space = AuxSpace::new(caller.vmm(), &group, request, || {
        let vmm = caller.vmm().arc();
        let Some(fixed) = fixed else {
            return PasidInUse::new(vmm, usable)
                .inspect_err(|&error| limit::no_pasid(caller.vmm(), error));
        };
        let pasid = PasidInUse::existing(vmm, fixed)?;
        usable
            .contains(pasid.number())
            .then_some(pasid)
            .ok_or(ERANGE)
    })?;
    create.pasid = space.pasid();
    create.iova_start = space.window().interval().start();
    create.iova_size = space.window().interval().size();
    create.pgsize_bitmap = space.page_sizes();
    let space = Space::Aux(space);
    Ok(Unpublished { space, place })
}

fn create_process_space(caller: &Caller<'_>, create: &mut AuxCreate) -> Result<Unpublished> {
    if create.flags != VFIO_AUX_PROCESS || create.iova_start != 0 || create.iova_size != 0 {
        return Err(EINVAL);
    }
    let place = SpacePlace::new(GFP_KERNEL_ACCOUNT)?;
    let space = Space::Process(process_space::create(caller)?);
    create.pasid = space.pasid();
    create.pgsize_bitmap = 0;
    Ok(Unpublished { space, place })
}

/// The end of VFIO_IOMMU_AUX_CREATE: the caller knows the name of the space.
pub(crate) fn aux_publish(caller: &Caller<'_>, new: Unpublished) -> Result<isize> {
    let refused = caller.state()?.add_space(new.space, new.place);
    refused.map_or(Ok(0), |_| Err(EBUSY))
}

/// VFIO_IOMMU_AUX_DESTROY: detaches first, so that unmapping has nothing to flush.
pub(crate) fn aux_destroy(caller: &Caller<'_>, destroy: &AuxDestroy) -> Result<isize> {
    let pasid = SpaceName::new(destroy.pasid).aux()?;
    let space = caller.state()?.space(pasid)?;
    let space = match space {
        Space::Aux(space) => space,
        Space::Process(_) => return process_space::destroy(caller, pasid).map(|_| 0),
    };
    let ended = {
        let mut inside = space.inside()?;
        if inside.is_none() {
            return Err(ENOENT);
        }
        caller.state()?.remove_space(pasid);
        inside.take()
    };
    drop(ended);
    Ok(0)
}

/// VFIO_IOMMU_AUX_ATTACH.
pub(crate) fn aux_attach(caller: &Caller<'_>, attach: &AuxAttach) -> Result<isize> {
    let pasid = SpaceName::new(attach.pasid).aux()?;
    let place = AttachedPlace::new(GFP_KERNEL_ACCOUNT)?;
    let attached = caller
        .state()?
        .attach(caller.vmm(), pasid, attach.group, place);
    let attached = attached.and_then(|process| match process {
        Some(device) => process_space::attach(caller, pasid, attach.group, &device),
        None => Ok(()),
    });
    attached.inspect_err(|&error| {
        let name = || caller.state().ok()?.device_of(attach.group);
        limit::not_attached(caller.vmm(), error, name);
    })?;
    Ok(0)
}

/// VFIO_IOMMU_AUX_DETACH.
pub(crate) fn aux_detach(caller: &Caller<'_>, detach: &AuxAttach) -> Result<isize> {
    let pasid = SpaceName::new(detach.pasid).aux()?;
    let device = caller.state()?.detach(pasid, detach.group)?;
    if let Some(device) = device {
        process_space::detach(caller, pasid, detach.group, &device)?;
    }
    Ok(0)
}

/// VFIO_IOMMU_AUX_MAP.
pub(crate) fn aux_map(caller: &Caller<'_>, map: &AuxMap) -> Result<isize> {
    let access = Access::from_flags(map.flags)?;
    let iova = Interval::sized(map.iova, map.size)?;
    let memory = Interval::sized(map.vaddr, map.size)?;
    let find = |memory| caller.state()?.registered().map(memory);
    let mapped = match SpaceName::new(map.pasid) {
        SpaceName::Own => {
            check_alignment(&[iova, memory])?;
            find(memory).and_then(|found| {
                caller.own_map(OwnMapping::new(iova, memory.start(), access, found)?)
            })
        }
        SpaceName::Aux(pasid) => {
            let place = MappingPlace::new(GFP_KERNEL_ACCOUNT)?;
            let space = caller.state()?.space(pasid.get())?.aux()?;
            space.map(iova, memory, access, place, find, || caller.check_alive())
        }
    };
    mapped.inspect_err(|&error| limit::not_mapped(caller.vmm(), error))?;
    Ok(0)
}

/// VFIO_IOMMU_AUX_UNMAP.
pub(crate) fn aux_unmap(caller: &Caller<'_>, unmap: &mut AuxUnmap) -> Result {
    let range = unmap.range()?;
    unmap.size = match SpaceName::new(unmap.pasid) {
        SpaceName::Own => caller.own_unmap(range.unwrap_or(Interval::ALL))?,
        SpaceName::Aux(pasid) => {
            let space = caller.state()?.space(pasid.get())?.aux()?;
            space.unmap(range)?
        }
    };
    Ok(())
}

impl AuxUnmap {
    /// The range that is meant; `None` for everything.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is empty or wraps around, or is there although everything is meant.
    pub(crate) fn range(&self) -> Result<Option<Interval>> {
        match (self.flags, self.iova, self.size) {
            (0, iova, size) => Interval::sized(iova, size).map(Some),
            (_, 0, 0) => Ok(None),
            _ => Err(EINVAL),
        }
    }
}

/// VFIO_IOMMU_SETUP.
pub(crate) fn setup(caller: &Caller<'_>, setup: &mut Setup) -> Result {
    let request = WindowRequest::new(setup.iova_start, setup.iova_size)?;
    let (window, page_sizes) = caller.setup(request)?;
    setup.iova_start = window.start();
    setup.iova_size = window.size();
    setup.pgsize_bitmap = page_sizes;
    Ok(())
}

/// VFIO_IOMMU_HOT_RESET_INFO.
pub(crate) fn hot_reset_info(caller: &Caller<'_>, info: &HotResetInfo) -> Result<Affected> {
    let address = Address {
        segment: info.segment.into(),
        bus: info.bus,
        devfn: info.devfn,
    };
    let device = caller.state()?.open_device_at(address)?.clone();
    let view = caller.view()?;
    if !view.has_open(&device) {
        return Err(ENOENT);
    }
    let affected = {
        let set = device.lock_set()?;
        Affected::find(&device, &view, &set)?
    };
    caller.check_view(&view)?;
    Ok(affected)
}
