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
    pasid::in_use::HasPasids, //
};

/// Of the domain ids of an IOMMU, the share that attachments leave alone: one in so many.
const RESERVE: usize = 4;

/// One attachment of a process, counted until this is dropped.
pub(crate) struct Permit<P: HasPasids> {
    process: Arc<P>,
    _counted: Counted,
}

impl<P: HasPasids> Permit<P> {
    /// Permits an attachment to a device whose IOMMU has so many domain ids, if that is known.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the system has as many attachments as the parameter `attachment_limit` allows,
    /// or as leave enough domain ids to others; or the process as many as it may have PASIDs.
    pub(crate) fn new(process: Arc<P>, domain_ids: Option<usize>) -> Result<Self> {
        let spared = domain_ids.map_or(usize::MAX, |ids| ids - ids / RESERVE);
        let limit = spared.min(PARAMETERS.get().attachment_limit as usize);
        let pasids = process.pasids();
        if !add_below(pasids.attachments(), pasids.quota() as usize) {
            return Err(ENOSPC);
        }
        let counted = Counted::one_below(Kind::Attachments, limit);
        if counted.is_none() {
            pasids.attachments().fetch_sub(1, Relaxed);
        }
        Ok(Self {
            process,
            _counted: counted.ok_or(ENOSPC)?,
        })
    }
}

impl<P: HasPasids> Drop for Permit<P> {
    fn drop(&mut self) {
        self.process.pasids().attachments().fetch_sub(1, Relaxed);
    }
}
