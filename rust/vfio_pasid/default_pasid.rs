// SPDX-License-Identifier: GPL-2.0-only

//! Domains of kernel drivers, attached for a process under a default PASID.
//!
//! The first attachment of a domain takes its default PASID, the last to go gives it back. The
//! device may be one that the host drives, so the number is one that the host's allocator and the
//! number space both give.

use kernel::{prelude::*, sync::Arc};

use crate::{
    kernel::{
        device::GroupDevice,
        errno::eopnotsupp,
        iommu::{GlobalPasid, HardwareEntry}, //
    },
    mm::{PasidInUse, VfioMm}, //
};

/// How many numbers of the host are tried that a user holds already.
const TRIES: usize = 64;

/// Who a domain or device is: its address, which the caller keeps for as long as it is attached.
pub(crate) type Identity = usize;

/// The domains that kernel drivers have attached for a process.
#[derive(Default)]
pub(crate) struct DefaultPasids(KVec<AttachedDomain>);

/// A domain with its default PASID.
///
/// The fields are dropped in this order: a PASID outlives every hardware entry that carries it.
struct AttachedDomain {
    devices: KVec<AttachedDevice>,
    domain: Identity,
    pasid: PasidInUse,
    _host: GlobalPasid,
}

struct AttachedDevice {
    device: Identity,
    count: usize,
    _entry: HardwareEntry,
}

impl DefaultPasids {
    /// No domains.
    pub(crate) fn new() -> Self {
        Self(KVec::new())
    }

    fn find(&mut self, domain: Identity) -> Option<&mut AttachedDomain> {
        self.0.iter_mut().find(|attached| attached.domain == domain)
    }

    /// Attaches a domain to a device with `attach`, or counts one more attachment.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the device cannot use PASIDs; `ENOSPC` if the quota is used up or no number
    /// is free; `ENOMEM`; those of `attach`.
    pub(crate) fn attach(
        &mut self,
        vmm: Arc<VfioMm>,
        domain: Identity,
        device: Identity,
        host: GroupDevice<'_>,
        attach: impl FnOnce(u32) -> Result<HardwareEntry>,
    ) -> Result {
        // Attaching to a device without PASIDs succeeds in the core, and does nothing.
        host.pasid_support().ok_or_else(eopnotsupp)?;
        if let Some(attached) = self.find(domain) {
            return attached.attach(device, attach);
        }
        self.0.reserve(1, GFP_KERNEL_ACCOUNT)?;
        let (pasid, host) = default_pasid(vmm, host)?;
        let mut attached = AttachedDomain {
            devices: KVec::new(),
            domain,
            pasid,
            _host: host,
        };
        attached.attach(device, attach)?;
        Ok(self.0.push_within_capacity(attached)?)
    }

    /// Takes one attachment back; the last detaches, and that of the domain gives the PASID back.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the domain is not attached to the device.
    pub(crate) fn detach(&mut self, domain: Identity, device: Identity) -> Result {
        let attached = self.find(domain).ok_or(ENOENT)?;
        attached.detach(device)?;
        self.0.retain(|attached| !attached.devices.is_empty());
        Ok(())
    }

    /// The PASID that `domain` is attached to `device` under.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not.
    pub(crate) fn pasid(&mut self, domain: Identity, device: Identity) -> Result<u32> {
        let attached = self.find(domain).ok_or(ENOENT)?;
        attached.find(device).ok_or(ENOENT)?;
        Ok(attached.pasid.number())
    }
}

impl AttachedDomain {
    fn find(&mut self, device: Identity) -> Option<&mut AttachedDevice> {
        self.devices
            .iter_mut()
            .find(|attached| attached.device == device)
    }

    fn attach(
        &mut self,
        device: Identity,
        attach: impl FnOnce(u32) -> Result<HardwareEntry>,
    ) -> Result {
        if let Some(attached) = self.find(device) {
            attached.count += 1;
            return Ok(());
        }
        self.devices.reserve(1, GFP_KERNEL_ACCOUNT)?;
        let attached = AttachedDevice {
            device,
            count: 1,
            _entry: attach(self.pasid.number())?,
        };
        Ok(self.devices.push_within_capacity(attached)?)
    }

    fn detach(&mut self, device: Identity) -> Result {
        let attached = self.find(device).ok_or(ENOENT)?;
        attached.count -= 1;
        self.devices.retain(|attached| attached.count > 0);
        Ok(())
    }
}

/// Takes a number that is free both for the host and for users.
fn default_pasid(vmm: Arc<VfioMm>, device: GroupDevice<'_>) -> Result<(PasidInUse, GlobalPasid)> {
    // Numbers of users are kept until the end, so that the host's allocator goes on to the next.
    let mut refused = KVec::with_capacity(TRIES, GFP_KERNEL)?;
    for _ in 0..TRIES {
        let host = GlobalPasid::new(device)?;
        match PasidInUse::exactly(vmm.clone(), host.number()) {
            Ok(pasid) => return Ok((pasid, host)),
            Err(error) if error == EEXIST => refused.push(host, GFP_KERNEL)?,
            Err(error) => return Err(error),
        }
    }
    Err(ENOSPC)
}
