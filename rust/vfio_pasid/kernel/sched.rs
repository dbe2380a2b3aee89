// SPDX-License-Identifier: GPL-2.0-only

//! Giving way in long loops, and giving up.

extern "C" {
    fn vfio_pasid_helper_cond_resched();
    fn vfio_pasid_helper_fatal_signal_pending() -> bool;
}

/// Lets another task run if one waits. Process context; mutexes may be held, spinlocks not.
pub(crate) fn cond_resched() {
    // SAFETY: `cond_resched()` has no preconditions but process context, in which all of this
    // module runs; sleeping in the wrong place is reported by DEBUG_ATOMIC_SLEEP, not unsound.
    unsafe { vfio_pasid_helper_cond_resched() }
}

/// Whether the calling thread is to die.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: It looks at the calling thread only.
    unsafe { vfio_pasid_helper_fatal_signal_pending() }
}
