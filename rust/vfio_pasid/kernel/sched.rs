// SPDX-License-Identifier: GPL-2.0-only

//! Giving way in long loops.

extern "C" {
    fn vfio_pasid_helper_cond_resched();
}

/// Lets another task run if one waits. Process context; mutexes may be held, spinlocks not.
pub(crate) fn cond_resched() {
    // SAFETY: `cond_resched()` has no preconditions but process context, in which all of this
    // module runs; sleeping in the wrong place is reported by DEBUG_ATOMIC_SLEEP, not unsound.
    unsafe { vfio_pasid_helper_cond_resched() }
}
