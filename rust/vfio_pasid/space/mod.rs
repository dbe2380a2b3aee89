// SPDX-License-Identifier: GPL-2.0-only

//! The IO address spaces of a container: its own, aux spaces, and that of the process.

pub(crate) mod attachment;
pub(crate) mod aux;
pub(crate) mod mapping;
pub(crate) mod own;
pub(crate) mod process;
pub(crate) mod window;

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::Arc, //
};

use self::{aux::AuxSpace, process::ProcessSpace};

/// A space of a container besides its own.
#[derive(Clone)]
pub(crate) enum Space {
    /// One that registered memory is mapped in.
    Aux(Arc<AuxSpace>),
    /// The address space of the process.
    Process(Arc<ProcessSpace>),
}

impl Space {
    /// The PASID that names the space.
    pub(crate) fn pasid(&self) -> u32 {
        match self {
            Self::Aux(space) => space.pasid(),
            Self::Process(space) => space.pasid(),
        }
    }

    /// The space, where something is to be mapped or unmapped.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a process space.
    pub(crate) fn aux(self) -> Result<Arc<AuxSpace>> {
        match self {
            Self::Aux(space) => Ok(space),
            Self::Process(_) => Err(EINVAL),
        }
    }
}

/// The spaces of a container by their PASIDs.
pub(crate) type Spaces = RBTree<u32, Space>;

/// Memory for a space's place among [`Spaces`].
pub(crate) type SpacePlace = RBTreeNodeReservation<u32, Space>;
