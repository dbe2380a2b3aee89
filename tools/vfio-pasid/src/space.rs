// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What aux spaces and process spaces have in common: a name, and what can be done with it.

use std::os::fd::AsFd;

use crate::{aux_space::AuxInfo, container::Container, error::Result, sys, uapi};

/// A space of a container besides its own, named by a PASID. It is destroyed when dropped.
#[derive(Debug)]
pub(crate) struct Space {
    container: Container,
    pasid: u32,
    destroyed: bool,
}

impl Space {
    /// Creates it. `create` is the request, and what was granted.
    pub(crate) fn new(container: Container, create: &mut uapi::AuxCreate) -> Result<Self> {
        sys::aux_create(container.as_fd(), create)?;
        Ok(Self {
            container,
            pasid: create.pasid,
            destroyed: false,
        })
    }

    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    pub(crate) fn pasid(&self) -> u32 {
        self.pasid
    }

    pub(crate) fn attach(&self, group: u32) -> Result<()> {
        sys::aux_attach(self.container.as_fd(), self.pasid, group)
    }

    pub(crate) fn detach(&self, group: u32) -> Result<()> {
        sys::aux_detach(self.container.as_fd(), self.pasid, group)
    }

    pub(crate) fn info(&self) -> Result<AuxInfo> {
        AuxInfo::ask(&self.container, self.pasid)
    }

    pub(crate) fn destroy(mut self) -> Result<()> {
        self.destroyed = true;
        sys::aux_destroy(self.container.as_fd(), self.pasid)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if !self.destroyed {
            // It fails if the space went with its container, or if this is a forked child, whose
            // space it is not. Nothing is left to do in either case.
            let _ = sys::aux_destroy(self.container.as_fd(), self.pasid);
        }
    }
}
