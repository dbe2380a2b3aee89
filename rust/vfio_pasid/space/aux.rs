// SPDX-License-Identifier: GPL-2.0-only

//! Aux spaces: IO address spaces of a container besides its own, each named by its PASID.

use kernel::{
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    static_lock_class,
    sync::{Arc, SpinLock}, //
};

use super::{
    mapping::{Mapping, MappingPlace, Mappings, Totals},
    window::{Window, WindowRequest}, //
};
use crate::{
    counters::{Counted, Kind},
    interval::Interval,
    kernel::{
        access::Access,
        errno::eopnotsupp,
        group::Group,
        iommu::Domain,
        mutex::{KillableGuard, KillableMutex},
        resv::reserved_regions, //
    },
    memory::of_container::MappedMemory,
    pasid::in_use::PasidInUse,
    vfio_mm::{VfioMm, VfioMmRef}, //
};

/// An aux space. What it is attached to is in
/// [`Attachments`](super::attachment::Attachments): who holds a space holds no device.
#[pin_data]
pub(crate) struct AuxSpace {
    /// `None` when the space is destroyed. Held while something is mapped or unmapped, which may
    /// take long, but by no other space.
    #[pin]
    inside: KillableMutex<Option<Inside>>,
    /// How much is mapped, for who must not wait until mapping is over.
    #[pin]
    totals: SpinLock<Totals>,
    domain: Arc<Domain>,
    window: Window,
    pasid: u32,
}

/// What ends with a space.
///
/// The fields are dropped in this order: the number is free when nothing is mapped any more. It is
/// detached before.
pub(crate) struct Inside {
    mappings: Mappings,
    domain: Arc<Domain>,
    _pasid: PasidInUse<VfioMm>,
    _vmm: VfioMmRef,
    _counted: Counted,
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.mappings.clear(&self.domain));
    }
}

impl Inside {
    /// The mappings.
    pub(crate) fn mappings(&mut self) -> &mut Mappings {
        &mut self.mappings
    }
}

impl AuxSpace {
    /// A space of the process `vmm` that is attached to nothing and that groups like `group` can
    /// use.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the group has no PASID-capable device, or several; `ERANGE` if nothing of
    /// `request` can be served; those of [`Domain::new`] and `pasid`.
    pub(crate) fn new(
        vmm: &VfioMmRef,
        group: &Group,
        request: WindowRequest,
        pasid: impl FnOnce() -> Result<PasidInUse<VfioMm>>,
    ) -> Result<Arc<Self>> {
        let domain = group
            .with_pasid_device(|device, _| Domain::new(device))
            .ok_or_else(eopnotsupp)??;
        let reserved = reserved_regions(group)?;
        let window = Window::negotiate(request, domain.aperture()?, domain.page(), &reserved)?;
        let domain = Arc::new(domain, GFP_KERNEL_ACCOUNT)?;
        let pasid = pasid()?;
        let number = pasid.number();
        let inside = Inside {
            mappings: Mappings::new(),
            domain: domain.clone(),
            _pasid: pasid,
            _vmm: vmm.clone(),
            _counted: Counted::one(Kind::Spaces),
        };
        Arc::pin_init(
            pin_init!(Self {
                inside <- KillableMutex::new(
                    Some(inside),
                    c"vfio_pasid::mappings",
                    static_lock_class!(),
                ),
                totals <- new_spinlock!(Totals::NONE, "vfio_pasid::totals"),
                domain,
                window,
                pasid: number,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The PASID that names the space.
    pub(crate) fn pasid(&self) -> u32 {
        self.pasid
    }

    /// The window that was granted.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// What it is attached by.
    pub(super) fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// The page sizes that can be mapped, a bit for each.
    pub(crate) fn page_sizes(&self) -> u64 {
        self.domain.page_sizes()
    }

    /// How much is mapped. Waits for nobody who maps.
    pub(crate) fn totals(&self) -> Totals {
        *self.totals.lock()
    }

    /// What ends with the space, locked.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal came first.
    pub(crate) fn inside(&self) -> Result<KillableGuard<'_, Option<Inside>>> {
        self.inside.lock_killable()
    }

    /// Maps `iova` to the registered memory `memory`, of the same size, that `find` finds, unless
    /// `check` fails when all is done.
    ///
    /// # Errors
    ///
    /// `EINVAL` if an address or the size is not a multiple of the smallest page; `ERANGE` if the
    /// window does not permit it; `EEXIST` if something is mapped there; `ENOENT` if the space is
    /// destroyed; `EINTR`; those of `find`, of [`Mapping::new`] and of `check`.
    pub(crate) fn map(
        &self,
        iova: Interval,
        memory: Interval,
        access: Access,
        place: MappingPlace,
        find: impl FnOnce(Interval) -> Result<MappedMemory>,
        check: impl FnOnce() -> Result,
    ) -> Result {
        self.check_alignment(iova)?;
        self.check_alignment(memory)?;
        if !self.window.permits(iova) {
            return Err(ERANGE);
        }
        let (domain, vaddr) = (self.domain.clone(), memory.start());
        // What is not taken goes after the lock.
        let mut found = None;
        let mut inside = self.inside()?;
        let inside = inside.as_mut().ok_or(ENOENT)?;
        inside.mappings.add(iova, place, || {
            found = Some(find(memory)?);
            Mapping::new(domain, self.pasid, iova, vaddr, access, &mut found, check)
        })?;
        self.totals.lock().add(Totals::one(iova.size()));
        Ok(())
    }

    /// Unmaps `range`, or everything, and returns how many bytes of it were mapped.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the range's start or size is not a multiple of the smallest page, or if only a
    /// part of a mapping is in it; `ENOENT` if the space is destroyed; `EINTR`.
    pub(crate) fn unmap(&self, range: Option<Interval>) -> Result<u64> {
        if let Some(range) = range {
            self.check_alignment(range)?;
        }
        let unmapped = {
            let mut inside = self.inside()?;
            let mappings = &mut inside.as_mut().ok_or(ENOENT)?.mappings;
            let unmapped = match range {
                Some(range) => mappings.remove(&self.domain, range)?,
                None => mappings.clear(&self.domain),
            };
            self.totals.lock().sub(unmapped.totals());
            unmapped
        };
        Ok(unmapped.totals().bytes)
    }

    fn check_alignment(&self, range: Interval) -> Result {
        if range.is_aligned(self.domain.page().max(PAGE_SIZE as u64)) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }
}
