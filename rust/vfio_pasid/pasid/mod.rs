// SPDX-License-Identifier: GPL-2.0-only

//! PASIDs: which there are, who holds them, and what uses them.

pub(crate) mod default;
pub(crate) mod in_use;
pub(crate) mod numbers;
pub(crate) mod range;
pub(crate) mod set;
