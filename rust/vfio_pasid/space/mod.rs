// SPDX-License-Identifier: GPL-2.0-only

//! The IO address spaces of a container: its own, aux spaces, and that of the process.

pub(crate) mod aux;
pub(crate) mod mapping;
pub(crate) mod own;
pub(crate) mod window;
