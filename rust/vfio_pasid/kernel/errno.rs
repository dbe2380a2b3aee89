// SPDX-License-Identifier: GPL-2.0-only

//! An error code that the `kernel` crate of Linux 7.2 does not name.

use kernel::{bindings, ffi::c_int, prelude::*};

/// `EOPNOTSUPP`: no PASIDs there.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}
