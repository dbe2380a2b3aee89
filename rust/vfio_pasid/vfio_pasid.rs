// SPDX-License-Identifier: GPL-2.0-only

//! PASIDs and auxiliary address spaces for VFIO containers.
//!
//! The module and what it owns; each concept has a file of its own. How they fit together:
//! `Documentation/internals.rst`.

mod calls;
mod container;
mod counters;
mod exports;
mod generation;
mod handle;
mod held;
mod interval;
mod kernel;
mod limit;
mod memory;
mod pasid;
mod permit;
mod space;
mod uapi;
mod vfio_mm;

use ::kernel::{
    debugfs,
    prelude::*,
    sync::{new_mutex, Mutex}, //
};

use crate::{
    counters::{Counters, COUNTERS},
    handle::Handles,
    kernel::{global::Global, params::Parameters, records, work::Workqueue},
    pasid::numbers::NumberSpace,
    vfio_mm::Registry, //
};

module! {
    type: VfioPasid,
    name: "vfio_pasid",
    authors: ["The vfio-pasid developers"],
    description: "PASIDs and auxiliary address spaces for VFIO containers",
    license: "GPL",
}

/// What there is once, not once per process or container.
#[pin_data(PinnedDrop)]
pub(crate) struct VfioPasid {
    /// The module parameters, checked.
    params: Parameters,
    /// The open containers by their handles.
    #[pin]
    handles: Handles,
    /// What takes too long for VFIO's callbacks.
    workqueue: Workqueue,
    /// The `vfio_mm` of every process that has one. Guards which there are, and their last uses.
    #[pin]
    registry: Mutex<Registry>,
    /// Which numbers are taken, by whomever. Innermost lock.
    #[pin]
    numbers: Mutex<NumberSpace>,
    debugfs: debugfs::Dir,
    /// How much of everything there is.
    #[pin]
    counters: debugfs::File<&'static Counters>,
}

/// The loaded module.
pub(crate) static MODULE: Global<VfioPasid> = Global::new();

impl ::kernel::InPlaceModule for VfioPasid {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(&this in Self {
            params: Parameters::read()?,
            handles <- Handles::new(),
            workqueue: Workqueue::new()?,
            registry <- new_mutex!(Registry::new(), "vfio_pasid::registry"),
            numbers <- new_mutex!(NumberSpace::new(params.range)?, "vfio_pasid::numbers"),
            debugfs: debugfs::Dir::new(c"vfio_pasid"),
            counters <- debugfs.read_only_file(c"in_use", &COUNTERS),
            _: {
                MODULE.set(this);
                records::create();
            },
        })
    }
}

#[pinned_drop]
impl PinnedDrop for VfioPasid {
    fn drop(self: Pin<&mut Self>) {
        // What is still being taken down of closed containers uses the module's state.
        self.workqueue.drain();
        MODULE.clear();
    }
}
