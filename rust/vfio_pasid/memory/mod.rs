// SPDX-License-Identifier: GPL-2.0-only

//! Registered memory: what a process has pinned, and what each of its containers has of it.

pub(crate) mod of_container;
pub(crate) mod of_process;
pub(crate) mod registration;
