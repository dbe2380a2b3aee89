// SPDX-License-Identifier: GPL-2.0-only

//! What `make run` shares with `vfio-pasid demo`.

pub mod device;
pub mod pointer;
