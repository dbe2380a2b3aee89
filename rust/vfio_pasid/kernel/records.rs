// SPDX-License-Identifier: GPL-2.0-only

//! The file in debugfs that tells who holds what. `records.c` has its operations, which the VFS
//! calls one at a time for each open file.

use kernel::{
    bindings,
    ffi::c_int,
    prelude::*,
    seq_file::{seq_print, SeqFile}, //
};

use crate::held::Reader;

extern "C" {
    fn vfio_pasid_records_create();
}

/// Creates the file, which goes with its folder, the module's. The module is initialised.
pub(crate) fn create() {
    // SAFETY: No preconditions.
    unsafe { vfio_pasid_records_create() }
}

/// A new reading, or null.
#[no_mangle]
extern "C" fn vfio_pasid_records_open() -> *mut Reader {
    KBox::new(Reader::new(), GFP_KERNEL_ACCOUNT).map_or(core::ptr::null_mut(), KBox::into_raw)
}

/// # Safety
///
/// `reader` is from [`vfio_pasid_records_open`], and is not used again.
#[no_mangle]
unsafe extern "C" fn vfio_pasid_records_close(reader: *mut Reader) {
    // SAFETY: By the caller's promise.
    drop(unsafe { KBox::from_raw(reader) });
}

/// 1 if there is a record at `index`, 0 at the end, or an error.
///
/// # Safety
///
/// `reader` is from [`vfio_pasid_records_open`], and nobody else uses it.
#[no_mangle]
unsafe extern "C" fn vfio_pasid_records_find(reader: *mut Reader, index: u64) -> c_int {
    // SAFETY: By the caller's promise.
    match unsafe { &mut *reader }.find(index) {
        Ok(record) => record.is_some().into(),
        Err(error) => error.to_errno(),
    }
}

/// Writes the record that was found last.
///
/// # Safety
///
/// As [`vfio_pasid_records_find`]; `seq` is the file, which nobody else uses.
#[no_mangle]
unsafe extern "C" fn vfio_pasid_records_show(reader: *mut Reader, seq: *mut bindings::seq_file) {
    // SAFETY: By the caller's promise.
    let (reader, seq) = unsafe { (&*reader, SeqFile::from_raw(seq)) };
    if let Some(record) = reader.record() {
        seq_print!(seq, "{}", record);
    }
}
