// SPDX-License-Identifier: GPL-2.0-only

//! Bugs in Rust, one for each detector of the debug kernel that sees Rust code.
//!
//! C calls each by its name; `c_bugs.c` says what is expected of it.

use core::{hint::black_box, mem::forget};

use kernel::{
    prelude::*,
    sync::{new_mutex, new_spinlock}, //
};

/// Reads what was freed.
#[no_mangle]
pub extern "C" fn rust_use_after_free() {
    let Ok(value) = KBox::new(0u64, GFP_KERNEL) else {
        return;
    };
    let dangling: *const u64 = black_box(&*value);
    drop(value);
    // SAFETY: None; this is the bug.
    unsafe { dangling.read_volatile() };
}

/// Reads one element too far.
#[no_mangle]
pub extern "C" fn rust_out_of_bounds() {
    let Ok(values) = KVec::<u64>::from_elem(0, 8, GFP_KERNEL) else {
        return;
    };
    let first = black_box(values.as_ptr());
    // SAFETY: None; this is the bug.
    unsafe { first.wrapping_add(values.len()).read_volatile() };
}

/// Reads beyond a local variable.
#[no_mangle]
pub extern "C" fn rust_stack_out_of_bounds() {
    let values = black_box([0u64; 4]);
    let first = black_box(values.as_ptr());
    // SAFETY: None; this is the bug.
    unsafe { first.wrapping_add(values.len()).read_volatile() };
}

/// Takes two mutexes in one order, and then in the other.
#[no_mangle]
pub extern "C" fn rust_lock_inversion() {
    let first = KBox::pin_init(new_mutex!((), "vfio_pasid_bugs::first"), GFP_KERNEL);
    let second = KBox::pin_init(new_mutex!((), "vfio_pasid_bugs::second"), GFP_KERNEL);
    if let (Ok(first), Ok(second)) = (first, second) {
        {
            let _outer = first.lock();
            let _inner = second.lock();
        }
        let _outer = second.lock();
        let _inner = first.lock();
    }
}

/// Takes a mutex, which may sleep, under a spinlock.
#[no_mangle]
pub extern "C" fn rust_sleep_in_atomic() {
    let spinlock = KBox::pin_init(new_spinlock!((), "vfio_pasid_bugs::spin"), GFP_KERNEL);
    let mutex = KBox::pin_init(new_mutex!((), "vfio_pasid_bugs::mutex"), GFP_KERNEL);
    if let (Ok(spinlock), Ok(mutex)) = (spinlock, mutex) {
        let _outer = spinlock.lock();
        let _inner = mutex.lock();
    }
}

/// Forgets memory. Some of the addresses may linger in registers and on stacks, so a few times.
#[no_mangle]
pub extern "C" fn rust_leak() {
    for _ in 0..16 {
        forget(KBox::new([0u8; 200], GFP_KERNEL));
    }
}

/// Adds to the largest number.
#[no_mangle]
pub extern "C" fn rust_overflow() {
    black_box(black_box(u32::MAX) + black_box(1));
}

/// Asserts what is not so.
#[no_mangle]
pub extern "C" fn rust_debug_assert() {
    debug_assert!(black_box(false), "planted");
}

/// Allocates; not a bug, but a caller that injects a failure wants to see it.
#[no_mangle]
pub extern "C" fn rust_failed_allocation() -> bool {
    KBox::new(0u64, GFP_KERNEL).is_err()
}

/// A suite that fails.
#[kunit_tests(vfio_pasid_bugs)]
mod tests {
    /// A test that fails.
    #[test]
    fn planted() {
        assert_eq!(core::hint::black_box(1), 2);
    }
}
