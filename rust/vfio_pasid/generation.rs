// SPDX-License-Identifier: GPL-2.0-only

//! How often something has come or gone that `held.rs` tells of.

use kernel::sync::atomic::{Atomic, Relaxed};

static GENERATION: Atomic<u64> = Atomic::new(0);

/// Something comes or goes, under a lock that it is looked at with. Returns a number that is never
/// returned again.
pub(crate) fn changed() -> u64 {
    GENERATION.fetch_add(1, Relaxed) + 1
}

/// How often something has come or gone.
pub(crate) fn now() -> u64 {
    GENERATION.load(Relaxed)
}
