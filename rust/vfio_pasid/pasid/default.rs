// SPDX-License-Identifier: GPL-2.0-only

//! Domains of kernel drivers, attached for a process under a default PASID.
//!
//! The first attachment of a domain takes its default PASID, the last to go gives it back. The
//! device may be one that the host drives, so the number is one that the host's allocator gives,
//! and that the process has not for something else. What other processes hold does not matter:
//! PASID tables are per device.

use kernel::{prelude::*, sync::Arc};

use super::in_use::{HasPasids, PasidInUse};
use crate::{
    kernel::{
        device::GroupDevice,
        errno::eopnotsupp,
        iommu::{GlobalPasid, HardwareEntry},
        sched::cond_resched, //
    },
    permit::Permit, //
};

/// Who a domain or device is: its address, which the caller keeps for as long as it is attached.
pub(crate) type ObjectAddress = usize;

/// The domains that kernel drivers have attached for a process.
pub(crate) struct DefaultPasids<P: HasPasids>(KVec<AttachedDomain<P>>);

/// A domain with its default PASID.
///
/// The fields are dropped in this order: a PASID outlives every hardware entry that carries it.
struct AttachedDomain<P: HasPasids> {
    devices: AttachedDevices<P>,
    domain: ObjectAddress,
    pasid: PasidInUse<P>,
    _host: GlobalPasid,
}

/// The devices that a domain is attached to.
struct AttachedDevices<P: HasPasids>(KVec<AttachedDevice<P>>);

struct AttachedDevice<P: HasPasids> {
    device: ObjectAddress,
    count: usize,
    _entry: (HardwareEntry, Permit<P>),
}

impl<P: HasPasids> Default for DefaultPasids<P> {
    fn default() -> Self {
        Self(KVec::new())
    }
}

impl<P: HasPasids> DefaultPasids<P> {
    fn find(&mut self, domain: ObjectAddress) -> Option<&mut AttachedDomain<P>> {
        self.0.iter_mut().find(|attached| attached.domain == domain)
    }

    /// Attaches a domain to a device with `attach`, or counts one more attachment.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the device cannot use PASIDs; `ENOSPC` if the quota is used up, no number is
    /// free, or there are as many attachments as there may be; `ENOMEM`; those of `attach`.
    pub(crate) fn attach(
        &mut self,
        process: Arc<P>,
        domain: ObjectAddress,
        device: ObjectAddress,
        host: GroupDevice<'_>,
        attach: impl Fn(u32) -> Result<HardwareEntry>,
    ) -> Result {
        // Attaching to a device without PASIDs succeeds in the core, and does nothing.
        host.pasid_support().ok_or_else(eopnotsupp)?;
        let domain_ids = host.domain_ids()?;
        let attach = |number| {
            let permit = Permit::new(process.clone(), domain_ids)?;
            Ok((attach(number)?, permit))
        };
        if let Some(attached) = self.find(domain) {
            let number = attached.pasid.number();
            return attached.devices.attach(device, || attach(number));
        }
        self.0.reserve(1, GFP_KERNEL_ACCOUNT)?;
        // What cannot be taken is kept until the end: the host's allocator always gives the lowest,
        // and cannot be asked whether it has a number, so nobody else may choose one. These are only
        // those that the process itself holds at the bottom, and what is taken on the group.
        let mut refused = KVec::new();
        let mut last = ENOSPC;
        for _ in 0..=process.pasids().quota() {
            let number = GlobalPasid::new(host)?;
            let mut devices = AttachedDevices(KVec::new());
            let pasid = PasidInUse::of_host(process.clone(), number.number());
            let pasid = pasid.and_then(|pasid| {
                devices.attach(device, || attach(number.number()))?;
                Ok(pasid)
            });
            match pasid {
                Ok(pasid) => {
                    let attached = AttachedDomain {
                        devices,
                        domain,
                        pasid,
                        _host: number,
                    };
                    return Ok(self.0.push_within_capacity(attached)?);
                }
                // The process has it for something else.
                Err(error) if error == EEXIST => {}
                // It is taken on the device's group, or the device is being reset.
                Err(error) if error == EBUSY => last = error,
                Err(error) => return Err(error),
            }
            refused.push(number, GFP_KERNEL_ACCOUNT)?;
            cond_resched();
        }
        Err(last)
    }

    /// Takes one attachment back; the last detaches, and that of the domain gives the PASID back.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the domain is not attached to the device.
    pub(crate) fn detach(&mut self, domain: ObjectAddress, device: ObjectAddress) -> Result {
        let attached = self.find(domain).ok_or(ENOENT)?;
        attached.devices.detach(device)?;
        self.0.retain(|attached| !attached.devices.0.is_empty());
        Ok(())
    }

    /// The PASID that `domain` is attached to `device` under.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not.
    pub(crate) fn pasid(&mut self, domain: ObjectAddress, device: ObjectAddress) -> Result<u32> {
        let attached = self.find(domain).ok_or(ENOENT)?;
        attached.devices.find(device).ok_or(ENOENT)?;
        Ok(attached.pasid.number())
    }
}

impl<P: HasPasids> AttachedDevices<P> {
    fn find(&mut self, device: ObjectAddress) -> Option<&mut AttachedDevice<P>> {
        self.0.iter_mut().find(|attached| attached.device == device)
    }

    fn attach(
        &mut self,
        device: ObjectAddress,
        attach: impl FnOnce() -> Result<(HardwareEntry, Permit<P>)>,
    ) -> Result {
        if let Some(attached) = self.find(device) {
            attached.count += 1;
            return Ok(());
        }
        self.0.reserve(1, GFP_KERNEL_ACCOUNT)?;
        let attached = AttachedDevice {
            device,
            count: 1,
            _entry: attach()?,
        };
        Ok(self.0.push_within_capacity(attached)?)
    }

    fn detach(&mut self, device: ObjectAddress) -> Result {
        let attached = self.find(device).ok_or(ENOENT)?;
        attached.count -= 1;
        self.0.retain(|attached| attached.count > 0);
        Ok(())
    }
}
