// SPDX-License-Identifier: GPL-2.0-only

//! Reaching the module's state from exported functions.

use core::{
    ptr::null_mut,
    sync::atomic::{AtomicPtr, Ordering}, //
};

use kernel::prelude::*;

/// A place that a part of the module's state is published in while the module is loaded.
///
/// # Invariants
///
/// The pointer is null, or points to a pinned `T` that stays valid until its [`Published`] is
/// dropped.
pub(crate) struct Global<T>(AtomicPtr<T>);

impl<T: Sync> Global<T> {
    /// An empty place.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Publishes `state` here, for as long as the module keeps what this makes.
    pub(crate) fn publish<E>(
        &'static self,
        state: impl PinInit<T, E>,
    ) -> impl PinInit<Published<T>, E> {
        pin_init!(&this in Published {
            state <- state,
            place: self,
            _: {
                // SAFETY: Just initialised.
                let state = unsafe { &raw mut (*this.as_ptr()).state };
                // INVARIANT: It is pinned, and its drop withdraws it first.
                self.0.store(state, Ordering::Release);
            },
        }? E)
    }

    /// The state.
    ///
    /// Called only below exported functions: their callers depend on this module by symbol, so
    /// they are loaded after its init has ended and gone before its exit begins. And below the file
    /// of `records.c`, which comes last in the init: who has it open keeps the module. And by what
    /// the module's own init and exit do in their order.
    pub(crate) fn get(&self) -> &T {
        let state = self.0.load(Ordering::Acquire);
        assert!(!state.is_null());
        // SAFETY: By the type invariant the state is valid; nobody is here when it is dropped,
        // because a module with users is not unloaded.
        unsafe { &*state }
    }
}

/// A part of the module's state, published in its place until this is dropped.
#[pin_data(PinnedDrop)]
pub(crate) struct Published<T: 'static> {
    #[pin]
    state: T,
    place: &'static Global<T>,
}

#[pinned_drop]
impl<T> PinnedDrop for Published<T> {
    fn drop(self: Pin<&mut Self>) {
        self.place.0.store(null_mut(), Ordering::Release);
    }
}
