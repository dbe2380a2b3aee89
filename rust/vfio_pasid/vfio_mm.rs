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
    counters::{step, Counted, Kind, COUNTERS},
    generation,
    kernel::{
        charge::Account,
        event::Event,
        global::Global,
        log::{lockable_pages, LockablePages},
        maker::{Comm, Maker},
        mm::is_current,
        params::PARAMETERS, //
    },
    memory::of_process::Memory,
    pasid::{
        default::DefaultPasids,
        numbers::NUMBERS,
        range::PasidRange,
        set::{Holder, PasidSet, Reservation}, //
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
    /// Its attachments.
    attachments: Atomic<usize>,
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
            memory <- new_mutex!(Memory::new(), "vfio_pasid::memory"),
            memory_settled <- new_condvar!("vfio_pasid::memory_settled"),
            pasids <- new_mutex!(PasidSet::new(), "vfio_pasid::pasids"),
            attachments: Atomic::new(0),
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

    /// The first PASIDs from `number` on that follow each other and have one holder.
    pub(crate) fn pasids_from(&self, number: u32) -> Option<(PasidRange, Holder)> {
        self.pasids.lock().range_from(number)
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

    /// The counter of its attachments.
    pub(crate) fn attachments(&self) -> &Atomic<usize> {
        &self.attachments
    }

    /// How many attachments the process has.
    pub(crate) fn attachment_count(&self) -> usize {
        self.attachments.load(Relaxed)
    }

    /// Whether something of a closed container is yet to be taken down.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed) > 0
    }

    /// How many PASIDs the process may hold.
    pub(crate) fn quota(&self) -> u32 {
        PARAMETERS.get().quota
    }

    /// How many PASIDs the process holds.
    pub(crate) fn held(&self) -> u32 {
        self.pasids.lock().held()
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

    /// Takes the highest free number of `range`, unless `check` fails, which is asked under the
    /// lock that the numbers of a closed container are taken away under.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the quota or the range is used up; `ENOMEM`; those of `check`.
    pub(crate) fn alloc_pasid(
        &self,
        range: PasidRange,
        holder: Holder,
        check: impl FnOnce() -> Result,
    ) -> Result<u32> {
        self.take(range, holder, false, check)
    }

    fn take(
        &self,
        range: PasidRange,
        holder: Holder,
        in_use: bool,
        check: impl FnOnce() -> Result,
    ) -> Result<u32> {
        self.hold(holder, in_use, |pasids| {
            check()?;
            // A default PASID of this process may be free for all others.
            let mut numbers = NUMBERS.get().lock();
            let number = numbers.take_highest(range, |number| pasids.holds_of_host(number));
            number.ok_or(ENOSPC)
        })
    }

    /// The set, locked, with room for a number. Memory is only allocated with nothing locked, and
    /// only if the set has no spare node.
    fn pasids_with_spare(&self) -> Result<Guard<'_, PasidSet, MutexBackend>> {
        let pasids = self.pasids.lock();
        if pasids.has_spare() {
            return Ok(pasids);
        }
        drop(pasids);
        let spare = Reservation::new(GFP_KERNEL_ACCOUNT)?;
        let mut pasids = self.pasids.lock();
        pasids.keep_spare(spare);
        Ok(pasids)
    }

    /// Inserts the number that `find` finds, under the lock that the quota is checked under.
    fn hold(
        &self,
        holder: Holder,
        in_use: bool,
        find: impl FnOnce(&PasidSet) -> Result<u32>,
    ) -> Result<u32> {
        let mut pasids = self.pasids_with_spare()?;
        self.hold_in(&mut pasids, holder, in_use, find)
    }

    /// As [`VfioMm::hold`], in the process's set, which has a spare node.
    fn hold_in(
        &self,
        pasids: &mut PasidSet,
        holder: Holder,
        in_use: bool,
        find: impl FnOnce(&PasidSet) -> Result<u32>,
    ) -> Result<u32> {
        if pasids.held() >= self.quota() {
            return Err(ENOSPC);
        }
        let number = find(pasids)?;
        pasids.insert(number, holder, in_use);
        generation::changed();
        COUNTERS.add(Kind::Pasids, 1);
        Ok(number)
    }

    /// Gives back every number of the user in `range`, and skips the rest.
    ///
    /// # Errors
    ///
    /// `EBUSY`, and nothing is given back, if one of them is in use.
    pub(crate) fn free_pasids(&self, range: PasidRange) -> Result {
        let mut pasids = self.pasids.lock();
        if pasids.any_in_use(range) {
            return Err(EBUSY);
        }
        give_back(&mut pasids, range, Holder::User);
        Ok(())
    }

    /// Gives back every number of kernel drivers in `range` that is not in use.
    pub(crate) fn free_unused_pasids(&self, range: PasidRange) {
        give_back(&mut self.pasids.lock(), range, Holder::Driver);
    }

    /// Gives back every number of the user; one that is in use when its use ends.
    fn sweep(&self) {
        let mut pasids = self.pasids.lock();
        pasids.start_sweep();
        give_back(&mut pasids, PasidRange::ALL, Holder::User);
    }
}

fn give_back(pasids: &mut PasidSet, range: PasidRange, holder: Holder) {
    let before = pasids.held();
    pasids.remove(range, holder, |node, word| {
        // Locked anew for each node, so that other processes get their turn.
        NUMBERS.get().lock().give_back(node, word);
    });
    generation::changed();
    let count = (before - pasids.held()) as usize;
    COUNTERS.sub(Kind::Pasids, count);
}

/// A PASID in use: nobody else can use or free it. Dropped when no hardware entry carries it any
/// more.
pub(crate) struct PasidInUse {
    vmm: Arc<VfioMm>,
    number: PasidRange,
    afterwards: Afterwards,
}

/// What becomes of a number when its use ends.
enum Afterwards {
    /// The user holds it, unless there were more sweeps of the set than these.
    Kept(u32),
    /// It goes back to the number space.
    Free,
    /// It is not of the number space, but of the host.
    Host,
    /// It is the SVA number of the process: of the host, too, and held until its last use ends.
    Process,
}

impl PasidInUse {
    /// Takes a number that the user holds into use.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the user does not hold it; `EBUSY` if it is in use.
    pub(crate) fn existing(vmm: Arc<VfioMm>, number: u32) -> Result<Self> {
        let sweeps = {
            let mut pasids = vmm.pasids.lock();
            pasids.start_use(number)?;
            pasids.sweeps()
        };
        Ok(Self {
            vmm,
            number: PasidRange::single(number),
            afterwards: Afterwards::Kept(sweeps),
        })
    }

    /// Takes the highest free number of `range` into use until this is dropped.
    ///
    /// # Errors
    ///
    /// As [`VfioMm::alloc_pasid`].
    pub(crate) fn new(vmm: Arc<VfioMm>, range: PasidRange) -> Result<Self> {
        let number = vmm.take(range, Holder::User, true, || Ok(()))?;
        Ok(Self {
            vmm,
            number: PasidRange::single(number),
            afterwards: Afterwards::Free,
        })
    }

    /// Takes `number`, which is the host's, into use until this is dropped.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the process has it for something else; `ENOSPC` if the quota is used up;
    /// `ENOMEM`.
    pub(crate) fn of_host(vmm: Arc<VfioMm>, number: u32) -> Result<Self> {
        vmm.hold(Holder::Driver, true, |pasids| {
            (!pasids.holds(number)).then_some(number).ok_or(EEXIST)
        })?;
        Ok(Self {
            vmm,
            number: PasidRange::single(number),
            afterwards: Afterwards::Host,
        })
    }

    /// Takes `number`, the SVA number of the process, into use until this is dropped, once more.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the process has it for something else; `ENOSPC` if the quota is used up;
    /// `ENOMEM`.
    pub(crate) fn of_process(vmm: Arc<VfioMm>, number: u32) -> Result<Self> {
        {
            let mut pasids = vmm.pasids_with_spare()?;
            if pasids.start_process_use() {
                let held = vmm.hold_in(&mut pasids, Holder::Driver, true, |pasids| {
                    (!pasids.holds(number)).then_some(number).ok_or(EBUSY)
                });
                if let Err(error) = held {
                    pasids.end_process_use();
                    return Err(error);
                }
            }
        }
        Ok(Self {
            vmm,
            number: PasidRange::single(number),
            afterwards: Afterwards::Process,
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
        if let Afterwards::Process = self.afterwards {
            if !pasids.end_process_use() {
                return;
            }
        }
        pasids.end_use(self.number());
        match self.afterwards {
            Afterwards::Kept(sweeps) if sweeps == pasids.sweeps() => {}
            Afterwards::Kept(_) | Afterwards::Free => {
                give_back(&mut pasids, self.number, Holder::User);
            }
            Afterwards::Host | Afterwards::Process => {
                pasids.remove(self.number, Holder::Driver, |_, _| {
                    COUNTERS.sub(Kind::Pasids, 1);
                });
                generation::changed();
            }
        }
    }
}

/// The `vfio_mm` of every process that has one.
pub(crate) struct Registry(RBTree<usize, Entry>);

/// Guards which there are, and their last uses.
pub(crate) static REGISTRY: Global<Mutex<Registry>> = Global::new();

/// What the registry knows of a `vfio_mm`.
struct Entry {
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
                let entry = Entry {
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
        self.0.free_unused_pasids(PasidRange::ALL);
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

    fn change<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
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
            self.0.sweep();
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
