// SPDX-License-Identifier: GPL-2.0-only

//! `vfio_mm`: what belongs to one process, shared by all its containers.

use core::mem::ManuallyDrop;

use kernel::{
    mm::Mm,
    new_condvar, new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{
        aref::ARef,
        lock::{mutex::MutexBackend, Guard},
        Arc,
        CondVar,
        LockedBy,
        Mutex, //
    },
};

use crate::{
    counters::Kind,
    default_pasid::DefaultPasids,
    kernel::mm::is_current,
    memory::Memory,
    pasid::{PasidRange, PasidSet, Reservation},
    space::NumberSpace,
    MODULE, //
};

/// One process, identified by its address space. There is never more than one for an `mm`.
#[pin_data]
pub(crate) struct VfioMm {
    /// Grabbed (`mmgrab()`): the `mm_struct` may die, but its address is not used anew.
    mm: ARef<Mm>,
    /// What kernel drivers have attached for the process.
    #[pin]
    default_pasids: Mutex<DefaultPasids>,
    /// What the process has registered. Guards the ranges, and every count of their mappings.
    #[pin]
    memory: Mutex<Memory>,
    /// A range was pinned or unpinned.
    #[pin]
    memory_settled: CondVar,
    /// The PASIDs of the process. Guards the set and, with it, the quota.
    #[pin]
    pasids: Mutex<PasidSet>,
}

impl VfioMm {
    fn new(mm: ARef<Mm>) -> impl PinInit<Self> {
        pin_init!(Self {
            mm,
            default_pasids <- new_mutex!(DefaultPasids::new(), "vfio_pasid::default_pasids"),
            memory <- new_mutex!(Memory::new(), "vfio_pasid::memory"),
            memory_settled <- new_condvar!("vfio_pasid::memory_settled"),
            pasids <- new_mutex!(PasidSet::new(), "vfio_pasid::pasids"),
        })
    }

    /// What kernel drivers have attached for the process, locked.
    pub(crate) fn default_pasids(&self) -> Guard<'_, DefaultPasids, MutexBackend> {
        self.default_pasids.lock()
    }

    /// What the process has registered, locked.
    pub(crate) fn memory(&self) -> Guard<'_, Memory, MutexBackend> {
        self.memory.lock()
    }

    /// Data that [`VfioMm::memory`] guards as well.
    pub(crate) fn guard_by_memory<T>(&self, data: T) -> LockedBy<T, Memory> {
        LockedBy::new(&self.memory, data)
    }

    /// Unlocks what the process has registered until [`VfioMm::memory_settled`] is called.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal came first.
    pub(crate) fn wait_for_memory(&self, memory: &mut Guard<'_, Memory, MutexBackend>) -> Result {
        if self.memory_settled.wait_interruptible(memory) {
            return Err(EINTR);
        }
        Ok(())
    }

    /// A range was pinned or unpinned: who waits for that looks again.
    pub(crate) fn memory_settled(&self) {
        self.memory_settled.notify_all();
    }

    /// The address space.
    pub(crate) fn mm(&self) -> ARef<Mm> {
        self.mm.clone()
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
        self.hold(
            |numbers| numbers.take_highest(range).ok_or(ENOSPC),
            PasidSet::insert,
        )
    }

    /// Inserts the number that `take` finds, under the lock that the quota is checked under.
    fn hold(
        &self,
        take: impl FnOnce(&mut NumberSpace) -> Result<u32>,
        insert: fn(&mut PasidSet, u32, Reservation),
    ) -> Result<u32> {
        let spare = Reservation::new(GFP_KERNEL_ACCOUNT)?;
        let mut pasids = self.pasids.lock();
        if pasids.held() >= self.quota() {
            return Err(ENOSPC);
        }
        let number = take(&mut MODULE.get().numbers.lock())?;
        insert(&mut pasids, number, spare);
        MODULE.get().counters.add(Kind::Pasids, 1);
        Ok(number)
    }

    /// Gives back every number of `range` that the process holds, and skips the rest.
    ///
    /// # Errors
    ///
    /// `EBUSY`, and nothing is given back, if one of them is in use.
    pub(crate) fn free_pasids(&self, range: PasidRange) -> Result {
        let mut pasids = self.pasids.lock();
        if pasids.any_in_use(range) {
            return Err(EBUSY);
        }
        give_back(&mut pasids, range);
        Ok(())
    }

    /// Gives back every number of `range` that the process holds and that is not in use.
    pub(crate) fn free_unused_pasids(&self, range: PasidRange) {
        give_back(&mut self.pasids.lock(), range);
    }
}

fn give_back(pasids: &mut PasidSet, range: PasidRange) {
    pasids.remove(range, |node, word| {
        // Locked anew for each node, so that other processes get their turn.
        MODULE.get().numbers.lock().give_back(node, word);
        let count = word.count_ones() as usize;
        MODULE.get().counters.sub(Kind::Pasids, count);
    });
}

/// A PASID in use: nobody else can use or free it. Dropped when no hardware entry carries it any
/// more.
pub(crate) struct PasidInUse {
    vmm: Arc<VfioMm>,
    number: PasidRange,
    /// Whether dropping frees the number.
    temporary: bool,
}

impl PasidInUse {
    /// Takes a number that the process holds into use.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the process does not hold it; `EBUSY` if it is in use.
    pub(crate) fn existing(vmm: Arc<VfioMm>, number: u32) -> Result<Self> {
        vmm.pasids.lock().start_use(number)?;
        Ok(Self {
            vmm,
            number: PasidRange::single(number),
            temporary: false,
        })
    }

    /// Takes the highest free number of `range` into use until this is dropped.
    ///
    /// # Errors
    ///
    /// As [`VfioMm::alloc_pasid`].
    pub(crate) fn new(vmm: Arc<VfioMm>, range: PasidRange) -> Result<Self> {
        Self::take(vmm, |numbers| numbers.take_highest(range).ok_or(ENOSPC))
    }

    /// Takes `number`, which the host's allocator gave, into use until this is dropped.
    ///
    /// # Errors
    ///
    /// `EEXIST` if a user holds it; `ENOSPC` if the quota is used up; `ENOMEM`.
    pub(crate) fn exactly(vmm: Arc<VfioMm>, number: u32) -> Result<Self> {
        Self::take(vmm, |numbers| {
            numbers.take(number).then_some(number).ok_or(EEXIST)
        })
    }

    fn take(vmm: Arc<VfioMm>, take: impl FnOnce(&mut NumberSpace) -> Result<u32>) -> Result<Self> {
        let number = vmm.hold(take, PasidSet::insert_in_use)?;
        Ok(Self {
            vmm,
            number: PasidRange::single(number),
            temporary: true,
        })
    }

    /// The number.
    pub(crate) fn number(&self) -> u32 {
        self.number.min()
    }
}

impl Drop for PasidInUse {
    fn drop(&mut self) {
        let mut pasids = self.vmm.pasids.lock();
        pasids.end_use(self.number());
        if self.temporary {
            give_back(&mut pasids, self.number);
        }
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

    /// The process, for what never outlives this use.
    pub(crate) fn arc(&self) -> Arc<VfioMm> {
        self.0.clone()
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
            *self.0.default_pasids() = DefaultPasids::new();
            self.0.free_unused_pasids(PasidRange::ALL);
            registry.0.remove(&key);
        }
    }
}
