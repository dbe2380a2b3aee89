// SPDX-License-Identifier: GPL-2.0-only

//! The kernel boundary: safe wrappers for what the `kernel` crate does not wrap.
//!
//! With `exports.rs` the only place with `unsafe`.

pub(crate) mod abi;
pub(crate) mod access;
pub(crate) mod charge;
pub(crate) mod device;
pub(crate) mod errno;
pub(crate) mod event;
pub(crate) mod global;
pub(crate) mod group;
pub(crate) mod iommu;
pub(crate) mod log;
pub(crate) mod maker;
pub(crate) mod mm;
pub(crate) mod mutex;
pub(crate) mod notifier;
pub(crate) mod pages;
pub(crate) mod params;
pub(crate) mod pci;
pub(crate) mod records;
pub(crate) mod reset;
pub(crate) mod resv;
mod scatter;
pub(crate) mod sched;
pub(crate) mod stock;
pub(crate) mod sva;
pub(crate) mod trace;
pub(crate) mod vfio;
pub(crate) mod warn;
pub(crate) mod work;
