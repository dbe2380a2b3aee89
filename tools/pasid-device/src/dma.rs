// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Carries out requests, one after the other, in a thread of its own.
//!
//! A thread of its own, because QEMU waits for the answer to a register read with its main lock
//! held, and can not answer on its monitor meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vm_memory::{Bytes, GuestAddress, GuestMemory, Permissions, VolatileMemory};
use vtd_witness::{Access, AddressSpace, Fault, Page, Registers, Source};

use crate::device::{Device, Transfer};
use crate::page_request::{Answer, PageRequest};
use crate::status::{Failure, Refusal};
use crate::translations::Trace;

/// Requests do not cross this boundary, whatever the page size (PCI Express 5.0, 2.2.7).
const BOUNDARY: u64 = 4096;

/// Pages that the device asks for during a request before it gives up: whoever unmaps them again
/// and again does not keep it for ever.
const MOST_REQUESTS: u32 = 64;

/// The machine around the device at one instant.
#[derive(Debug)]
pub struct View<'a, M> {
    /// Bus number (bits 15:8) and devfn (bits 7:0) of the device.
    pub requester: u16,
    /// Registers of the remapping unit.
    pub registers: Registers,
    /// Guest memory.
    pub memory: &'a M,
    /// Which translations are invalid by now; `None` if the device keeps none.
    pub trace: Option<&'a mut Trace>,
}

/// Whom the device asks about the machine it is in.
pub trait Platform {
    /// Guest memory.
    type Memory: GuestMemory;

    /// How the machine is now; an error is for the log.
    fn view(&mut self) -> Result<View<'_, Self::Memory>, String>;

    /// Asks the processor for a page, and waits for the answer.
    fn request_page(&mut self, request: &PageRequest) -> Result<Answer, String>;

    /// Fills the queue of page requests; how many there was room for.
    fn fill_queue(&mut self, request: &PageRequest) -> Result<u32, String>;
}

/// Carries out requests until there is nobody left who could send one.
pub fn serve<P: Platform>(transfers: Receiver<Transfer>, device: &Mutex<Device>, platform: &mut P) {
    for transfer in transfers {
        carry_out(&transfer, device, platform);
    }
}

/// Carries out one request and reports to the device's registers.
pub fn carry_out<P: Platform>(transfer: &Transfer, device: &Mutex<Device>, platform: &mut P) {
    if transfer.fills_queue {
        return fill_queue(transfer, device, platform);
    }
    let mut done = 0;
    let mut requests = 0;
    loop {
        let failure = match advance(transfer, device, platform, &mut done) {
            Progress::Over => return,
            Progress::Failed(failure) => failure,
        };
        let answer = page_request(transfer, failure, device, done as u64)
            .filter(|_| requests < MOST_REQUESTS)
            .map(|request| platform.request_page(&request));
        let failure = match answer {
            // The page may be gone again by the time that it is looked for.
            Some(Ok(Answer::Success)) => {
                requests += 1;
                continue;
            }
            None | Some(Ok(Answer::Invalid)) => failure,
            Some(Ok(Answer::QueueFull)) => Refusal::QueueFull.into(),
            Some(Ok(Answer::Nothing)) => Refusal::NoAnswer.into(),
            Some(Err(error)) => no_platform(&error),
        };
        let device = &mut lock(device);
        if device.runs(transfer) {
            device.fail(failure, transfer.iova + done as u64);
        }
        return;
    }
}

/// Where a request is.
enum Progress {
    /// Complete, or nobody wants it any more.
    Over,
    /// The next byte cannot be transferred.
    Failed(Failure),
}

/// Transfers as much as can be, from `done` bytes on.
fn advance<P: Platform>(
    transfer: &Transfer,
    device: &Mutex<Device>,
    platform: &mut P,
    done: &mut usize,
) -> Progress {
    // Not with the device locked: QEMU may be waiting for it.
    let mut view = platform.view();

    // The device is locked for one step at a time: a reset comes between two, and then nothing
    // more is read or written.
    loop {
        let device = &mut lock(device);
        if !device.runs(transfer) {
            return Progress::Over;
        }
        let result = match &mut view {
            Ok(view) => step(transfer, device, view, *done),
            Err(error) => Err(no_platform(error)),
        };
        match result {
            Ok(more) => *done += more,
            Err(failure) => return Progress::Failed(failure),
        }
        device.registers.transferred = *done as u32;
        if *done == transfer.length {
            device.complete();
            return Progress::Over;
        }
    }
}

fn no_platform(error: &str) -> Failure {
    eprintln!("pasid-device: error: {error}");
    Refusal::NoPlatform.into()
}

/// The request for the page that a transfer has failed for after `done` bytes, if a page can help
/// and the device may ask.
fn page_request(
    transfer: &Transfer,
    failure: Failure,
    device: &Mutex<Device>,
    done: u64,
) -> Option<PageRequest> {
    let Failure::Blocked(Fault::FirstStageNotPresent | Fault::NoWrite | Fault::Supervisor) =
        failure
    else {
        return None;
    };
    let device = &mut lock(device);
    if !device.config.page_requests_enabled() || !device.runs(transfer) {
        return None;
    }
    device.registers.page_requests = device.registers.page_requests.wrapping_add(1);
    Some(PageRequest {
        requester: device.registers.requester,
        pasid: transfer.pasid?,
        address: transfer.iova + done,
        access: transfer.access,
        group: device.registers.page_requests as u16 & 0x1ff,
    })
}

/// Page requests that nobody is told of, as many as there is room for.
fn fill_queue<P: Platform>(transfer: &Transfer, device: &Mutex<Device>, platform: &mut P) {
    let requester = platform.view().map(|view| view.requester);
    let filled = requester.and_then(|requester| {
        platform.fill_queue(&PageRequest {
            requester,
            pasid: transfer.pasid.unwrap_or_default(),
            address: transfer.iova,
            access: transfer.access,
            group: 0,
        })
    });
    let device = &mut lock(device);
    match filled {
        _ if !device.runs(transfer) => {}
        Ok(count) => {
            device.registers.transferred = count;
            device.complete();
        }
        Err(error) => device.fail(no_platform(&error), transfer.iova),
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
    view: &mut View<'_, M>,
    done: usize,
) -> Result<usize, Failure> {
    if !device.config.bus_master() {
        return Err(Refusal::BusMasterOff.into());
    }
    device.registers.requester = view.requester;
    device.registers.page_info = 0;

    let iova = transfer.iova + done as u64;
    forget(transfer, device, view, iova)?;
    let address = GuestAddress(match kept(transfer, device, iova) {
        Some(address) => address,
        None => translate(transfer, device, view, iova)?,
    });
    let length = (BOUNDARY - iova % BOUNDARY).min((transfer.length - done) as u64) as usize;
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
    // Hardware ends what it has under way before it answers an invalidation. Here it may have come
    // in between: then the same again.
    if forget(transfer, device, view, iova)? {
        return Ok(0);
    }
    Ok(length)
}

/// Forgets what is invalid by now. Whether that is so of `iova`.
fn forget<M>(
    transfer: &Transfer,
    device: &mut Device,
    view: &mut View<'_, M>,
    iova: u64,
) -> Result<bool, Failure> {
    let mut found = false;
    while let Some(trace) = view.trace.as_deref_mut() {
        let Some(invalid) = trace.read().map_err(|error| no_platform(&error))? else {
            break;
        };
        if invalid.requester == view.requester {
            found |= transfer
                .pasid
                .is_some_and(|pasid| invalid.covers(pasid, iova));
            device.translations.invalidate(&invalid);
        }
    }
    Ok(found)
}

/// Where `iova` is, if the device has kept that.
fn kept(transfer: &Transfer, device: &mut Device, iova: u64) -> Option<u64> {
    let address = device
        .translations
        .find(transfer.pasid?, iova, transfer.access)?;
    device.registers.note_kept();
    Some(address)
}

/// Looks `iova` up in the tables, and keeps what was found, if the device keeps translations.
fn translate<M: GuestMemory>(
    transfer: &Transfer,
    device: &mut Device,
    view: &View<'_, M>,
    iova: u64,
) -> Result<u64, Failure> {
    let source = Source {
        bus: (view.requester >> 8) as u8,
        devfn: view.requester as u8,
        pasid: transfer.pasid,
    };
    let space = AddressSpace::lookup(view.memory, &view.registers, source)?;
    device.registers.note(&space, None);
    let page = loop {
        let page = space.translate(view.memory, iova, transfer.access)?;
        if mark(view.memory, &page, transfer.access)? {
            break page;
        }
    };
    device.registers.note(&space, Some(&page));
    if let (Some(_), Some(pasid), true) = (&view.trace, transfer.pasid, device.config.ats_enabled())
    {
        let translations = &mut device.translations;
        translations.keep(pasid, iova, transfer.access, page.address);
    }
    Ok(page.address)
}

/// Sets the flags by which the owner of the tables learns of the access. False if the entry has
/// changed since it was read.
fn mark<M: GuestMemory>(memory: &M, page: &Page, access: Access) -> Result<bool, Failure> {
    let Some(leaf) = page.leaf.filter(|leaf| leaf.after(access) != leaf.entry) else {
        return Ok(true);
    };
    let (at, size) = (GuestAddress(leaf.at), size_of::<u64>());
    let slices = memory.get_slices(at, size, Permissions::ReadWrite);
    let slice = slices.map_err(|_| Refusal::NotMemory)?.next();
    let Some(Ok(slice)) = slice else {
        return Err(Refusal::NotMemory.into());
    };
    let entry = slice
        .get_atomic_ref::<AtomicU64>(0)
        .map_err(|_| Refusal::NotMemory)?;
    let (old, new) = (leaf.entry.to_le(), leaf.after(access).to_le());
    let done = entry.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
    Ok(done.is_ok())
}
