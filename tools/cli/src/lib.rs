// SPDX-License-Identifier: GPL-2.0-only

//! `vfio-pasid`: what is there, what to change, and who holds it.

pub mod args;
pub mod demo;
pub mod device;
pub mod doctor;
pub mod generate;
pub mod held;
pub mod iommu;
pub mod list;
pub mod module;
pub mod output;
mod process_space;
pub mod reason;
pub mod status;
pub mod system;
pub mod trace;
