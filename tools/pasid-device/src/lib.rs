// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A PASID-capable PCIe test device, served to a virtual machine over vfio-user.
//!
//! The device reads and writes memory under any PASID, and says exactly why when it can not:
//! its requests are translated by [`vtd_witness`] from the guest's own tables. The register
//! page is described in `Documentation/device.rst`.

pub mod config;
pub mod device;
pub mod dma;
pub mod page_request;
pub mod qemu;
mod qmp;
mod qtest;
pub mod registers;
pub mod server;
pub mod status;
pub mod translations;
