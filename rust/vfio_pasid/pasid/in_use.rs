// SPDX-License-Identifier: GPL-2.0-only

//! The PASIDs of one process: held within its quota, and in use.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        lock::{mutex::MutexBackend, Guard},
        Arc,
        Mutex, //
    }, //
};

use super::{
    numbers::NUMBERS,
    range::PasidRange,
    set::{Holder, NodePlace, PasidSet}, //
};
use crate::{
    counters::{Kind, COUNTERS},
    generation,
    kernel::params::PARAMETERS, //
};

/// What a process holds: PASIDs, and attachments, of which it may have as many.
#[pin_data]
pub(crate) struct Pasids {
    /// Guards the set and, with it, the quota.
    #[pin]
    set: Mutex<PasidSet>,
    attachments: Atomic<usize>,
}

impl Pasids {
    /// Nothing.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            set <- new_mutex!(PasidSet::new(), "vfio_pasid::pasids"),
            attachments: Atomic::new(0),
        })
    }

    /// The counter of its attachments.
    pub(crate) fn attachments(&self) -> &Atomic<usize> {
        &self.attachments
    }

    /// How many attachments the process has.
    pub(crate) fn attachment_count(&self) -> usize {
        self.attachments.load(Relaxed)
    }

    /// How many PASIDs the process may hold.
    pub(crate) fn quota(&self) -> u32 {
        PARAMETERS.get().quota
    }

    /// How many PASIDs the process holds.
    pub(crate) fn held(&self) -> u32 {
        self.set.lock().held()
    }

    /// The first PASIDs from `number` on that follow each other and have one holder.
    pub(crate) fn range_from(&self, number: u32) -> Option<(PasidRange, Holder)> {
        self.set.lock().range_from(number)
    }

    /// Takes the highest free number of `range`, unless `check` fails, which is asked under the
    /// lock that the numbers of a closed container are taken away under.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the quota or the range is used up; `ENOMEM`; those of `check`.
    pub(crate) fn alloc(
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
    fn with_spare(&self) -> Result<Guard<'_, PasidSet, MutexBackend>> {
        let pasids = self.set.lock();
        if pasids.has_spare() {
            return Ok(pasids);
        }
        drop(pasids);
        let spare = NodePlace::new(GFP_KERNEL_ACCOUNT)?;
        let mut pasids = self.set.lock();
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
        let mut pasids = self.with_spare()?;
        self.hold_in(&mut pasids, holder, in_use, find)
    }

    /// As [`Pasids::hold`], in the process's set, which has a spare node.
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
    pub(crate) fn free(&self, range: PasidRange) -> Result {
        let mut pasids = self.set.lock();
        if pasids.any_in_use(range) {
            return Err(EBUSY);
        }
        give_back(&mut pasids, range, Holder::User);
        Ok(())
    }

    /// Gives back every number of kernel drivers in `range` that is not in use.
    pub(crate) fn free_unused(&self, range: PasidRange) {
        give_back(&mut self.set.lock(), range, Holder::Driver);
    }

    /// Gives back every number of the user; one that is in use when its use ends.
    pub(crate) fn sweep(&self) {
        let mut pasids = self.set.lock();
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

/// A process: it stays for as long as one of its numbers is in use.
pub(crate) trait HasPasids {
    /// Its PASIDs.
    fn pasids(&self) -> &Pasids;
}

/// A PASID in use: nobody else can use or free it. Dropped when no hardware entry carries it any
/// more.
pub(crate) struct PasidInUse<P: HasPasids> {
    process: Arc<P>,
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

impl<P: HasPasids> PasidInUse<P> {
    /// Takes a number that the user holds into use.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the user does not hold it; `EBUSY` if it is in use.
    pub(crate) fn existing(process: Arc<P>, number: u32) -> Result<Self> {
        let sweeps = {
            let mut pasids = process.pasids().set.lock();
            pasids.start_use(number)?;
            pasids.sweeps()
        };
        Ok(Self {
            process,
            number: PasidRange::single(number),
            afterwards: Afterwards::Kept(sweeps),
        })
    }

    /// Takes the highest free number of `range` into use until this is dropped.
    ///
    /// # Errors
    ///
    /// As [`Pasids::alloc`].
    pub(crate) fn new(process: Arc<P>, range: PasidRange) -> Result<Self> {
        let number = process
            .pasids()
            .take(range, Holder::User, true, || Ok(()))?;
        Ok(Self {
            process,
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
    pub(crate) fn of_host(process: Arc<P>, number: u32) -> Result<Self> {
        process.pasids().hold(Holder::Driver, true, |pasids| {
            (!pasids.holds(number)).then_some(number).ok_or(EEXIST)
        })?;
        Ok(Self {
            process,
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
    pub(crate) fn of_process(process: Arc<P>, number: u32) -> Result<Self> {
        {
            let all = process.pasids();
            let mut pasids = all.with_spare()?;
            if pasids.start_process_use() {
                let held = all.hold_in(&mut pasids, Holder::Driver, true, |pasids| {
                    (!pasids.holds(number)).then_some(number).ok_or(EBUSY)
                });
                if let Err(error) = held {
                    pasids.end_process_use();
                    return Err(error);
                }
            }
        }
        Ok(Self {
            process,
            number: PasidRange::single(number),
            afterwards: Afterwards::Process,
        })
    }

    /// The number.
    pub(crate) fn number(&self) -> u32 {
        self.number.min()
    }
}

impl<P: HasPasids> Drop for PasidInUse<P> {
    fn drop(&mut self) {
        let mut pasids = self.process.pasids().set.lock();
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
