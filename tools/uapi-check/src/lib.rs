// SPDX-License-Identifier: GPL-2.0-only

//! `include/uapi/linux/vfio_pasid.h` is what the client crate and `Documentation/uapi.rst` say anew:
//! the tests of this package compare. They are not the client's own, which is published without
//! either.
