// SPDX-License-Identifier: GPL-2.0-only

//! What is done with the space of a process.
//!
//! Attaching it binds the process to a device, and detaching unbinds it. Both may take long
//! ([`Bond`]), so nothing is locked then that VFIO's callbacks need, but the gate of that device.

use kernel::{prelude::*, sync::Arc};

use crate::{
    container::{Caller, Removal},
    kernel::{
        errno::eopnotsupp,
        sva::{process_can_be_bound, process_pasid, Bond}, //
    },
    limit,
    space::{
        attachment::{Attached, AttachedPlace, OpenDevice},
        process::ProcessSpace,
        Space, //
    },
};

/// The space of the calling process, for a container of it that has none. It is attached to
/// nothing.
///
/// # Errors
///
/// `EOPNOTSUPP` if no group can use PASIDs, or no open device process spaces, or the process uses
/// linear address masking; `ENODEV` if no device is open that can use PASIDs; those of
/// [`ProcessSpace::new`], [`Bond::new`] and [`Caller::state`].
pub(crate) fn create(caller: &Caller<'_>) -> Result<Arc<ProcessSpace>> {
    let device = caller.state()?.process_device()?.clone();
    if !process_can_be_bound() {
        return Err(eopnotsupp());
    }
    let number = match process_pasid() {
        Some(number) => number,
        None => first_pasid(caller, &device)?,
    };
    let vmm = caller.vmm();
    ProcessSpace::new(vmm, number).inspect_err(|&error| limit::no_pasid(vmm, error))
}

/// The SVA PASID of the calling process, which it gets when it is bound for the first time.
fn first_pasid(caller: &Caller<'_>, device: &OpenDevice) -> Result<u32> {
    let _gate = device.gate()?;
    caller.state()?.check_open(device)?;
    Ok(Bond::new(device.pinned().clone())?.pasid())
}

/// Attaches the process space `pasid` to `device` of the group `number`.
///
/// # Errors
///
/// `EOPNOTSUPP` if the device cannot use process spaces; those of
/// [`State::check_process`](crate::container::State::check_process) and [`Attached::of_process`];
/// `ENOMEM`.
pub(crate) fn attach(caller: &Caller<'_>, pasid: u32, number: u32, device: &OpenDevice) -> Result {
    let place = AttachedPlace::new(GFP_KERNEL_ACCOUNT)?;
    let _gate = device.gate()?;
    caller.state()?.check_process(pasid, number, device)?;
    let mut attached = Some(Attached::of_process(caller.vmm(), device)?);
    // What is not added is unbound when the state is unlocked, and the gate is not yet.
    caller.state().and_then(|mut state| {
        state.check_process(pasid, number, device)?;
        let attached = attached.take().ok_or(ENOMEM)?;
        state.add_attached(pasid, number, attached, place);
        Ok(())
    })
}

/// Detaches the process space `pasid` from `device` of the group `number`.
///
/// # Errors
///
/// `ENOENT` if it is not attached; those of [`Caller::state`].
pub(crate) fn detach(caller: &Caller<'_>, pasid: u32, number: u32, device: &OpenDevice) -> Result {
    let _gate = device.gate()?;
    let attached = caller.state()?.take_attached(pasid, number)?;
    drop(attached);
    Ok(())
}

/// Detaches the process space `pasid` from all devices, and takes it from the container.
///
/// # Errors
///
/// `ENOENT` if there is no such space; those of [`Caller::state`].
pub(crate) fn destroy(caller: &Caller<'_>, pasid: u32) -> Result<Space> {
    loop {
        let removal = caller.state()?.remove_process_space(pasid)?;
        match removal {
            Removal::Done(space) => return Ok(space),
            Removal::Attached(number, device) => match detach(caller, pasid, number, &device) {
                // Another thread was faster.
                Err(error) if error == ENOENT => {}
                result => result?,
            },
        }
    }
}
