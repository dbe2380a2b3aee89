// SPDX-License-Identifier: GPL-2.0-only

//! Mutexes whose waiters can be killed, which the `kernel` crate has no wrapper for.

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    pin::Pin, //
};

use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::LockClassKey,
    types::{NotThreadSafe, Opaque}, //
};

extern "C" {
    fn vfio_pasid_helper_mutex_lock_killable(mutex: *mut bindings::mutex) -> kernel::ffi::c_int;
}

/// A value behind a mutex. Locking sleeps.
#[pin_data]
pub(crate) struct KillableMutex<T> {
    #[pin]
    mutex: Opaque<bindings::mutex>,
    value: UnsafeCell<T>,
}

// SAFETY: The value moves with the mutex.
unsafe impl<T: Send> Send for KillableMutex<T> {}
// SAFETY: Who holds the mutex gets `&mut T`, on whatever thread.
unsafe impl<T: Send> Sync for KillableMutex<T> {}

impl<T> KillableMutex<T> {
    /// A mutex that lockdep knows as `name`.
    pub(crate) fn new(
        value: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes, and `name` and `key` are static.
            mutex <- Opaque::ffi_init(|slot| unsafe {
                bindings::__mutex_init(slot, name.as_char_ptr(), key.as_ptr())
            }),
            value: UnsafeCell::new(value),
        })
    }

    /// Waits until nobody has it: for VFIO's callbacks, which must not fail.
    pub(crate) fn lock(&self) -> KillableGuard<'_, T> {
        // SAFETY: Initialised by `new()`.
        unsafe { bindings::mutex_lock(self.mutex.get()) };
        // INVARIANT: Just locked.
        KillableGuard {
            mutex: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Waits until nobody has it: for system calls.
    ///
    /// # Errors
    ///
    /// `EINTR` if a fatal signal came first.
    pub(crate) fn lock_killable(&self) -> Result<KillableGuard<'_, T>> {
        // SAFETY: Initialised by `new()`.
        to_result(unsafe { vfio_pasid_helper_mutex_lock_killable(self.mutex.get()) })?;
        // INVARIANT: Just locked.
        Ok(KillableGuard {
            mutex: self,
            _not_send: NotThreadSafe,
        })
    }
}

/// Proof of a [`KillableMutex`] held.
///
/// # Invariants
///
/// The mutex is held by this task.
pub(crate) struct KillableGuard<'a, T> {
    mutex: &'a KillableMutex<T>,
    _not_send: NotThreadSafe,
}

impl<T> Deref for KillableGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant nobody else has it.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for KillableGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariant nobody else has it.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for KillableGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is held.
        unsafe { bindings::mutex_unlock(self.mutex.mutex.get()) };
    }
}
