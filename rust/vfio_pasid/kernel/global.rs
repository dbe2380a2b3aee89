// SPDX-License-Identifier: GPL-2.0-only

//! Reaching the module's state from exported functions.

use core::{
    ptr::{null_mut, NonNull},
    sync::atomic::{AtomicPtr, Ordering}, //
};

/// A place that the module's state is published in while the module is loaded.
///
/// # Invariants
///
/// The pointer is null, or points to a pinned `T` that stays valid until [`Global::clear`].
pub(crate) struct Global<T>(AtomicPtr<T>);

impl<T: Sync> Global<T> {
    /// An empty place.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Publishes the state, which is then fully initialised: the end of the module's init.
    pub(crate) fn set(&self, state: NonNull<T>) {
        // INVARIANT: Module state is pinned in a static, and its drop calls `clear()` first.
        self.0.store(state.as_ptr(), Ordering::Release);
    }

    /// Withdraws the state: the first step of the module's exit.
    pub(crate) fn clear(&self) {
        self.0.store(null_mut(), Ordering::Release);
    }

    /// The state.
    ///
    /// Called only below exported functions: their callers depend on this module by symbol, so
    /// they are loaded after its init has ended and gone before its exit begins. And below the file
    /// of `records.c`, which comes after `set()`: who has it open keeps the module.
    pub(crate) fn get(&self) -> &T {
        let state = self.0.load(Ordering::Acquire);
        assert!(!state.is_null());
        // SAFETY: By the type invariant the state is valid; nobody is here when `clear()` runs,
        // because a module with users is not unloaded.
        unsafe { &*state }
    }
}
