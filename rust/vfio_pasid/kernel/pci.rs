// SPDX-License-Identifier: GPL-2.0-only

//! PCI: where a device is, and what is beside it.

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{
    bindings,
    ffi::{c_int, c_void},
    prelude::*,
    sync::atomic::{Acquire, Atomic}, //
};

use super::device::GroupDevice;

#[allow(improper_ctypes)]
extern "C" {
    fn vfio_pasid_helper_to_pci_dev(dev: *mut bindings::device) -> *mut bindings::pci_dev;
    fn vfio_pasid_helper_pci_domain_nr(pdev: *mut bindings::pci_dev) -> c_int;
}

/// The address of a PCI function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    /// Segment (PCI domain). VMD's are above 0xffff.
    pub(crate) segment: u32,
    /// Bus.
    pub(crate) bus: u8,
    /// Device and function.
    pub(crate) devfn: u8,
}

/// A PCI function that stays for `'a`.
///
/// # Invariants
///
/// The device is valid for `'a`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct PciDevice<'a>(NonNull<bindings::pci_dev>, PhantomData<&'a ()>);

impl<'a> PciDevice<'a> {
    /// The PCI function that `device` is; `None` for other buses.
    pub(crate) fn of(device: GroupDevice<'a>) -> Option<Self> {
        // SAFETY: Any valid device will do.
        let pdev = unsafe { vfio_pasid_helper_to_pci_dev(device.as_ptr()) };
        // INVARIANT: The same device.
        Some(Self(NonNull::new(pdev)?, PhantomData))
    }

    /// Where it is.
    pub(crate) fn address(self) -> Address {
        // SAFETY: By the type invariant; a function keeps its bus and number.
        unsafe {
            Address {
                segment: vfio_pasid_helper_pci_domain_nr(self.as_ptr()) as u32,
                bus: (*self.bus()).number,
                devfn: (*self.as_ptr()).devfn as u8,
            }
        }
    }

    /// The generic device.
    pub(super) fn as_device(self) -> *mut bindings::device {
        // SAFETY: By the type invariant.
        unsafe { &raw mut (*self.as_ptr()).dev }
    }

    fn as_ptr(self) -> *mut bindings::pci_dev {
        self.0.as_ptr()
    }

    pub(super) fn bus(self) -> *mut bindings::pci_bus {
        // SAFETY: By the type invariant; a function keeps its bus.
        unsafe { (*self.as_ptr()).bus }
    }

    /// Calls `look` for every function on the bus of this one and on the buses below it, until one
    /// fails. Takes `pci_bus_sem`, so none of them goes away meanwhile.
    pub(super) fn walk_bus<F: FnMut(PciDevice<'_>) -> Result>(self, look: F) -> Result {
        struct Walk<F> {
            look: F,
            result: Result,
        }

        /// # Safety
        ///
        /// `pdev` is valid while `pci_bus_sem` is held, which it is; `walk` is a `Walk<F>`.
        unsafe extern "C" fn call<F: FnMut(PciDevice<'_>) -> Result>(
            pdev: *mut bindings::pci_dev,
            walk: *mut c_void,
        ) -> c_int {
            // SAFETY: By the caller's promise.
            let (walk, device) = unsafe {
                let pdev = NonNull::new_unchecked(pdev);
                (&mut *walk.cast::<Walk<F>>(), PciDevice(pdev, PhantomData))
            };
            walk.result = (walk.look)(device);
            walk.result.map_or(1, |()| 0)
        }

        let mut walk = Walk {
            look,
            result: Ok(()),
        };
        // SAFETY: The function keeps its bus; `walk` outlives the call.
        unsafe { bindings::pci_walk_bus(self.bus(), Some(call::<F>), (&raw mut walk).cast()) };
        walk.result
    }

    /// The function on `bus` that this one is, or is below.
    pub(super) fn on_bus(self, bus: *mut bindings::pci_bus) -> Option<Self> {
        let mut pdev = self.0;
        loop {
            // SAFETY: A function's bus, and the bridge above that, stay for as long as it does.
            let above = unsafe {
                let own = (*pdev.as_ptr()).bus;
                if own == bus {
                    return Some(Self(pdev, PhantomData));
                }
                (*own).self_
            };
            pdev = NonNull::new(above)?;
        }
    }

    /// The slot that it is in at the moment.
    pub(super) fn slot(self) -> Option<SlotId> {
        // SAFETY: By the type invariant. The field is a pointer, and changes as a whole.
        let slot = unsafe { Atomic::from_ptr(&raw mut (*self.as_ptr()).slot) }.load(Acquire);
        (!slot.is_null()).then(|| SlotId(slot.addr()))
    }
}

/// Which `struct pci_slot` it is: an address, to compare. `pci_slot_mutex`, which guards slots, is
/// not exported, and the hot-plug driver may free a slot at any time, so none is ever looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotId(pub(super) usize);
