// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The process itself as a space: a device uses the addresses of the process as they are.
#![allow(unsafe_code)]

use crate::{container::Container, error::Result, space::Space, uapi};

/// The address space of this process, as a space of a container. A device that it is attached to
/// uses the addresses of the process in requests that carry its PASID: nothing is registered,
/// mapped, pinned or charged.
///
/// From [`Container::process_space`]. It is attached to nothing when new, and detached and destroyed
/// when dropped.
#[derive(Debug)]
#[must_use = "dropping a process space destroys it"]
pub struct ProcessSpace(Space);

impl ProcessSpace {
    pub(crate) fn new(container: Container) -> Result<Self> {
        let mut create = uapi::AuxCreate {
            flags: uapi::VFIO_AUX_PROCESS,
            ..uapi::AuxCreate::default()
        };
        Space::new(container, &mut create).map(Self)
    }

    /// The PASID that names the space: the same in all containers of the process.
    pub fn pasid(&self) -> u32 {
        self.0.pasid()
    }

    /// Attaches the process to the PASID-capable device of `group`, a group of the container (the N
    /// of `/dev/vfio/N`). The device must be open; its last close detaches, a reset does not.
    ///
    /// It waits for whoever else attaches a process to a device, or detaches one, anywhere on the
    /// machine.
    ///
    /// # Safety
    ///
    /// Until it is detached, the device can read and write whatever the process can. It must be told
    /// only addresses where that is sound: of memory that nobody has exclusive references to while
    /// it reads, and none at all while it writes, and that is not freed meanwhile. What makes it do
    /// so, such as [`Region::write`](crate::Region::write), is safe to call.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the group is not in the container; `EOPNOTSUPP` if it has no PASID-capable
    /// device, or several, or if a process space cannot be attached to that, which
    /// [`PasidInfo::process_space`](crate::PasidInfo::process_space) says more of; `ENODEV` if it is
    /// not open through the container; `ERANGE` if the PASID is wider than it can use; `EEXIST` if
    /// the space is attached to it already; `EBUSY` if another user has the PASID on that group, or
    /// the device is being reset; `ENOSPC` if the process or the system has as many attachments as
    /// it may; `EINTR` also for any signal that came meanwhile; `ENOMEM`; and what every ioctl may
    /// return (see [`Container::alloc_pasid`]).
    pub unsafe fn attach(&self, group: u32) -> Result<()> {
        self.0.attach(group)
    }

    /// Detaches the process from `group`. Once this returns, the device can no longer address its
    /// memory. It waits as [`ProcessSpace::attach`] does.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the group is not in the container or the space is not attached to it, and what
    /// every ioctl may return (see [`Container::alloc_pasid`]).
    pub fn detach(&self, group: u32) -> Result<()> {
        self.0.detach(group)
    }

    /// The groups that the space is attached to, in ascending order of their numbers. What changes
    /// meanwhile may be missed.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the space went with its container, `ENOMEM`, and what every ioctl may return
    /// (see [`Container::alloc_pasid`]).
    pub fn groups(&self) -> Result<Vec<u32>> {
        Ok(self.0.info()?.groups)
    }

    /// Destroys the space, and says if that failed, which dropping cannot: detaches it from every
    /// group. The process keeps its number for the next one, but it counts no more.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the space went with its container, and what every ioctl may return (see
    /// [`Container::alloc_pasid`]).
    pub fn destroy(self) -> Result<()> {
        self.0.destroy()
    }
}
