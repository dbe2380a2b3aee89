// SPDX-License-Identifier: GPL-2.0-only

//! Address spaces of tasks.

use core::ptr::NonNull;

use kernel::{
    bindings,
    current,
    mm::{Mm, MmWithUser},
    prelude::*,
    sync::aref::ARef, //
};

/// The address space of the calling thread, grabbed.
///
/// # Errors
///
/// `ESRCH` for a kernel thread.
pub(crate) fn current_mm() -> Result<ARef<Mm>> {
    let task = current!();
    let mm: &Mm = task.mm().ok_or(ESRCH)?;
    Ok(mm.into())
}

/// Whether the calling thread lives in `mm`.
pub(crate) fn is_current(mm: &Mm) -> bool {
    current!()
        .mm()
        .is_some_and(|now| core::ptr::eq::<Mm>(&**now, mm))
}

/// The address space of `task`, grabbed.
///
/// # Errors
///
/// `EINVAL` without a task; `ESRCH` for a kernel thread or a task that has exited.
///
/// # Safety
///
/// `task` is null, or a task that the caller keeps from being freed.
pub(crate) unsafe fn task_mm(task: *mut bindings::task_struct) -> Result<ARef<Mm>> {
    if task.is_null() {
        return Err(EINVAL);
    }
    // SAFETY: The caller keeps the task alive.
    let mm = NonNull::new(unsafe { bindings::get_task_mm(task) }).ok_or(ESRCH)?;
    // SAFETY: `get_task_mm()` took a reference with `mmget()`, which is ours now.
    let mm: ARef<MmWithUser> = unsafe { ARef::from_raw(mm.cast()) };
    let mm: &Mm = &mm;
    Ok(mm.into())
}
