// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Values of the STATUS register.

use std::fmt;

use vtd_witness::Fault;

/// No request since the last reset.
pub const IDLE: u32 = 0;
/// The request is under way.
pub const BUSY: u32 = 1;
/// The request is complete.
pub const DONE: u32 = 2;

/// Why the device itself does not send a request, or can not tell where it would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Refusal {
    /// Bus mastering is off, or the function is not in D0.
    BusMasterOff = 0x200,
    /// DOORBELL was written with something other than a command.
    BadCommand = 0x201,
    /// LENGTH is 0 or larger than the data window.
    BadLength = 0x202,
    /// IOVA + LENGTH is beyond 2^64.
    AddressWraps = 0x203,
    /// A PASID, and the device has no PASID capability.
    NoPasidCapability = 0x204,
    /// A PASID, and the device can not send End-End TLP prefixes.
    NoTlpPrefix = 0x205,
    /// A PASID, and the PASID control register does not enable them.
    PasidDisabled = 0x206,
    /// The PASID has more bits than the PASID capability says.
    PasidTooWide = 0x207,
    /// The request is translated, but there is no guest memory.
    NotMemory = 0x208,
    /// QEMU did not say where the tables and the memory are.
    NoPlatform = 0x209,
    /// The page is not there, and the queue of page requests had no room.
    QueueFull = 0x20a,
    /// The page is not there, and a page request was not answered.
    NoAnswer = 0x20b,
    /// The queue is to be filled, and the device has no page requests, or they are not enabled.
    NoPageRequests = 0x20c,
}

impl Refusal {
    /// Every refusal there is.
    pub const ALL: &'static [Refusal] = &[
        Refusal::BusMasterOff,
        Refusal::BadCommand,
        Refusal::BadLength,
        Refusal::AddressWraps,
        Refusal::NoPasidCapability,
        Refusal::NoTlpPrefix,
        Refusal::PasidDisabled,
        Refusal::PasidTooWide,
        Refusal::NotMemory,
        Refusal::NoPlatform,
        Refusal::QueueFull,
        Refusal::NoAnswer,
        Refusal::NoPageRequests,
    ];
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device did not send it.
    Refused(Refusal),
    /// The remapping unit blocked it.
    Blocked(Fault),
}

impl Failure {
    /// The value of the STATUS register.
    pub fn code(self) -> u32 {
        match self {
            Failure::Refused(refusal) => refusal as u32,
            Failure::Blocked(fault) => fault.code().into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Blocked(fault)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(refusal) => write!(f, "{refusal:?}"),
            Failure::Blocked(fault) => fault.fmt(f),
        }
    }
}
