// SPDX-License-Identifier: GPL-2.0-only

//! Each reason why something does not work, and its remedy: the one table that `status` and
//! `doctor` use.

use schemars::JsonSchema;
use serde::Serialize;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $what:literal, $remedy:literal;)*) => {
        /// Why something does not work, or may not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What is the matter.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$name => $what,)*
                }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                }
            }
        }
    };
}

reasons! {
    /// No IOMMU is used.
    NoIommu => "the kernel uses no IOMMU",
        "switch VT-d on in the firmware, and boot with intel_iommu=on";
    /// VT-d without scalable mode.
    LegacyMode => "VT-d is in legacy mode, which has no PASIDs",
        "boot with intel_iommu=on,sm_on; hardware before scalable mode cannot do it";
    /// VT-d cannot do scalable mode.
    NoScalableMode => "this VT-d has no scalable mode",
        "none: the hardware has no PASID tables";
    /// An AMD IOMMU.
    Amd => "the driver of AMD's IOMMU attaches no ordinary domain by PASID",
        "none with this kernel: PASIDs can be allocated, aux spaces cannot be attached";
    /// Another IOMMU.
    OtherIommu => "the IOMMU is not VT-d",
        "none: vfio-pasid was tried with VT-d only";
    /// The device is in no IOMMU group.
    NoGroup => "the device is in no IOMMU group",
        "see the line about the IOMMU: without one there is no VFIO for it";
    /// No PASID capability.
    NoCapability => "the device has no PASID capability",
        "none: the device cannot tag its requests; PASIDs can be allocated in its container";
    /// A bridge or the device takes no prefix.
    NoPrefix => "no End-End TLP prefix on the way: the device, a switch or the root port lacks it",
        "another slot, below a root port that supports End-End TLP prefixes";
    /// Requests are not redirected to the root.
    NoAcs => "a bridge on the way does not redirect requests to the root (ACS)",
        "another slot, or switch ACS on in the firmware";
    /// The IOMMU walks no tables of processes.
    NoProcessTables => "the IOMMU cannot walk the tables of processes",
        "none: this needs a VT-d with SMPWC, and with 1 GiB pages if the processor has them";
    /// VT-d's flushes are smaller than what the kernel asks for.
    SmallFlushes => "the IOMMU cannot flush all addresses of a process at once (MAMV)",
        "none: the device could use memory that the process has given back";
    /// The processor's tables have five levels.
    FiveLevels => "the processor's tables have 5 levels, and the IOMMU walks 4",
        "boot with no5lvl: then processes have 4 levels";
    /// AMD's, with the tables that it uses by itself.
    AmdTables => "AMD's IOMMU driver attaches processes only beside tables of version 2",
        "boot with amd_iommu=pgtbl_v2; vfio-pasid was tried with VT-d only";
    /// No CONFIG_IOMMU_SVA.
    NoSva => "the kernel was built without CONFIG_IOMMU_SVA",
        "boot a kernel that has it, such as Debian's for amd64";
    /// No ATS capability.
    NoAts => "the device has no ATS",
        "none: a device must keep translations to use the addresses of a process";
    /// It is there, and not enabled.
    AtsOff => "the device has ATS, but the kernel has not enabled it",
        "another slot, below a root port that the firmware lists for ATS; and boot without pci=noats";
    /// The device has PRI, and the IOMMU does not take its requests.
    PriOff => "the device may request pages, but the IOMMU does not take requests",
        "none: VT-d must have PRS for such a device";
    /// Root has not allowed process spaces.
    ProcessSpaceOff => "process_space is off",
        "read 'A space that is the process' in the user guide, then set process_space=1 of vfio_pasid: all users of IOMMUs bear its cost";
    /// Root has not allowed them for devices with PRI.
    ProcessSpacePriOff => "process_space_pri is off, and the device may request pages",
        "read 'A space that is the process' in the user guide, then set process_space_pri=1 of vfio_pasid: closing a device may then take for ever";
    /// Several in the group.
    SeveralInGroup => "several devices of the IOMMU group have PASIDs",
        "another slot, where the device has an IOMMU group of its own";
    /// It is there, and not enabled.
    NotEnabled => "the device has PASIDs, but the kernel has not enabled them",
        "sudo dmesg | grep -iE 'pasid|dmar' says why";
    /// Not bound to a VFIO driver.
    NotBound => "the device is not bound to vfio-pci",
        "sudo driverctl set-override ADDRESS vfio-pci (this takes it from its driver)";
    /// Only root sees it.
    NeedsRoot => "only root can see it",
        "run it with sudo";
    /// Type1 is not loaded.
    NotLoaded => "vfio_iommu_type1 is not loaded",
        "sudo modprobe vfio_iommu_type1";
    /// The stock type1.
    Stock => "the kernel's own vfio_iommu_type1 is loaded",
        "end the programs that use VFIO, then: sudo modprobe -r vfio_iommu_type1 && sudo modprobe vfio_iommu_type1";
    /// It would be the stock one.
    StockNext => "modprobe would load the kernel's own vfio_iommu_type1",
        "install vfio-pasid for this kernel: sudo make KERNEL=$(uname -r) install, then sudo depmod";
    /// Built for another kernel.
    StaleBuild => "vfio-pasid is installed for other kernels, but not for the running one",
        "build and install it for this one: make KERNEL=$(uname -r) && sudo make KERNEL=$(uname -r) install";
    /// The loaded one is not the installed one.
    OtherBuild => "the loaded build is not the one that modprobe would load",
        "end the programs that use VFIO, then: sudo modprobe -r vfio_iommu_type1 vfio_pasid && sudo modprobe vfio_iommu_type1";
    /// The initramfs has the stock type1.
    InitramfsStock => "the initramfs has the kernel's own vfio_iommu_type1, which is then loaded at boot",
        "sudo update-initramfs -u";
    /// No CONFIG_RUST.
    NoRust => "the kernel was built without CONFIG_RUST",
        "boot a kernel that has it, such as Debian's 7.2 or 7.3";
    /// No container.
    NoContainer => "the kernel was built without CONFIG_VFIO_CONTAINER",
        "boot a kernel that has the VFIO container";
    /// Signatures are enforced.
    Unsigned => "the kernel takes signed modules only, and vfio_pasid.ko has no signature",
        "sign both modules with a key that is enrolled (mokutil), or boot without Secure Boot";
    /// /dev/vfio/vfio is missing.
    NoVfio => "there is no /dev/vfio/vfio",
        "sudo modprobe vfio-pci";
    /// No permission for the container.
    ContainerDenied => "you may not open /dev/vfio/vfio",
        "sudo chmod 666 /dev/vfio/vfio, as udev does it: it gives no access to devices";
    /// No permission for the group.
    GroupDenied => "you may not open the group of the device",
        "a udev rule gives it to you: SUBSYSTEM==\"vfio\", OWNER=\"you\"; or sudo chown $USER /dev/vfio/GROUP";
    /// The group is open already.
    GroupBusy => "another program has the group of the device open",
        "sudo vfio-pasid list tells which, if it has a container; end it, or take another device";
    /// Little locked memory.
    LowMemlock => "the limit of locked memory is low: registering more fails with ENOMEM",
        "LimitMEMLOCK= of the systemd unit, or a line 'you - memlock 4194304' (kB) in /etc/security/limits.d/vfio.conf";
    /// A limit was reached.
    LimitReached => "a process has reached a limit",
        "vfio-pasid list shows which; raise the parameter in /etc/modprobe.d/vfio-pasid.conf";
    /// Nothing can be said.
    Unknown => "it cannot be found out here",
        "look by hand";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_is_said_once_and_has_a_remedy() {
        let said: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.what()).collect();
        assert_eq!(said.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| !reason.remedy().is_empty()));
    }
}
