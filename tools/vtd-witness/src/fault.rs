// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Why a request is not translated.

use std::fmt;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A reason for which a request is blocked.
        ///
        /// Codes below 0x100 are the fault reasons of section 7.1.3, as a VT-d unit would record
        /// them (the condition's name is given in brackets); codes from 0x100 are this library's
        /// own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Fault { $($(#[$doc])* $name = $code,)* }

        impl Fault {
            /// Every fault there is.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)*];
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Fault::$name => $text,)* })
            }
        }
    };
}

faults! {
    /// The root table address has bits beyond the host address width, or scalable mode is on in
    /// a unit without it [RTA.1].
    RootAddressInvalid = 0x30, "invalid root table address";
    /// A request with PASID while the unit is in legacy mode [RTA.2].
    LegacyModePasid = 0x31, "request with PASID in legacy mode";
    /// The root entry is outside guest memory [SRT.1].
    RootEntryAccess = 0x38, "root entry is outside memory";
    /// The half of the root entry for this device is not present [SRT.2].
    RootEntryNotPresent = 0x39, "root entry is not present";
    /// Reserved bits in the root entry [SRT.3].
    RootEntryReserved = 0x3a, "reserved bits in the root entry";
    /// The context entry is outside guest memory [SCT.1].
    ContextEntryAccess = 0x40, "context entry is outside memory";
    /// The context entry is not present [SCT.2].
    ContextEntryNotPresent = 0x41, "context entry is not present";
    /// Reserved bits in the context entry [SCT.3].
    ContextEntryReserved = 0x42, "reserved bits in the context entry";
    /// A request with PASID, and the context entry does not enable PASIDs [SCT.6].
    PasidNotEnabled = 0x45, "context entry does not enable PASID";
    /// The PASID is beyond the PASID directory [SCT.7].
    PasidTooLarge = 0x46, "PASID is beyond the PASID directory";
    /// RID_PASID is beyond the PASID directory [SCT.9].
    RidPasidTooLarge = 0x48, "RID_PASID is beyond the PASID directory";
    /// The PASID directory entry is outside guest memory [SPD.1].
    PasidDirectoryAccess = 0x50, "PASID directory entry is outside memory";
    /// The PASID directory entry is not present [SPD.2].
    PasidDirectoryNotPresent = 0x51, "PASID directory entry is not present";
    /// Reserved bits in the PASID directory entry [SPD.3].
    PasidDirectoryReserved = 0x52, "reserved bits in the PASID directory entry";
    /// The PASID table entry is outside guest memory [SPT.1].
    PasidEntryAccess = 0x58, "PASID table entry is outside memory";
    /// The PASID table entry is not present [SPT.2].
    PasidEntryNotPresent = 0x59, "PASID table entry is not present";
    /// Reserved bits in the PASID table entry [SPT.3].
    PasidEntryReserved = 0x5a, "reserved bits in the PASID table entry";
    /// Translation type, paging mode or address width that the unit does not have [SPT.4].
    PasidEntryInvalid = 0x5b, "invalid PASID table entry";
    /// A first-stage entry below the top is outside guest memory [SFL.1].
    FirstStageAccess = 0x70, "first-stage entry is outside memory";
    /// A first-stage entry is not present: nothing is mapped there [SFL.2].
    FirstStageNotPresent = 0x71, "first-stage entry is not present";
    /// Reserved bits in a first-stage entry [SFL.3].
    FirstStageReserved = 0x72, "reserved bits in a first-stage entry";
    /// The top first-stage entry is outside guest memory [SFL.4].
    FirstStageTopAccess = 0x73, "top first-stage entry is outside memory";
    /// A second-stage entry below the top is outside guest memory [SSL.1].
    SecondStageAccess = 0x78, "second-stage entry is outside memory";
    /// A second-stage entry has neither R nor W: nothing is mapped there [SSL.2].
    SecondStageNotPresent = 0x79, "second-stage entry is not present";
    /// Reserved bits in a second-stage entry [SSL.3].
    SecondStageReserved = 0x7a, "reserved bits in a second-stage entry";
    /// The top second-stage entry is outside guest memory [SSL.4].
    SecondStageTopAccess = 0x7b, "top second-stage entry is outside memory";
    /// The IOVA is not canonical for the first-stage paging mode [SGN.1].
    NotCanonical = 0x80, "address is not canonical";
    /// A first-stage entry is for supervisor requests only [SGN.2].
    Supervisor = 0x81, "first-stage entry is for supervisor requests";
    /// The IOVA is beyond the address width of the second stage or of the unit [SGN.4].
    AddressTooWide = 0x83, "address is beyond the address width";
    /// A write without write permission [SGN.6].
    NoWrite = 0x85, "no write permission";
    /// A read without read permission [SGN.7].
    NoRead = 0x86, "no read permission";
    /// The request, translated, is in the interrupt address range [SGN.8].
    InterruptOutput = 0x87, "translates to the interrupt address range";
    /// DMA remapping is off, so requests are not translated (11.4.4.2, TES).
    TranslationOff = 0x100, "DMA remapping is off";
    /// A request without PASID in legacy mode, which has other tables (11.4.5, TTM).
    LegacyMode = 0x101, "the unit is in legacy mode";
    /// The unit aborts all DMA, or is in a reserved mode (11.4.5, TTM).
    AbortMode = 0x102, "the unit is in abort-DMA or a reserved mode";
    /// A request without PASID to the interrupt address range is an interrupt message, not DMA
    /// (3.14).
    InterruptInput = 0x103, "address is in the interrupt address range";
    /// Nested translation, which this library does not do.
    Nested = 0x104, "nested translation is not supported";
}

impl Fault {
    /// The fault's number.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn texts_are_distinct() {
        let texts: HashSet<String> = Fault::ALL.iter().map(Fault::to_string).collect();
        assert_eq!(texts.len(), Fault::ALL.len());
    }
}
