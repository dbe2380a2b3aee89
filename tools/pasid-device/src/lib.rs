// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A PASID-capable PCIe test device, served to a virtual machine over vfio-user.
//!
//! The device reads and writes memory under any PASID, and says exactly why when it can not:
//! its requests are translated by [`vtd_witness`] from the guest's own tables. The register
//! page is described in `Documentation/device.rst`.

pub mod config;
pub mod device;
pub mod dma;
pub mod qemu;
mod qmp;
pub mod registers;
pub mod server;
pub mod status;
