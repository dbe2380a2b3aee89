// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Carries out requests, one after the other, in a thread of its own.
//!
//! A thread of its own, because QEMU waits for the answer to a register read with its main lock
//! held, and can not answer on its monitor meanwhile.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vm_memory::{Bytes, GuestAddress, GuestMemory};
use vtd_witness::{Access, AddressSpace, Registers, Source};

use crate::device::{Device, Transfer};
use crate::status::{Failure, Refusal};

/// Requests do not cross this boundary, whatever the page size (PCI Express 5.0, 2.2.7).
const BOUNDARY: u64 = 4096;

/// The machine around the device at one instant.
#[derive(Debug)]
pub struct View<'a, M> {
    /// Bus number (bits 15:8) and devfn (bits 7:0) of the device.
    pub requester: u16,
    /// Registers of the remapping unit.
    pub registers: Registers,
    /// Guest memory.
    pub memory: &'a M,
}

/// Whom the device asks about the machine it is in.
pub trait Platform {
    /// Guest memory.
    type Memory: GuestMemory;

    /// How the machine is now; an error is for the log.
    fn view(&mut self) -> Result<View<'_, Self::Memory>, String>;
}

/// Carries out requests until there is nobody left who could send one.
pub fn serve<P: Platform>(transfers: Receiver<Transfer>, device: &Mutex<Device>, platform: &mut P) {
    for transfer in transfers {
        carry_out(&transfer, device, platform);
    }
}

/// Carries out one request and reports to the device's registers.
pub fn carry_out<P: Platform>(transfer: &Transfer, device: &Mutex<Device>, platform: &mut P) {
    // Not with the device locked: QEMU may be waiting for it.
    let view = platform.view();
    let mut done = 0;

    // The device is locked for one step at a time: a reset comes between two, and then nothing
    // more is read or written.
    loop {
        let device = &mut lock(device);
        if !device.runs(transfer) {
            return;
        }
        let result = match &view {
            Ok(view) => step(transfer, device, view, done),
            Err(error) => {
                eprintln!("pasid-device: error: {error}");
                Err(Refusal::NoPlatform.into())
            }
        };
        match result {
            Ok(more) => done += more,
            Err(failure) => return device.fail(failure, transfer.iova + done as u64),
        }
        device.registers.transferred = done as u32;
        if done == transfer.length {
            return device.complete();
        }
    }
}

/// Locks the device. It is consistent also after a panic: no state spans two of its fields.
pub fn lock(device: &Mutex<Device>) -> MutexGuard<'_, Device> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Transfers what lies before the next boundary; returns the number of bytes.
fn step<M: GuestMemory>(
    transfer: &Transfer,
    device: &mut Device,
    view: &View<'_, M>,
    done: usize,
) -> Result<usize, Failure> {
    if !device.config.bus_master() {
        return Err(Refusal::BusMasterOff.into());
    }
    let source = Source {
        bus: (view.requester >> 8) as u8,
        devfn: view.requester as u8,
        pasid: transfer.pasid,
    };
    device.registers.requester = view.requester;
    device.registers.page_info = 0;

    let space = AddressSpace::lookup(view.memory, &view.registers, source)?;
    device.registers.note(&space, None);
    let iova = transfer.iova + done as u64;
    let page = space.translate(view.memory, iova, transfer.access)?;
    device.registers.note(&space, Some(&page));

    let length = (BOUNDARY - iova % BOUNDARY).min((transfer.length - done) as u64) as usize;
    let address = GuestAddress(page.address);
    match transfer.access {
        Access::Read => {
            let mut data = vec![0; length];
            view.memory
                .read_slice(&mut data, address)
                .map_err(|_| Refusal::NotMemory)?;
            device.registers.write_window(done as u64, &data);
        }
        Access::Write => {
            let data = transfer.data.get(done..done + length);
            view.memory
                .write_slice(data.unwrap_or_default(), address)
                .map_err(|_| Refusal::NotMemory)?;
        }
    }
    Ok(length)
}
