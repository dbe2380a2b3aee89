// SPDX-License-Identifier: GPL-2.0-only

//! `vfio_mm`: what belongs to one process, shared by all its containers.

use core::mem::ManuallyDrop;

use kernel::{
    mm::Mm,
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{aref::ARef, Arc, Mutex}, //
};

use crate::{
    kernel::mm::is_current,
    pasid::{PasidRange, PasidSet, Reservation},
    MODULE, //
};

/// One process, identified by its address space. There is never more than one for an `mm`.
#[pin_data]
pub(crate) struct VfioMm {
    /// Grabbed (`mmgrab()`): the `mm_struct` may die, but its address is not used anew.
    mm: ARef<Mm>,
    /// The PASIDs of the process. Guards the set and, with it, the quota.
    #[pin]
    pasids: Mutex<PasidSet>,
}

impl VfioMm {
    fn new(mm: ARef<Mm>) -> impl PinInit<Self> {
        pin_init!(Self {
            mm,
            pasids <- new_mutex!(PasidSet::new(), "vfio_pasid::pasids"),
        })
    }

    /// Whether the calling thread belongs to this process.
    pub(crate) fn is_current(&self) -> bool {
        is_current(&self.mm)
    }

    /// How many PASIDs the process may hold.
    pub(crate) fn quota(&self) -> u32 {
        MODULE.get().params.quota
    }

    /// How many PASIDs the process holds.
    pub(crate) fn held(&self) -> u32 {
        self.pasids.lock().held()
    }

    /// Takes the highest free number of `range`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the quota or the range is used up; `ENOMEM`.
    pub(crate) fn alloc_pasid(&self, range: PasidRange) -> Result<u32> {
        let spare = Reservation::new(GFP_KERNEL_ACCOUNT)?;
        let mut pasids = self.pasids.lock();
        if pasids.held() >= self.quota() {
            return Err(ENOSPC);
        }
        let number = MODULE
            .get()
            .numbers
            .lock()
            .take_highest(range)
            .ok_or(ENOSPC)?;
        pasids.insert(number, spare);
        Ok(number)
    }

    /// Gives back every number of `range` that the process holds, and skips the rest.
    pub(crate) fn free_pasids(&self, range: PasidRange) {
        self.pasids.lock().remove(range, |node, word| {
            // Locked anew for each node, so that other processes get their turn.
            MODULE.get().numbers.lock().give_back(node, word);
        });
    }
}

/// The `vfio_mm` of every process that has one.
pub(crate) struct Registry(RBTree<usize, Entry>);

struct Entry {
    vmm: Arc<VfioMm>,
    users: usize,
}

impl Registry {
    /// An empty registry.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// An address that is unique for as long as someone holds a reference to `mm`.
    fn key(mm: &Mm) -> usize {
        mm.as_raw().addr()
    }

    fn join(&mut self, key: usize) -> Option<Arc<VfioMm>> {
        let entry = self.0.get_mut(&key)?;
        entry.users += 1;
        Some(entry.vmm.clone())
    }
}

/// A counted use of a [`VfioMm`]. The last one to go takes all that the process holds with it.
pub(crate) struct VfioMmRef(Arc<VfioMm>);

impl VfioMmRef {
    /// The `vfio_mm` of `mm`, made if there is none.
    pub(crate) fn get(mm: ARef<Mm>) -> Result<Self> {
        let key = Registry::key(&mm);
        let registry = &MODULE.get().registry;
        if let Some(vmm) = registry.lock().join(key) {
            return Ok(Self(vmm));
        }

        let spare = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let vmm = Arc::pin_init(VfioMm::new(mm), GFP_KERNEL_ACCOUNT)?;
        let mut registry = registry.lock();
        // Another thread of the process may have been faster.
        if let Some(vmm) = registry.join(key) {
            return Ok(Self(vmm));
        }
        let entry = Entry {
            vmm: vmm.clone(),
            users: 1,
        };
        registry.0.insert(spare.into_node(key, entry));
        Ok(Self(vmm))
    }

    /// Hands the use out as a pointer, which [`VfioMmRef::from_arc`] takes back.
    pub(crate) fn into_raw(self) -> *const VfioMm {
        Arc::as_ptr(&ManuallyDrop::new(self).0)
    }

    /// Takes back a use that [`VfioMmRef::into_raw`] handed out.
    pub(crate) fn from_arc(vmm: Arc<VfioMm>) -> Self {
        Self(vmm)
    }
}

impl core::ops::Deref for VfioMmRef {
    type Target = VfioMm;

    fn deref(&self) -> &VfioMm {
        &self.0
    }
}

impl Drop for VfioMmRef {
    fn drop(&mut self) {
        let key = Registry::key(&self.0.mm);
        let mut registry = MODULE.get().registry.lock();
        let Some(entry) = registry.0.get_mut(&key) else {
            return;
        };
        entry.users -= 1;
        if entry.users == 0 {
            // The lock is held until all is given back: a new vfio_mm for the same process starts
            // when nothing of the old one is left.
            self.0.free_pasids(PasidRange::ALL);
            registry.0.remove(&key);
        }
    }
}
