// SPDX-License-Identifier: GPL-2.0-only

//! What the spaces of a container are attached to: open devices, and what these can do.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    static_lock_class,
    sync::Arc, //
};

use super::aux::AuxSpace;
use crate::{
    interval::Interval,
    kernel::{
        device::{GroupDevice, PasidSupport},
        errno::eopnotsupp,
        iommu::Attachment,
        mutex::{KillableGuard, KillableMutex},
        params::PARAMETERS,
        resv::reserved_regions,
        sva::Bond,
        vfio::{Identity, PinnedDevice}, //
    },
    permit::Permit,
    vfio_mm::{VfioMm, VfioMmRef}, //
};

/// Where an attachment is: the number of the group, which it keeps as long as it is in the
/// container, and the PASID. So those of a group are beside each other.
pub(crate) type AttachmentKey = (u32, u32);

/// A space, attached to a group.
///
/// The fields are dropped in this order: it is counted until it is detached.
pub(crate) struct Attached {
    link: Link,
    _permit: Permit<VfioMm>,
}

/// What attaches it.
enum Link {
    Domain(Attachment),
    Process(Bond),
}

impl Attached {
    /// The calling process `vmm`, bound to `open`. Both this and dropping it may take long.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the device cannot use process spaces; those of [`Permit::new`] and
    /// [`Bond::new`].
    pub(crate) fn of_process(vmm: &VfioMmRef, open: &OpenDevice) -> Result<Self> {
        let limits = open.limits.as_ref().filter(|limits| limits.process);
        let permit = Permit::new(vmm.arc(), limits.ok_or_else(eopnotsupp)?.domain_ids)?;
        Ok(Self {
            link: Link::Process(Bond::new(open.device.clone())?),
            _permit: permit,
        })
    }

    fn device(&self) -> &PinnedDevice {
        match &self.link {
            Link::Domain(attachment) => attachment.device(),
            Link::Process(bond) => bond.device(),
        }
    }
}

/// Memory for an attachment's place among [`Attachments`].
pub(crate) type AttachedPlace = RBTreeNodeReservation<AttachmentKey, Attached>;

/// A device that is open.
#[derive(Clone)]
pub(crate) struct OpenDevice {
    device: PinnedDevice,
    /// `None` if it cannot use PASIDs.
    limits: Option<Arc<AttachmentLimits>>,
}

/// What limits attachments to a device. It is looked at once: `vfio_iommu_type1_attach_group()`
/// asks no more often for reserved regions.
#[pin_data]
struct AttachmentLimits {
    domain_ids: Option<usize>,
    reserved: KVec<Interval>,
    /// Whether process spaces can be attached.
    process: bool,
    /// Held while a process is bound to the device or unbound. When it is closed, that is waited
    /// for: a group must have no attachment left when VFIO gives it up.
    #[pin]
    gate: KillableMutex<()>,
}

impl OpenDevice {
    /// Looks at `device`, which is being opened.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(device: PinnedDevice) -> Result<Self> {
        let host = device.device();
        let limits = match host.pasid_support() {
            Some(support) => {
                let limits = pin_init!(AttachmentLimits {
                    domain_ids: host.domain_ids()?,
                    reserved: reserved_regions(&host.group())?,
                    process: ProcessSupport::is_allowed(support)
                        && ProcessSupport::of(host, support)?.is_complete(),
                    gate <- KillableMutex::new((), c"vfio_pasid::gate", static_lock_class!()),
                }? Error);
                Some(Arc::pin_init(limits, GFP_KERNEL_ACCOUNT)?)
            }
            None => None,
        };
        Ok(Self { device, limits })
    }

    /// The device as VFIO sees it.
    pub(crate) fn pinned(&self) -> &PinnedDevice {
        &self.device
    }

    /// The device as the IOMMU core sees it.
    pub(crate) fn device(&self) -> GroupDevice<'_> {
        self.device.device()
    }

    /// Whether process spaces can be attached to it.
    pub(crate) fn can_use_processes(&self) -> bool {
        self.limits.as_ref().is_some_and(|limits| limits.process)
    }

    /// Whether the other one is the same device, opened once.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.limits, &other.limits) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Keeps the device from being closed while the process is bound to it, or unbound.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if it cannot use PASIDs; `EINTR` if a fatal signal came first.
    pub(crate) fn gate(&self) -> Result<KillableGuard<'_, ()>> {
        self.limits
            .as_ref()
            .ok_or_else(eopnotsupp)?
            .gate
            .lock_killable()
    }

    /// Waits until nobody binds the process to it, or unbinds it.
    pub(crate) fn wait_at_gate(&self) {
        if let Some(limits) = &self.limits {
            drop(limits.gate.lock());
        }
    }
}

/// What a process space needs of a device that can use PASIDs, and of root.
pub(crate) struct ProcessSupport {
    /// Its IOMMU can walk the tables of a process.
    pub(crate) iommu: bool,
    /// It can keep translations.
    pub(crate) ats: bool,
    /// The module's parameters allow it.
    pub(crate) allowed: bool,
}

impl ProcessSupport {
    /// What there is of `device`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of(device: GroupDevice<'_>, support: PasidSupport) -> Result<Self> {
        Ok(Self {
            iommu: device.walks_processes()?,
            ats: support.ats,
            allowed: Self::is_allowed(support),
        })
    }

    /// Whether root allows it for such a device.
    fn is_allowed(support: PasidSupport) -> bool {
        let params = PARAMETERS.get();
        params.process_space && (params.process_space_pri || !support.pri)
    }

    /// Whether all of it is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.iommu && self.ats && self.allowed
    }
}

/// What the aux spaces of a container are attached to. Looking, attaching and detaching are one
/// step under the lock that this is behind.
pub(crate) struct Attachments(RBTree<AttachmentKey, Attached>);

impl Attachments {
    /// None.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Attaches `space`, of the process `vmm`, to `device`, the PASID-capable one of the group
    /// `number`.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is attached; `ERANGE` if the PASID is wider than the device can use;
    /// `EINVAL` if the device cannot serve the window; those of [`Permit::new`] and of
    /// [`Attachment::new`].
    pub(crate) fn attach(
        &mut self,
        vmm: &VfioMmRef,
        space: &AuxSpace,
        number: u32,
        open: &OpenDevice,
        place: AttachedPlace,
    ) -> Result {
        let key = (number, space.pasid());
        if self.0.get(&key).is_some() {
            return Err(EEXIST);
        }
        let support = open.device().pasid_support().ok_or_else(eopnotsupp)?;
        let limits = open.limits.as_ref().ok_or_else(eopnotsupp)?;
        if space.pasid() >> support.width != 0 {
            return Err(ERANGE);
        }
        if !space.window().allows(&limits.reserved) {
            return Err(EINVAL);
        }
        let permit = Permit::new(vmm.arc(), limits.domain_ids)?;
        let attached = Attached {
            link: Link::Domain(Attachment::new(
                space.domain().clone(),
                open.device.clone(),
                space.pasid(),
            )?),
            _permit: permit,
        };
        self.0.insert(place.into_node(key, attached));
        Ok(())
    }

    /// Whether the space `pasid` is attached to the group `number`.
    pub(crate) fn has(&self, number: u32, pasid: u32) -> bool {
        self.0.get(&(number, pasid)).is_some()
    }

    /// The first attachment from `key` on.
    pub(crate) fn first_from(&self, key: AttachmentKey) -> Option<AttachmentKey> {
        Some(*self.0.cursor_lower_bound(&key)?.current().0)
    }

    /// Detaches the space `pasid` from the group `number`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not attached.
    pub(crate) fn detach(&mut self, number: u32, pasid: u32) -> Result {
        self.take(number, pasid).map(drop).ok_or(ENOENT)
    }

    /// Adds what is attached to the group `number` as the space `pasid`.
    pub(crate) fn add(
        &mut self,
        number: u32,
        pasid: u32,
        attached: Attached,
        place: AttachedPlace,
    ) {
        self.0.insert(place.into_node((number, pasid), attached));
    }

    /// Takes the attachment of the space `pasid` to the group `number`, which is to be dropped.
    pub(crate) fn take(&mut self, number: u32, pasid: u32) -> Option<Attached> {
        self.0.remove(&(number, pasid))
    }

    /// Detaches every space from the group `number`; or only from `device` of it.
    pub(crate) fn detach_all(&mut self, number: u32, device: Option<Identity>) -> Bonds {
        let mut bonds = RBTree::new();
        let mut next = self.0.cursor_lower_bound_mut(&(number, 0));
        while let Some(cursor) = next {
            let (&(group, _), attached) = cursor.current();
            let here = attached.device().identity();
            // A group has one PASID-capable device: all of its attachments are alike. At the end
            // of the tree the cursor steps back, to another group.
            if group != number || device.is_some_and(|device| device != here) {
                break;
            }
            let is_bond = matches!(attached.link, Link::Process(_));
            let (behind, gone) = cursor.remove_current();
            next = behind;
            if is_bond {
                bonds.insert(gone);
            }
        }
        Bonds(bonds)
    }
}

/// Processes that are to be unbound, by dropping this when nothing is locked.
#[must_use]
pub(crate) struct Bonds(#[expect(dead_code)] RBTree<AttachmentKey, Attached>);
