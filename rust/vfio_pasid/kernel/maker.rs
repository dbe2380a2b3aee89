// SPDX-License-Identifier: GPL-2.0-only

//! The process that something was made for, to be named to others.

use core::ptr::{null_mut, NonNull};

use kernel::{bindings, mm::Mm};

// The kernel's structures hold empty ones, which bindgen's own declarations allow just so.
#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_maker(
        task: *mut bindings::task_struct,
        comm: *mut u8,
    ) -> *mut bindings::pid;
    fn vfio_pasid_helper_pid_of(pid: *mut bindings::pid, mm: *mut bindings::mm_struct) -> u32;
}

/// `TASK_COMM_LEN`.
const COMM: usize = 16;

/// What a process is called.
#[derive(Clone, Copy)]
pub(crate) struct Comm([u8; COMM]);

impl Comm {
    /// The bytes, any but 0.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

/// A process, which may have ended.
///
/// # Invariants
///
/// Holds a reference to the pid, unless there is none.
pub(crate) struct Maker {
    pid: Option<NonNull<bindings::pid>>,
    comm: Comm,
}

// SAFETY: The reference may be given back on any thread.
unsafe impl Send for Maker {}
// SAFETY: What is read through it the kernel guards by RCU.
unsafe impl Sync for Maker {}

impl Maker {
    /// The process of the calling thread.
    pub(crate) fn current() -> Self {
        // SAFETY: The thread is there during the call.
        unsafe { Self::of(bindings::get_current()) }
    }

    /// The process of `task`.
    ///
    /// # Safety
    ///
    /// `task` is one that the caller keeps from being freed.
    pub(crate) unsafe fn of(task: *mut bindings::task_struct) -> Self {
        let mut comm = [0; COMM];
        // SAFETY: By the caller's promise; there is room for a name.
        let pid = unsafe { vfio_pasid_helper_maker(task, comm.as_mut_ptr()) };
        // INVARIANT: The helper took the reference.
        Self {
            pid: NonNull::new(pid),
            comm: Comm(comm),
        }
    }

    fn as_ptr(&self) -> *mut bindings::pid {
        self.pid.map_or(null_mut(), NonNull::as_ptr)
    }

    /// What the process was called.
    pub(crate) fn comm(&self) -> Comm {
        self.comm
    }

    /// The number of the process in the pid namespace of the calling thread, as long as it has the
    /// address space `mm` and is to be seen from there.
    pub(crate) fn pid(&self, mm: &Mm) -> Option<u32> {
        // SAFETY: By the type invariant; `mm` is only compared.
        let number = unsafe { vfio_pasid_helper_pid_of(self.as_ptr(), mm.as_raw()) };
        (number != 0).then_some(number)
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; there may be none.
        unsafe { bindings::put_pid(self.as_ptr()) };
    }
}
