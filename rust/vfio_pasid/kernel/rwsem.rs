// SPDX-License-Identifier: GPL-2.0-only

//! Read/write semaphores (`struct rw_semaphore`), which the `kernel` crate has no wrapper for.

use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    pin::Pin, //
};

use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    types::{NotThreadSafe, Opaque}, //
};

/// A value behind a read/write semaphore. Locking sleeps; waiting writers hold off new readers.
#[pin_data]
pub(crate) struct RwSem<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    value: UnsafeCell<T>,
}

// SAFETY: The value moves with the semaphore.
unsafe impl<T: Send> Send for RwSem<T> {}
// SAFETY: Readers share `&T`, and a writer gets `&mut T` on whatever thread it runs.
unsafe impl<T: Send + Sync> Sync for RwSem<T> {}

impl<T> RwSem<T> {
    /// A semaphore that lockdep knows as `name`.
    pub(crate) fn new(
        value: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes, and `name` and `key` are static.
            sem <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr())
            }),
            value: UnsafeCell::new(value),
        })
    }

    /// Waits until no writer has it.
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: Initialised by `new()`.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard {
            sem: &self.sem,
            // SAFETY: There is no writer until the guard is dropped, which lends it no longer.
            value: unsafe { &*self.value.get() },
            _not_send: NotThreadSafe,
        }
    }

    /// Waits until nobody has it.
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: Initialised by `new()`.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard {
            sem: self,
            _not_send: NotThreadSafe,
        }
    }
}

/// Proof of a [`RwSem`] held for reading.
///
/// # Invariants
///
/// The semaphore is held for reading by this task, and guards the value.
pub(crate) struct ReadGuard<'a, T> {
    sem: &'a Opaque<bindings::rw_semaphore>,
    value: &'a T,
    _not_send: NotThreadSafe,
}

impl<'a, T> ReadGuard<'a, Option<T>> {
    /// The guard of what is there; without anything there, unlocks.
    pub(crate) fn some(self) -> Option<ReadGuard<'a, T>> {
        let value = self.value.as_ref()?;
        let guard = ManuallyDrop::new(self);
        Some(ReadGuard {
            sem: guard.sem,
            value,
            _not_send: NotThreadSafe,
        })
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is held for reading.
        unsafe { bindings::up_read(self.sem.get()) };
    }
}

/// Proof of a [`RwSem`] held for writing.
///
/// # Invariants
///
/// The semaphore is held for writing by this task.
pub(crate) struct WriteGuard<'a, T> {
    sem: &'a RwSem<T>,
    _not_send: NotThreadSafe,
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant nobody else has it.
        unsafe { &*self.sem.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariant nobody else has it.
        unsafe { &mut *self.sem.value.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is held for writing.
        unsafe { bindings::up_write(self.sem.sem.get()) };
    }
}
