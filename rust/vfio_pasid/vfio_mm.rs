// SPDX-License-Identifier: GPL-2.0-only

//! `vfio_mm`: what belongs to one process, shared by all its containers.

use core::mem::{take, ManuallyDrop};

use kernel::{
    mm::Mm,
    new_condvar, new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    static_lock_class,
    sync::{
        aref::ARef,
        atomic::{Atomic, Full, Relaxed},
        lock::{mutex::MutexBackend, Guard},
        Arc,
        CondVar,
        LockedBy,
        Mutex, //
    },
};

use crate::{
    counters::{step, Counted, Kind},
    generation,
    kernel::{
        charge::Account,
        event::Event,
        global::Global,
        log::{lockable_pages, LockablePages},
        maker::{Comm, Maker},
        mm::is_current, //
    },
    memory::of_process::ProcessMemory,
    pasid::{
        default::DefaultPasids,
        in_use::{HasPasids, Pasids},
        range::PasidRange, //
    }, //
};

/// One process, identified by its address space. There is never more than one for an `mm`.
#[pin_data]
pub(crate) struct VfioMm {
    /// What no other has, or has had.
    id: u64,
    /// The process, when this was made.
    maker: Maker,
    /// Grabbed (`mmgrab()`): the `mm_struct` may die, but its address is not used anew.
    mm: ARef<Mm>,
    /// What it is charged for.
    account: Arc<Account>,
    /// What kernel drivers have attached for the process.
    #[pin]
    default_pasids: Mutex<DefaultPasids<VfioMm>>,
    /// What the process has registered. Guards the ranges, and every count of their mappings.
    #[pin]
    memory: Mutex<ProcessMemory>,
    /// A range was pinned or unpinned.
    #[pin]
    memory_settled: CondVar,
    /// The PASIDs of the process, and how many attachments it has.
    #[pin]
    pasids: Pasids,
    /// How many [`VfioMmRef`] there are. It goes down to 0 with the registry locked.
    uses: Atomic<usize>,
    /// Containers that are closed, and of which something is yet to be taken down.
    closing: Atomic<usize>,
    /// One of them is gone, or the `vfio_mm` itself.
    #[pin]
    gone: Event,
}

impl VfioMm {
    fn new(mm: ARef<Mm>, maker: Maker) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            id: generation::changed(),
            maker,
            account: Account::new(mm.clone())?,
            mm,
            default_pasids <- new_mutex!(DefaultPasids::default(), "vfio_pasid::default_pasids"),
            memory <- new_mutex!(ProcessMemory::new(), "vfio_pasid::memory"),
            memory_settled <- new_condvar!("vfio_pasid::memory_settled"),
            pasids <- Pasids::new(),
            uses: Atomic::new(1),
            closing: Atomic::new(0),
            gone <- Event::new(c"vfio_pasid::gone", static_lock_class!()),
        }? Error)
    }

    /// What no other has, or has had.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What the process was called when this was made.
    pub(crate) fn comm(&self) -> Comm {
        self.maker.comm()
    }

    /// The number of the process as the calling thread knows it; `None` if it is gone, or not to be
    /// seen from there.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.maker.pid(&self.mm)
    }

    /// What kernel drivers have attached for the process, locked.
    pub(crate) fn default_pasids(&self) -> Guard<'_, DefaultPasids<VfioMm>, MutexBackend> {
        self.default_pasids.lock()
    }

    /// What the process has registered, locked.
    pub(crate) fn memory(&self) -> Guard<'_, ProcessMemory, MutexBackend> {
        self.memory.lock()
    }

    /// Data that [`VfioMm::memory`] guards as well.
    pub(crate) fn guard_by_memory<T>(&self, data: T) -> LockedBy<T, ProcessMemory> {
        LockedBy::new(&self.memory, data)
    }

    /// Unlocks what the process has registered until [`VfioMm::memory_settled`] is called.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal came first.
    pub(crate) fn wait_for_memory(
        &self,
        memory: &mut Guard<'_, ProcessMemory, MutexBackend>,
    ) -> Result {
        if self.memory_settled.wait_interruptible(memory) {
            return Err(EINTR);
        }
        Ok(())
    }

    /// A range was pinned or unpinned: who waits for that looks again.
    pub(crate) fn memory_settled(&self) {
        self.memory_settled.notify_all();
    }

    /// What the process is charged for.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How much the process, whose thread this is, may have locked; `None` if there is no limit.
    pub(crate) fn lockable_pages(&self) -> Option<LockablePages> {
        lockable_pages(&self.mm)
    }

    /// Whether the calling thread belongs to this process.
    pub(crate) fn is_current(&self) -> bool {
        is_current(&self.mm)
    }

    /// Whether something of a closed container is yet to be taken down.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed) > 0
    }

    /// Does `call`, which changes nothing if it fails. While a closed container of the process is
    /// being taken down, some of what the process may have is still taken: then a call that fails
    /// for that waits until it is gone, and is done again.
    ///
    /// # Errors
    ///
    /// Those of `call`; `EINTR` if a fatal signal ends the wait.
    pub(crate) fn with_what_was_closed<T>(&self, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            let seen = self.gone.seen();
            let closing = self.is_closing();
            match call() {
                Err(error) if closing && [EBUSY, EEXIST, ENOMEM, ENOSPC].contains(&error) => {
                    self.gone.wait_killable(seen)?;
                }
                result => return result,
            }
        }
    }
}

impl HasPasids for VfioMm {
    fn pasids(&self) -> &Pasids {
        &self.pasids
    }
}

/// The `vfio_mm` of every process that has one.
pub(crate) struct Registry(RBTree<usize, RegistryEntry>);

/// Guards which there are, and their last uses.
pub(crate) static REGISTRY: Global<Mutex<Registry>> = Global::new();

/// What the registry knows of a `vfio_mm`.
struct RegistryEntry {
    vmm: Arc<VfioMm>,
    /// Its open containers.
    containers: usize,
    /// The last container has closed, or the last use has ended, and what they held is being given
    /// back. Who wants a `vfio_mm` of the process waits.
    settling: bool,
}

impl Registry {
    /// An empty registry.
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// The first process with a key above `key`, its own, and how many containers it has open.
    pub(crate) fn next(&self, key: usize) -> Option<(usize, Arc<VfioMm>, usize)> {
        let cursor = self.0.cursor_lower_bound(&key.checked_add(1)?)?;
        let (&key, entry) = cursor.current();
        Some((key, entry.vmm.clone(), entry.containers))
    }

    /// The process with that key.
    pub(crate) fn at(&self, key: usize) -> Option<Arc<VfioMm>> {
        Some(self.0.get(&key)?.vmm.clone())
    }

    /// An address that is unique for as long as someone holds a reference to `mm`.
    fn key(mm: &Mm) -> usize {
        mm.as_raw().addr()
    }
}

/// A counted use of a [`VfioMm`]. The last one to go takes all that the process holds with it.
pub(crate) struct VfioMmRef(Arc<VfioMm>);

impl VfioMmRef {
    /// The `vfio_mm` of `mm`, made for what `maker` says if there is none. Waits while one is being
    /// given up.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if a fatal signal ends the wait.
    pub(crate) fn get(mm: ARef<Mm>, maker: impl Fn() -> Maker) -> Result<Self> {
        Self::get_for(mm, maker, 0)
    }

    /// As [`VfioMmRef::get`], for so many containers.
    fn get_for(mm: ARef<Mm>, maker: impl Fn() -> Maker, containers: usize) -> Result<Self> {
        let key = Registry::key(&mm);
        let mut new = None;
        loop {
            let mut registry = REGISTRY.get().lock();
            let Some(entry) = registry.0.get_mut(&key) else {
                let Some((vmm, spare)) = new.take() else {
                    drop(registry);
                    new = Some((
                        Arc::pin_init(VfioMm::new(mm.clone(), maker()), GFP_KERNEL_ACCOUNT)?,
                        RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?,
                    ));
                    // Another thread of the process may have been faster.
                    continue;
                };
                let entry = RegistryEntry {
                    vmm: Arc::clone(&vmm),
                    containers,
                    settling: false,
                };
                registry.0.insert(spare.into_node(key, entry));
                generation::changed();
                return Ok(Self(vmm));
            };
            let vmm = entry.vmm.clone();
            if !entry.settling {
                entry.containers += containers;
                vmm.uses.fetch_add(1, Relaxed);
                return Ok(Self(vmm));
            }
            let seen = vmm.gone.seen();
            drop(registry);
            vmm.gone.wait_killable(seen)?;
        }
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

impl Clone for VfioMmRef {
    fn clone(&self) -> Self {
        self.0.uses.fetch_add(1, Relaxed);
        Self(self.0.clone())
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
        if step(&self.0.uses, |uses| (uses > 1).then(|| uses - 1)) {
            return;
        }
        let key = Registry::key(&self.0.mm);
        let registry = REGISTRY.get();
        {
            let mut registry = registry.lock();
            if self.0.uses.fetch_sub(1, Full) > 1 {
                return;
            }
            if let Some(entry) = registry.0.get_mut(&key) {
                entry.settling = true;
            }
        }
        // A new vfio_mm for the same process starts when nothing of this one is left.
        drop(take(&mut *self.0.default_pasids()));
        self.0.pasids.free_unused(PasidRange::ALL);
        let node = {
            let mut registry = registry.lock();
            generation::changed();
            registry.0.remove_node(&key)
        };
        drop(node);
        self.0.gone.happen();
    }
}

/// An open container's use of a [`VfioMm`]. When the last one of the process closes, the numbers
/// of the user go back; those of kernel drivers stay until the `vfio_mm` goes.
pub(crate) struct Membership(VfioMmRef);

impl Membership {
    /// Counts an open container of the process that has `mm`.
    ///
    /// # Errors
    ///
    /// As [`VfioMmRef::get`].
    pub(crate) fn new(mm: ARef<Mm>, maker: impl Fn() -> Maker) -> Result<Self> {
        Ok(Self(VfioMmRef::get_for(mm, maker, 1)?))
    }

    /// The process.
    pub(crate) fn vmm(&self) -> &VfioMmRef {
        &self.0
    }

    /// The container has closed, and something of it is yet to be taken down.
    pub(crate) fn close(self) -> Closing {
        self.0.closing.fetch_add(1, Relaxed);
        Closing {
            vmm: self.0.clone(),
            _counted: Counted::one(Kind::Closing),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut RegistryEntry) -> T) -> Option<T> {
        let mut registry = REGISTRY.get().lock();
        Some(change(registry.0.get_mut(&Registry::key(&self.0.mm))?))
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let last = self.change(|entry| {
            entry.containers -= 1;
            entry.settling = entry.containers == 0;
            entry.settling
        });
        if last == Some(true) {
            self.0.pasids.sweep();
            self.change(|entry| entry.settling = false);
            self.0.gone.happen();
        }
    }
}

/// A container that has closed: dropped when nothing of it is left.
pub(crate) struct Closing {
    vmm: VfioMmRef,
    _counted: Counted,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.vmm.closing.fetch_sub(1, Relaxed);
        self.vmm.gone.happen();
    }
}
