// SPDX-License-Identifier: GPL-2.0-only

//! Aux spaces: IO address spaces of a container besides its own, each named by its PASID.

use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::Arc, //
};

use crate::{
    counters::{Counted, Kind},
    kernel::{
        errno::eopnotsupp,
        group::Group,
        iommu::{Access, Attachment, Domain},
        resv::reserved_regions,
        vfio::PinnedDevice, //
    },
    mapping::{self, Mapping, Mappings},
    mm::PasidInUse,
    registered::Mapped,
    window::{Interval, Window, Wish}, //
};

/// An aux space.
///
/// The fields are dropped in this order: nothing is mapped any more when the groups are detached,
/// and the PASID outlives every hardware entry that carries it.
pub(crate) struct AuxSpace {
    mappings: Mappings,
    attached: KVec<AttachedGroup>,
    domain: Arc<Domain>,
    window: Window,
    pasid: PasidInUse,
    _counted: Counted,
}

struct AttachedGroup {
    /// As long as it is in the container, the group keeps its number.
    number: u32,
    attachment: Attachment,
    _counted: Counted,
}

impl AuxSpace {
    /// A space that is attached to nothing and that groups like `group` can use.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the group has no PASID-capable device, or several; `ERANGE` if nothing of
    /// `wish` can be served; those of [`Domain::new`].
    pub(crate) fn new(
        group: &Group,
        wish: Wish,
        pasid: impl FnOnce() -> Result<PasidInUse>,
    ) -> Result<Self> {
        let domain = group
            .with_pasid_device(|device, _| Domain::new(device))
            .ok_or_else(eopnotsupp)??;
        let reserved = reserved_regions(group)?;
        let window = Window::negotiate(wish, domain.aperture()?, domain.page(), &reserved)?;
        Ok(Self {
            mappings: Mappings::new(),
            attached: KVec::new(),
            domain: Arc::new(domain, GFP_KERNEL_ACCOUNT)?,
            window,
            pasid: pasid()?,
            _counted: Counted::one(Kind::Spaces),
        })
    }

    /// The PASID that names the space.
    pub(crate) fn pasid(&self) -> u32 {
        self.pasid.number()
    }

    /// The window that was granted.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// The page sizes that can be mapped, a bit for each.
    pub(crate) fn page_sizes(&self) -> u64 {
        self.domain.page_sizes()
    }

    /// The numbers of the groups that the space is attached to, in ascending order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.attached.iter().map(|attached| attached.number)
    }

    /// Attaches `device`, the PASID-capable one of `group`, which is open through the space's
    /// container and whose set the caller has locked.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the group is attached; `ERANGE` if the PASID is wider than the device can use;
    /// `EINVAL` if the device cannot serve the window; those of [`Attachment::new`].
    pub(crate) fn attach(&mut self, group: &Group, device: PinnedDevice) -> Result {
        let number = group.number();
        let place = match self
            .attached
            .binary_search_by_key(&number, |attached| attached.number)
        {
            Ok(_) => return Err(EEXIST),
            Err(place) => place,
        };
        let support = device.device().pasid_support().ok_or_else(eopnotsupp)?;
        if self.pasid() >> support.width != 0 {
            return Err(ERANGE);
        }
        if !self.window.allows(&reserved_regions(group)?) {
            return Err(EINVAL);
        }
        self.attached.reserve(1, GFP_KERNEL_ACCOUNT)?;
        let attached = AttachedGroup {
            number,
            attachment: Attachment::new(self.domain.clone(), device, self.pasid())?,
            _counted: Counted::one(Kind::Attachments),
        };
        Ok(self.attached.insert_within_capacity(place, attached)?)
    }

    /// Detaches the group.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not attached.
    pub(crate) fn detach(&mut self, group: &Group) -> Result {
        let number = group.number();
        let before = self.attached.len();
        self.attached.retain(|attached| attached.number != number);
        if self.attached.len() == before {
            return Err(ENOENT);
        }
        Ok(())
    }

    /// Maps `iova` to the registered memory `memory`, of the same size, that `find` finds.
    ///
    /// # Errors
    ///
    /// `EINVAL` if an address or the size is not a multiple of the smallest page; `ERANGE` if the
    /// window does not permit it; `EEXIST` if something is mapped there; those of `find` and of
    /// [`Mapping::new`].
    pub(crate) fn map(
        &mut self,
        iova: Interval,
        memory: Interval,
        access: Access,
        place: mapping::Place,
        find: impl FnOnce(Interval) -> Result<Mapped>,
    ) -> Result {
        self.check_alignment(iova)?;
        self.check_alignment(memory)?;
        if !self.window.permits(iova) {
            return Err(ERANGE);
        }
        let pasid = self.pasid();
        let domain = &self.domain;
        self.mappings.add(iova, place, || {
            let found = find(memory)?;
            Mapping::new(domain.clone(), pasid, iova, memory.start(), access, found)
        })
    }

    /// Unmaps `range` and returns how many bytes of it were mapped.
    ///
    /// # Errors
    ///
    /// `EINVAL` if its start or size is not a multiple of the smallest page, or if only a part of
    /// a mapping is in it.
    pub(crate) fn unmap(&mut self, range: Interval) -> Result<u64> {
        self.check_alignment(range)?;
        self.mappings.remove(range)
    }

    /// The mappings.
    pub(crate) fn mappings(&mut self) -> &mut Mappings {
        &mut self.mappings
    }

    fn check_alignment(&self, range: Interval) -> Result {
        if range.is_aligned(self.domain.page().max(PAGE_SIZE as u64)) {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }
}

/// The aux spaces of a container by their PASIDs.
pub(crate) struct Spaces(RBTree<u32, AuxSpace>);

/// Memory for a space's place among [`Spaces`].
pub(crate) type Place = RBTreeNodeReservation<u32, AuxSpace>;

impl Spaces {
    /// No spaces.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Adds a space. Its PASID is in use by it alone, so there is no other of that name.
    pub(crate) fn add(&mut self, space: AuxSpace, place: Place) {
        self.0.insert(place.into_node(space.pasid(), space));
    }

    /// The space that `pasid` names.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none.
    pub(crate) fn get(&mut self, pasid: u32) -> Result<&mut AuxSpace> {
        self.0.get_mut(&pasid).ok_or(ENOENT)
    }

    /// Unmaps, detaches and frees the space that `pasid` names.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none.
    pub(crate) fn destroy(&mut self, pasid: u32) -> Result {
        self.0.remove(&pasid).map(drop).ok_or(ENOENT)
    }

    /// Detaches a group from every space.
    pub(crate) fn detach_group(&mut self, group: &Group) {
        let number = group.number();
        for space in self.0.values_mut() {
            space.attached.retain(|attached| attached.number != number);
        }
    }

    /// Detaches a device from every space.
    pub(crate) fn detach_device(&mut self, device: &PinnedDevice) {
        for space in self.0.values_mut() {
            space
                .attached
                .retain(|attached| attached.attachment.device() != device);
        }
    }
}
