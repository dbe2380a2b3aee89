// SPDX-License-Identifier: GPL-2.0-only

//! Process spaces: the whole address space of the process that has the container, named by the SVA
//! PASID of the process.

use kernel::{prelude::*, sync::Arc};

use crate::{
    counters::{Counted, Kind},
    pasid::in_use::PasidInUse,
    vfio_mm::{VfioMm, VfioMmRef}, //
};

/// The address space of a process as a space of one of its containers.
///
/// The fields are dropped in this order: a number in use belongs to a process.
pub(crate) struct ProcessSpace {
    pasid: PasidInUse<VfioMm>,
    _vmm: VfioMmRef,
    _counted: Counted,
}

impl ProcessSpace {
    /// The space of the process `vmm`, whose SVA PASID is `number`. It is attached to nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of [`PasidInUse::of_process`].
    pub(crate) fn new(vmm: &VfioMmRef, number: u32) -> Result<Arc<Self>> {
        let space = Self {
            pasid: PasidInUse::of_process(vmm.arc(), number)?,
            _vmm: vmm.clone(),
            _counted: Counted::one(Kind::Spaces),
        };
        Ok(Arc::new(space, GFP_KERNEL_ACCOUNT)?)
    }

    /// The PASID that names the space.
    pub(crate) fn pasid(&self) -> u32 {
        self.pasid.number()
    }
}
