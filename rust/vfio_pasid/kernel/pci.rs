// SPDX-License-Identifier: GPL-2.0-only

//! PCI: where a device is, and what a reset of its slot or bus hits besides it.

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{
    bindings,
    ffi::{c_int, c_void},
    prelude::*, //
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
    /// Segment (PCI domain).
    pub(crate) segment: u16,
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
#[derive(Clone, Copy)]
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
                segment: vfio_pasid_helper_pci_domain_nr(self.as_ptr()) as u16,
                bus: (*(*self.as_ptr()).bus).number,
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

    /// Calls `look` for every function on the bus of this one and on the buses below it, until one
    /// fails. Takes `pci_bus_sem`, so none of them goes away meanwhile.
    fn walk_bus<F: FnMut(PciDevice<'_>) -> Result>(self, look: F) -> Result {
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
        unsafe {
            bindings::pci_walk_bus(
                (*self.as_ptr()).bus,
                Some(call::<F>),
                (&raw mut walk).cast(),
            )
        };
        walk.result
    }

    /// Whether the function, or a bridge above it, is in `slot`.
    fn is_below(self, slot: *mut bindings::pci_slot) -> bool {
        let mut pdev = self.as_ptr();
        while !pdev.is_null() {
            // SAFETY: A function's bus, and the bridge above that, stay for as long as it does.
            unsafe {
                let bus = (*pdev).bus;
                if bus == (*slot).bus {
                    return (*pdev).slot == slot;
                }
                pdev = (*bus).self_;
            }
        }
        false
    }
}

/// What a hot reset of a device resets: its slot if that can be done, or else its bus. VFIO
/// chooses so too (`vfio_pci_ioctl_get_pci_hot_reset_info()`).
pub(crate) struct ResetScope<'a> {
    device: PciDevice<'a>,
    slot: Option<NonNull<bindings::pci_slot>>,
}

impl<'a> ResetScope<'a> {
    /// Takes `pci_bus_sem`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if neither slot nor bus can be reset.
    pub(crate) fn of(device: PciDevice<'a>) -> Result<Self> {
        let mut scope = Err(ENODEV);
        // The first function of the bus will do; there is one, `device`.
        let _: Result = device.walk_bus(|_| {
            scope = Self::probe(device);
            Err(EINTR)
        });
        scope
    }

    /// For a callback of [`PciDevice::walk_bus`]: the kernel looks at all functions of the bus, and
    /// nothing but `pci_bus_sem` keeps those from going away.
    fn probe(device: PciDevice<'a>) -> Result<Self> {
        // SAFETY: The device is valid. A null slot is what the function answers ENOTTY to.
        let (slot, by_slot, by_bus) = unsafe {
            let slot = (*device.as_ptr()).slot;
            (
                slot,
                bindings::pci_probe_reset_slot(slot) == 0,
                bindings::pci_probe_reset_bus((*device.as_ptr()).bus) == 0,
            )
        };
        match (by_slot, by_bus) {
            (true, _) => Ok(Self {
                device,
                slot: NonNull::new(slot),
            }),
            (false, true) => Ok(Self { device, slot: None }),
            (false, false) => Err(ENODEV),
        }
    }

    /// Calls `look` for every function that the reset hits, until one fails. Takes `pci_bus_sem`.
    pub(crate) fn for_each(&self, mut look: impl FnMut(PciDevice<'_>) -> Result) -> Result {
        self.device.walk_bus(|device| match self.slot {
            Some(slot) if !device.is_below(slot.as_ptr()) => Ok(()),
            _ => look(device),
        })
    }
}
