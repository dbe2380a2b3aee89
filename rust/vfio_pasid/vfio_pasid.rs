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
    container::{Container, HANDLES},
    counters::{Counters, COUNTERS},
    handle::Handles,
    kernel::{
        global::Published,
        params::{Parameters, PARAMETERS},
        records,
        work::{Workqueue, WORKQUEUE}, //
    },
    pasid::numbers::{NumberSpace, NUMBERS},
    vfio_mm::{Registry, REGISTRY}, //
};

module! {
    type: VfioPasid,
    name: "vfio_pasid",
    authors: ["The vfio-pasid developers"],
    description: "PASIDs and auxiliary address spaces for VFIO containers",
    license: "GPL",
}

/// What there is once, not once per process or container. Each part is reached through the place
/// that it is published in.
#[pin_data(PinnedDrop)]
pub(crate) struct VfioPasid {
    /// The module parameters, checked.
    #[pin]
    params: Published<Parameters>,
    /// The open containers by their handles.
    #[pin]
    handles: Published<Handles<Container>>,
    /// What takes too long for VFIO's callbacks.
    #[pin]
    workqueue: Published<Workqueue>,
    /// The `vfio_mm` of every process that has one.
    #[pin]
    registry: Published<Mutex<Registry>>,
    /// Which numbers are taken, by whomever.
    #[pin]
    numbers: Published<Mutex<NumberSpace>>,
    debugfs: debugfs::Dir,
    /// How much of everything there is.
    #[pin]
    counters: debugfs::File<&'static Counters>,
}

impl ::kernel::InPlaceModule for VfioPasid {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            params <- PARAMETERS.publish(Parameters::read()?),
            handles <- HANDLES.publish(Handles::new()),
            workqueue <- WORKQUEUE.publish(Workqueue::new()?),
            registry <- REGISTRY.publish(new_mutex!(Registry::new(), "vfio_pasid::registry")),
            numbers <- NUMBERS.publish(new_mutex!(
                NumberSpace::new(PARAMETERS.get().range)?,
                "vfio_pasid::numbers"
            )),
            debugfs: debugfs::Dir::new(c"vfio_pasid"),
            counters <- debugfs.read_only_file(c"in_use", &COUNTERS),
            _: {
                records::create();
            },
        })
    }
}

#[pinned_drop]
impl PinnedDrop for VfioPasid {
    fn drop(self: Pin<&mut Self>) {
        // What is still being taken down of closed containers uses the module's state.
        WORKQUEUE.get().drain();
    }
}
