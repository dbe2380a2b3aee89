// SPDX-License-Identifier: GPL-2.0-only

//! How many attachments there may be: each takes one of the domain ids of its IOMMU. When these
//! have run out, nobody gets an IOMMU domain any more: no other user of VFIO, and not the host,
//! when a device comes back to it.

use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc}, //
};

use crate::{
    counters::{add_below, Counted, Kind},
    kernel::params::PARAMETERS,
    vfio_mm::VfioMm, //
};

/// Of the domain ids of an IOMMU, the share that attachments leave alone: one in so many.
const RESERVE: usize = 4;

/// One attachment of a process, counted until this is dropped.
pub(crate) struct Permit {
    vmm: Arc<VfioMm>,
    _counted: Counted,
}

impl Permit {
    /// Permits an attachment to a device whose IOMMU has so many domain ids, if that is known.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the system has as many attachments as the parameter `attachment_limit` allows,
    /// or as leave enough domain ids to others; or the process as many as it may have PASIDs.
    pub(crate) fn new(vmm: Arc<VfioMm>, domain_ids: Option<usize>) -> Result<Self> {
        let spared = domain_ids.map_or(usize::MAX, |ids| ids - ids / RESERVE);
        let limit = spared.min(PARAMETERS.get().attachment_limit as usize);
        if !add_below(vmm.attachments(), vmm.quota() as usize) {
            return Err(ENOSPC);
        }
        let counted = Counted::one_below(Kind::Attachments, limit);
        if counted.is_none() {
            vmm.attachments().fetch_sub(1, Relaxed);
        }
        Ok(Self {
            vmm,
            _counted: counted.ok_or(ENOSPC)?,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.vmm.attachments().fetch_sub(1, Relaxed);
    }
}
